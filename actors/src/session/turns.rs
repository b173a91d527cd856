//! Polls that share a session: they wait for their turn, and gather.
//!
//! ```text
//!   waiting ──► its turn ──► gathering ──► answered: all that it may have, a lull, or its time is up
//!      │            │            │
//!      │            │            └─ given up: a rebalance, a seek, a client that has gone.
//!      │            │               Nobody has seen its records: they are read again.
//!      └────────────┴─ answered without records when its time is up
//! ```
//! One gathers at a time, and only while no answer is on its way: what it gathers stands behind
//! everything that has been delivered.

use std::time::Duration;

use actix::{AsyncContext, Context};
use tokio::time::Instant;

use super::actor::{Phase, SessionActor};
use super::ops::Urgent;
use super::reply::Reply;
use super::waiting::WaitingPoll;
use crate::{Answer, Deadline, Error, Poll, Shared};

/// Most polls that wait for their turn.
const MOST_WAITING: usize = 256;
/// How long a revocation waits for the fate of an answer.
const LAST_FATE: Duration = Duration::from_secs(3);

impl SessionActor {
    /// Has a poll wait for its turn.
    pub(super) fn line_up(
        &mut self,
        poll: Poll,
        shared: Shared,
        deadline: Deadline,
        reply: Reply<Answer>,
        ctx: &mut Context<Self>,
    ) {
        self.waiting.retain(|waiting| !waiting.reply.is_closed());
        if self.waiting.len() >= MOST_WAITING {
            let _ = reply.send(Err(Error::TooManyWaiting));
            return;
        }
        self.polls += 1;
        let serial = self.polls;
        let waiting = WaitingPoll::new(serial, poll, deadline, reply);
        self.waiting.push_back(waiting);
        self.fail_poll(ctx);
        self.pump(ctx);
        if self.phase == Phase::Joining {
            let joining = shared.joining.min(deadline.remaining());
            ctx.run_later(joining, move |actor, ctx| actor.start_clock(serial, ctx));
        } else {
            self.start_clock(serial, ctx);
        }
    }

    /// Its time begins, unless it has begun.
    fn start_clock(&mut self, serial: u64, ctx: &mut Context<Self>) {
        let all = self.poll.iter_mut().chain(&mut self.waiting);
        let mut of_serial = all.filter(|waiting| waiting.serial == serial);
        if let Some(wait) = of_serial.next().and_then(WaitingPoll::start_clock) {
            ctx.run_later(wait, move |actor, ctx| actor.time_out_poll(serial, ctx));
        }
    }

    /// The session has its partitions: the time of all begins.
    pub(super) fn start_clocks(&mut self, ctx: &mut Context<Self>) {
        let all = self.poll.iter().chain(&self.waiting);
        let serials: Vec<u64> = all.map(|waiting| waiting.serial).collect();
        for serial in serials {
            self.start_clock(serial, ctx);
        }
    }

    /// Lets the next poll have its turn if nobody has it; those whose clients have gone lose it.
    pub(super) fn next_turn(&mut self, ctx: &mut Context<Self>) {
        if self
            .poll
            .as_ref()
            .is_some_and(|poll| poll.reply.is_closed())
        {
            self.give_up_poll(ctx);
        }
        while self.poll.is_none()
            && let Some(next) = self.waiting.pop_front()
        {
            self.poll = Some(next).filter(|next| !next.reply.is_closed());
        }
    }

    /// Takes the poll whose turn it is; what it has gathered is read again.
    pub(super) fn give_up_poll(&mut self, ctx: &mut Context<Self>) -> Option<WaitingPoll> {
        let has_gathered = self.put_back();
        let given_up = self.poll.take();
        if has_gathered {
            self.next_op(ctx);
        }
        given_up
    }

    /// Has what is gathered read again, because where the session stands is about to change, or
    /// nobody waits for it any more; returns whether there was any. Takes effect with the next op.
    pub(super) fn put_back(&mut self) -> bool {
        let made = self.poll.as_mut().and_then(|waiting| waiting.made.take());
        if made.is_none() {
            return false;
        }
        let back = self.state.give_up();
        self.intake.discard(&back.partitions());
        self.urgent.push_back(Urgent::Reposition(back));
        true
    }

    /// The group takes partitions. What was delivered of them by now is committed before they go,
    /// and nothing more of them is shown to anybody.
    pub(super) fn hold_back_revocation(&mut self, ctx: &mut Context<Self>) {
        self.put_back();
        self.revoking_since = Instant::now();
        ctx.run_later(LAST_FATE, |actor, ctx| actor.next_op(ctx));
    }

    /// Whether a revocation waits to hear that the answer on its way was delivered, so that it is
    /// committed.
    pub(super) fn awaits_last_fate(&self) -> bool {
        self.is_acknowledged_by_delivery
            && self.state.awaits_fate()
            && matches!(self.urgent.front(), Some(Urgent::Revoke(_)))
            && self.revoking_since.elapsed() < LAST_FATE
    }

    /// Whether the poll whose turn it is may have records now. While the group rebalances, one that
    /// shares the session has to wait: what it were given might be somebody else's next.
    pub(super) fn may_be_served(&self) -> bool {
        let is_shared = |poll: &WaitingPoll| poll.poll.shared.is_some();
        self.poll
            .as_ref()
            .is_some_and(|poll| !(is_shared(poll) && self.rebalancing))
    }

    /// Whether the poll of this number waits.
    pub(super) fn has_poll(&self, serial: u64) -> bool {
        let mut all = self.poll.iter().chain(&self.waiting);
        all.any(|waiting| waiting.serial == serial)
    }

    /// Whether the poll of this number gathers.
    pub(super) fn is_gathering(&self, serial: u64) -> bool {
        let of_serial = self.poll.as_ref().filter(|poll| poll.serial == serial);
        of_serial.is_some_and(|poll| poll.made.is_some())
    }

    /// Answers with what is gathered once no further record has come for as long as the poll says.
    pub(super) fn watch_lull(&mut self, serial: u64, ctx: &mut Context<Self>) {
        let Some(left) = self.lull_left(serial) else {
            return;
        };
        ctx.run_later(left, move |actor, ctx| {
            actor.pump(ctx);
            match actor.lull_left(serial) {
                Some(left) if left.is_zero() => actor.send_gathered(ctx),
                Some(_) => actor.watch_lull(serial, ctx),
                None => {}
            }
        });
    }

    /// How much longer no record may come until the poll is answered; nothing if it does not
    /// gather.
    fn lull_left(&self, serial: u64) -> Option<Duration> {
        let waiting = self.poll.as_ref().filter(|poll| poll.serial == serial)?;
        let (made, shared) = (waiting.made.as_ref()?, waiting.poll.shared?);
        Some(shared.lull.saturating_sub(made.lull()))
    }

    /// Takes a poll of this number that waits, whether or not it is its turn.
    pub(super) fn take_poll(&mut self, serial: u64) -> Option<WaitingPoll> {
        let of_serial = |waiting: &mut WaitingPoll| waiting.serial == serial;
        if let Some(waiting) = self.poll.take_if(of_serial) {
            return Some(waiting);
        }
        let place = self.waiting.iter().position(|poll| poll.serial == serial)?;
        self.waiting.remove(place)
    }

    /// Refuses all that wait for their turn.
    pub(super) fn refuse_waiting(&mut self, error: &Error) {
        for waiting in self.waiting.drain(..) {
            let _ = waiting.reply.send(Err(error.clone()));
        }
    }
}
