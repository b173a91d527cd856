//! What a session is told and asked.

use actix::{AsyncContext, Context, Handler};

use super::actor::{Phase, SessionActor};
use super::ask::{Ask, Fate};
use super::ops::Urgent;
use super::ready::ReadyWaiter;
use super::waiting::WaitingPoll;
use crate::Error;

impl Handler<Fate> for SessionActor {
    type Result = ();

    fn handle(&mut self, fate: Fate, ctx: &mut Context<Self>) {
        let back = self.state.fate(fate.number, fate.delivered);
        // Or the client has asked for more before it was known that it has this answer.
        let acknowledges = self.is_acknowledged_by_delivery
            || self.poll.as_ref().is_some_and(WaitingPoll::acknowledges);
        if fate.delivered && acknowledges {
            self.state.acknowledge();
        }
        if self.is_acknowledged_by_delivery {
            self.queue_auto_commit(ctx);
        }
        if !back.is_empty() {
            self.intake.discard(&back.partitions());
            self.urge(Urgent::Reposition(back), ctx);
        }
        self.pump(ctx);
        self.next_op(ctx);
    }
}

impl Handler<Ask> for SessionActor {
    type Result = ();

    fn handle(&mut self, ask: Ask, ctx: &mut Context<Self>) {
        let ends = ask.ends_session();
        if self.phase == Phase::Finished && !ends {
            return ask.refuse(Error::NotHere);
        }
        if !ends && !self.holds_lease(ctx) {
            return ask.refuse(Error::NotHere);
        }
        if self.moving && !ends && ask.is_served() {
            return ask.refuse(Error::Moving);
        }
        match ask {
            Ask::Ready { deadline, reply } => {
                self.silence.ends();
                self.ready.push(ReadyWaiter { deadline, reply });
                ctx.run_later(deadline.remaining(), |actor, _| actor.answer_ready());
                self.answer_ready();
            }
            Ask::Poll {
                poll,
                deadline,
                reply,
            } => {
                self.silence.ends();
                self.start_poll(poll, deadline, reply, ctx);
            }
            Ask::Op(op) => {
                if ends {
                    self.begin_end(ctx);
                } else {
                    self.silence.ends();
                }
                self.ask(op, ctx);
            }
            Ask::Assignment { reply } => {
                let _ = reply.send(Ok(self.assignment()));
            }
            Ask::HandOver { deadline, reply } => self.begin_handover(deadline, reply, ctx),
            Ask::Abandon { deadline, reply } => self.abandon(deadline, reply, ctx),
            Ask::Resume => self.end_handover(ctx),
            Ask::Snapshot { deadline, reply } => self.snapshot(deadline, reply, ctx),
            Ask::Panic { reply } => {
                let _unanswered = reply;
                panic!("a session was asked to panic")
            }
        }
    }
}
