//! Ops: what must not overlap, one at a time.
//!
//! An op is a future that reads and writes Kafka and the registry, and ends in a change to the
//! actor. A rebalance goes before what a client asked; what a client asked waits until the
//! session has its partitions, at most until its deadline.

use std::collections::VecDeque;
use std::time::Duration;

use actix::{ActorFutureExt, AsyncContext, Context, WrapFuture};
use futures::future::{AbortHandle, LocalBoxFuture, abortable};
use sluice_types::{Offsets, Partitions};
use tokio::sync::oneshot;

use super::actor::{Phase, SessionActor};
use super::handover::Departing;
use super::reply::Reply;
use crate::{Assignment, Commit, Committed, Deadline, Ended, Error, Positions, Seek, Sought};

/// How long a revocation, or the session's end, waits for the op before it.
const PATIENCE: Duration = Duration::from_secs(3);

/// How long a refused request is left alone.
const RETRY: Duration = Duration::from_secs(1);

/// What an op changes when it has ended.
pub(super) type Apply = Box<dyn FnOnce(&mut SessionActor, &mut Context<SessionActor>)>;

/// Makes what an op changes.
pub(super) fn then(
    change: impl FnOnce(&mut SessionActor, &mut Context<SessionActor>) + 'static,
) -> Apply {
    Box::new(change)
}

/// An op under way.
pub(super) type OpFuture = LocalBoxFuture<'static, Apply>;

/// What Kafka or the session itself wants done.
pub(super) enum Urgent {
    /// Make a handle and join, or take the manual assignment up.
    Open,
    /// The group gives partitions.
    Assign(Partitions),
    /// The group takes partitions.
    Revoke(Partitions),
    /// The handle has to read from elsewhere; polls wait.
    Reposition(Offsets),
    /// A position is outside its log.
    OutOfRange,
    /// Starts that must be committed before anything is shown of them.
    CommitStarts(Offsets),
}

/// Why a session ends. It decides what auto-commit owes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Finish {
    /// Its client asked for it, or has been silent for too long.
    Deleted,
    /// Its node stops, which says nothing of what the client has.
    NodeStops,
}

/// What becomes of the session's member when its handle is closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Departure {
    /// It leaves the group: others get its partitions at once.
    Leave,
    /// It stays in the group until it times out: whoever opens the session before that, under the
    /// same id, takes its place with its partitions.
    Stay,
}

/// What a client, or the node for it, wants done.
pub(crate) enum Asked {
    Commit {
        what: Commit,
        deadline: Deadline,
        reply: Reply<Committed>,
    },
    Seek {
        what: Seek,
        deadline: Deadline,
        reply: Reply<Sought>,
    },
    Positions {
        deadline: Deadline,
        reply: Reply<Positions>,
    },
    Assign {
        partitions: Partitions,
        deadline: Deadline,
        reply: Reply<Assignment>,
    },
    AutoCommit,
    HandOver(Departing),
    Finish {
        why: Finish,
        deadline: Deadline,
        reply: oneshot::Sender<()>,
    },
    Leave {
        departure: Departure,
        deadline: Deadline,
        reply: oneshot::Sender<bool>,
    },
}

impl Asked {
    fn deadline(&self) -> Option<Deadline> {
        match self {
            Self::Commit { deadline, .. }
            | Self::Seek { deadline, .. }
            | Self::Positions { deadline, .. }
            | Self::Assign { deadline, .. } => Some(*deadline),
            Self::AutoCommit | Self::HandOver(_) | Self::Finish { .. } | Self::Leave { .. } => None,
        }
    }

    /// Whether it needs the session's partitions.
    fn needs_partitions(&self) -> bool {
        match self {
            Self::Commit { .. } | Self::Seek { .. } | Self::Positions { .. } | Self::AutoCommit => {
                true
            }
            Self::Assign { .. } | Self::HandOver(_) | Self::Finish { .. } | Self::Leave { .. } => {
                false
            }
        }
    }

    /// Whether it must know what became of the answer on its way: a client that has it may ask
    /// on another connection before this node has heard of it.
    fn needs_fate(&self) -> bool {
        matches!(
            self,
            Self::Positions { .. }
                | Self::Commit {
                    what: Commit::Delivered,
                    ..
                }
        )
    }

    pub(super) fn ends_session(&self) -> bool {
        matches!(self, Self::Finish { .. } | Self::Leave { .. })
    }

    fn client_is_gone(&self) -> bool {
        match self {
            Self::Commit { reply, .. } => reply.is_closed(),
            Self::Seek { reply, .. } => reply.is_closed(),
            Self::Positions { reply, .. } => reply.is_closed(),
            Self::Assign { reply, .. } => reply.is_closed(),
            Self::AutoCommit | Self::HandOver(_) | Self::Finish { .. } | Self::Leave { .. } => {
                false
            }
        }
    }

    pub(super) fn refuse(self, error: Error) {
        match self {
            Self::Commit { reply, .. } => drop(reply.send(Err(error))),
            Self::Seek { reply, .. } => drop(reply.send(Err(error))),
            Self::Positions { reply, .. } => drop(reply.send(Err(error))),
            Self::Assign { reply, .. } => drop(reply.send(Err(error))),
            Self::AutoCommit => {}
            Self::HandOver(departing) => departing.refuse(error),
            Self::Finish { reply, .. } => drop(reply.send(())),
            Self::Leave { reply, .. } => drop(reply.send(false)),
        }
    }
}

/// What becomes of an op that a rebalance has waited for too long. The op itself says so, as it
/// goes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum WhenLate {
    /// It is given up: nothing has changed yet, or no harm is done.
    #[default]
    GiveUp,
    /// It writes to the registry, and what the registry holds is not known until the session is
    /// opened anew: the new epoch voids a write that is still on its way.
    Reopen,
    /// The registry has what it writes, or may have: it goes on to its end, which makes the
    /// session so.
    GoOn,
}

/// The op that runs.
pub(super) struct Running {
    serial: u64,
    /// Given up when a rebalance has waited for it too long; Kafka's own ops are not.
    asked: bool,
    abort: AbortHandle,
}

impl SessionActor {
    /// Queues what Kafka wants.
    pub(super) fn urge(&mut self, op: Urgent, ctx: &mut Context<Self>) {
        if matches!(op, Urgent::Revoke(_) | Urgent::Assign(_))
            && let Some(running) = &self.running
            && running.asked
        {
            let serial = running.serial;
            ctx.run_later(PATIENCE, move |actor, ctx| actor.is_late(serial, ctx));
        }
        self.urgent.push_back(op);
        self.next_op(ctx);
    }

    /// Queues what a client wants.
    pub(super) fn ask(&mut self, op: Asked, ctx: &mut Context<Self>) {
        if let Some(running) = self.running.as_ref().filter(|_| op.ends_session()) {
            let serial = running.serial;
            ctx.run_later(PATIENCE, move |actor, ctx| actor.give_up(serial, ctx));
        }
        if let Some(deadline) = op.deadline() {
            ctx.run_later(deadline.remaining(), |actor, _| actor.refuse_overdue());
        }
        self.asked.push_back(op);
        self.next_op(ctx);
    }

    /// Starts the next op, if none runs.
    pub(super) fn next_op(&mut self, ctx: &mut Context<Self>) {
        while self.running.is_none() && !self.awaits_last_fate() {
            let (future, asked) = if let Some(op) = self.urgent.pop_front() {
                (self.start_urgent(op), false)
            } else if let Some(op) = self.next_asked() {
                (self.start_asked(op), true)
            } else {
                return;
            };
            if let Some(future) = future {
                self.run(future, asked, ctx);
            }
        }
    }

    fn next_asked(&mut self) -> Option<Asked> {
        self.asked.retain(|op| !op.client_is_gone());
        let settled = self.phase == Phase::Running && self.retry_at.is_none();
        let fate_known = !self.state.awaits_fate();
        let ready = self.asked.iter().position(|op| match op {
            Asked::HandOver(departing) => self.may_hand_over(departing),
            op => (settled || !op.needs_partitions()) && (fate_known || !op.needs_fate()),
        })?;
        self.asked.remove(ready)
    }

    fn start_urgent(&mut self, op: Urgent) -> Option<OpFuture> {
        if self.phase == Phase::Finished {
            self.answer_group(op);
            return None;
        }
        match op {
            Urgent::Open => Some(self.open()),
            Urgent::Assign(partitions) => self.join(partitions),
            Urgent::Revoke(partitions) => self.revoke(partitions),
            Urgent::Reposition(targets) => self.reposition(targets),
            Urgent::OutOfRange => self.out_of_range(),
            Urgent::CommitStarts(starts) => self.commit_starts(starts),
        }
    }

    fn start_asked(&mut self, op: Asked) -> Option<OpFuture> {
        match op {
            Asked::Commit {
                what,
                deadline,
                reply,
            } => self.commit(what, deadline, reply),
            Asked::Seek {
                what,
                deadline,
                reply,
            } => self.seek(what, deadline, reply),
            Asked::Positions { reply, .. } => {
                let offsets = self.state.positions();
                let _ = reply.send(Ok(Positions {
                    offsets,
                    generation: self.state.generation(),
                }));
                None
            }
            Asked::Assign {
                partitions,
                deadline,
                reply,
            } => Some(self.assign_manually(partitions, deadline, reply)),
            Asked::AutoCommit => self.auto_commit(),
            Asked::HandOver(departing) => self.hand_over(departing),
            Asked::Finish {
                why,
                deadline,
                reply,
            } => Some(self.finish(why, deadline, reply)),
            Asked::Leave {
                departure,
                deadline,
                reply,
            } => Some(self.leave(departure, deadline, reply)),
        }
    }

    /// Obeys the group without delay while the session ends: librdkafka waits for it.
    fn answer_group(&mut self, op: Urgent) {
        match op {
            Urgent::Assign(_) => self.decline_assignment(),
            Urgent::Revoke(partitions) => {
                if let Some(link) = self.link.clone() {
                    self.revoked(&link, &partitions);
                }
            }
            Urgent::Open | Urgent::Reposition(_) | Urgent::OutOfRange | Urgent::CommitStarts(_) => {
            }
        }
    }

    fn run(&mut self, future: OpFuture, asked: bool, ctx: &mut Context<Self>) {
        self.op_serial += 1;
        let serial = self.op_serial;
        self.when_late.set(WhenLate::GiveUp);
        let (future, abort) = abortable(future);
        self.running = Some(Running {
            serial,
            asked,
            abort,
        });
        let ended = future.into_actor(self).map(move |ended, actor, ctx| {
            if actor
                .running
                .as_ref()
                .is_some_and(|running| running.serial == serial)
            {
                actor.running = None;
            }
            if let Ok(apply) = ended {
                apply(actor, ctx);
            }
            actor.pump(ctx);
            actor.next_op(ctx);
        });
        ctx.spawn(ended);
    }

    /// Queues what Kafka wants once more, when it had time to change its mind.
    pub(super) fn retry_later(&mut self, op: Urgent, ctx: &mut Context<Self>) {
        ctx.run_later(RETRY, move |actor, ctx| actor.urge(op, ctx));
    }

    /// A rebalance has waited for this op too long.
    fn is_late(&mut self, serial: u64, ctx: &mut Context<Self>) {
        let runs = |running: &Running| running.serial == serial;
        if !self.running.as_ref().is_some_and(runs) {
            return;
        }
        match self.when_late.get() {
            WhenLate::GiveUp => self.give_up(serial, ctx),
            WhenLate::Reopen => self.stop(registry_unknown(), ctx),
            WhenLate::GoOn => {}
        }
    }

    /// Ends an op that others wait for; who asked for it learns that its outcome is unknown.
    fn give_up(&mut self, serial: u64, ctx: &mut Context<Self>) {
        if let Some(running) = self.running.take_if(|running| running.serial == serial) {
            tracing::warn!(parent: &self.span, "an operation took too long and was given up");
            running.abort.abort();
            self.next_op(ctx);
        }
    }

    fn refuse_overdue(&mut self) {
        let overdue = |op: &Asked| op.deadline().is_some_and(|at| at.remaining().is_zero());
        let (late, kept): (VecDeque<_>, VecDeque<_>) = std::mem::take(&mut self.asked)
            .into_iter()
            .partition(overdue);
        self.asked = kept;
        for op in late {
            op.refuse(self.why_not_ready());
        }
    }
}

/// The end of a session of which it is not known what the registry holds.
pub(super) fn registry_unknown() -> Ended {
    let why = "it is not known what the registry holds of the session";
    Ended::Failed(Error::OutcomeUnknown(why.to_owned()))
}
