//! What is known of the requests that this node took.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use sluice_actors::{Full, Outcome};
use sluice_types::TopicName;
use tokio::time::Instant;

/// How long it is told what became of a request.
pub(crate) const RETENTION: Duration = Duration::from_secs(30 * 60);
/// How long a request is pending at most: librdkafka gives records up sooner unless it is told
/// otherwise.
pub(crate) const LONGEST: Duration = Duration::from_secs(10 * 60);

/// What a request takes beside its records.
const REQUEST_BYTES: u64 = 256;
/// What a record takes beside the text of its error.
const RECORD_BYTES: u64 = size_of::<Outcome>() as u64;

/// The requests of a node. Clones are the same.
#[derive(Clone, Debug)]
pub(crate) struct Ledger {
    limit: u64,
    entries: Arc<Mutex<Entries>>,
}

#[derive(Debug, Default)]
struct Entries {
    by_number: HashMap<u64, Entry>,
    /// Those that have ended, the oldest first.
    ended: VecDeque<(Instant, u64)>,
    bytes: u64,
}

#[derive(Debug)]
struct Entry {
    bytes: u64,
    status: Status,
}

/// What is known of a request.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Status {
    /// Kafka has not said what became of all of its records.
    Pending,
    /// It is over.
    Ended(Arc<Ended>),
}

/// What became of a request.
#[derive(Debug, PartialEq)]
pub(crate) struct Ended {
    /// Where its records were to go.
    pub(crate) topic: TopicName,
    /// What became of each record.
    pub(crate) outcomes: Box<[Outcome]>,
}

impl Ledger {
    /// An empty one that takes so many bytes.
    pub(crate) fn new(limit: u64) -> Self {
        Self {
            limit,
            entries: Arc::default(),
        }
    }

    /// Notes a request with so many records.
    ///
    /// # Errors
    /// [`Full`]: what is to be kept of earlier ones leaves no room.
    pub(crate) fn begin(&self, number: u64, records: usize) -> Result<Receipt, Full> {
        let bytes = REQUEST_BYTES + RECORD_BYTES * records as u64;
        let mut entries = self.lock();
        if entries.bytes + bytes > self.limit {
            return Err(Full);
        }
        entries.bytes += bytes;
        let status = Status::Pending;
        entries.by_number.insert(number, Entry { bytes, status });
        Ok(Receipt {
            ledger: self.clone(),
            number,
            is_over: false,
        })
    }

    /// What is known of a request; `None` if it is not, or no more.
    pub(crate) fn status(&self, number: u64) -> Option<Status> {
        let entries = self.lock();
        entries
            .by_number
            .get(&number)
            .map(|entry| entry.status.clone())
    }

    /// The entries that are still to be told of.
    fn lock(&self) -> MutexGuard<'_, Entries> {
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        while let Some((at, number)) = entries.ended.front().copied()
            && now.saturating_duration_since(at) > RETENTION
        {
            entries.ended.pop_front();
            entries.forget(number);
        }
        entries
    }
}

impl Entries {
    fn forget(&mut self, number: u64) {
        if let Some(entry) = self.by_number.remove(&number) {
            self.bytes -= entry.bytes;
        }
    }
}

/// A request that was noted: the duty to say what became of it. Dropped, it was never noted.
#[derive(Debug)]
pub(crate) struct Receipt {
    ledger: Ledger,
    number: u64,
    is_over: bool,
}

impl Receipt {
    /// Says what became of it.
    pub(crate) fn end(mut self, topic: TopicName, outcomes: Vec<Outcome>) {
        self.is_over = true;
        let outcomes = outcomes.into_boxed_slice();
        let errors = outcomes.iter().filter_map(|outcome| outcome.as_ref().err());
        let texts = errors.map(|error| error.bytes() as u64).sum::<u64>();
        let mut entries = self.ledger.lock();
        if let Some(entry) = entries.by_number.get_mut(&self.number) {
            entry.status = Status::Ended(Arc::new(Ended { topic, outcomes }));
            // It was taken before they were known; they count against those that come later.
            entry.bytes += texts;
            entries.bytes += texts;
            entries.ended.push_back((Instant::now(), self.number));
        }
    }
}

impl Drop for Receipt {
    fn drop(&mut self) {
        if !self.is_over {
            self.ledger.lock().forget(self.number);
        }
    }
}

#[cfg(test)]
mod tests {
    use sluice_actors::RecordError;
    use tokio::time::advance;

    use super::*;

    const ROOM: u64 = 2 * (REQUEST_BYTES + RECORD_BYTES);

    fn end(receipt: Receipt) {
        receipt.end(
            "orders".parse().unwrap(),
            vec![Err(RecordError::KafkaTimeout)],
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_is_pending_then_told_of_for_half_an_hour() {
        let ledger = Ledger::new(ROOM);
        let receipt = ledger.begin(1, 1).unwrap();
        advance(RETENTION * 2).await;
        assert_eq!(ledger.status(1), Some(Status::Pending));
        end(receipt);
        advance(RETENTION).await;
        assert!(matches!(ledger.status(1), Some(Status::Ended(_))));
        advance(Duration::from_millis(2)).await;
        assert_eq!(ledger.status(1), None);
        assert_eq!(ledger.lock().bytes, 0);
    }

    #[tokio::test(start_paused = true)]
    async fn nothing_is_forgotten_to_make_room() {
        let ledger = Ledger::new(ROOM);
        end(ledger.begin(1, 1).unwrap());
        let second = ledger.begin(2, 1).unwrap();
        assert_eq!(ledger.begin(3, 1).err(), Some(Full));
        assert!(ledger.status(1).is_some());
        // One that came to nothing leaves its room to others.
        drop(second);
        assert_eq!(ledger.status(2), None);
        ledger.begin(3, 1).unwrap();
        assert_eq!(ledger.begin(4, 2).err(), Some(Full));
        advance(RETENTION + Duration::from_secs(1)).await;
        ledger.begin(4, 2).unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_said_of_errors_takes_room_too() {
        let ledger = Ledger::new(4 * ROOM);
        let receipt = ledger.begin(1, 1).unwrap();
        let error = RecordError::Internal("x".repeat(4 * ROOM as usize));
        receipt.end("orders".parse().unwrap(), vec![Err(error)]);
        assert_eq!(ledger.begin(2, 1).err(), Some(Full));
        advance(RETENTION + Duration::from_secs(1)).await;
        let _second = ledger.begin(2, 1).unwrap();
        assert_eq!(ledger.lock().bytes, ROOM / 2);
    }
}
