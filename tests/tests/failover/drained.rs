//! Nodes end in order, as with SIGTERM.
//!
//! Clients behind a load balancer, which asks nodes whether they are ready, see nothing of it.
//! Those that go round all nodes whatever they say find a port closed, and try the next one.

use std::time::Duration;

use serde_json::json;
use sluice_tests::kafka::Record;
use sluice_tests::{Client, Cluster, Dice, Kafka, Traffic, Verdict, eventually, places, unique};

use crate::{DEADLINE, tell};

/// A node goes on sending requests on for this long: clients here need no time to learn of it.
const LINGER: &str = "2s";

async fn cluster_of(nodes: usize, kafka: &Kafka) -> Cluster {
    let builder = Cluster::builder(kafka.bootstrap()).nodes(nodes);
    builder.env("SLUICE_DRAIN__LINGER", LINGER).start().await
}

#[tokio::test]
async fn nodes_that_drain_in_turn_cost_no_request_and_no_record_and_repeat_none() {
    let kafka = Kafka::shared().await;
    let cluster = cluster_of(3, kafka).await;
    let mut dice = Dice::cast();
    let traffic = Traffic::builder(&cluster, kafka);
    let traffic = traffic.members(3, 3).partitions(6).start(&mut dice).await;
    traffic.flows().await;
    for node in 0..3 {
        cluster.retire(node).await;
        assert_eq!(cluster.ended(node, DEADLINE).await, Some(0));
        traffic.polls(2).await;
        cluster.restart(node).await;
        traffic.flows().await;
    }
    assert!(cluster.all_troubles().is_empty(), "nothing is excused");
    traffic.finish(&cluster, kafka, &Verdict::unnoticed()).await;
}

/// An operator empties a node and lets it take sessions again; the process goes on.
#[tokio::test]
async fn a_node_that_is_told_to_drain_gives_all_it_has_and_nobody_notices() {
    let kafka = Kafka::shared().await;
    let cluster = cluster_of(3, kafka).await;
    let mut dice = Dice::cast();
    let traffic = Traffic::builder(&cluster, kafka);
    let traffic = traffic.members(3, 3).partitions(6).start(&mut dice).await;
    traffic.flows().await;
    let leader = cluster.leader().await;
    for drained in [(leader + 1) % 3, leader] {
        tell(&cluster, drained, "drain").await;
        eventually(DEADLINE, "it has no session", async || {
            let owned = traffic.owned_by(&cluster, drained).await;
            owned.is_empty().then_some(()).ok_or(owned)
        })
        .await;
        traffic.polls(3).await;
        traffic.flows().await;
        tell(&cluster, drained, "undrain").await;
        traffic.flows().await;
    }
    assert!(cluster.all_troubles().is_empty(), "nothing is excused");
    traffic.finish(&cluster, kafka, &Verdict::unnoticed()).await;
}

#[tokio::test]
async fn two_of_five_that_drain_at_once_under_clients_that_go_round_all_cost_no_record() {
    let kafka = Kafka::shared().await;
    let cluster = cluster_of(5, kafka).await;
    let mut dice = Dice::cast();
    let traffic = Traffic::builder(&cluster, kafka);
    let traffic = traffic.members(4, 4).partitions(8).start(&mut dice).await;
    traffic.flows().await;
    let leader = cluster.leader().await;
    let both = [leader, (leader + 1) % 5];
    for node in both {
        cluster.terminate(node);
    }
    for node in both {
        assert_eq!(cluster.ended(node, DEADLINE).await, Some(0));
    }
    traffic.flows().await;
    for node in both {
        cluster.restart(node).await;
    }
    // What comes while a node closes its port is told to ask another.
    let verdict = Verdict::unnoticed().or(503, "shutting_down");
    traffic.finish(&cluster, kafka, &verdict).await;
}

/// It waits at the owner, a node that stays, and no answer is due before the drain is over.
#[tokio::test]
async fn a_long_poll_by_way_of_a_node_that_drains_is_answered_in_good_order() {
    let kafka = Kafka::shared().await;
    let cluster = cluster_of(3, kafka).await;
    let topic = unique("orders");
    kafka.create_topic(&topic, 1).await.unwrap();
    let spec = json!({"group_id": unique("group"), "topics": [topic]});
    let session = cluster.client(0).subscribe(spec).await.expect(200);
    let id = session.text_at("consumer_id").to_owned();
    let owner = cluster.owner(&id).await.unwrap();
    let entry = (owner + 1) % 3;
    let polling = tokio::spawn({
        let (client, id) = (cluster.client(entry), id.clone());
        async move { client.consume(&id, json!({"timeout_ms": 60_000})).await }
    });
    eventually(DEADLINE, "the poll waits", async || {
        let described = cluster.client(owner).get(&id).await.expect(200);
        described["idle_ms"] == 0
    })
    .await;
    cluster.terminate(entry);
    assert_eq!(cluster.ended(entry, DEADLINE).await, Some(0));
    let polled = polling.await.unwrap().expect(200);
    assert!(polled.records().is_empty());
    cluster.restart(entry).await;
    cluster.client(owner).delete(&id).await.expect(204);
}

#[tokio::test]
async fn nothing_is_lost_when_all_nodes_are_stopped_at_once_and_start_again() {
    let kafka = Kafka::shared().await;
    let cluster = cluster_of(3, kafka).await;
    let mut dice = Dice::cast();
    let traffic = Traffic::builder(&cluster, kafka).start(&mut dice).await;
    traffic.flows().await;
    for node in 0..3 {
        cluster.terminate(node);
    }
    for node in 0..3 {
        assert_eq!(cluster.ended(node, DEADLINE).await, Some(0));
    }
    for node in 0..3 {
        cluster.revive(node).await;
    }
    for node in 0..3 {
        cluster.ready(node).await;
        cluster.end_trouble(node);
    }
    traffic.flows().await;
    let verdict = Verdict::owners_lost()
        .or(503, "shutting_down")
        .or(503, "owner_unavailable")
        .or(503, "no_quorum");
    traffic.finish(&cluster, kafka, &verdict).await;
}

/// What comes while nobody takes it waits for whoever asks next, at the next owner.
#[tokio::test]
async fn a_poll_whose_client_has_gone_takes_no_record_with_it_into_a_drain() {
    let kafka = Kafka::shared().await;
    let cluster = cluster_of(3, kafka).await;
    let topic = unique("orders");
    kafka.create_topic(&topic, 1).await.unwrap();
    let spec = json!({"group_id": unique("group"), "topics": [topic],
                      "auto_offset_reset": "earliest"});
    let session = cluster.client(0).subscribe(spec).await.expect(200);
    let id = session.text_at("consumer_id");
    let record = |n: i32| Record::value(n.to_string()).partition(0);
    let (mut came, mut written) = (Vec::new(), 0);
    for _ in 0..3 {
        let owner = cluster.owner(id).await.unwrap();
        let entry = (owner + 1) % 3;
        let impatient = Duration::from_millis(300);
        let gone = Client::with_timeout(cluster.client(entry).base(), impatient);
        let left = gone.consume(id, json!({"timeout_ms": 60_000})).await;
        assert_eq!(left.status(), None, "its client has not waited");
        cluster.terminate(owner);
        kafka.produce(&topic, (0..5).map(record)).await.unwrap();
        written += 5;
        while came.len() < written {
            let body = json!({"timeout_ms": 20_000, "max_records": 2});
            let polled = cluster.client(entry).consume(id, body).await.expect(200);
            came.extend(places(polled.records()));
        }
        assert_eq!(cluster.ended(owner, DEADLINE).await, Some(0));
        cluster.restart(owner).await;
    }
    let expected: Vec<(i32, i64)> = (0..15).map(|offset| (0, offset)).collect();
    assert_eq!(came, expected);
    cluster.client(0).delete(id).await.expect(204);
}
