//! Putting a request's records into a producer's queue, in order and one after another.

use std::sync::Arc;

use rdkafka::error::RDKafkaErrorCode as Code;
use rdkafka::message::{Header, OwnedHeaders};

use super::batch::{Batch, Ticket};
use super::coding::Coding;
use super::formats::read_headers;
use super::live::{Encoded, Live};
use super::metrics::ProducerMetrics;
use super::record::{Outgoing, Production, RecordError};
use super::verdict::{self, Sent};

/// How far it has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Progress {
    /// To the end: every record is in the queue, or refused.
    Done,
    /// To a record whose partition the producer does not know yet, although it is there.
    Unlearnt,
    /// To a producer that takes nothing any more, and has taken nothing of this request.
    Broken,
}

/// The records of one request, some of them in the queue.
pub(super) struct Enqueuing {
    pub(super) production: Production,
    pub(super) key: Coding,
    pub(super) value: Coding,
    /// How many partitions the topic has.
    pub(super) partitions: i32,
    pub(super) batch: Arc<Batch>,
    pub(super) live: Arc<Live>,
    pub(super) record_bytes: usize,
    pub(super) metrics: ProducerMetrics,
    /// Whether the producer has been made to learn the topic's partitions.
    pub(super) has_learnt: bool,
    /// The first record that has not been dealt with.
    pub(super) next: usize,
    /// Records in the queue.
    pub(super) sent: usize,
}

impl Enqueuing {
    /// Goes on as far as possible. Never waits.
    pub(super) fn run(&mut self) -> Progress {
        while let Some(record) = self.production.records.get(self.next) {
            let refused = match self.send(record) {
                Ok(()) => {
                    self.sent += 1;
                    self.next += 1;
                    continue;
                }
                Err(Unsent::Refused(error)) => error,
                Err(Unsent::Unlearnt) => return Progress::Unlearnt,
                Err(Unsent::Broken) => return Progress::Broken,
            };
            self.metrics.failed(&refused);
            self.batch.settle(self.next, Err(refused));
            self.next += 1;
        }
        Progress::Done
    }

    fn send(&self, record: &Outgoing) -> Result<(), Unsent> {
        if let Some(partition) = record.partition.filter(|at| at.get() >= self.partitions) {
            return Err(RecordError::PartitionNotFound(partition).into());
        }
        if record.key.is_none() && record.value.is_none() {
            return Err(RecordError::Invalid("a record needs a key or a value".into()).into());
        }
        let key = record.key.as_deref();
        let key = key
            .map(|text| self.key.encode(text, self.record_bytes))
            .transpose()?;
        let value = record.value.as_deref();
        let value = value
            .map(|text| self.value.encode(text, self.record_bytes))
            .transpose()?;
        let (headers, header_bytes) = match &record.headers {
            Some(text) => {
                let (headers, bytes) = headers(text, record.header_count)?;
                (Some(headers), bytes)
            }
            None => (None, 0),
        };
        let lengths = [&key, &value].map(|part| part.as_ref().map_or(0, |bytes| bytes.len()));
        let bytes = lengths.iter().sum::<usize>() + header_bytes;
        if bytes > self.record_bytes {
            let limit = Some(self.record_bytes);
            return Err(RecordError::TooLarge { limit }.into());
        }
        let encoded = Encoded {
            key: key.as_deref(),
            value: value.as_deref(),
            partition: record.partition,
            timestamp: record.timestamp,
            headers,
        };
        let ticket = Ticket::new(&self.batch, self.next);
        let topic = self.production.topic.as_str();
        match self.live.send(topic, encoded, ticket) {
            Ok(()) => {
                self.metrics.record_bytes.inc_by(bytes as u64);
                Ok(())
            }
            Err((code, ticket)) => {
                ticket.withdraw();
                Err(self.unsent(code, record))
            }
        }
    }

    fn unsent(&self, code: Code, record: &Outgoing) -> Unsent {
        match code {
            Code::UnknownPartition | Code::UnknownTopic | Code::UnknownTopicOrPartition
                if !self.has_learnt =>
            {
                Unsent::Unlearnt
            }
            Code::Fatal if self.sent == 0 => Unsent::Broken,
            code => {
                let partition = record.partition.map_or(-1, |partition| partition.get());
                let has_key = record.key.is_some();
                Unsent::Refused(verdict::of(code, Sent::No, partition, has_key))
            }
        }
    }
}

/// Why a record is not in the queue.
enum Unsent {
    Refused(RecordError),
    Unlearnt,
    Broken,
}

impl From<RecordError> for Unsent {
    fn from(error: RecordError) -> Self {
        Self::Refused(error)
    }
}

/// Headers as librdkafka takes them, and how many bytes they have.
fn headers(text: &[u8], count: usize) -> Result<(OwnedHeaders, usize), RecordError> {
    let mut bytes = 0;
    let mut all = Some(OwnedHeaders::new_with_capacity(count));
    let read = read_headers(text, |key, value| {
        bytes += key.len() + value.map_or(0, str::len);
        all = all.take().map(|all| all.insert(Header { key, value }));
    });
    match (read, all) {
        (Ok(()), Some(all)) => Ok((all, bytes)),
        _ => Err(RecordError::Invalid("the headers cannot be read".into())),
    }
}
