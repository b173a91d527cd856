//! Writing records as a native client does, and reading them back.

use std::time::Duration;

use rdkafka::Message;
use rdkafka::TopicPartitionList;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{Header, Headers, OwnedHeaders};
use rdkafka::producer::{FutureProducer, FutureRecord, Producer};
use rdkafka::topic_partition_list::Offset;
use rdkafka::util::Timeout;
use tokio::time::Instant;

use super::builder::blocking;
use super::kafka::Kafka;
use crate::Error;

/// How long reading or writing may stand still.
const STILL: Duration = Duration::from_secs(30);

/// A record to write. Key, value and header values are bytes; what is not set is a Kafka null.
#[derive(Debug, Clone, Default)]
pub struct Record {
    key: Option<Vec<u8>>,
    value: Option<Vec<u8>>,
    headers: Vec<(String, Option<Vec<u8>>)>,
    partition: Option<i32>,
    timestamp: Option<i64>,
}

impl Record {
    /// Makes a record with this value.
    pub fn value(value: impl Into<Vec<u8>>) -> Self {
        Self {
            value: Some(value.into()),
            ..Self::default()
        }
    }

    /// Makes a record whose value is null.
    pub fn tombstone() -> Self {
        Self::default()
    }

    /// Sets the key.
    #[must_use]
    pub fn key(mut self, key: impl Into<Vec<u8>>) -> Self {
        self.key = Some(key.into());
        self
    }

    /// Adds a header.
    #[must_use]
    pub fn header(mut self, name: &str, value: impl Into<Vec<u8>>) -> Self {
        self.headers.push((name.to_owned(), Some(value.into())));
        self
    }

    /// Adds a header whose value is null.
    #[must_use]
    pub fn null_header(mut self, name: &str) -> Self {
        self.headers.push((name.to_owned(), None));
        self
    }

    /// Chooses the partition; by default the key's hash does.
    #[must_use]
    pub fn partition(mut self, partition: i32) -> Self {
        self.partition = Some(partition);
        self
    }

    /// Sets the record's time in milliseconds since 1970; by default the time of writing.
    #[must_use]
    pub fn timestamp(mut self, milliseconds: i64) -> Self {
        self.timestamp = Some(milliseconds);
        self
    }

    fn native<'a>(&'a self, topic: &'a str) -> FutureRecord<'a, [u8], [u8]> {
        let mut record = FutureRecord::to(topic);
        record.key = self.key.as_deref();
        record.payload = self.value.as_deref();
        record.partition = self.partition;
        record.timestamp = self.timestamp;
        if !self.headers.is_empty() {
            let headers = OwnedHeaders::new_with_capacity(self.headers.len());
            record.headers = Some(self.headers.iter().fold(headers, |headers, (key, value)| {
                headers.insert(Header {
                    key,
                    value: value.as_deref(),
                })
            }));
        }
        record
    }
}

/// A record as a native consumer reads it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Read {
    /// The partition.
    pub partition: i32,
    /// The offset in it.
    pub offset: i64,
    /// Milliseconds since 1970.
    pub timestamp: Option<i64>,
    /// The key, or `None` for a Kafka null.
    pub key: Option<Vec<u8>>,
    /// The value, or `None` for a Kafka null.
    pub value: Option<Vec<u8>>,
    /// The headers in order.
    pub headers: Vec<(String, Option<Vec<u8>>)>,
}

impl Read {
    /// Returns the value as text.
    ///
    /// # Panics
    /// When it is null or not UTF-8.
    #[track_caller]
    pub fn text(&self) -> &str {
        let value = self.value.as_deref().expect("the value is not null");
        std::str::from_utf8(value).expect("the value is text")
    }
}

impl Kafka {
    /// Writes records in order (`acks=all`, idempotent) and returns each one's partition and
    /// offset once all are acknowledged.
    ///
    /// # Errors
    /// When Kafka refuses one; others may have been written.
    pub async fn produce(
        &self,
        topic: &str,
        records: impl IntoIterator<Item = Record>,
    ) -> Result<Vec<(i32, i64)>, Error> {
        write(self.producer(), topic, records).await
    }

    /// Writes records in one transaction, which is then committed or aborted: aborted records
    /// stay in the log and take offsets.
    ///
    /// # Errors
    /// When Kafka refuses.
    pub async fn produce_in_transaction(
        &self,
        topic: &str,
        records: impl IntoIterator<Item = Record>,
        commit: bool,
    ) -> Result<Vec<(i32, i64)>, Error> {
        let producer: FutureProducer = self
            .client_config()
            .set("transactional.id", crate::unique("transaction"))
            .create()
            .map_err(Error::kafka("make a transactional producer"))?;
        let failed = |step: &'static str| {
            move |source| Error::Kafka {
                what: format!("{step} a transaction"),
                source,
            }
        };
        let starting = producer.clone();
        blocking(move || {
            starting
                .init_transactions(STILL)
                .map_err(failed("prepare"))?;
            starting.begin_transaction().map_err(failed("begin"))
        })
        .await?;
        let written = write(&producer, topic, records).await?;
        blocking(move || {
            if commit {
                producer.commit_transaction(STILL).map_err(failed("commit"))
            } else {
                producer.abort_transaction(STILL).map_err(failed("abort"))
            }
        })
        .await?;
        Ok(written)
    }

    /// Writes `count` records of `size` bytes each, spread evenly over the topic's partitions:
    /// JSON objects `{"n":<number from 0>,"pad":"…"}` with the key `<number>`; smaller ones than
    /// the number needs get longer.
    ///
    /// # Errors
    /// When Kafka refuses one.
    pub async fn fill(&self, topic: &str, count: u64, size: usize) -> Result<(), Error> {
        let partitions = u64::try_from(self.partitions(topic).await?).unwrap_or_default();
        if partitions == 0 {
            return Err(Error::Kafka {
                what: format!("fill {topic}"),
                source: KafkaError::MessageProduction(RDKafkaErrorCode::UnknownTopic),
            });
        }
        let mut next = 0;
        while next < count {
            let end = count.min(next + 20_000);
            let batch = (next..end).map(|n| {
                let partition = i32::try_from(n % partitions).expect("partitions are an i32");
                Record::value(numbered(n, size))
                    .key(n.to_string())
                    .partition(partition)
            });
            self.produce(topic, batch).await?;
            next = end;
        }
        Ok(())
    }

    /// Reads everything that a topic holds now, by partition and offset, records of open and
    /// aborted transactions excluded.
    ///
    /// # Errors
    /// When Kafka stands still for half a minute.
    pub async fn read_all(&self, topic: &str) -> Result<Vec<Read>, Error> {
        let partitions = self.partitions(topic).await?;
        let mut config = self.client_config();
        config
            .set("group.id", "sluice-tests-never-joined")
            .set("enable.auto.commit", "false")
            .set("enable.partition.eof", "true")
            .set("isolation.level", "read_committed");
        let topic = topic.to_owned();
        let what = format!("read {topic}");
        blocking(move || {
            let reading = || {
                let consumer: BaseConsumer = config.create()?;
                read_to_end(&consumer, &topic, partitions)
            };
            reading().map_err(Error::kafka(what))
        })
        .await
    }
}

async fn write(
    producer: &FutureProducer,
    topic: &str,
    records: impl IntoIterator<Item = Record>,
) -> Result<Vec<(i32, i64)>, Error> {
    let failed = |source| Error::Kafka {
        what: format!("produce to {topic}"),
        source,
    };
    let mut deliveries = Vec::new();
    for record in records {
        let queued = producer.send_result(record.native(topic));
        match queued {
            Ok(delivery) => deliveries.push(delivery),
            Err((source, _)) => return Err(failed(source)),
        }
    }
    let flushing = producer.clone();
    blocking(move || {
        let flushed = flushing.flush(Timeout::After(STILL));
        flushed.map_err(Error::kafka("flush the producer"))
    })
    .await?;
    let mut written = Vec::with_capacity(deliveries.len());
    for delivery in deliveries {
        match delivery.await {
            Ok(Ok(delivery)) => written.push((delivery.partition, delivery.offset)),
            Ok(Err((source, _))) => return Err(failed(source)),
            Err(_) => return Err(failed(KafkaError::Canceled)),
        }
    }
    Ok(written)
}

fn numbered(n: u64, size: usize) -> Vec<u8> {
    let bare = format!(r#"{{"n":{n}}}"#);
    let frame = bare.len() + r#","pad":"""#.len();
    if size < frame {
        return bare.into_bytes();
    }
    format!(r#"{{"n":{n},"pad":"{}"}}"#, "x".repeat(size - frame)).into_bytes()
}

fn read_to_end(
    consumer: &BaseConsumer,
    topic: &str,
    partitions: i32,
) -> Result<Vec<Read>, KafkaError> {
    let mut start = TopicPartitionList::new();
    for partition in 0..partitions {
        start.add_partition_offset(topic, partition, Offset::Beginning)?;
    }
    consumer.assign(&start)?;
    let mut read = Vec::new();
    let mut unfinished = partitions;
    let mut moved = Instant::now();
    while unfinished > 0 {
        match consumer.poll(Duration::from_millis(100)) {
            Some(Ok(message)) => {
                read.push(owned(&message));
                moved = Instant::now();
            }
            Some(Err(KafkaError::PartitionEOF(_))) => unfinished -= 1,
            // Connections that break are opened again; the time limit tells those that stay so.
            Some(Err(error)) if moved.elapsed() > STILL => return Err(error),
            None if moved.elapsed() > STILL => {
                return Err(KafkaError::MessageConsumption(
                    RDKafkaErrorCode::OperationTimedOut,
                ));
            }
            Some(Err(_)) | None => {}
        }
    }
    read.sort_by_key(|record: &Read| (record.partition, record.offset));
    Ok(read)
}

fn owned(message: &impl Message) -> Read {
    let headers = message.headers().map_or_else(Vec::new, |headers| {
        let pair = |header: Header<'_, &[u8]>| {
            let value = header.value.map(<[u8]>::to_vec);
            (header.key.to_owned(), value)
        };
        headers.iter().map(pair).collect()
    });
    Read {
        partition: message.partition(),
        offset: message.offset(),
        timestamp: message.timestamp().to_millis(),
        key: message.key().map(<[u8]>::to_vec),
        value: message.payload().map(<[u8]>::to_vec),
        headers,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbered_records_have_the_size_asked_for() {
        assert_eq!(numbered(7, 100).len(), 100);
        assert_eq!(numbered(7, 0), br#"{"n":7}"#);
        for n in [0, 123_456] {
            let value: serde_json::Value = serde_json::from_slice(&numbered(n, 64)).unwrap();
            assert_eq!(value["n"], n);
        }
    }
}
