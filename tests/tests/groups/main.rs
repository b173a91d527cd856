//! Sessions as members of Kafka consumer groups, beside each other and beside native members.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

mod change;
mod membership;
mod native;
mod new_type;
mod sharing;

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::{Value, json};
use sluice_tests::reader::{self, assigned};
use sluice_tests::{Client, Kafka, Reader, eventually, unique};

/// Far more than any rebalance takes, also on a machine that is busy with other tests.
const DEADLINE: Duration = Duration::from_secs(60);

async fn new_topic(kafka: &Kafka, partitions: i32) -> String {
    let topic = unique("orders");
    kafka.create_topic(&topic, partitions).await.unwrap();
    topic
}

fn spec(group: &str, topic: &str) -> Value {
    json!({"group_id": group, "topics": [topic], "auto_offset_reset": "earliest"})
}

/// Waits until the sessions hold all partitions between them, none twice and each at least one,
/// and returns what each holds.
async fn shares(client: &Client, ids: &[&str], topic: &str, partitions: i32) -> Vec<BTreeSet<i32>> {
    eventually(DEADLINE, "the partitions are shared", async || {
        let mut shares = Vec::new();
        for id in ids {
            shares.push(assigned(&client.assignment(id).await.expect(200), topic));
        }
        if are_shares(&shares, partitions) {
            Ok(shares)
        } else {
            Err(shares)
        }
    })
    .await
}

/// Whether these are all partitions, none of them twice, and nobody goes without.
fn are_shares(shares: &[BTreeSet<i32>], partitions: i32) -> bool {
    let mut all: Vec<i32> = shares.iter().flatten().copied().collect();
    all.sort_unstable();
    all.iter().copied().eq(0..partitions) && shares.iter().all(|share| !share.is_empty())
}

/// Lets the clients read and commit until nothing of the topic is left unread.
async fn read_to_the_end(kafka: &Kafka, topic: &str, readers: &mut [&mut Reader]) {
    let ends = kafka.end_offsets(topic).await.unwrap();
    eventually(DEADLINE, "everything has been read", async || {
        for reader in readers.iter_mut() {
            reader.poll(100).await;
            reader.commit().await;
        }
        let missing = reader::missing(&ends, readers.iter().flat_map(|r| r.seen()));
        if missing.is_empty() {
            Ok(())
        } else {
            Err(missing)
        }
    })
    .await;
}
