//! Writing records request by request, natively and over HTTP: the same batches, by as many at
//! once, each waiting for its acknowledgement before it sends the next.

use std::time::Duration;

use futures::future::{join_all, try_join_all};
use rdkafka::ClientConfig;
use rdkafka::producer::{FutureProducer, FutureRecord};
use reqwest::Method;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use super::cost::Cost;
use super::stats::percentile;
use crate::{Client, Node};

/// Requests of each writer that do not count: connections and caches are cold.
const WARM_UP: usize = 3;

/// What is written, and by how many at once.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Writing {
    /// Where to.
    pub topic: String,
    /// How many write at once; over HTTP each has a connection.
    pub writers: usize,
    /// Records that are sent and acknowledged together.
    pub records: usize,
    /// The value of every record, a JSON text.
    pub value: String,
    /// How batches are compressed, by Kafka's names.
    pub compression: String,
    /// For how long.
    pub seconds: f64,
}

/// Writing without a proxy.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct WriteTask {
    /// Where Kafka is.
    pub bootstrap: String,
    /// What to write.
    pub writing: Writing,
}

/// What came of it.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
pub struct Written {
    /// Records acknowledged a second.
    pub records_a_second: f64,
    /// The time of a request, from the first record to the last acknowledgement: the median.
    pub p50_ms: f64,
    /// Of a hundred requests the second slowest takes this long.
    pub p99_ms: f64,
    /// Processor time of the writing process, the node or the native one, for a million records.
    pub cpu_seconds_a_million: f64,
}

/// Writes with a producer that has what Sluice's have: idempotent, `acks=all`, no linger.
pub(super) async fn write(task: &WriteTask) -> Written {
    let writing = &task.writing;
    let producer: FutureProducer = ClientConfig::new()
        .set("bootstrap.servers", &task.bootstrap)
        .set("enable.idempotence", "true")
        .set("acks", "all")
        .set("linger.ms", "0")
        .set("queue.buffering.max.messages", "500000")
        .set("partitioner", "murmur2_random")
        .set("compression.codec", &writing.compression)
        .create()
        .expect("a producer needs nothing but addresses");
    let request = async |_| {
        let sent = (0..writing.records).map(|_| {
            let record: FutureRecord<'_, (), String> =
                FutureRecord::to(&writing.topic).payload(&writing.value);
            let queued = producer.send_result(record);
            queued.map_err(|(error, _)| error).expect("there is room")
        });
        let delivered = try_join_all(sent.collect::<Vec<_>>()).await;
        for delivery in delivered.expect("the producer lives") {
            delivery
                .map_err(|(error, _)| error)
                .expect("Kafka takes it");
        }
    };
    drive(writing, std::process::id(), request).await
}

/// Writes through a node, each writer on a connection of its own.
///
/// # Panics
/// When an answer is not 200, or has another number of offsets than there were records.
pub async fn write_over_http(node: &Node, writing: &Writing) -> Written {
    let record = format!("{{\"value\":{}}}", writing.value);
    let records = vec![record; writing.records].join(",");
    let body = bytes::Bytes::from(format!("{{\"records\":[{records}]}}"));
    let path = format!(
        "/api/topics/{}/produce?compression={}",
        writing.topic, writing.compression
    );
    let clients: Vec<Client> = (0..writing.writers).map(|_| node.client()).collect();
    let request = async |writer: usize| {
        let client = &clients[writer];
        let sending = client
            .request(Method::POST, &path)
            .header("content-type", "application/json")
            .body(body.clone());
        let answer = sending.send().await.expect("the node answers");
        assert_eq!(answer.status(), 200);
        let text = answer.bytes().await.expect("the answer comes whole");
        // Counted, not parsed: the client takes processor time from what it measures.
        let mark = b"\"offset\":";
        let offsets = text.windows(mark.len()).filter(|part| part == mark).count();
        assert_eq!(offsets, writing.records);
    };
    drive(writing, node.pid(), request).await
}

/// Has as many writers as asked for send one request after another, and watches what it costs
/// the process.
async fn drive(writing: &Writing, pid: u32, request: impl AsyncFn(usize)) -> Written {
    let warming = (0..writing.writers).map(async |writer| {
        for _ in 0..WARM_UP {
            request(writer).await;
        }
    });
    join_all(warming).await;
    let (began, cost) = (Instant::now(), Cost::of(pid));
    let end = began + Duration::from_secs_f64(writing.seconds);
    let writers = (0..writing.writers).map(async |writer| {
        let mut took = Vec::new();
        while Instant::now() < end {
            let sent = Instant::now();
            request(writer).await;
            took.push(sent.elapsed().as_secs_f64() * 1000.0);
        }
        took
    });
    let mut took: Vec<f64> = join_all(writers).await.concat();
    let seconds = began.elapsed().as_secs_f64();
    let cpu = (Cost::of(pid) - cost).seconds();
    took.sort_by(f64::total_cmp);
    let records = (took.len() * writing.records) as f64;
    Written {
        records_a_second: records / seconds,
        p50_ms: percentile(&took, 0.5),
        p99_ms: percentile(&took, 0.99),
        cpu_seconds_a_million: cpu / records * 1e6,
    }
}
