//! Records off the handle, to polls or onto the shelf.
//!
//! The handle is always emptied: what waits in it hides what came later, of quieter partitions.
//! What no poll wants yet is held, within a bound; a partition that fills more than its share of
//! it is not fetched until half of that is gone.

use std::time::Duration;

use futures::FutureExt;
use sluice_types::Partitions;
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::ask::{Batch, OnItsWay};
use super::collect::Collector;
use super::ops::Urgent;
use super::worker::Worker;
use crate::Error;
use crate::session::Pass;

/// What may be held, in number and bytes.
const MOST_HELD: (usize, u64) = (100_000, 8 * 1024 * 1024);
/// By how much the bound is exceeded at a time while partitions are being stopped.
const SLICE: (usize, u64) = (1000, 256 * 1024);
/// How long a broker may take to show that it is there.
const PROBE: Duration = Duration::from_secs(2);

impl Worker {
    /// Answers polls with what is there, and takes the rest off the handle.
    pub(super) fn serve(&mut self) {
        if self.is_repositioning() {
            return;
        }
        self.polls.retain(|poll| !poll.reply.is_closed());
        while self.on_its_way.is_none() && !self.polls.is_empty() {
            if let Some(error) = self.why_not_served() {
                self.fail_poll(error);
            } else if !self.has_partitions || !self.answer() {
                break;
            }
        }
        self.empty_handle();
        self.resume_short();
    }

    fn fail_poll(&mut self, error: Error) {
        if let Some(poll) = self.polls.pop_front() {
            let _ = poll.reply.send(Err(error));
        }
    }

    /// What a poll fails with, whatever records there are.
    fn why_not_served(&self) -> Option<Error> {
        if let Some(error) = self.broken() {
            return Some(error);
        }
        if let Some(obstacle) = &self.obstacle {
            return Some(obstacle.clone());
        }
        let never: Partitions = self
            .state
            .slots()
            .iter()
            .filter(|slot| slot.was_never_committed())
            .map(|slot| slot.at.clone())
            .collect();
        if !never.is_empty() {
            return Some(Error::NoCommittedOffset(never));
        }
        let (at, trouble) = self.state.trouble()?;
        Some(trouble.error(at))
    }

    /// Why the handle never works again, if so.
    pub(super) fn broken(&self) -> Option<Error> {
        let (code, reason) = self.link.handle.fatal_error()?;
        Some(Error::Broken(format!("{code}: {reason}")))
    }

    /// Answers the first poll; says whether there was anything to answer it with.
    fn answer(&mut self) -> bool {
        let mut collector = Collector::new(self.settings.most_of_each);
        let pass = self.intake.drain_while_held_below(
            &self.link.handle,
            &mut self.state,
            MOST_HELD,
            |record| collector.visit(record),
        );
        self.note(pass);
        let records = collector.into_records();
        if records.is_empty() {
            return false;
        }
        let number = self.state.send();
        let (delivered, is_delivered) = oneshot::channel();
        self.on_its_way = Some(OnItsWay {
            number,
            delivered: is_delivered,
        });
        // A fenced consumer may still have records of partitions that are another's by now.
        let answer = match self.broken() {
            None => Ok(Batch { records, delivered }),
            Some(error) => Err(error),
        };
        if let Some(poll) = self.polls.pop_front() {
            // If nobody listens any more, `delivered` is dropped with the records.
            let _ = poll.reply.send(answer);
        }
        true
    }

    /// Takes everything off the handle.
    fn empty_handle(&mut self) {
        let mut enough = MOST_HELD;
        loop {
            let pass = self
                .intake
                .hold_up_to(&self.link.handle, &mut self.state, enough);
            self.note(pass);
            if self.intake.held() < enough.0 && self.intake.held_bytes() < enough.1 {
                return;
            }
            self.pause_greedy();
            enough = (
                self.intake.held() + SLICE.0,
                self.intake.held_bytes() + SLICE.1,
            );
        }
    }

    fn note(&mut self, pass: Pass) {
        if pass.records {
            self.brokers_down = false;
            self.obstacle = None;
        }
        let known = self
            .urgent
            .iter()
            .any(|op| matches!(op, Urgent::OutOfRange));
        if pass.out_of_range && !known {
            self.urgent.push_back(Urgent::OutOfRange);
        }
    }

    /// Partitions of which at least a `part` of their share is held, a half being 2.
    fn held_beyond(&self, part: usize) -> Partitions {
        let scale = self.state.slots().len() * part;
        self.intake
            .held_of_each()
            .filter(|(_, held, bytes)| {
                held * scale >= MOST_HELD.0 || bytes * scale as u64 >= MOST_HELD.1
            })
            .map(|(at, ..)| at.clone())
            .collect()
    }

    fn pause_greedy(&mut self) {
        let mut greedy = self.held_beyond(1);
        for slot in self.state.slots().iter().filter(|slot| slot.paused) {
            greedy.remove(&slot.at);
        }
        self.pause(&greedy);
    }

    /// Fetches partitions again of which little is held.
    fn resume_short(&mut self) {
        let waits =
            |slot: &&crate::session::Slot| slot.paused && !slot.is_in_trouble() && !slot.starting;
        let mut short: Partitions = self
            .state
            .slots()
            .iter()
            .filter(waits)
            .map(|slot| slot.at.clone())
            .collect();
        if short.is_empty() {
            return;
        }
        for at in self.held_beyond(2).iter() {
            short.remove(&at);
        }
        self.resume(&short);
    }

    /// Answers polls whose time is up. If no broker was heard of, one is looked for first.
    pub(super) fn end_overdue_polls(&mut self) {
        let now = Instant::now();
        if self.probe.is_some() || self.polls.iter().all(|poll| poll.until > now) {
            return;
        }
        if self.brokers_down {
            let topic = self.settings.topics[0].clone();
            let link = self.link.clone();
            let asking = self.blocking.run(move || link.handle.probe(&topic, PROBE));
            self.probe = Some(asking.map(|found| found.unwrap_or(false)).boxed());
            return;
        }
        self.end_polls_until(now, Ok);
    }

    /// Learns whether a broker is there.
    pub(super) fn probed(&mut self, reached: bool) {
        self.brokers_down &= !reached;
        self.link.handle.look_for_brokers(reached);
        if self.brokers_down {
            self.end_polls_until(Instant::now(), |_| Err(unreachable()));
        }
    }

    fn end_polls_until(&mut self, now: Instant, answer: impl Fn(Batch) -> Result<Batch, Error>) {
        for poll in std::mem::take(&mut self.polls) {
            if poll.until > now {
                self.polls.push_back(poll);
                continue;
            }
            let (delivered, _) = oneshot::channel();
            let records = Vec::new();
            let _ = poll.reply.send(answer(Batch { records, delivered }));
        }
    }
}

pub(super) fn unreachable() -> Error {
    Error::KafkaUnavailable("no broker can be reached".to_owned())
}
