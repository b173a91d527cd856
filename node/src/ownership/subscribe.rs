//! How a session begins, or is found again by its id.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use sluice_actors::{Assignment, Deadline};
use sluice_raft::placement::NoPlace;
use sluice_raft::{Command, Creation, Outcome, SessionView};
use sluice_types::{Claim, ConsumerId, CreationStamp, NodeId, SessionSpec, TopicName};
use tokio::time::Instant;
use tracing::Span;

use super::backoff::Backoff;
use super::core::{Core, Hold, Subscribing};
use super::end::{self, TakeOver};
use super::host::{Host, Running};
use super::locate::{Located, locate, moved};
use super::{Error, Hop, Owner, Subscribed};

/// Longest wait for the group to give a session its partitions.
const READY_WITHIN: Duration = Duration::from_secs(10);
/// Kept of the deadline to answer in: what waits for the very deadline answers too late.
const ANSWER_WITHIN: Duration = Duration::from_millis(250);

/// Makes a session, or finds the one with this id and specification.
///
/// The work goes on when the future is dropped, so that nothing half made stays behind; what it
/// makes then is found by the same subscribe again, or expires.
pub(super) async fn subscribe<H: Host>(
    core: &Arc<Core<H>>,
    id: ConsumerId,
    spec: SessionSpec,
    deadline: Deadline,
    hop: Hop,
) -> Result<Subscribed, Error> {
    if core.is_stopping() {
        return Err(Error::ShuttingDown);
    }
    let span = tracing::info_span!("subscribe", consumer_id = %id, group = %spec.group_id);
    let call = Call {
        core: core.clone(),
        id,
        spec,
        hop,
        deadline: Deadline::after(deadline.remaining().saturating_sub(ANSWER_WITHIN)),
    };
    let subscribing = core.begin_subscribe(call.id.clone());
    let work = core.spawn(span, call.run(subscribing));
    match tokio::time::timeout_at(deadline.instant(), work).await {
        Ok(Ok(answer)) => answer,
        Ok(Err(_)) => Err(Error::Session(sluice_actors::Error::Internal(
            "the subscribe failed".to_owned(),
        ))),
        Err(_) => Err(Error::OwnerUnavailable),
    }
}

/// How long a session without a place waits at most before it looks for one again.
const LOOK_AGAIN: Duration = Duration::from_millis(100);

/// How far a subscribe is.
enum Step {
    /// It has the living session.
    Joined(Subscribed),
    /// The id is free for a session, and the topics have so many partitions.
    Free(BTreeMap<TopicName, i32>),
    /// Something has changed.
    Again,
}

/// What a create has led to.
enum Created<H: Host> {
    /// A session for this subscribe to open.
    Fresh(SessionView, Hold<H>),
    /// The id has a session, living or being deleted.
    Exists(SessionView),
    /// This node takes no session, being full or about to end.
    NotHere,
}

/// One subscribe on its way.
struct Call<H: Host> {
    core: Arc<Core<H>>,
    id: ConsumerId,
    spec: SessionSpec,
    deadline: Deadline,
    hop: Hop,
}

impl<H: Host> Call<H> {
    async fn run(self, mut subscribing: Subscribing<H>) -> Result<Subscribed, Error> {
        let mut counts = None;
        let mut found = self.core.registry.lookup(&self.id);
        loop {
            let step = tokio::select! {
                step = self.step(found, &mut counts) => step?,
                () = subscribing.overtaken() => return Err(Error::OwnerUnavailable),
            };
            found = match step {
                Step::Joined(subscribed) => return Ok(subscribed),
                Step::Free(counts) => match self.create(counts).await? {
                    Created::Fresh(session, hold) => {
                        // From here a delete finds the session in the registry.
                        drop(subscribing);
                        return self.begin(session, hold).await;
                    }
                    Created::Exists(session) => Some(session),
                    Created::NotHere => {
                        self.place_elsewhere().await?;
                        self.core.registry.lookup(&self.id)
                    }
                },
                Step::Again if self.deadline.remaining().is_zero() => {
                    return Err(Error::OwnerUnavailable);
                }
                Step::Again => self.core.registry.lookup(&self.id),
            };
        }
    }

    /// Joins the session found, or waits until the id is free of it. May be given up at any time.
    async fn step(
        &self,
        found: Option<SessionView>,
        counts: &mut Option<BTreeMap<TopicName, i32>>,
    ) -> Result<Step, Error> {
        match found {
            Some(session) if session.is_deleting() => {
                self.gone(&session).await?;
                Ok(Step::Again)
            }
            Some(session) => {
                let joined = self.join(&session).await?;
                Ok(joined.map_or(Step::Again, Step::Joined))
            }
            None => {
                self.check_placed_here()?;
                let counts = match counts {
                    Some(counts) => counts,
                    None => counts.insert(self.describe_topics().await?),
                };
                Ok(Step::Free(counts.clone()))
            }
        }
    }

    /// Waits until the id is free of a session that is being deleted.
    async fn gone(&self, deleting: &SessionView) -> Result<(), Error> {
        let mut changes = self.core.registry.watch(&self.id);
        while changes
            .current()
            .is_some_and(|session| session.stamp == deleting.stamp)
        {
            tokio::select! {
                () = changes.changed() => {}
                () = self.core.stopped() => return Err(Error::ShuttingDown),
                () = tokio::time::sleep_until(self.deadline.instant()) => {
                    return Err(Error::OwnerUnavailable);
                }
            }
        }
        Ok(())
    }

    /// Answers with the living session; `None` if it has ended meanwhile.
    async fn join(&self, session: &SessionView) -> Result<Option<Subscribed>, Error> {
        if session.spec != self.spec {
            return Err(Error::ConsumerExists);
        }
        let mut ended = None;
        loop {
            let located = self.locate(ended.as_ref()).await;
            let located: Located<H> = match located {
                Err(Error::ConsumerNotFound) => return Ok(None),
                other => other?,
            };
            if located.session.stamp != session.stamp {
                return Ok(None);
            }
            match located.running.ready(self.ready_by()).await {
                Ok(assignment) => return Ok(Some(subscribed(session, assignment))),
                Err(sluice_actors::Error::NotHere) => {
                    ended = Some(located.running.claim().clone());
                }
                Err(sluice_actors::Error::Moving) => {
                    moved(&self.core, &located.session, self.deadline).await?;
                }
                Err(error) => return Err(error.into()),
            }
        }
    }

    async fn locate(&self, ended: Option<&Claim>) -> Result<Located<H>, Error> {
        locate(&self.core, &self.id, self.deadline, &self.hop, ended).await
    }

    /// Refuses a session that is better begun on another node. Where it is sent, it begins.
    fn check_placed_here(&self) -> Result<(), Error> {
        if self.hop.is_forwarded() {
            return Ok(());
        }
        let chosen = self.core.placed.choose(Instant::now(), |lately| {
            let is_ready = |node: &NodeId| !self.is_avoided(node);
            self.core.registry.place(is_ready, lately)
        });
        let node = match chosen {
            Ok(node) if !self.core.identity.is(&node) => node,
            // Where no node is known, this one says what there is to say.
            Ok(_) | Err(NoPlace::NoNode) => return Ok(()),
            Err(NoPlace::Full) => return Err(self.full().into()),
        };
        match self.hop.way_to(&node, &self.core.registry) {
            Some(address) => Err(Error::Elsewhere(Owner {
                node,
                address,
                epoch: None,
            })),
            None => Ok(()),
        }
    }

    /// What is said when no node has room.
    fn full(&self) -> sluice_actors::Error {
        let name = self.core.identity.name();
        let own = self.core.registry.node(&name);
        let limit = own.map_or(0, |own| usize::try_from(own.capacity).unwrap_or(usize::MAX));
        sluice_actors::Error::TooManySessions { limit }
    }

    /// Waits for the copy of the registry here to show another place for the session, once the
    /// registry has said that this node takes none.
    async fn place_elsewhere(&self) -> Result<(), Error> {
        if self.hop.is_forwarded() {
            return Err(Error::Misdirected { epoch: None });
        }
        let mut changes = self.core.registry.changes();
        loop {
            match self.core.registry.place(|node| !self.is_avoided(node), []) {
                Ok(node) if self.core.identity.is(&node) || self.is_avoided(&node) => {}
                Ok(_) => return Ok(()),
                Err(NoPlace::Full) => return Err(self.full().into()),
                Err(NoPlace::NoNode) => return Err(Error::ShuttingDown),
            }
            tokio::select! {
                () = changes.changed() => {}
                // A node that was avoided may be asked again.
                () = tokio::time::sleep(LOOK_AGAIN) => {}
                () = tokio::time::sleep_until(self.deadline.instant()) => {
                    return Err(Error::OwnerUnavailable);
                }
            }
        }
    }

    fn is_avoided(&self, node: &NodeId) -> bool {
        self.hop.avoided().any(|avoided| avoided == node)
    }

    async fn describe_topics(&self) -> Result<BTreeMap<TopicName, i32>, Error> {
        let topics = &self.spec.topics;
        let counts = self
            .core
            .host
            .describe_topics(topics, self.deadline)
            .await?;
        let missing: Vec<TopicName> = topics
            .iter()
            .filter(|topic| !counts.contains_key(topic))
            .cloned()
            .collect();
        if missing.is_empty() {
            Ok(counts)
        } else {
            Err(sluice_actors::Error::TopicNotFound(missing).into())
        }
    }

    /// Has the registry begin a session, unless the id has one.
    async fn create(&self, counts: BTreeMap<TopicName, i32>) -> Result<Created<H>, Error> {
        let stamp = CreationStamp::random();
        // Held before it exists: the loop must not open what this is about to open.
        let hold = self.core.hold(stamp);
        let command = Command::Create(Creation {
            id: self.id.clone(),
            stamp,
            spec: self.spec.clone(),
            owner: self.core.identity.node(),
            created_at: self.core.clock.now(),
            counts,
        });
        let mut backoff = Backoff::new(stamp.get());
        let mut unknown = 0;
        loop {
            match self.core.registry.propose(command.clone()).await {
                Ok(Outcome::Done(session)) => return Ok(self.fresh(session, hold)),
                // By a try before this one.
                Ok(Outcome::Exists(session))
                    if session.stamp == stamp && self.core.is_ours(&session) =>
                {
                    return Ok(self.fresh(session, hold));
                }
                Ok(Outcome::Exists(session)) => return Ok(Created::Exists(session)),
                Ok(Outcome::NotAlive | Outcome::Full) => return Ok(Created::NotHere),
                Ok(_) => return Err(Error::OwnerUnavailable),
                Err(sluice_raft::Error::NoQuorum) if unknown == 0 => return Err(Error::NoQuorum),
                Err(error) => tracing::debug!(%error, "not known whether the session was made"),
            }
            unknown += 1;
            tokio::select! {
                () = tokio::time::sleep(backoff.delay(unknown)) => {}
                // If it was made, the loop opens it, and it is found again or expires.
                () = tokio::time::sleep_until(self.deadline.instant()) => {
                    return Err(Error::OwnerUnavailable);
                }
            }
        }
    }

    fn fresh(&self, session: SessionView, hold: Hold<H>) -> Created<H> {
        self.core.supervision().began(&session, Instant::now());
        Created::Fresh(session, hold)
    }

    /// Runs the session just created. What cannot be given to the client is undone.
    async fn begin(&self, session: SessionView, hold: Hold<H>) -> Result<Subscribed, Error> {
        let error = match self.open(&session).await {
            Ok(assignment) => return Ok(subscribed(&session, assignment)),
            // All sessions end now, and this one need not be told apart from them.
            Err(sluice_actors::Error::ShuttingDown) => return Err(Error::ShuttingDown),
            Err(error) => error,
        };
        tracing::info!(%error, "subscribe failed and is being undone");
        // A panic leaves a member behind with no actor to speak for it; after every other error
        // the actor still is there, or the member never was.
        let take_over = match error {
            sluice_actors::Error::SessionFailed => TakeOver::Yes,
            _ => TakeOver::No,
        };
        let core = self.core.clone();
        let undo = async move { end::undo(&core, session, take_over, hold).await };
        // In a task of its own, so that a client with little time is answered in time.
        let undo = self.core.spawn(Span::current(), undo);
        let _ = tokio::time::timeout_at(self.deadline.instant(), undo).await;
        Err(match error {
            // Deleted by another request before it was ready.
            sluice_actors::Error::NotHere => Error::OwnerUnavailable,
            error => Error::Session(error),
        })
    }

    async fn open(&self, session: &SessionView) -> Result<Assignment, sluice_actors::Error> {
        tokio::select! {
            () = self.core.identity.leased() => {}
            () = tokio::time::sleep_until(self.deadline.instant()) => {}
        }
        let Some(running) = self.core.open(session)? else {
            return Err(sluice_actors::Error::NotHere);
        };
        let _visit = self.core.visit(session.clone());
        tokio::select! {
            ready = running.ready(self.ready_by()) => ready,
            () = self.core.stopped() => Err(sluice_actors::Error::ShuttingDown),
        }
    }

    fn ready_by(&self) -> Deadline {
        self.deadline.min(Deadline::after(READY_WITHIN))
    }
}

fn subscribed(session: &SessionView, assignment: Assignment) -> Subscribed {
    Subscribed {
        consumer_id: session.id.clone(),
        spec: session.spec.clone(),
        assignment,
    }
}
