//! What a node holds when clients send far more than Kafka takes.

use std::time::Duration;

use reqwest::Method;
use sluice_tests::bench::{Table, threads_and_memory};
use sluice_tests::{Error, Kafka, Node, unique};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

/// Clients that send at once, each again as soon as it is answered.
const CLIENTS: usize = 400;
/// Records of a request.
const RECORDS: usize = 1_000;
/// Bytes of a record's value.
const VALUE: usize = 1_000;
/// Kafka takes nothing for so long.
const FROZEN: Duration = Duration::from_secs(10);
/// Between two looks at the memory.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// What clients were answered.
#[derive(Debug, Default, Clone, Copy)]
struct Answered {
    written: usize,
    refused: usize,
    otherwise: usize,
    slowest_refusal: Duration,
}

impl Answered {
    fn add(&mut self, other: Self) {
        self.written += other.written;
        self.refused += other.refused;
        self.otherwise += other.otherwise;
        self.slowest_refusal = self.slowest_refusal.max(other.slowest_refusal);
    }
}

/// Floods a node that may hold so many MiB, while Kafka stands still, and lets Kafka go on.
async fn flood(kafka: &Kafka, limit_mib: u64) -> Result<[String; 8], Error> {
    let topic = unique("flood");
    kafka.create_topic(&topic, 8).await?;
    let node = Node::builder()
        .kafka(kafka)
        .env(
            "SLUICE_LIMITS__PRODUCE_BUFFER_BYTES",
            format!("{limit_mib}MiB"),
        )
        .start()
        .await;
    let record = format!("{{\"value\":\"{}\"}}", "x".repeat(VALUE));
    let body = format!("{{\"records\":[{}]}}", vec![record; RECORDS].join(","));
    let body = bytes::Bytes::from(body);
    let path = format!("/api/topics/{topic}/produce");
    // The producer is there, and has been used.
    send(&node, &path, &body).await;
    let (_, before) = threads_and_memory(node.pid());
    kafka.freeze()?;
    let end = Instant::now() + FROZEN;
    let mut clients = JoinSet::new();
    for _ in 0..CLIENTS {
        let (client, path, body) = (node.client(), path.clone(), body.clone());
        clients.spawn(async move {
            let mut answered = Answered::default();
            while Instant::now() < end {
                let request = client.request(Method::POST, &path);
                let request = request.header("content-type", "application/json");
                let sent = Instant::now();
                match request.body(body.clone()).send().await {
                    Ok(answer) if answer.status() == 200 => answered.written += 1,
                    Ok(answer) if answer.status() == 429 => {
                        answered.refused += 1;
                        answered.slowest_refusal = answered.slowest_refusal.max(sent.elapsed());
                    }
                    Ok(_) | Err(_) => answered.otherwise += 1,
                }
            }
            answered
        });
    }
    let mut most = before;
    while Instant::now() < end {
        most = most.max(threads_and_memory(node.pid()).1);
        sleep(LOOK_EVERY).await;
    }
    kafka.thaw()?;
    let mut all = Answered::default();
    while let Some(answered) = clients.join_next().await {
        all.add(answered.expect("a client does not panic"));
        most = most.max(threads_and_memory(node.pid()).1);
    }
    kafka.delete_topic(&topic).await?;
    let mib = |bytes: u64| format!("{:.0}", bytes as f64 / (1 << 20) as f64);
    let offered = (all.written + all.refused + all.otherwise) * body.len();
    Ok([
        limit_mib.to_string(),
        mib(before),
        mib(most),
        mib(offered as u64),
        all.written.to_string(),
        all.refused.to_string(),
        all.otherwise.to_string(),
        format!("{:.0}", all.slowest_refusal.as_secs_f64() * 1000.0),
    ])
}

async fn send(node: &Node, path: &str, body: &bytes::Bytes) {
    let request = node.client().request(Method::POST, path);
    let request = request.header("content-type", "application/json");
    let answer = request.body(body.clone()).send().await;
    assert_eq!(answer.expect("the node answers").status(), 200);
}

/// Floods nodes that may hold little, and as much as by default.
pub(crate) async fn measure() -> Result<Table, Error> {
    let mut table = Table::new([
        "limit MiB",
        "before MiB",
        "at most MiB",
        "offered MiB",
        "written",
        "429",
        "otherwise",
        "slowest 429, ms",
    ]);
    for limit in [64, 256] {
        let kafka = Kafka::start().await;
        table.row(flood(&kafka, limit).await?);
    }
    Ok(table)
}
