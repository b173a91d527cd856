//! Volumes are full, or lost.

use std::fs;

use futures::future::join_all;
use serde_json::{Value, json};
use sluice_tests::{Client, Cluster, Dice, Kafka, Traffic, Verdict, eventually, unique};

use crate::{DEADLINE, owner_that_follows, three};

/// What a node says when it ends because of its volume.
const FAILED: &str = "the volume failed";

/// Little but what the harness reads.
const QUIET: &str = "error,openraft=off,sluice_node::app=info,sluice_raft::guard::leader=info";

/// A session by which the registry is written: each seek is an entry of the log.
struct Writer {
    id: String,
    seek: Value,
}

impl Writer {
    async fn subscribe(kafka: &Kafka, client: &Client) -> Self {
        let topic = unique("orders");
        kafka.create_topic(&topic, 1).await.unwrap();
        let id = unique("writer");
        let spec = json!({"group_id": unique("group"), "topics": [topic], "consumer_id": id,
                          "session_timeout_ms": 600_000});
        client.subscribe(spec).await.expect(200);
        let seek = json!({"topic": topic, "partition": 0, "offset": 0});
        Self { id, seek }
    }

    /// Writes as fast as it goes, by way of any node that runs, whatever the answers are.
    async fn write(&self, cluster: &Cluster) {
        loop {
            let (_, client) = cluster.doors().next();
            let _ = client.seek(&self.id, &self.seek).await;
        }
    }
}

/// What is on it stays right, and others take its sessions over; with room again, it goes on.
#[tokio::test]
async fn a_node_whose_disk_is_full_ends_with_74_and_others_go_on() {
    let kafka = Kafka::shared().await;
    let cluster = Cluster::builder(kafka.bootstrap());
    // Shorter than the volume: what is told has to be written too.
    let cluster = cluster.env("SLUICE_LOG", QUIET).start().await;
    let mut dice = Dice::cast();
    let traffic = Traffic::builder(&cluster, kafka).start(&mut dice).await;
    let mut writers = Vec::new();
    for _ in 0..12 {
        writers.push(Writer::subscribe(kafka, &cluster.client(0)).await);
    }
    traffic.flows().await;
    let leader = cluster.leader().await;
    let follower = owner_that_follows(&cluster, &traffic, &mut dice).await;
    for full in [follower, leader] {
        let told = cluster.node(full).log().matches(FAILED).count();
        cluster.begin_trouble(full, false);
        let log = fs::metadata(cluster.volume(full).join("log.redb")).unwrap();
        cluster.node(full).limit_files(log.len() / 4).unwrap();
        let writing = join_all(writers.iter().map(|writer| writer.write(&cluster)));
        let code = tokio::select! {
            code = cluster.ended(full, DEADLINE) => code,
            _ = writing => unreachable!("they write without end"),
        };
        cluster.doors().close(full);
        assert_eq!(code, Some(74));
        let told = cluster.node(full).log().matches(FAILED).count() - told;
        assert_eq!(told, 1, "it is said once");
        traffic.polls(2).await;
        traffic.flows().await;
        cluster.restart(full).await;
        traffic.flows().await;
    }
    for writer in &writers {
        cluster.client(0).delete(&writer.id).await.expect(204);
    }
    let verdict = Verdict::owners_lost();
    traffic.finish(&cluster, kafka, &verdict).await;
}

/// It comes back as a new member. At no time is there one voter less to lose.
#[tokio::test]
async fn a_lost_volume_is_replaced_by_a_new_member_in_one_change() {
    let kafka = Kafka::shared().await;
    let cluster = three(kafka).await;
    let mut dice = Dice::cast();
    let traffic = Traffic::builder(&cluster, kafka).start(&mut dice).await;
    traffic.flows().await;
    let first = owner_that_follows(&cluster, &traffic, &mut dice).await;
    let second = cluster.leader().await;
    for lost in [first, second] {
        let before = changes(&cluster);
        cluster.kill(lost).await;
        fs::remove_dir_all(cluster.volume(lost)).unwrap();
        traffic.polls(2).await;
        cluster.restart(lost).await;
        let is_forgotten = "the member of the lost volume is forgotten";
        let seen = eventually(DEADLINE, is_forgotten, async || {
            let mut seen = changes(&cluster);
            seen.retain(|change| !before.contains(change));
            let is_over = seen.iter().any(|change| change.contains("Forget"));
            is_over.then_some(seen.clone()).ok_or(seen)
        })
        .await;
        let voters = seen.iter().filter(|change| change.contains("Voters"));
        let voters: Vec<usize> = voters
            .map(|change| change.matches("RaftId(").count())
            .collect();
        assert!(
            !voters.is_empty() && voters.iter().all(|count| *count == 3),
            "{seen:?}"
        );
        traffic.flows().await;
    }
    // Of the new members, before they have been taken in.
    let verdict = Verdict::owners_lost().or(503, "no_quorum");
    traffic.finish(&cluster, kafka, &verdict).await;
}

/// The changes of the members that leaders have begun.
fn changes(cluster: &Cluster) -> Vec<String> {
    cluster.lines_with("\"changing the members\"")
}
