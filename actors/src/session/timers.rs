//! What a session does by itself: it looks after its handle, commits what auto-commit owes, and
//! expires.

use std::time::Duration;

use actix::{AsyncContext, Context};

use super::actor::{Phase, SessionActor};
use super::ops::Asked;
use crate::{Ended, SessionEvent};

/// How often a session looks after its handle, whether or not a client polls.
const TICK: Duration = Duration::from_secs(1);

impl SessionActor {
    pub(super) fn start_ticking(&self, ctx: &mut Context<Self>) {
        let spec = &self.opening.spec;
        let interval = if spec.auto_commit {
            TICK.min(spec.auto_commit_interval)
        } else {
            TICK
        };
        ctx.run_interval(interval, Self::tick);
    }

    /// Looks after the handle, the timers and what is owed.
    fn tick(&mut self, ctx: &mut Context<Self>) {
        if !self.holds_lease(ctx) {
            return;
        }
        self.watch_lease(TICK, ctx);
        self.pump(ctx);
        if let Some(link) = &self.link {
            let is_reached = !self.brokers_down && self.phase == Phase::Running;
            link.handle.look_for_brokers(is_reached);
        }
        self.recheck_refusal(ctx);
        self.look_for_growth(ctx);
        self.bound_held();
        self.answer_ready();
        let idle = self.poll.is_none()
            && self.waiting.is_empty()
            && self.asked.is_empty()
            && self.ready.is_empty()
            && !self.moving
            && self.silence.lasts() >= self.opening.spec.session_timeout;
        // While the node's queue is full, the next tick tries again.
        if idle
            && self.phase != Phase::Finished
            && let Ok(permit) = self.end.events.try_reserve()
        {
            self.expired = true;
            self.phase.enter(Phase::Finished, &self.env.metrics.joining);
            tracing::info!(parent: &self.span, "session expired");
            let claim = self.opening.claim.clone();
            permit.send(SessionEvent {
                claim,
                ended: Ended::Expired,
            });
        }
        self.queue_auto_commit(ctx);
        self.report_lag();
    }

    pub(super) fn queue_auto_commit(&mut self, ctx: &mut Context<Self>) {
        let spec = &self.opening.spec;
        let due = spec.auto_commit
            && self.phase == Phase::Running
            && !self.moving
            && self.last_auto_commit.elapsed() >= spec.auto_commit_interval
            && !self.asked.iter().any(|op| matches!(op, Asked::AutoCommit))
            && !self.state.owed().is_empty();
        if due {
            self.ask(Asked::AutoCommit, ctx);
        }
    }
}
