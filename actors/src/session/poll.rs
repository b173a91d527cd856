//! The one poll of a session: waits for records, and answers with what is there.

use std::sync::Arc;
use std::time::Duration;

use actix::{ActorFutureExt, AsyncContext, Context, WrapFuture};
use bytes::Bytes;
use sluice_types::Partitions;
use tokio::time::Instant;

use super::actor::{Phase, SessionActor};
use super::cursor::Cursor;
use super::encode::{self, RecordFormat};
use super::intake::{Pass, Verdict};
use super::link::Link;
use super::ops::Urgent;
use super::reply::Reply;
use crate::handle::AnswerFate;
use crate::{Answer, Deadline, Error, Poll};

/// What may be held while nobody polls: more is left with librdkafka, which then stops fetching.
const HELD_UNASKED: (usize, u64) = (32, 64 * 1024);
/// What may be held before the partitions are paused.
const HELD_MOST: u64 = 1024 * 1024;
/// How long a poll waits for other partitions' records before it reports a partition's trouble.
const TROUBLE_PATIENCE: Duration = Duration::from_millis(600);
/// How long a broker may take to show that it is there.
const PROBE: Duration = Duration::from_secs(2);

/// The poll that waits.
pub(super) struct WaitingPoll {
    serial: u64,
    poll: Poll,
    since: Instant,
    /// Where the client goes on, for as long as no partition is there that it could be said of.
    resume: Option<Cursor>,
    pub(super) reply: Reply<Answer>,
}

impl WaitingPoll {
    /// Whether asking for more acknowledges what was delivered; with `after` the cursor does.
    pub(super) fn acknowledges(&self) -> bool {
        self.poll.after.is_none()
    }
}

impl SessionActor {
    /// Takes a poll over; one that waits already is superseded.
    pub(super) fn start_poll(
        &mut self,
        poll: Poll,
        deadline: Deadline,
        reply: Reply<Answer>,
        ctx: &mut Context<Self>,
    ) {
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
        if let Some(older) = self.poll.take() {
            let _ = older.reply.send(Err(Error::Superseded));
        }
        self.polls += 1;
        let serial = self.polls;
        let wait = poll.wait.min(deadline.remaining());
        self.poll = Some(WaitingPoll {
            serial,
            poll,
            since: Instant::now(),
            resume: cursor,
            reply,
        });
        if self.phase == Phase::Running {
            self.resume_poll(ctx);
        }
        let acknowledges = self.poll.as_ref().is_some_and(WaitingPoll::acknowledges);
        if acknowledges && !self.state.awaits_fate() {
            self.state.acknowledge();
        }
        self.fail_poll();
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
        if self.is_repositioning() || !self.holds_lease(ctx) {
            return;
        }
        self.poll.take_if(|waiting| waiting.reply.is_closed());
        let may_answer = self.phase == Phase::Running && !self.state.awaits_fate();
        let pass = if self.poll.is_some() && may_answer {
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
        let Some(waiting) = &self.poll else {
            return Pass::default();
        };
        let room = self.env.answer_room(waiting.poll.max_bytes);
        let most = waiting.poll.max_records.get() as usize;
        let spec = &self.opening.spec;
        let headers = waiting.poll.headers;
        let format = RecordFormat {
            key: spec.key_format,
            value: spec.value_format,
            headers,
        };
        let mut body = b"{\"records\":[".to_vec();
        let (mut count, mut bytes) = (0, 0);
        let pass = self.intake.drain(&link.handle, &mut self.state, |record| {
            let size = record.size();
            if count > 0 && bytes + size > room {
                return Verdict::Full;
            }
            if count > 0 {
                body.push(b',');
            }
            encode::record(&mut body, record, format);
            count += 1;
            bytes += size;
            if count >= most || bytes >= room {
                Verdict::Last
            } else {
                Verdict::Taken
            }
        });
        // Also when there was nothing to take: what was held may have been thrown away, by a
        // cursor, a lost answer or a revocation, and the rest stands paused.
        self.resume_if_empty();
        // A fenced owner may still have records of partitions that are another's by now.
        if count == 0 || link.handle.fatal_error().is_some() {
            return pass;
        }
        self.env.metrics.records.inc_by(count as u64);
        self.env.metrics.record_bytes.inc_by(bytes);
        self.send_answer(body, count, ctx);
        pass
    }

    /// Completes an answer and hands it to the waiting poll.
    fn send_answer(&mut self, body: Vec<u8>, records: usize, ctx: &mut Context<Self>) {
        let cursor = self.state.cursor().encode(&self.opening.claim.id);
        let number = self.state.send();
        self.reply(body, records, &cursor, number, ctx);
    }

    /// Answers the waiting poll without records. If an answer before it is still on its way, the
    /// cursor is the one of before that: where the client stands is not known. A client whose
    /// cursor could not be looked at yet keeps it.
    fn send_empty(&mut self, ctx: &mut Context<Self>) {
        const NO_FATE: u64 = 0;
        let unread = self.poll.as_ref().filter(|poll| poll.resume.is_some());
        let cursor = match unread.and_then(|waiting| waiting.poll.after.clone()) {
            Some(after) => after,
            None => {
                let cursor = self.state.cursor_of_delivered();
                cursor.encode(&self.opening.claim.id)
            }
        };
        self.reply(b"{\"records\":[".to_vec(), 0, &cursor, NO_FATE, ctx);
    }

    fn reply(
        &mut self,
        mut body: Vec<u8>,
        records: usize,
        cursor: &str,
        number: u64,
        ctx: &mut Context<Self>,
    ) {
        let Some(waiting) = self.poll.take() else {
            return;
        };
        body.extend_from_slice(b"],\"timestamp\":");
        encode::integer(&mut body, self.env.clock.now().as_millis());
        body.extend_from_slice(b",\"cursor\":");
        encode::string(&mut body, cursor);
        body.extend_from_slice(b",\"generation\":");
        encode::integer(&mut body, i64::from(self.state.generation()));
        body.push(b'}');
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
    fn time_out_poll(&mut self, serial: u64, ctx: &mut Context<Self>) {
        if self
            .poll
            .as_ref()
            .is_none_or(|waiting| waiting.serial != serial)
        {
            return;
        }
        self.pump(ctx);
        if !self.holds_lease(ctx) {
            return;
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
            } else if let Some(waiting) = actor.poll.take_if(|poll| poll.serial == serial) {
                let error = Error::KafkaUnavailable("no broker can be reached".to_owned());
                let _ = waiting.reply.send(Err(error));
            }
        }));
    }

    /// Answers the poll of this number with no records, or with a partition's trouble.
    fn answer_empty(&mut self, serial: u64, ctx: &mut Context<Self>) {
        if self
            .poll
            .as_ref()
            .is_none_or(|waiting| waiting.serial != serial)
        {
            return;
        }
        match self.state.trouble().map(|(at, trouble)| trouble.error(at)) {
            None => self.send_empty(ctx),
            Some(error) => {
                if let Some(waiting) = self.poll.take() {
                    let _ = waiting.reply.send(Err(error));
                }
            }
        }
    }

    /// Ends the waiting poll because the session ends.
    pub(super) fn end_poll(&mut self, ctx: &mut Context<Self>) {
        if self.poll.is_some() {
            self.send_empty(ctx);
        }
    }

    pub(super) fn is_repositioning(&self) -> bool {
        self.repositioning
            || self
                .urgent
                .iter()
                .any(|op| matches!(op, Urgent::Reposition(_)))
    }

    /// Stops fetching when much is held: nobody has polled for long, or the poll has to wait for
    /// the fate of an answer before it.
    pub(super) fn bound_held(&mut self) {
        if self.intake.held_bytes() < HELD_MOST {
            return;
        }
        let fetching: Partitions = self
            .state
            .slots()
            .iter()
            .filter(|slot| !slot.paused)
            .map(|slot| slot.at.clone())
            .collect();
        self.pause(&fetching);
    }

    /// Stops fetching partitions.
    pub(super) fn pause(&mut self, partitions: &Partitions) {
        let Some(link) = &self.link else { return };
        if partitions.is_empty() {
            return;
        }
        if let Err(error) = link.handle.pause(partitions) {
            tracing::warn!(parent: &self.span, %error, "cannot stop fetching");
            return;
        }
        for slot in self
            .state
            .slots_mut()
            .filter(|slot| partitions.contains(&slot.at))
        {
            slot.paused = true;
        }
    }

    /// Fetches again when what was held has been taken.
    pub(super) fn resume_if_empty(&mut self) {
        if self.intake.is_empty() {
            self.resume(&self.state.paused_without_reason());
        }
    }

    /// Fetches partitions again that were paused.
    pub(super) fn resume(&mut self, paused: &Partitions) {
        let Some(link) = self.link.as_ref().filter(|_| !paused.is_empty()) else {
            return;
        };
        if let Err(error) = link.handle.resume(paused) {
            tracing::warn!(parent: &self.span, %error, "cannot fetch again");
        }
        for slot in self.state.slots_mut() {
            slot.paused &= !paused.contains(&slot.at);
        }
    }
}
