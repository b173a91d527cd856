//! Records off the Kafka handle: each goes to a visitor, or is held for the next one.

use std::collections::VecDeque;

use rdkafka::error::RDKafkaErrorCode as Code;
use sluice_types::{Offset, Partitions, TopicPartition};

use super::encode::{Header, RecordRef};
use super::state::State;
use crate::kafka::{Handle, Message, Taken};

/// What a visitor says to a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It has it; go on.
    Taken,
    /// It has it; no more.
    Last,
    /// It does not want it; no more.
    Full,
    /// It does not want it now, nor others of its partition: in this pass it says so of each.
    /// What comes of other partitions is still wanted.
    Later,
}

/// A record off the handle that nobody has taken yet.
pub(crate) struct Held {
    offset: Offset,
    timestamp: i64,
    key: Option<Box<[u8]>>,
    value: Option<Box<[u8]>>,
    headers: Vec<Header>,
}

impl Held {
    pub(crate) fn new(record: &RecordRef<'_>) -> Self {
        Self {
            offset: record.offset,
            timestamp: record.timestamp,
            key: record.key.map(Into::into),
            value: record.value.map(Into::into),
            headers: record.headers.to_vec(),
        }
    }

    pub(crate) fn record<'a>(&'a self, at: &'a TopicPartition) -> RecordRef<'a> {
        RecordRef {
            topic: at.topic.as_str(),
            partition: at.partition.get(),
            offset: self.offset,
            timestamp: self.timestamp,
            key: self.key.as_deref(),
            value: self.value.as_deref(),
            headers: &self.headers,
        }
    }
}

/// The held records of one partition; never empty between calls.
struct Shelf {
    at: TopicPartition,
    records: VecDeque<Held>,
    bytes: u64,
}

/// What one pass over the handle has shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Pass {
    /// A partition's position is outside its log; librdkafka does not say which one's.
    pub(crate) out_of_range: bool,
    /// Records came off the handle: a broker is there.
    pub(crate) records: bool,
}

/// The records of one handle.
#[derive(Default)]
pub(crate) struct Intake {
    /// In the order in which partitions are served.
    shelves: VecDeque<Shelf>,
    held: usize,
    held_bytes: u64,
    /// The shelf used last; records come in runs of one partition.
    last: usize,
    headers: Vec<Header>,
}

impl Intake {
    /// Bytes of the held records.
    pub(crate) fn held_bytes(&self) -> u64 {
        self.held_bytes
    }

    /// Number of the held records.
    pub(crate) fn held(&self) -> usize {
        self.held
    }

    /// Number and bytes of the held records of each partition that has some.
    pub(crate) fn held_of_each(&self) -> impl Iterator<Item = (&TopicPartition, usize, u64)> {
        self.shelves
            .iter()
            .map(|shelf| (&shelf.at, shelf.records.len(), shelf.bytes))
    }

    /// Whether no record is held.
    pub(crate) fn is_empty(&self) -> bool {
        self.held == 0
    }

    /// Throws the held records of these partitions away.
    pub(crate) fn discard(&mut self, partitions: &Partitions) {
        self.shelves.retain(|shelf| !partitions.contains(&shelf.at));
        self.held = self.shelves.iter().map(|shelf| shelf.records.len()).sum();
        self.held_bytes = self.shelves.iter().map(|shelf| shelf.bytes).sum();
    }

    /// Throws all held records away.
    pub(crate) fn clear(&mut self) {
        self.shelves.clear();
        self.held = 0;
        self.held_bytes = 0;
    }

    /// Gives `visit` the held records, each partition once in turn, and then what the handle
    /// has, until it wants no more or nothing is there. A record that it does not want is held.
    pub(crate) fn drain(
        &mut self,
        handle: &Handle,
        state: &mut State,
        visit: impl FnMut(&RecordRef<'_>) -> Verdict,
    ) -> Pass {
        self.drain_while_held_below(handle, state, (usize::MAX, u64::MAX), visit)
    }

    /// As [`drain`](Self::drain), and stops when `enough` are held, in number or bytes.
    pub(crate) fn drain_while_held_below(
        &mut self,
        handle: &Handle,
        state: &mut State,
        enough: (usize, u64),
        mut visit: impl FnMut(&RecordRef<'_>) -> Verdict,
    ) -> Pass {
        let mut pass = Pass::default();
        for _ in 0..self.shelves.len() {
            match self.drain_shelf(state, &mut visit) {
                Verdict::Taken => {}
                Verdict::Later => self.shelves.rotate_left(1),
                Verdict::Last | Verdict::Full => return pass,
            }
        }
        self.each_fetched(handle, state, &mut pass, |intake, state, slot, record| {
            let verdict = visit(record);
            match verdict {
                Verdict::Taken | Verdict::Last => state.take(slot, record.offset),
                Verdict::Full | Verdict::Later => intake.hold(&state.slots()[slot].at, record),
            }
            match verdict {
                Verdict::Taken => true,
                Verdict::Later => intake.held < enough.0 && intake.held_bytes < enough.1,
                Verdict::Last | Verdict::Full => false,
            }
        });
        pass
    }

    /// Gives `visit` what the first shelf holds; says `Taken` if that was all.
    fn drain_shelf(
        &mut self,
        state: &mut State,
        visit: &mut impl FnMut(&RecordRef<'_>) -> Verdict,
    ) -> Verdict {
        let Some(shelf) = self.shelves.front_mut() else {
            return Verdict::Taken;
        };
        let mut verdict = Verdict::Taken;
        while verdict == Verdict::Taken
            && let Some(held) = shelf.records.front()
        {
            let record = held.record(&shelf.at);
            verdict = visit(&record);
            if matches!(verdict, Verdict::Full | Verdict::Later) {
                return verdict;
            }
            if let Some(slot) = state.locate(record.topic, record.partition) {
                state.take(slot, record.offset);
            }
            let size = record.size();
            shelf.bytes -= size;
            self.held_bytes -= size;
            self.held -= 1;
            shelf.records.pop_front();
        }
        if shelf.records.is_empty() {
            self.shelves.pop_front();
        }
        verdict
    }

    /// Takes records off the handle without anybody asking for them, so that the events behind
    /// them are seen; stops when `enough` are held.
    pub(crate) fn hold_up_to(
        &mut self,
        handle: &Handle,
        state: &mut State,
        enough: (usize, u64),
    ) -> Pass {
        let mut pass = Pass::default();
        self.each_fetched(handle, state, &mut pass, |intake, state, slot, record| {
            intake.hold(&state.slots()[slot].at, record);
            intake.held < enough.0 && intake.held_bytes < enough.1
        });
        pass
    }

    fn hold(&mut self, at: &TopicPartition, record: &RecordRef<'_>) {
        let is_of = |shelf: &Shelf| shelf.at == *at;
        if !self.shelves.get(self.last).is_some_and(is_of) {
            self.last = self.shelves.iter().position(is_of).unwrap_or_else(|| {
                self.shelves.push_back(Shelf {
                    at: at.clone(),
                    records: VecDeque::new(),
                    bytes: 0,
                });
                self.shelves.len() - 1
            });
        }
        let size = record.size();
        let shelf = &mut self.shelves[self.last];
        shelf.records.push_back(Held::new(record));
        shelf.bytes += size;
        self.held += 1;
        self.held_bytes += size;
    }

    /// Calls `each` with what the handle has, until it says stop.
    fn each_fetched(
        &mut self,
        handle: &Handle,
        state: &mut State,
        pass: &mut Pass,
        mut each: impl FnMut(&mut Self, &mut State, usize, &RecordRef<'_>) -> bool,
    ) {
        loop {
            match handle.poll() {
                Some(Taken::Record(message)) => {
                    pass.records = true;
                    let (topic, partition) = (message.topic(), message.partition());
                    let Some(slot) = state.locate(topic, partition) else {
                        continue;
                    };
                    let Ok(offset) = Offset::new(message.offset()) else {
                        continue;
                    };
                    if !state.fetch(slot, offset) {
                        continue;
                    }
                    let mut headers = std::mem::take(&mut self.headers);
                    read_headers(&message, &mut headers);
                    let record = RecordRef {
                        topic,
                        partition,
                        offset,
                        timestamp: message.timestamp(),
                        key: message.key(),
                        value: message.value(),
                        headers: &headers,
                    };
                    let go_on = each(self, state, slot, &record);
                    self.headers = headers;
                    if !go_on {
                        return;
                    }
                }
                Some(Taken::Failed(Code::AutoOffsetReset)) => pass.out_of_range = true,
                Some(Taken::Failed(_) | Taken::Other) => {}
                // What comes behind it is looked at when it has been acted on.
                Some(Taken::Rebalance) | None => return,
            }
        }
    }
}

fn read_headers(message: &Message<'_>, headers: &mut Vec<Header>) {
    headers.clear();
    message.for_each_header(|name, value| {
        headers.push(Header {
            name: name.to_vec(),
            value: value.map(<[u8]>::to_vec),
        });
    });
}
