//! `limits.inflight_answer_bytes`, of answers that come from another node.
//!
//! ```text
//!   slow client <── 9 MB ── node 0 <── node 1     more than the budget: one record always passes
//!        client <── ? ───── node 0 <── node 2     what is left for others meanwhile
//! ```

use std::time::Duration;

use serde_json::{Value, json};
use sluice_tests::kafka::Record;
use sluice_tests::raw::Connection;
use sluice_tests::{Client, Cluster, Kafka, eventually, unique};
use tokio::time::sleep;

use crate::{DEADLINE, name, start};

/// Far more than the network takes while nobody reads.
const LARGE: usize = 9_000_000;

/// The least that may be configured.
const BUDGET: (&str, &str) = ("SLUICE_LIMITS__INFLIGHT_ANSWER_BYTES", "1MiB");

/// A topic with so many records of this size, in one partition.
async fn topic(records: usize, bytes: usize) -> String {
    let (kafka, topic) = (Kafka::shared().await, unique("orders"));
    let settings = [("max.message.bytes", "10000000")];
    kafka.create_topic_with(&topic, 1, &settings).await.unwrap();
    produce(&topic, records, bytes).await;
    topic
}

async fn produce(topic: &str, records: usize, bytes: usize) {
    let record = || Record::value(vec![b'x'; bytes]);
    let records = (0..records).map(|_| record());
    Kafka::shared().await.produce(topic, records).await.unwrap();
}

/// Subscribes until a session is on the node of this number, as it soon is: they are spread.
async fn session_on(cluster: &Cluster, number: usize, topic: &str) -> String {
    let client = cluster.client(0);
    for _ in 0..9 {
        let body = json!({"group_id": unique("group"), "topics": [topic],
            "auto_offset_reset": "earliest", "session_timeout_ms": 600_000});
        let session = client.subscribe(body).await.expect(200);
        let id = session.text_at("consumer_id").to_owned();
        let described = client.get(&id).await.expect(200);
        if described["owner"] == name(number) {
            return id;
        }
    }
    panic!("no session came to node {number}");
}

/// An answer larger than the budget, on its way from node 1 over node 0 to a slow client.
struct Slow(Connection);

impl Slow {
    async fn begin(cluster: &Cluster) -> Self {
        let large = topic(1, LARGE).await;
        let session = session_on(cluster, 1, &large).await;
        let mut connection = Connection::open_narrow(&cluster.client(0)).await;
        let path = format!("/api/consumers/{session}/consume");
        connection.post(&path, &json!({})).await;
        assert!(connection.read(1_000).await);
        Self(connection)
    }

    /// Goes on taking it, so slowly that it is not done before the other work is.
    async fn beside<T>(&mut self, work: impl Future<Output = T>) -> T {
        let taking = async {
            for step in 1.. {
                assert!(self.0.read(step * 50_000).await);
                sleep(Duration::from_millis(200)).await;
            }
        };
        tokio::select! {
            done = work => done,
            () = taking => unreachable!("it has no end"),
        }
    }
}

/// Since when no request has been at a session.
async fn idle_ms(client: &Client, session: &str) -> i64 {
    let described = client.get(session).await.expect(200);
    described["idle_ms"].as_i64().unwrap()
}

fn offsets(records: &[Value]) -> Vec<i64> {
    let offset = |record: &Value| record["offset"].as_i64().unwrap();
    records.iter().map(offset).collect()
}

#[tokio::test]
async fn polls_that_are_sent_on_get_smaller_answers_when_the_budget_is_used_up() {
    let cluster = start(Kafka::shared().await.bootstrap(), &[BUDGET]).await;
    let topic = topic(20, 30_000).await;
    let session = session_on(&cluster, 2, &topic).await;
    let (entry, owner) = (cluster.client(0), cluster.client(2));
    let most = |records: usize| json!({"max_records": records, "max_bytes_total": 10_000_000});
    let mut slow = Slow::begin(&cluster).await;
    slow.beside(async {
        for offset in 0..5 {
            let polled = entry.consume(&session, most(10)).await.expect(200);
            assert_eq!(offsets(polled.records()), [offset], "one always passes");
        }
        // There are more, and the owner has room for them.
        let polled = owner.consume(&session, most(5)).await.expect(200);
        assert_eq!(offsets(polled.records()), [5, 6, 7, 8, 9]);
    })
    .await;
    slow.0.reset();
    let mut next = 10;
    eventually(DEADLINE, "the budget is free again", async || {
        let polled = entry.consume(&session, most(2)).await.expect(200);
        let offsets = offsets(polled.records());
        assert_eq!(offsets.first(), Some(&next), "none was lost or repeated");
        next += i64::try_from(offsets.len()).unwrap();
        offsets.len() == 2
    })
    .await;
}

#[tokio::test]
async fn an_answer_that_has_no_room_any_more_stays_with_its_owner() {
    let cluster = start(Kafka::shared().await.bootstrap(), &[BUDGET]).await;
    let topic = topic(0, 0).await;
    let session = session_on(&cluster, 2, &topic).await;
    let entry = cluster.client(0);
    let body = json!({"timeout_ms": 60_000, "max_bytes_total": 10_000_000});
    eventually(DEADLINE, "no poll waits yet", async || {
        idle_ms(&entry, &session).await > 0
    })
    .await;
    let waiting = tokio::spawn({
        let (entry, session, body) = (entry.clone(), session.clone(), body.clone());
        async move { entry.consume(&session, body).await }
    });
    // From then on it has been told that there is room for much.
    eventually(DEADLINE, "the poll waits at its owner", async || {
        idle_ms(&entry, &session).await == 0
    })
    .await;
    let mut slow = Slow::begin(&cluster).await;
    let polled = slow
        .beside(async {
            produce(&topic, 3, 200_000).await;
            waiting.await.unwrap().expect(200)
        })
        .await;
    assert_eq!(offsets(polled.records()), [0]);
    assert!(cluster.node(0).log_contains("no room for an answer"));
    slow.0.reset();
    let mut seen = 1;
    while seen < 3 {
        let polled = entry.consume(&session, &body).await.expect(200);
        let expected: Vec<i64> = (seen..).take(polled.records().len()).collect();
        assert_eq!(offsets(polled.records()), expected);
        seen += i64::try_from(expected.len()).unwrap();
    }
}
