//! The op that replaces group assignment by a manual one.

use std::sync::Arc;
use std::time::Duration;

use sluice_types::{Mode, PartitionMap, Partitions, Point, PointBy, TopicName};
use tokio::time::Instant;

use super::actor::{Phase, SessionActor};
use super::end::leave_group;
use super::environment::Environment;
use super::finder::Found;
use super::join::create_link;
use super::ops::{Apply, OpFuture, WhenLate, registry_unknown, then};
use super::reply::Reply;
use crate::authority::AuthorityError;
use crate::{Assignment, Deadline, Ended, Error, Record};

/// How long leaving the group may take, also past the request's deadline: what is not left keeps
/// its partitions from others until its member times out.
const LEAVE: Duration = Duration::from_secs(5);

impl SessionActor {
    /// Reads these partitions from now on, and takes no part in the group's rebalancing.
    ///
    /// Everything that can be refused is checked before the group is left.
    pub(super) fn assign_manually(
        &mut self,
        partitions: Partitions,
        deadline: Deadline,
        reply: Reply<Assignment>,
    ) -> OpFuture {
        let env = self.env.clone();
        let opening = self.opening.clone();
        let wake = self.wake.clone();
        let old = self.link.clone();
        let revision = match self.mode() {
            // Clients see it as the generation, which must not stay what the group's was.
            Mode::Subscribed => u32::try_from(self.state.last_generation()).unwrap_or(0) + 1,
            Mode::Assigned { revision, .. } => revision + 1,
        };
        let mode = Mode::Assigned {
            partitions: partitions.clone(),
            revision,
        };
        let owed = if opening.spec.auto_commit {
            self.state.owed()
        } else {
            Default::default()
        };
        let seek_seq = self.state.seek_seq();
        let record = self.record.clone();
        let finder_of = self.finder_factory();
        let when_late = self.when_late.clone();
        Box::pin(async move {
            let checked = check_exist(&env, &partitions, deadline).await;
            if let Err(error) = checked {
                return refuse(reply, error);
            }
            if let Some(old) = &old {
                old.commit_and_wait(owed, seek_seq, deadline.instant())
                    .await;
            }
            let link = match create_link(&env, &opening, &mode, wake).await {
                Ok(link) => link,
                Err(error) => return refuse(reply, error),
            };
            let record = Record {
                points: PartitionMap::new(),
                mode: mode.clone(),
                handed_over: None,
                ..record
            };
            let finder = finder_of(link.clone());
            let found = match finder.try_find(&partitions, &record).await {
                Ok(found) => found,
                Err(error) => return refuse(reply, error),
            };
            let points = finder.points_of(&found, seek_seq).await;
            let points = match points {
                Ok(points) => points,
                Err(error) => return refuse(reply, error),
            };
            if env.authority.lease().is_zero() {
                return refuse(reply, Error::NoQuorum);
            }
            // From here on the registry may have the new mode, and the session must come to it.
            when_late.set(WhenLate::GoOn);
            let written = env
                .authority
                .assign(&opening.claim, partitions, revision, points.clone())
                .await;
            match written {
                Ok(()) => {}
                Err(AuthorityError::Unavailable) => return refuse(reply, Error::NoQuorum),
                Err(AuthorityError::Unknown) => {
                    // Opened anew it is what the registry says. If that is the new mode, nobody
                    // leaves the group then; if not, it joins again.
                    if let Some(old) = &old {
                        leave_group(old, true, Instant::now() + LEAVE).await;
                    }
                    let said = "the registry did not say in time whether it took the assignment";
                    return then(move |actor, ctx| {
                        let _ = reply.send(Err(Error::OutcomeUnknown(said.to_owned())));
                        actor.stop(registry_unknown(), ctx);
                    });
                }
                Err(AuthorityError::Stale) => {
                    return then(move |actor, ctx| {
                        let _ = reply.send(Err(Error::NotHere));
                        actor.stop(Ended::Fenced, ctx);
                    });
                }
            }
            if let Some(old) = old {
                let until = deadline.instant().max(Instant::now() + LEAVE);
                leave_group(&old, true, until).await;
            }
            then(move |actor, ctx| {
                actor.assignment_open = false;
                actor.link = Some(link.clone());
                actor.member = Some(String::new());
                actor.record = Record { points, ..record };
                actor.intake.clear();
                actor.drop_group_events();
                actor.enter(Phase::Joining);
                if !actor.holds_lease(ctx) {
                    return drop(reply.send(Err(Error::NotHere)));
                }
                // A start that is written as a point needs no commit to survive.
                let found = Found {
                    uncommitted: Default::default(),
                    ..found
                };
                actor.assigned(&link, found, &mode, ctx);
                let _ = reply.send(Ok(actor.assignment()));
            })
        })
    }
}

async fn check_exist(
    env: &Arc<Environment>,
    partitions: &Partitions,
    deadline: Deadline,
) -> Result<(), Error> {
    let topics: Vec<TopicName> = partitions.topics().keys().cloned().collect();
    let (cluster, asked) = (env.cluster.clone(), topics.clone());
    let counts = env
        .blocking
        .run(move || cluster.describe_topics(&asked, deadline))
        .await??;
    let missing: Vec<_> = topics
        .into_iter()
        .filter(|topic| !counts.contains_key(topic))
        .collect();
    if !missing.is_empty() {
        return Err(Error::TopicNotFound(missing));
    }
    let beyond: Partitions = partitions
        .iter()
        .filter(|at| {
            counts
                .get(&at.topic)
                .is_none_or(|count| at.partition.get() >= *count)
        })
        .collect();
    if beyond.is_empty() {
        Ok(())
    } else {
        Err(Error::PartitionNotFound(beyond))
    }
}

impl super::finder::Finder {
    /// The starts that no commit says, as points: a manual session's starts must hold through a
    /// crash too.
    async fn points_of(
        &self,
        found: &Found,
        seek_seq: sluice_types::SeekSeq,
    ) -> Result<PartitionMap<Point>, Error> {
        let committed = self.committed(&found.starts.partitions()).await?;
        Ok(found
            .starts
            .iter()
            .filter(|(at, _)| !committed.contains(at) && !found.troubles.contains(at))
            .map(|(at, offset)| {
                (
                    at,
                    Point {
                        offset: *offset,
                        seen: None,
                        by: PointBy::Assign(seek_seq),
                    },
                )
            })
            .collect())
    }
}

fn refuse(reply: Reply<Assignment>, error: Error) -> Apply {
    Box::new(move |_, _| drop(reply.send(Err(error))))
}
