//! The op that seeks: first into the registry, then applied, so that no crash between two steps
//! can skip a record.

use std::sync::Arc;
use std::time::Duration;

use actix::Context;
use sluice_types::{
    Offsets, Partition, PartitionMap, Partitions, Point, PointBy, SeekSeq, TopicName,
    TopicPartition,
};
use tokio::time::Instant;

use super::actor::SessionActor;
use super::environment::Environment;
use super::finder::STEP;
use super::link::Link;
use super::ops::{Apply, OpFuture, Urgent, WhenLate, registry_unknown, then};
use super::reply::Reply;
use crate::authority::AuthorityError;
use crate::{Deadline, Ended, Error, Seek, SeekTarget, Sought};

/// How long a seek waits for commits that were sent before it.
const COMMITS_SETTLE: Duration = Duration::from_secs(5);

impl SessionActor {
    /// Moves positions for the client.
    pub(super) fn seek(
        &mut self,
        what: Seek,
        deadline: Deadline,
        reply: Reply<Sought>,
    ) -> Option<OpFuture> {
        let link = self.link.clone()?;
        let targets = match self.targets(what) {
            Ok(targets) => targets,
            Err(error) => {
                let _ = reply.send(Err(error));
                return None;
            }
        };
        let env = self.env.clone();
        let claim = self.opening.claim.clone();
        let seq = self.state.seek_seq().next();
        let when_late = self.when_late.clone();
        Some(Box::pin(async move {
            let points = match prepare(&env, &link, targets, seq, deadline).await {
                Ok(points) => points,
                Err(error) => return refuse(reply, error),
            };
            when_late.set(WhenLate::Reopen);
            match env.authority.seek(&claim, seq, points.clone()).await {
                Ok(()) => {}
                Err(AuthorityError::Unavailable) => return refuse(reply, Error::NoQuorum),
                Err(AuthorityError::Unknown) => {
                    let said = "the registry did not say in time whether the seek was taken";
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
            then(move |actor, ctx| {
                actor.apply_seek(points, seq, reply, ctx);
            })
        }))
    }

    fn apply_seek(
        &mut self,
        points: PartitionMap<Point>,
        seq: SeekSeq,
        reply: Reply<Sought>,
        ctx: &mut Context<Self>,
    ) {
        let offsets: Offsets = points
            .iter()
            .map(|(at, point)| (at, point.offset))
            .collect();
        self.record.seek_seq = seq;
        self.record
            .points
            .extend(points.iter().map(|(at, point)| (at, point.clone())));
        let held = self.state.partitions();
        self.put_back();
        self.state.sought(&offsets, seq);
        self.intake.discard(&offsets.partitions());
        let lost = offsets.partitions().iter().any(|at| !held.contains(&at));
        let answer = if lost {
            let said = "the group took a partition back while it was sought";
            Err(Error::OutcomeUnknown(said.to_owned()))
        } else {
            Ok(Sought {
                offsets: offsets.clone(),
            })
        };
        // The answer goes out when the handle reads from there, so that the next poll does.
        self.urgent.push_front(Urgent::Reposition(offsets));
        self.next_op(ctx);
        self.resume_if_empty();
        let _ = reply.send(answer);
    }

    /// All partitions of a topic that the session knows of, held or not.
    fn partitions_of(&self, topic: &TopicName) -> Partitions {
        let count = self
            .record
            .counts_at_creation
            .get(topic)
            .copied()
            .unwrap_or(0);
        (0..count)
            .filter_map(|number| Partition::new(number).ok())
            .map(|partition| TopicPartition {
                topic: topic.clone(),
                partition,
            })
            .collect()
    }

    fn targets(&self, what: Seek) -> Result<PartitionMap<SeekTarget>, Error> {
        let targets: PartitionMap<SeekTarget> = match what {
            Seek::Partitions(list) => list.into_iter().collect(),
            Seek::Topic(topic, target) => {
                let of_topic = self.state.of_topic(&topic);
                if of_topic.is_empty() {
                    return Err(Error::NotAssigned(self.partitions_of(&topic)));
                }
                of_topic.into_iter().map(|at| (at, target)).collect()
            }
        };
        let foreign: Partitions = targets
            .partitions()
            .iter()
            .filter(|at| !self.state.holds(at))
            .collect();
        if !foreign.is_empty() {
            return Err(Error::NotAssigned(foreign));
        }
        let by_time = |target: &SeekTarget| matches!(target, SeekTarget::Timestamp(_));
        if self.env.config.embedded_broker && targets.iter().any(|(_, target)| by_time(target)) {
            return Err(Error::Unsupported("look offsets up by time"));
        }
        Ok(targets)
    }
}

/// Waits for commits before the seek, finds the offsets, and what the group has committed there.
async fn prepare(
    env: &Arc<Environment>,
    link: &Arc<Link>,
    targets: PartitionMap<SeekTarget>,
    seq: SeekSeq,
    deadline: Deadline,
) -> Result<PartitionMap<Point>, Error> {
    let patience = deadline.instant().min(Instant::now() + COMMITS_SETTLE);
    if !link.settled(patience).await {
        let why = "a commit made before the seek is still under way".to_owned();
        return Err(Error::KafkaUnavailable(why));
    }
    let wait = deadline.remaining().min(STEP);
    let (handle, asked) = (link.clone(), targets);
    let (offsets, committed) = env
        .blocking
        .run(move || {
            let offsets = handle.resolve(&asked, wait)?;
            let committed = handle.handle.committed(&asked.partitions(), wait)?;
            Ok::<_, Error>((offsets, committed))
        })
        .await??;
    Ok(offsets
        .iter()
        .map(|(at, offset)| {
            let seen = committed.get(&at).cloned();
            (
                at,
                Point {
                    offset: *offset,
                    seen,
                    by: PointBy::Seek(seq),
                },
            )
        })
        .collect())
}

fn refuse(reply: Reply<Sought>, error: Error) -> Apply {
    Box::new(move |_, _| drop(reply.send(Err(error))))
}
