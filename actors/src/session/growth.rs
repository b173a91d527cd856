//! Partitions that a topic has got while the session had no owner.
//!
//! ```text
//!   owner before      partition added      dies
//!   taker                                        joins as the same member: the old assignment,
//!                                                and no rebalance
//! ```
//! Kafka does not tell a member that takes the leader's place that it leads (`JoinGroup` before
//! version 6), and librdkafka sees a change only against the metadata that it had before: if its
//! first already have the new partition, nobody ever notices. So whoever takes a session over
//! compares them with what was last seen, and joins once more if there are more. A leader that
//! joins makes the group share anew; of another member it is taken note of, and nothing else.

use std::collections::BTreeMap;
use std::time::Duration;

use actix::{ActorFutureExt, AsyncContext, Context, WrapFuture};
use sluice_types::{Mode, TopicName};
use tokio::time::Instant;

use super::actor::{Phase, SessionActor};
use crate::{Deadline, Error};

/// How long Kafka may take to say how many partitions there are.
const ASK_WITHIN: Duration = Duration::from_secs(5);
/// How long joining once more may take, metadata included.
const JOIN_WITHIN: Duration = Duration::from_secs(3);

/// What is known of partitions that were added before this handle joined.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Growth {
    /// It is to be found out, once there is an assignment.
    Unknown,
    /// Kafka is being asked.
    Asked,
    /// There are more, and the handle joins once more since then.
    Joining(Instant),
    /// There is nothing to be done.
    Settled,
}

impl Growth {
    /// Of a session that is begun here everything is known.
    pub(super) fn of(is_takeover: bool) -> Self {
        match is_takeover {
            true => Self::Unknown,
            false => Self::Settled,
        }
    }
}

impl SessionActor {
    /// Takes the next step, if it is time. Called about once a second.
    pub(super) fn look_for_growth(&mut self, ctx: &mut Context<Self>) {
        let is_steady = self.phase == Phase::Running && !self.rebalancing;
        match self.growth {
            Growth::Unknown if matches!(self.mode(), Mode::Assigned { .. }) => {
                self.growth = Growth::Settled;
            }
            Growth::Unknown if is_steady && !self.moving => self.ask_for_growth(ctx),
            Growth::Joining(since) if is_steady && since.elapsed() >= JOIN_WITHIN => {
                self.growth = Growth::Settled;
                self.subscribe_as_before();
            }
            Growth::Unknown | Growth::Asked | Growth::Joining(_) | Growth::Settled => {}
        }
    }

    fn ask_for_growth(&mut self, ctx: &mut Context<Self>) {
        self.growth = Growth::Asked;
        let topics = self.opening.spec.topics.clone();
        let cluster = self.env.cluster.clone();
        let deadline = Deadline::after(ASK_WITHIN);
        let asking = self
            .env
            .blocking
            .run(move || cluster.describe_topics(&topics, deadline));
        let told = asking.into_actor(self).map(|told, actor, ctx| {
            actor.told_of_growth(told.and_then(|counts| counts), ctx);
        });
        ctx.spawn(told);
    }

    fn told_of_growth(
        &mut self,
        told: Result<BTreeMap<TopicName, i32>, Error>,
        ctx: &mut Context<Self>,
    ) {
        let counts = match told {
            Ok(counts) => counts,
            Err(error) => {
                tracing::debug!(parent: &self.span, %error, "not known how many partitions there are");
                self.growth = Growth::Unknown;
                return;
            }
        };
        let seen = &self.record.counts_seen;
        let has_grown = counts
            .iter()
            .any(|(topic, count)| seen.get(topic).is_some_and(|seen| seen < count));
        let Some(link) = self.link.clone().filter(|_| has_grown) else {
            self.growth = Growth::Settled;
            return;
        };
        tracing::info!(parent: &self.span, "topics have more partitions than were last seen, joining once more");
        self.growth = Growth::Joining(Instant::now());
        if let Err(error) = link.handle.join_again(&self.opening.spec.topics) {
            tracing::warn!(parent: &self.span, %error, "cannot join once more");
        }
        // Lost, it costs the next owner one more join.
        let (authority, claim) = (self.env.authority.clone(), self.opening.claim.clone());
        let noted = async move { authority.observed(&claim, counts).await };
        ctx.spawn(noted.into_actor(self).map(|noted, actor, _| {
            if let Err(error) = noted {
                tracing::debug!(parent: &actor.span, %error, "what was seen is not on record");
            }
        }));
    }

    fn subscribe_as_before(&self) {
        if let Some(link) = &self.link
            && let Err(error) = link.handle.subscribe(&self.opening.spec.topics)
        {
            tracing::warn!(parent: &self.span, %error, "cannot subscribe as before");
        }
    }
}
