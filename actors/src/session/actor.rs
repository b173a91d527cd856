//! The actor: a mailbox around a session's state, its timers, and its end.

use std::cell::Cell;
use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::Arc;

use actix::{Actor, ActorContext, ActorState, AsyncContext, Context, StreamHandler};
use futures::stream;
use prometheus::IntGauge;
use sluice_types::Mode;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::end_guard::EndGuard;
use super::environment::Environment;
use super::growth::Growth;
use super::intake::Intake;
use super::link::Link;
use super::ops::{Asked, Running, Urgent, WhenLate};
use super::ready::ReadyWaiter;
use super::refusal::FetchRefusal;
use super::schemas::Schemas;
use super::silence::Silence;
use super::state::State;
use super::waiting::WaitingPoll;
use crate::kafka::{KafkaEvent, NO_TOPIC};
use crate::{Assignment, Ended, Error, Opening, Record};

/// Requests that may wait in a session's mailbox.
const MAILBOX: usize = 64;

/// What a session is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// It waits for its handle or for the group.
    Joining,
    /// It has the partitions that it is to have.
    Running,
    /// Its delete has begun: no client sees it any more.
    Finished,
}

impl Phase {
    /// Goes on to another phase; the gauge counts sessions that join.
    pub(super) fn enter(&mut self, next: Self, joining: &IntGauge) {
        joining.add(i64::from(next == Self::Joining) - i64::from(*self == Self::Joining));
        *self = next;
    }
}

/// The actor of one session.
pub(crate) struct SessionActor {
    /// First, so that it is dropped first: who waits for an answer that will not come looks here.
    pub(super) end: EndGuard,
    pub(super) env: Arc<Environment>,
    pub(super) opening: Opening,
    pub(super) record: Record,
    pub(super) span: tracing::Span,
    pub(super) wake: Arc<Notify>,
    pub(super) link: Option<Arc<Link>>,
    pub(super) state: State,
    pub(super) intake: Intake,
    pub(super) schemas: Schemas,
    pub(super) phase: Phase,
    /// The member id that the registry has confirmed.
    pub(super) member: Option<String>,
    /// Why the session has no partitions, as far as Kafka said.
    pub(super) obstacle: Option<Error>,
    /// Whether that is a fetch that Kafka refuses.
    pub(super) fetch_refusal: Option<FetchRefusal>,
    pub(super) growth: Growth,
    /// No broker has been heard of since.
    pub(super) brokers_down: bool,
    pub(super) urgent: VecDeque<Urgent>,
    pub(super) asked: VecDeque<Asked>,
    pub(super) running: Option<Running>,
    pub(super) when_late: Rc<Cell<WhenLate>>,
    /// The group has taken partitions back and has yet to say what it gives instead.
    pub(super) rebalancing: bool,
    /// It is being handed over: it serves nobody until that has come to nothing.
    pub(super) moving: bool,
    /// librdkafka waits until an assignment is taken.
    pub(super) assignment_open: bool,
    pub(super) op_serial: u64,
    /// When ops that met a rebalance are tried again.
    pub(super) retry_at: Option<Instant>,
    /// The poll that is served next; its turn.
    pub(super) poll: Option<WaitingPoll>,
    pub(super) waiting: VecDeque<WaitingPoll>,
    pub(super) polls: u64,
    /// Whether what the answer sent last brings is acknowledged by its delivery.
    pub(super) is_acknowledged_by_delivery: bool,
    pub(super) revoking_since: Instant,
    /// The handle is being told to read from elsewhere.
    pub(super) repositioning: bool,
    pub(super) ready: Vec<ReadyWaiter>,
    pub(super) was_ready: bool,
    pub(super) silence: Silence,
    pub(super) expired: bool,
    pub(super) last_auto_commit: Instant,
}

/// There is something to take off the handle.
struct Wake;

impl SessionActor {
    /// Goes on to another phase.
    pub(super) fn enter(&mut self, phase: Phase) {
        self.phase.enter(phase, &self.env.metrics.joining);
    }

    pub(crate) fn new(env: Arc<Environment>, opening: Opening, end: EndGuard) -> Self {
        let Opening {
            claim,
            stamp,
            spec,
            record,
            ..
        } = &opening;
        let span = tracing::info_span!(
            "session",
            consumer_id = %claim.id,
            group = %spec.group_id,
            epoch = %claim.epoch
        );
        let now = Instant::now();
        let idle = record.handed_over.as_ref().map(|left| left.idle);
        let idle = idle.unwrap_or_default();
        Self {
            state: State::subscribed(*stamp, &spec.topics, record.seek_seq),
            record: record.clone(),
            env,
            span,
            wake: Arc::new(Notify::new()),
            link: None,
            intake: Intake::default(),
            schemas: Schemas::default(),
            phase: Phase::Joining,
            member: None,
            obstacle: None,
            fetch_refusal: None,
            growth: Growth::of(opening.is_takeover),
            brokers_down: false,
            urgent: VecDeque::new(),
            asked: VecDeque::new(),
            running: None,
            when_late: Rc::default(),
            rebalancing: false,
            moving: false,
            assignment_open: false,
            op_serial: 0,
            retry_at: None,
            poll: None,
            waiting: VecDeque::new(),
            polls: 0,
            is_acknowledged_by_delivery: false,
            revoking_since: now,
            repositioning: false,
            ready: Vec::new(),
            was_ready: false,
            silence: Silence::after(idle),
            expired: false,
            last_auto_commit: now,
            end,
            opening,
        }
    }

    pub(super) fn assignment(&self) -> Assignment {
        let assignment = self.state.partitions();
        Assignment {
            assignment,
            generation: self.state.generation(),
        }
    }

    /// Ends the actor; the node learns why, by the first reason of several.
    pub(super) fn stop(&mut self, why: Ended, ctx: &mut Context<Self>) {
        if ctx.state() != ActorState::Running {
            return;
        }
        tracing::info!(parent: &self.span, ?why, "session ended here");
        if let Some(event) = &mut self.end.event {
            event.ended = why;
        }
        self.refuse_all(Error::NotHere);
        ctx.stop();
    }

    /// Ends the actor because the node asked for it: the node needs not be told.
    pub(super) fn stop_quietly(&mut self, ctx: &mut Context<Self>) {
        self.end.event = None;
        self.refuse_all(Error::NotHere);
        ctx.stop();
    }

    pub(super) fn refuse_all(&mut self, error: Error) {
        for op in self.asked.drain(..) {
            op.refuse(error.clone());
        }
        for waiter in self.ready.drain(..) {
            let _ = waiter.reply.send(Err(error.clone()));
        }
        self.refuse_waiting(&error);
        if let Some(poll) = self.poll.take() {
            let _ = poll.reply.send(Err(error));
        }
    }

    /// Runs what the handle has: outcomes of commits, records, events.
    pub(super) fn pump(&mut self, ctx: &mut Context<Self>) {
        let Some(link) = self.link.clone() else {
            return;
        };
        link.collect();
        loop {
            self.serve_poll(&link, ctx);
            let mut any = false;
            while let Some(event) = link.handle.next_event() {
                any = true;
                self.on_event(event, ctx);
            }
            if !any {
                break;
            }
        }
        if let Some((code, reason)) = link.handle.fatal_error() {
            tracing::warn!(parent: &self.span, %code, reason, "the kafka handle broke");
            self.stop(Ended::Fenced, ctx);
        }
    }

    fn on_event(&mut self, event: KafkaEvent, ctx: &mut Context<Self>) {
        use rdkafka::error::RDKafkaErrorCode as Code;
        match event {
            KafkaEvent::Assign(partitions) => {
                self.assignment_open = true;
                self.urge(Urgent::Assign(partitions), ctx);
            }
            KafkaEvent::Revoke(partitions) => {
                self.rebalancing = true;
                self.hold_back_revocation(ctx);
                self.urge(Urgent::Revoke(partitions), ctx);
            }
            KafkaEvent::Error {
                code: Some(Code::AllBrokersDown),
                reason,
            } => {
                tracing::debug!(parent: &self.span, reason, "no broker can be reached");
                self.brokers_down = true;
            }
            KafkaEvent::Error {
                code: Some(code),
                reason,
            } => match code {
                Code::InconsistentGroupProtocol
                | Code::GroupIdNotFound
                | Code::GroupAuthorizationFailed
                | Code::TopicAuthorizationFailed
                | Code::Authentication
                | Code::SaslAuthenticationFailed
                    if !reason.contains(NO_TOPIC) =>
                {
                    self.refused(code, &reason, ctx);
                }
                _ => tracing::debug!(parent: &self.span, %code, reason, "kafka error"),
            },
            KafkaEvent::Error { code: None, reason } => {
                tracing::debug!(parent: &self.span, reason, "kafka error");
            }
        }
    }

    pub(super) fn mode(&self) -> &Mode {
        &self.record.mode
    }
}

impl Actor for SessionActor {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        ctx.set_mailbox_capacity(MAILBOX);
        let wakes = stream::unfold(self.wake.clone(), |wake| async move {
            wake.notified().await;
            Some((Wake, wake))
        });
        ctx.add_stream(wakes);
        self.start_ticking(ctx);
        self.env.metrics.sessions.inc();
        self.env.metrics.joining.inc();
        self.urge(Urgent::Open, ctx);
    }

    fn stopped(&mut self, _: &mut Context<Self>) {
        // Called while a panic unwinds too: what was being served has failed and is not to be
        // asked again of the next actor, which it may have brought down as well.
        self.refuse_all(if std::thread::panicking() {
            Error::SessionFailed
        } else {
            Error::NotHere
        });
    }
}

impl Drop for SessionActor {
    fn drop(&mut self) {
        self.env.metrics.sessions.dec();
        self.enter(Phase::Finished);
        self.env.metrics.lag.forget(&self.opening.claim.id);
    }
}

impl StreamHandler<Wake> for SessionActor {
    fn handle(&mut self, _: Wake, ctx: &mut Context<Self>) {
        self.pump(ctx);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_gauge_counts_who_joins() {
        let joining = IntGauge::new("joining", "Who joins").unwrap();
        joining.inc();
        let mut phase = Phase::Joining;
        for (next, count) in [
            (Phase::Joining, 1),
            (Phase::Running, 0),
            (Phase::Running, 0),
            (Phase::Joining, 1),
            (Phase::Finished, 0),
            (Phase::Finished, 0),
        ] {
            phase.enter(next, &joining);
            assert_eq!((phase, joining.get()), (next, count));
        }
    }
}
