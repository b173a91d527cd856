//! What has been read of the end of one partition's log.

use std::collections::VecDeque;

use sluice_types::TopicPartition;

use crate::session::{Held, RecordRef};

/// How much further back a log is read each time: records are expected, or holes are.
const FURTHER: u64 = 4;
const FAR_FURTHER: u64 = 8;

/// The records of a log from some offset to its end, as it was at the beginning.
pub(super) struct Tail {
    pub(super) at: TopicPartition,
    /// Where the log begins.
    first: i64,
    /// Up to where it has been read, from its end. Nothing that is in it from here on is missing.
    from: i64,
    /// What is being read: from here up to `from`.
    target: i64,
    /// So many offsets are read at once.
    span: u64,
    /// The records, oldest first.
    records: VecDeque<Held>,
    /// What is being read, older than those.
    earlier: VecDeque<Held>,
    bytes: u64,
    /// Whether older records were thrown away, because so many bytes are newer.
    is_cut: bool,
}

impl Tail {
    /// Nothing read yet of a log with these bounds.
    pub(super) fn new(at: TopicPartition, first: i64, end: i64, span: u64) -> Self {
        Self {
            at,
            first,
            from: end,
            target: end,
            span: span.max(1),
            records: VecDeque::new(),
            earlier: VecDeque::new(),
            bytes: 0,
            is_cut: false,
        }
    }

    /// Whether there is nothing older in the log.
    pub(super) fn is_whole(&self) -> bool {
        self.from <= self.first
    }

    /// Whether older records do not count, since they were thrown away.
    pub(super) fn is_cut(&self) -> bool {
        self.is_cut
    }

    /// Number of the records that have been read.
    pub(super) fn len(&self) -> usize {
        self.records.len()
    }

    /// A record, by its place from the oldest.
    pub(super) fn record(&self, place: usize) -> RecordRef<'_> {
        self.records[place].record(&self.at)
    }

    /// Goes on further back; returns what is to be read: from the first up to before the second.
    pub(super) fn reach_back(&mut self) -> (i64, i64) {
        self.target = self.from.saturating_sub_unsigned(self.span).max(self.first);
        (self.target, self.from)
    }

    /// Takes the next record of what is being read; of all it keeps the newest `most`.
    pub(super) fn take(&mut self, record: &RecordRef<'_>, most: usize) {
        self.earlier.push_back(Held::new(record));
        self.bytes += record.size();
        if self.held() > most {
            self.drop_oldest();
        }
    }

    /// What was to be read has been.
    pub(super) fn end_reading(&mut self, most: usize) {
        let found = self.earlier.len() as u64;
        // Offsets without records are many in a compacted log, say: there is no saying how many.
        self.span = match found * 2 < self.span {
            true => self.span.saturating_mul(FAR_FURTHER),
            false => (self.span * FURTHER).min(most as u64),
        };
        self.from = self.target;
        let newer = std::mem::take(&mut self.records);
        self.records = std::mem::take(&mut self.earlier);
        self.records.extend(newer);
    }

    /// Number of its records, those that are being read too.
    pub(super) fn held(&self) -> usize {
        self.records.len() + self.earlier.len()
    }

    /// Bytes of its records, those that are being read too.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The time of its oldest record.
    pub(super) fn oldest(&self) -> Option<i64> {
        let oldest = self.earlier.front().or(self.records.front())?;
        Some(oldest.record(&self.at).timestamp)
    }

    /// Throws the oldest record away because others take all the room.
    pub(super) fn cut_oldest(&mut self) {
        self.drop_oldest();
        self.is_cut = true;
    }

    fn drop_oldest(&mut self) {
        let oldest = self
            .earlier
            .pop_front()
            .or_else(|| self.records.pop_front());
        if let Some(oldest) = oldest {
            self.bytes -= oldest.record(&self.at).size();
        }
    }
}
