//! Ops around the handle and the group: opening, assignment, revocation.

use std::sync::Arc;
use std::time::Duration;

use actix::Context;
use sluice_types::{Claim, IsolationLevel, Mode, Offsets, Partitions};
use tokio::time::{Instant, sleep};

use super::actor::{Phase, SessionActor};
use super::end::leave_group;
use super::environment::Environment;
use super::finder::{AGAIN, Finder, Found};
use super::lease::Lease;
use super::link::Link;
use super::ops::{Apply, OpFuture, Urgent, then};
use crate::authority::{AuthorityError, Standing};
use crate::kafka::{Handle, HandleKind, consumer_config};
use crate::{Ended, Error, Record};

/// How long the final commit before a revocation may take.
const LAST_COMMIT: Duration = Duration::from_secs(3);
/// How long a session that is gone may take to leave its group.
const LAST_LEAVE: Duration = Duration::from_secs(10);

impl SessionActor {
    /// Makes the handle, and joins the group or takes up the manual assignment.
    pub(super) fn open(&mut self) -> OpFuture {
        let (env, opening) = (self.env.clone(), self.opening.clone());
        let (wake, mode) = (self.wake.clone(), self.mode().clone());
        let lease = self.lease();
        Box::pin(async move {
            if !lease.holds() {
                return end(Ended::LeaseLost);
            }
            let created = create_link(&env, &opening, &mode, wake).await;
            let link = match created {
                Ok(link) => link,
                Err(error) => return end(Ended::Failed(error)),
            };
            match mode {
                Mode::Subscribed => {
                    if let Err(error) = link.handle.subscribe(&opening.spec.topics) {
                        return end(Ended::Failed(error));
                    }
                    then(move |actor, _| {
                        actor.link = Some(link);
                    })
                }
                Mode::Assigned { partitions, .. } => then(move |actor, ctx| {
                    actor.link = Some(link);
                    actor.urge(Urgent::Assign(partitions), ctx);
                }),
            }
        })
    }

    /// Answers the group's call to assign: confirms the claim, finds every start, then assigns.
    pub(super) fn join(&mut self, partitions: Partitions) -> Option<OpFuture> {
        let link = self.link.clone()?;
        let finder = self.finder(link.clone());
        let (env, claim) = (self.env.clone(), self.opening.claim.clone());
        let known = self.member.clone();
        let record = self.record.clone();
        let is_first = known.is_none();
        let mode = self.mode().clone();
        Some(Box::pin(async move {
            let member = link.handle.member_id();
            let after_join = known.as_ref() != Some(&member);
            // The handle may have joined anew by itself, on a claim that no longer holds.
            let standing = match after_join {
                true => confirm(&env, &claim).await,
                false => Some(Standing::Owner(record)),
            };
            let Some(standing) = standing else {
                // Nobody may ever say whose it is: its partitions are for others until then.
                if let Err(error) = link.handle.assign(&Offsets::new()) {
                    tracing::debug!(%error, "cannot decline an assignment");
                }
                leave_group(&link, false, Instant::now() + LAST_LEAVE).await;
                return end(Ended::LeaseLost);
            };
            let record = match standing {
                Standing::Owner(record) => Record {
                    // A handle that has joined anew by itself is not a handle anew.
                    handed_over: record.handed_over.filter(|_| is_first),
                    ..record
                },
                Standing::Elsewhere => return end(Ended::Fenced),
                Standing::Gone => {
                    // librdkafka leaves only once it is told what becomes of the assignment.
                    if let Err(error) = link.handle.assign(&Offsets::new()) {
                        tracing::debug!(%error, "cannot decline an assignment");
                    }
                    leave_group(&link, false, Instant::now() + LAST_LEAVE).await;
                    return end(Ended::Fenced);
                }
            };
            let found = match finder.find(&partitions, &record).await {
                Ok(found) => found,
                Err(refusal) => return refusal,
            };
            then(move |actor, ctx| {
                actor.record = Record {
                    handed_over: None,
                    ..record
                };
                actor.member = Some(member);
                actor.assigned(&link, found, &mode, ctx);
            })
        }))
    }

    /// Takes an assignment whose starts are known.
    pub(super) fn assigned(
        &mut self,
        link: &Link,
        found: Found,
        mode: &Mode,
        ctx: &mut Context<Self>,
    ) {
        let Found {
            starts,
            uncommitted,
            handed_over,
            troubles,
        } = found;
        let assigned = match mode {
            Mode::Subscribed => link.handle.assign(&starts),
            Mode::Assigned { .. } => link.handle.assign_manually(&starts).map(|()| true),
        };
        let replaces = match assigned {
            Ok(replaces) => replaces,
            // The assignment was taken back meanwhile; librdkafka tells so next.
            Err(error) => {
                tracing::warn!(parent: &self.span, %error, "kafka took the assignment back");
                return;
            }
        };
        if replaces {
            self.put_back();
        }
        match mode {
            Mode::Subscribed => self
                .state
                .assign(&starts, link.handle.generation(), replaces),
            Mode::Assigned { revision, .. } => {
                self.state
                    .assign_manually(&starts, i32::try_from(*revision).unwrap_or(i32::MAX));
            }
        }
        self.state.take_over(&handed_over);
        self.state.remember_seeks(&self.record.points);
        if replaces {
            self.intake.clear();
        }
        self.hold_back(&uncommitted.partitions());
        self.pause(&troubles.partitions());
        for (at, trouble) in troubles.iter() {
            self.state.set_trouble(&at, *trouble);
        }
        self.env.metrics.rebalances.inc();
        self.rebalancing = false;
        self.brokers_down = false;
        self.forget_obstacle();
        if self.phase == Phase::Joining {
            self.enter(Phase::Running);
        }
        if !uncommitted.is_empty() {
            self.urgent.push_back(Urgent::CommitStarts(uncommitted));
        }
        self.resume_poll(ctx);
        self.start_clocks(ctx);
        let generation = self.state.generation();
        tracing::info!(parent: &self.span, generation, partitions = ?starts.partitions(), "assigned");
        self.answer_ready();
    }

    /// Takes no partitions: the session ends. librdkafka waits for an answer all the same.
    pub(super) fn decline_assignment(&mut self) {
        self.assignment_open = false;
        if let Some(link) = &self.link
            && let Err(error) = link.handle.assign(&Offsets::new())
        {
            tracing::debug!(parent: &self.span, %error, "cannot decline an assignment");
        }
    }

    /// Keeps partitions from being read and shown until their start is committed.
    pub(super) fn hold_back(&mut self, partitions: &Partitions) {
        self.pause(partitions);
        for slot in self
            .state
            .slots_mut()
            .filter(|slot| partitions.contains(&slot.at))
        {
            slot.starting = true;
        }
    }

    /// Answers the group's call to give partitions up, after the commit that is owed for them.
    pub(super) fn revoke(&mut self, partitions: Partitions) -> Option<OpFuture> {
        let link = self.link.clone()?;
        let mut owed = Offsets::new();
        if self.opening.spec.auto_commit && !link.handle.assignment_lost() {
            owed = self.state.owed();
            owed.retain(|at, _| partitions.contains(at));
        }
        let seek_seq = self.state.seek_seq();
        Some(Box::pin(async move {
            let until = Instant::now() + LAST_COMMIT;
            let judged = link.commit_and_wait(owed, seek_seq, until).await;
            then(move |actor, _| {
                actor.note_commit("auto", &judged);
                actor.revoked(&link, &partitions);
            })
        }))
    }

    pub(super) fn revoked(&mut self, link: &Link, partitions: &Partitions) {
        tracing::info!(parent: &self.span, ?partitions, "revoked");
        self.put_back();
        // A pause outlives the assignment in librdkafka: a partition that comes back would stay
        // silent.
        self.resume(&self.state.paused_of(partitions));
        match link.handle.unassign(partitions) {
            Ok(true) => {
                self.state.revoke_all();
                self.intake.clear();
                if self.phase == Phase::Running {
                    self.enter(Phase::Joining);
                }
            }
            Ok(false) => {
                self.state.revoke(partitions, link.handle.generation());
                self.intake.discard(partitions);
            }
            Err(error) => tracing::warn!(parent: &self.span, %error, "cannot unassign"),
        }
        self.keep_cursor();
    }

    fn finder(&self, link: Arc<Link>) -> Finder {
        self.finder_factory()(link)
    }

    /// Makes a finder for a handle that is still to come.
    pub(super) fn finder_factory(&self) -> impl FnOnce(Arc<Link>) -> Finder + 'static {
        let (blocking, life) = (self.env.blocking.clone(), self.opening.stamp);
        let (reset, seek_seq) = (self.opening.spec.auto_offset_reset, self.state.seek_seq());
        move |link| Finder {
            blocking,
            link,
            life,
            reset,
            seek_seq,
            grouped: true,
        }
    }

    /// Forgets what the group of a handle that is being given up wanted.
    pub(super) fn drop_group_events(&mut self) {
        self.urgent.clear();
    }
}

/// Makes a handle off the async threads.
pub(super) async fn create_link(
    env: &Arc<Environment>,
    opening: &crate::Opening,
    mode: &Mode,
    wake: Arc<tokio::sync::Notify>,
) -> Result<Arc<Link>, Error> {
    let (kind, manual) = match mode {
        Mode::Subscribed => (HandleKind::Member(&opening.claim.id), None),
        Mode::Assigned { .. } => (HandleKind::Standalone, Some(Lease::of(&env.authority))),
    };
    let config = consumer_config(&env.config, &opening.spec, kind);
    let closer = env.closer.clone();
    let handle = env
        .blocking
        .run(move || Handle::create(&config, closer, move || wake.notify_one()))
        .await??;
    let sees_the_same = opening.spec.isolation_level == IsolationLevel::ReadCommitted;
    let cluster = sees_the_same.then(|| env.cluster.clone());
    Ok(Arc::new(Link::new(handle, cluster, opening.stamp, manual)))
}

/// Asks the registry until it says something; `None` once this node has no lease: it may have been
/// replaced, and what it holds then would be held for ever.
async fn confirm(env: &Environment, claim: &Claim) -> Option<Standing> {
    loop {
        match env.authority.confirm(claim).await {
            Ok(standing) => return Some(standing),
            Err(AuthorityError::Stale) => return Some(Standing::Elsewhere),
            Err(AuthorityError::Unavailable | AuthorityError::Unknown) => {}
        }
        if env.authority.lease().is_zero() {
            return None;
        }
        sleep(AGAIN).await;
    }
}

fn end(why: Ended) -> Apply {
    Box::new(move |actor, ctx| actor.stop(why, ctx))
}
