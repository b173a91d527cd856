//! The ops that end a session.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use actix::Context;
use sluice_types::Partitions;
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep};

use super::actor::{Phase, SessionActor};
use super::finder::STEP;
use super::link::Link;
use super::ops::{Asked, Departure, Finish, OpFuture, then};
use crate::blocking::Blocking;
use crate::{Deadline, Error};

/// How often the handle is served while it leaves the group; it takes about a millisecond.
const SERVE: Duration = Duration::from_millis(2);
/// How long a handle that is no member yet may take to become one.
const JOINING: Duration = Duration::from_secs(3);

impl SessionActor {
    /// No client sees the session from here on; its pending poll is answered.
    pub(super) fn begin_end(&mut self, ctx: &mut Context<Self>) {
        self.enter(Phase::Finished);
        self.end_poll(ctx);
        self.refuse_waiting(&Error::NotHere);
        let (ends, others): (VecDeque<_>, VecDeque<_>) = std::mem::take(&mut self.asked)
            .into_iter()
            .partition(Asked::ends_session);
        self.asked = ends;
        for op in others {
            op.refuse(Error::NotHere);
        }
        for waiter in self.ready.drain(..) {
            let _ = waiter.reply.send(Err(Error::NotHere));
        }
    }

    /// Ends although nobody has taken over yet: who waits is to look for the next owner.
    pub(super) fn abandon(
        &mut self,
        deadline: Deadline,
        reply: oneshot::Sender<bool>,
        ctx: &mut Context<Self>,
    ) {
        self.end.is_fenced();
        self.refuse_all(Error::NotHere);
        self.begin_end(ctx);
        let leave = Asked::Leave {
            departure: Departure::Stay,
            deadline,
            reply,
        };
        self.ask(leave, ctx);
    }

    /// Makes the final commit, if auto-commit owes one.
    pub(super) fn finish(
        &mut self,
        why: Finish,
        deadline: Deadline,
        reply: oneshot::Sender<()>,
    ) -> OpFuture {
        let owed = match (self.opening.spec.auto_commit, why) {
            (false, _) => Default::default(),
            (true, Finish::Deleted) if !self.expired => self.state.owed_at_delete(),
            (true, Finish::Deleted | Finish::NodeStops) => self.state.owed(),
        };
        let (link, seek_seq) = (self.link.clone(), self.state.seek_seq());
        Box::pin(async move {
            let judged = match link {
                Some(link) => {
                    link.commit_and_wait(owed, seek_seq, deadline.instant())
                        .await
                }
                None => Default::default(),
            };
            then(move |actor, _| {
                actor.note_commit("auto", &judged);
                let _ = reply.send(());
            })
        })
    }

    /// Leaves the group if it is to be left, gives the handle to the closer, and ends the actor.
    pub(super) fn leave(
        &mut self,
        departure: Departure,
        deadline: Deadline,
        reply: oneshot::Sender<bool>,
    ) -> OpFuture {
        if self.assignment_open {
            self.decline_assignment();
        }
        let (link, blocking) = (self.link.clone(), self.env.blocking.clone());
        let asked = self.state.partitions();
        // What was refused is no member, and does not become one.
        let may_join = self.obstacle.is_none();
        Box::pin(async move {
            let left = match (&link, departure) {
                (Some(link), Departure::Leave) => {
                    let was_member = link.handle.is_member();
                    leave_group(link, may_join, deadline.instant()).await
                        && (!was_member || heard(&blocking, link, asked, deadline).await)
                }
                (Some(_), Departure::Stay) | (None, _) => true,
            };
            then(move |actor, ctx| {
                drop(link);
                actor.link = None;
                // Whoever is told that it has left must not find it here any more.
                actor.end.forget();
                let _ = reply.send(left);
                actor.stop_quietly(ctx);
            })
        })
    }
}

/// Whether the coordinator has heard what was sent before: it answers in order, and librdkafka does
/// not tell of the answer to a leave. Without partitions there is nothing to ask it, and nothing
/// that others could miss.
async fn heard(
    blocking: &Blocking,
    link: &Arc<Link>,
    asked: Partitions,
    deadline: Deadline,
) -> bool {
    let Some(one) = asked.iter().next() else {
        return true;
    };
    let (link, wait) = (link.clone(), STEP.min(deadline.remaining()));
    let answered = blocking
        .run(move || link.handle.committed(&Partitions::from_iter([one]), wait))
        .await;
    matches!(answered, Ok(Ok(_)))
}

/// Leaves the group: a handle that is only dropped stays a member until its session times out.
/// Returns whether the coordinator has let it go by `until`.
///
/// With `may_join` a handle that is no member yet is given time to become one: a join under way
/// would make it a member after it was thought gone.
pub(crate) async fn leave_group(link: &Arc<Link>, may_join: bool, until: Instant) -> bool {
    let joined = until.min(Instant::now() + JOINING);
    while may_join && link.joins() && !link.handle.is_member() && Instant::now() < joined {
        serve(link).await;
    }
    link.handle.unsubscribe();
    while link.handle.is_member() {
        if Instant::now() >= until {
            return false;
        }
        serve(link).await;
    }
    true
}

async fn serve(link: &Arc<Link>) {
    while link.handle.poll().is_some() {}
    while link.handle.next_event().is_some() {}
    sleep(SERVE).await;
}
