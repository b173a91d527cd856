//! What one poll takes: so many records of each partition.

use bytes::Bytes;
use sluice_types::{Partition, Timestamp, TopicName};

use super::record::{ConsumedRecord, RecordHeader};
use crate::session::{RecordRef, Verdict};

/// Bytes after which a poll takes no more; the record that reaches them is the last.
const MOST_BYTES: u64 = 16 * 1024 * 1024;

/// Collects the records of one poll: a visitor of borrowed ones.
pub(super) struct Collector {
    most_of_each: usize,
    bytes: u64,
    records: Vec<ConsumedRecord>,
    /// Sorted by topic and partition.
    turns: Vec<Turn>,
    /// The turn of the record before: records come in runs of one partition.
    current: usize,
}

struct Turn {
    topic: TopicName,
    partition: Partition,
    taken: usize,
}

impl Collector {
    pub(super) fn new(most_of_each: usize) -> Self {
        Self {
            most_of_each,
            bytes: 0,
            records: Vec::new(),
            turns: Vec::new(),
            current: 0,
        }
    }

    /// Takes the record if it is its partition's turn.
    pub(super) fn visit(&mut self, record: &RecordRef<'_>) -> Verdict {
        let Some(current) = self.find(record) else {
            // Kafka has no such names; without a turn it could not be handed out.
            return Verdict::Taken;
        };
        self.current = current;
        let turn = &mut self.turns[current];
        if turn.taken >= self.most_of_each {
            return Verdict::Later;
        }
        turn.taken += 1;
        self.bytes += record.size();
        self.records.push(ConsumedRecord {
            topic: turn.topic.clone(),
            partition: turn.partition,
            offset: record.offset,
            timestamp: (record.timestamp >= 0).then(|| Timestamp::from_millis(record.timestamp)),
            key: record.key.map(Bytes::copy_from_slice),
            value: record.value.map(Bytes::copy_from_slice),
            headers: headers(record),
        });
        if self.bytes >= MOST_BYTES {
            Verdict::Last
        } else {
            Verdict::Taken
        }
    }

    pub(super) fn into_records(self) -> Vec<ConsumedRecord> {
        self.records
    }

    fn find(&mut self, record: &RecordRef<'_>) -> Option<usize> {
        let order = |turn: &Turn| {
            let by_topic = turn.topic.as_str().cmp(record.topic);
            by_topic.then(turn.partition.get().cmp(&record.partition))
        };
        if self
            .turns
            .get(self.current)
            .is_some_and(|turn| order(turn).is_eq())
        {
            return Some(self.current);
        }
        match self.turns.binary_search_by(order) {
            Ok(found) => Some(found),
            Err(place) => {
                let turn = Turn {
                    topic: record.topic.parse().ok()?,
                    partition: Partition::new(record.partition).ok()?,
                    taken: 0,
                };
                self.turns.insert(place, turn);
                Some(place)
            }
        }
    }
}

fn headers(record: &RecordRef<'_>) -> Vec<RecordHeader> {
    record
        .headers
        .iter()
        .map(|header| RecordHeader {
            name: String::from_utf8_lossy(&header.name).into_owned(),
            value: header.value.as_deref().map(Bytes::copy_from_slice),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use sluice_types::Offset;

    use super::*;

    fn record(partition: i32, offset: i64, value: &[u8]) -> RecordRef<'_> {
        RecordRef {
            topic: "t",
            partition,
            offset: Offset::new(offset).unwrap(),
            timestamp: -1,
            key: None,
            value: Some(value),
            headers: &[],
        }
    }

    #[test]
    fn a_partition_that_had_its_turn_waits_for_the_next_poll() {
        let mut collector = Collector::new(2);
        let verdicts: Vec<Verdict> = [(0, 0), (0, 1), (0, 2), (1, 0), (0, 3), (1, 1)]
            .into_iter()
            .map(|(partition, offset)| collector.visit(&record(partition, offset, b"v")))
            .collect();
        use Verdict::{Later, Taken};
        assert_eq!(verdicts, [Taken, Taken, Later, Taken, Later, Taken]);
        let taken: Vec<(i32, i64)> = collector
            .into_records()
            .iter()
            .map(|record| (record.partition.get(), record.offset.get()))
            .collect();
        assert_eq!(taken, [(0, 0), (0, 1), (1, 0), (1, 1)]);
    }

    #[test]
    fn a_poll_ends_at_its_bytes() {
        let large = vec![0; MOST_BYTES as usize / 2];
        let mut collector = Collector::new(10);
        assert_eq!(collector.visit(&record(0, 0, &large)), Verdict::Taken);
        assert_eq!(collector.visit(&record(1, 0, &large)), Verdict::Last);
    }
}
