//! A planned departure: what the session has done is brought to an end and written down for the
//! next owner, while nothing new is begun.
//!
//! ```text
//!  asked: the waiting poll is answered, fetching stops ── requests get `Moving` from here on ──┐
//!    │ the op that runs ends, a rebalance ends, the answer on its way is delivered or lost     │
//!    ▼                                                                                         │
//!  what auto-commit owes is committed, the group's commits are read                            │
//!    ▼                                                                                         │
//!  given: positions and the commits that they saw ── departs: another node has it ─────────────┤
//!    │                                                                                         │
//!    └─ any failure, or the move has failed: the session serves as before <────────────────────┘
//! ```

use std::time::Duration;

use actix::{AsyncContext, Context};
use sluice_types::{Offsets, PartitionMap, Partitions, Point, PointBy, SeenCommit};
use tokio::time::Instant;

use super::actor::{Phase, SessionActor};
use super::link::Judged;
use super::ops::{Asked, OpFuture, then};
use super::reply::Reply;
use crate::{Deadline, Ended, Error, HandedOver};

/// Kept of the time for what is to be done last: to commit, and to ask what is committed.
const LAST: Duration = Duration::from_secs(3);

/// A handover that waits for its turn.
pub(crate) struct Departing {
    /// When it waits no more for rebalances and answers on their way.
    patience: Instant,
    deadline: Deadline,
    reply: Reply<Option<HandedOver>>,
}

impl Departing {
    pub(super) fn refuse(self, error: Error) {
        drop(self.reply.send(Err(error)));
    }

    fn is_out_of_patience(&self) -> bool {
        self.patience <= Instant::now()
    }
}

impl SessionActor {
    /// Serves nobody any more, answers who waits, and queues the handover.
    pub(super) fn begin_handover(
        &mut self,
        deadline: Deadline,
        reply: Reply<Option<HandedOver>>,
        ctx: &mut Context<Self>,
    ) {
        if self.moving {
            return drop(reply.send(Err(Error::Moving)));
        }
        self.pump(ctx);
        self.moving = true;
        self.send_gathered(ctx);
        self.end_poll(ctx);
        self.refuse_waiting(&Error::Moving);
        for op in self.asked.drain(..) {
            op.refuse(Error::Moving);
        }
        for waiter in self.ready.drain(..) {
            let _ = waiter.reply.send(Err(Error::Moving));
        }
        self.stop_fetching();
        let left = deadline.remaining();
        let patience = left.saturating_sub(LAST).max(left / 2);
        ctx.run_later(patience, |actor, ctx| {
            actor.next_op(ctx);
            actor.refuse_late_handover();
        });
        let departing = Departing {
            patience: Instant::now() + patience,
            deadline,
            reply,
        };
        self.ask(Asked::HandOver(departing), ctx);
    }

    /// The handover or the move has failed: serves again, from where the session stands.
    pub(super) fn end_handover(&mut self, ctx: &mut Context<Self>) {
        self.moving = false;
        self.pump(ctx);
        self.resume_if_empty();
        self.next_op(ctx);
    }

    /// Whether the handover may be given now: what it waits for is there, or will not come in
    /// time. An answer whose fate is still open counts as not delivered then.
    pub(super) fn may_hand_over(&self, departing: &Departing) -> bool {
        let is_settled = self.phase == Phase::Running && !self.rebalancing;
        let is_quiet = (is_settled || self.obstacle.is_some()) && !self.state.awaits_fate();
        is_quiet || departing.is_out_of_patience()
    }

    /// Gives up a handover that an op has kept waiting for too long.
    fn refuse_late_handover(&mut self) {
        let is_late = |op: &Asked| matches!(op, Asked::HandOver(it) if it.is_out_of_patience());
        if let Some(late) = self.asked.iter().position(is_late)
            && let Some(op) = self.asked.remove(late)
        {
            op.refuse(Error::KafkaTimeout);
        }
    }

    /// Writes down where the session stands.
    pub(super) fn hand_over(&mut self, departing: Departing) -> Option<OpFuture> {
        let Departing {
            deadline, reply, ..
        } = departing;
        let (Some(link), Some(_)) = (self.link.clone(), &self.member) else {
            // It has never had partitions: there is nothing that the next owner must know.
            let _ = reply.send(Ok(None));
            return None;
        };
        let mut owed = Offsets::new();
        if self.opening.spec.auto_commit {
            owed = self.state.owed();
        }
        let (seek_seq, partitions) = (self.state.seek_seq(), self.state.partitions());
        let blocking = self.env.blocking.clone();
        Some(Box::pin(async move {
            let until = Instant::now() + deadline.remaining() / 2;
            let judged = link.commit_and_wait(owed, seek_seq, until).await;
            let wait = deadline.remaining();
            let seen = match judged.fenced {
                true => Ok(PartitionMap::new()),
                false => {
                    let asking = blocking.run(move || link.handle.committed(&partitions, wait));
                    asking.await.and_then(|seen| seen)
                }
            };
            then(move |actor, ctx| actor.give_handover(&judged, seen, reply, ctx))
        }))
    }

    fn give_handover(
        &mut self,
        judged: &Judged,
        seen: Result<PartitionMap<SeenCommit>, Error>,
        reply: Reply<Option<HandedOver>>,
        ctx: &mut Context<Self>,
    ) {
        self.note_commit("auto", judged);
        let is_broken = |link: &super::Link| link.handle.fatal_error().is_some();
        if judged.fenced || self.link.as_deref().is_some_and(is_broken) {
            let _ = reply.send(Err(Error::NotHere));
            return self.stop(Ended::Fenced, ctx);
        }
        let given = seen.map(|seen| {
            Some(HandedOver {
                points: self.points_to_hand_over(&seen),
                idle: self.silence.lasts(),
            })
        });
        // If it could not be given, or nobody waits for it, the session is told to serve again.
        let _ = reply.send(given);
    }

    fn points_to_hand_over(&self, seen: &PartitionMap<SeenCommit>) -> PartitionMap<Point> {
        let by = PointBy::Handover(self.state.seek_seq());
        let point = |(at, offset): (_, &_)| {
            let point = Point {
                offset: *offset,
                seen: seen.get(&at).cloned(),
                by,
            };
            (at, point)
        };
        self.state.to_hand_over().iter().map(point).collect()
    }

    fn stop_fetching(&mut self) {
        let slots = self.state.slots().iter().filter(|slot| !slot.paused);
        let fetching: Partitions = slots.map(|slot| slot.at.clone()).collect();
        self.pause(&fetching);
    }
}
