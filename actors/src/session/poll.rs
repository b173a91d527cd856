//! The one poll of a session: waits for records, and answers with what is there.

use std::sync::Arc;
use std::time::Duration;

use actix::{ActorFutureExt, AsyncContext, Context, WrapFuture};
use bytes::Bytes;

use super::actor::{Phase, SessionActor};
use super::answer::{Layout, Made, end_messages};
use super::cursor::Cursor;
use super::encode::{self, RecordFormat};
use super::intake::{Pass, Verdict};
use super::link::Link;
use super::ops::Urgent;
use super::reply::Reply;
use super::waiting::WaitingPoll;
use crate::handle::AnswerFate;
use crate::{Answer, Deadline, Error, Poll};

/// What may be held while nobody polls: more is left with librdkafka, which then stops fetching.
const HELD_UNASKED: (usize, u64) = (32, 64 * 1024);
/// How long a poll waits for other partitions' records before it reports a partition's trouble.
const TROUBLE_PATIENCE: Duration = Duration::from_millis(600);
/// How long a broker may take to show that it is there.
const PROBE: Duration = Duration::from_secs(2);

impl SessionActor {
    /// Takes a poll over; one that waits already is superseded, unless it shares the session.
    pub(super) fn start_poll(
        &mut self,
        poll: Poll,
        deadline: Deadline,
        reply: Reply<Answer>,
        ctx: &mut Context<Self>,
    ) {
        if let Some(shared) = poll.shared {
            return self.line_up(poll, shared, deadline, reply, ctx);
        }
        let cursor = match poll.after.as_deref() {
            Some(text) => match Cursor::decode(text, &self.opening.claim.id) {
                Ok(cursor) => Some(cursor),
                Err(fault) => {
                    let _ = reply.send(Err(Error::InvalidCursor(fault)));
                    return;
                }
            },
            None => None,
        };
        if let Some(older) = self.give_up_poll(ctx) {
            let _ = older.reply.send(Err(Error::Superseded));
        }
        self.polls += 1;
        let serial = self.polls;
        let mut waiting = WaitingPoll::new(serial, poll, deadline, reply);
        waiting.resume = cursor;
        let wait = waiting.start_clock().unwrap_or_default();
        self.poll = Some(waiting);
        if self.phase == Phase::Running {
            self.resume_poll(ctx);
        }
        let acknowledges = self.poll.as_ref().is_some_and(WaitingPoll::acknowledges);
        if acknowledges && !self.state.awaits_fate() {
            self.state.acknowledge();
        }
        self.fail_poll(ctx);
        self.pump(ctx);
        if self
            .poll
            .as_ref()
            .is_some_and(|waiting| waiting.serial == serial)
        {
            ctx.run_later(wait, move |actor, ctx| actor.time_out_poll(serial, ctx));
            if self.state.trouble().is_some() {
                self.watch_trouble(ctx);
            }
        }
        self.queue_auto_commit(ctx);
    }

    /// Goes on where the client of the waiting poll says. Of a session that has just been opened
    /// again, or has lost its partitions, the cursor counts only once they are there.
    pub(super) fn resume_poll(&mut self, ctx: &mut Context<Self>) {
        let Some(waiting) = self.poll.as_mut() else {
            return;
        };
        let cursor = match self.state.slots().is_empty() {
            true => waiting.resume.clone(),
            false => waiting.resume.take(),
        };
        let Some(cursor) = cursor else { return };
        let moves = self.state.resume_after(&cursor);
        if !moves.is_empty() {
            self.intake.discard(&moves.partitions());
            self.urge(Urgent::Reposition(moves), ctx);
        }
        // The cursor has settled the fate of an answer on its way.
        self.next_op(ctx);
    }

    /// All partitions have gone while the poll waits. Where they come back in the same generation,
    /// its cursor counts as before, or that of the next poll.
    pub(super) fn keep_cursor(&mut self) {
        if let Some(waiting) = self.poll.as_mut().filter(|_| self.state.slots().is_empty())
            && let Some(after) = &waiting.poll.after
        {
            waiting.resume = Cursor::decode(after, &self.opening.claim.id).ok();
        }
    }

    /// Reports a partition's trouble to the waiting poll, unless records come first.
    pub(super) fn watch_trouble(&mut self, ctx: &mut Context<Self>) {
        let serial = self.polls;
        ctx.run_later(TROUBLE_PATIENCE, move |actor, _| {
            let Some((at, trouble)) = actor.state.trouble() else {
                return;
            };
            let error = trouble.error(at);
            if let Some(waiting) = actor.poll.take_if(|poll| poll.serial == serial) {
                let _ = waiting.reply.send(Err(error));
            }
        });
    }

    /// Serves the waiting poll, if it may be served; else takes a few records off the handle so
    /// that the events behind them are seen.
    pub(super) fn serve_poll(&mut self, link: &Arc<Link>, ctx: &mut Context<Self>) {
        self.schemas.is_awaited = false;
        if self.is_repositioning() || !self.holds_lease(ctx) {
            return;
        }
        self.next_turn(ctx);
        if self.is_repositioning() {
            return;
        }
        let may_answer = self.phase == Phase::Running && !self.state.awaits_fate();
        let pass = if self.may_be_served() && may_answer {
            self.answer(link, ctx)
        } else {
            self.intake
                .hold_up_to(&link.handle, &mut self.state, HELD_UNASKED)
        };
        if pass.records {
            self.brokers_down = false;
            self.forget_obstacle();
        }
        if pass.out_of_range {
            self.urge(Urgent::OutOfRange, ctx);
        }
    }

    fn answer(&mut self, link: &Arc<Link>, ctx: &mut Context<Self>) -> Pass {
        let spec = &self.opening.spec;
        let Some(waiting) = &mut self.poll else {
            return Pass::default();
        };
        let layout = match waiting.poll.shared {
            Some(_) => Layout::Messages,
            None => Layout::Records(RecordFormat {
                key: spec.key_format,
                value: spec.value_format,
                headers: waiting.poll.headers,
                schemas: &self.schemas.known,
            }),
        };
        let mut made = waiting
            .made
            .take()
            .unwrap_or_else(|| Made::new(&waiting.poll));
        let before = made.count;
        // What it has is in the budget already.
        let room = made.bytes.saturating_add(self.env.answers.room().get());
        let room = waiting.poll.max_bytes.get().min(room);
        let most = waiting.poll.max_records.get() as usize;
        let (mut is_full, mut missing) = (false, None);
        let mut pass = self.intake.drain(&link.handle, &mut self.state, |record| {
            let size = record.size();
            if made.count > 0 && made.bytes + size > room {
                is_full = true;
                return Verdict::Full;
            }
            missing = layout.missing_schema(record);
            if missing.is_some() {
                return Verdict::Full;
            }
            made.add(record, layout);
            is_full = made.count >= most || made.bytes >= room;
            if is_full {
                Verdict::Last
            } else {
                Verdict::Taken
            }
        });
        if let Some(id) = missing {
            self.schemas.is_awaited = made.count == 0;
            self.fetch_schema(id, ctx);
            // Of what stands behind the record, the events have to be seen.
            let held = self
                .intake
                .hold_up_to(&link.handle, &mut self.state, HELD_UNASKED);
            pass.records |= held.records;
            pass.out_of_range |= held.out_of_range;
        }
        // Also when there was nothing to take: what was held may have been thrown away, by a
        // cursor, a lost answer or a revocation, and the rest stands paused.
        self.resume_if_empty();
        // A fenced owner may still have records of partitions that are another's by now.
        if made.count == 0 || link.handle.fatal_error().is_some() {
            return pass;
        }
        let Some(waiting) = self.poll.as_mut().filter(|poll| poll.gathers(is_full)) else {
            self.send_answer(made, ctx);
            return pass;
        };
        if made.count > before {
            made.has_grown(self.env.answers.hold(made.body.len() as u64));
        }
        let serial = waiting.serial;
        waiting.made = Some(made);
        if before == 0 {
            self.watch_lull(serial, ctx);
        }
        pass
    }

    /// Completes an answer and hands it to the poll whose turn it is.
    fn send_answer(&mut self, made: Made, ctx: &mut Context<Self>) {
        let Some(waiting) = self.poll.take() else {
            return;
        };
        let Made {
            body, count, bytes, ..
        } = made;
        self.env.metrics.records.inc_by(count as u64);
        self.env.metrics.record_bytes.inc_by(bytes);
        self.is_acknowledged_by_delivery = waiting.poll.shared.is_some();
        let cursor = self.state.cursor().encode(&self.opening.claim.id);
        let number = self.state.send();
        self.reply(waiting, body, count, &cursor, number, ctx);
    }

    /// Answers the poll whose turn it is with what it has gathered.
    pub(super) fn send_gathered(&mut self, ctx: &mut Context<Self>) {
        if let Some(made) = self.poll.as_mut().and_then(|poll| poll.made.take()) {
            self.send_answer(made, ctx);
        }
    }

    /// Answers a poll without records. If an answer before it is still on its way, the cursor is
    /// the one of before that: where the client stands is not known. A client whose cursor could
    /// not be looked at yet keeps it.
    fn send_empty(&mut self, waiting: WaitingPoll, ctx: &mut Context<Self>) {
        const NO_FATE: u64 = 0;
        let unread = waiting.resume.is_some();
        let cursor = match waiting.poll.after.clone().filter(|_| unread) {
            Some(after) => after,
            None => {
                let cursor = self.state.cursor_of_delivered();
                cursor.encode(&self.opening.claim.id)
            }
        };
        let body = Made::new(&waiting.poll).body;
        self.reply(waiting, body, 0, &cursor, NO_FATE, ctx);
    }

    fn reply(
        &mut self,
        waiting: WaitingPoll,
        mut body: Vec<u8>,
        records: usize,
        cursor: &str,
        number: u64,
        ctx: &mut Context<Self>,
    ) {
        if waiting.poll.shared.is_some() {
            end_messages(&mut body, records, &self.opening.spec);
        } else {
            body.extend_from_slice(b"],\"timestamp\":");
            encode::integer(&mut body, self.env.clock.now().as_millis());
            body.extend_from_slice(b",\"cursor\":");
            encode::string(&mut body, cursor);
            body.extend_from_slice(b",\"generation\":");
            encode::integer(&mut body, i64::from(self.state.generation()));
            body.push(b'}');
        }
        let held = self.env.answers.hold(body.len() as u64);
        let fate = AnswerFate::new(number, ctx.address(), self.lease(), held);
        let kind = if records == 0 { "empty" } else { "records" };
        self.env.metrics.polls.with_label_values(&[kind]).inc();
        self.env
            .metrics
            .poll_wait
            .observe(waiting.since.elapsed().as_secs_f64());
        self.silence.ends();
        // If the client is gone the answer comes back, and its fate tells that it is lost.
        let _ = waiting.reply.send(Ok(Answer {
            body: Bytes::from(body),
            records,
            fate,
        }));
    }

    /// Ends the poll of this number without records.
    pub(super) fn time_out_poll(&mut self, serial: u64, ctx: &mut Context<Self>) {
        if !self.has_poll(serial) {
            return;
        }
        self.pump(ctx);
        if !self.holds_lease(ctx) || self.await_schema(serial, ctx) {
            return;
        }
        if self.is_gathering(serial) {
            return self.send_gathered(ctx);
        }
        let Some(link) = self.link.clone().filter(|_| self.brokers_down) else {
            return self.answer_empty(serial, ctx);
        };
        // Brokers were lost some time ago and may be back without having had anything to say.
        let Some(topic) = self.opening.spec.topics.first().cloned() else {
            return;
        };
        let probe = self
            .env
            .blocking
            .run(move || link.handle.probe(&topic, PROBE));
        ctx.spawn(probe.into_actor(self).map(move |found, actor, ctx| {
            if found.unwrap_or(false) {
                actor.brokers_down = false;
                actor.answer_empty(serial, ctx);
            } else if actor.is_gathering(serial) {
                actor.send_gathered(ctx);
            } else if let Some(waiting) = actor.take_poll(serial) {
                let error = Error::KafkaUnavailable("no broker can be reached".to_owned());
                let _ = waiting.reply.send(Err(error));
            }
        }));
    }

    /// Answers the poll of this number with no records, or with a partition's trouble.
    fn answer_empty(&mut self, serial: u64, ctx: &mut Context<Self>) {
        if self.is_gathering(serial) {
            return self.send_gathered(ctx);
        }
        let Some(waiting) = self.take_poll(serial) else {
            return;
        };
        match self.state.trouble().map(|(at, trouble)| trouble.error(at)) {
            None => self.send_empty(waiting, ctx),
            Some(error) => drop(waiting.reply.send(Err(error))),
        }
    }

    /// Ends the poll whose turn it is, without records, because the session ends here. Nobody has
    /// seen what it has gathered, and nothing of that is committed.
    pub(super) fn end_poll(&mut self, ctx: &mut Context<Self>) {
        if let Some(waiting) = self.poll.take() {
            self.send_empty(waiting, ctx);
        }
    }

    pub(super) fn is_repositioning(&self) -> bool {
        self.repositioning
            || self
                .urgent
                .iter()
                .any(|op| matches!(op, Urgent::Reposition(_)))
    }
}
