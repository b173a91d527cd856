//! Fetches that Kafka refuses.
//!
//! librdkafka tells once that a topic may not be read, and never that it may be read again: where
//! no record comes, nothing shows it. So what was refused is fetched anew from the same place: a
//! refusal that still stands is then told again at once.

use std::time::Duration;

use actix::Context;
use rdkafka::error::RDKafkaErrorCode as Code;
use tokio::time::Instant;

use super::actor::{Phase, SessionActor};
use super::ops::Urgent;
use crate::kafka::code_failure;

/// How long after a new fetch its refusal would have come; other partitions' data may keep an
/// answer waiting for half a second.
const TOLD_WITHIN: Duration = Duration::from_secs(1);

/// What is known of a refused fetch.
#[derive(Clone, Copy, Debug)]
pub(super) enum FetchRefusal {
    /// Kafka has refused it.
    Told,
    /// It was begun anew then, and nothing has been said since.
    AskedAgain(Instant),
}

impl SessionActor {
    /// Tells whoever waits that Kafka refuses the session.
    pub(super) fn refused(&mut self, code: Code, reason: &str, ctx: &mut Context<Self>) {
        if matches!(self.fetch_refusal, Some(FetchRefusal::AskedAgain(_))) {
            tracing::debug!(parent: &self.span, %code, reason, "kafka refuses the session still");
        } else {
            tracing::warn!(parent: &self.span, %code, reason, "kafka refuses the session");
        }
        if code == Code::TopicAuthorizationFailed {
            self.fetch_refusal = Some(FetchRefusal::Told);
        }
        self.obstacle = Some(code_failure(code));
        self.fail_poll(ctx);
        self.answer_ready();
    }

    /// Answers those who poll with what stands in the session's way.
    pub(super) fn fail_poll(&mut self, ctx: &mut Context<Self>) {
        let Some(obstacle) = self.obstacle.clone() else {
            return;
        };
        self.refuse_waiting(&obstacle);
        if let Some(waiting) = self.give_up_poll(ctx) {
            let _ = waiting.reply.send(Err(obstacle));
        }
    }

    /// Finds out whether what Kafka refused is refused still.
    pub(super) fn recheck_refusal(&mut self, ctx: &mut Context<Self>) {
        // A new assignment starts everything anew by itself.
        let Some(refusal) = self.fetch_refusal.filter(|_| self.phase == Phase::Running) else {
            return;
        };
        match refusal {
            FetchRefusal::Told => {
                self.fetch_refusal = Some(FetchRefusal::AskedAgain(Instant::now()));
                self.urge(Urgent::Reposition(self.state.fetched()), ctx);
            }
            FetchRefusal::AskedAgain(_) if self.is_repositioning() || self.brokers_down => {
                self.fetch_refusal = Some(FetchRefusal::AskedAgain(Instant::now()));
            }
            FetchRefusal::AskedAgain(since) if since.elapsed() >= TOLD_WITHIN => {
                tracing::info!(parent: &self.span, "kafka refuses the session no more");
                self.forget_obstacle();
            }
            FetchRefusal::AskedAgain(_) => {}
        }
    }

    /// Nothing stands in the session's way any more.
    pub(super) fn forget_obstacle(&mut self) {
        self.obstacle = None;
        self.fetch_refusal = None;
    }
}
