//! A node stands still between the command that gives it sessions and their joins, and goes on when
//! others have taken over.
//!
//! It reaches Kafka by a slow way, so that no join can come before it stands still: they are sent
//! when it goes on.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::json;
use sluice_tests::fault::{Direction, Proxy};
use sluice_tests::{Cluster, Dice, Kafka, Traffic, Verdict, eventually, places, unique};

use crate::DEADLINE;

/// The node whose way to Kafka can be slow.
const TAKER: usize = 4;

/// How long that takes, each way: long enough that no join is sent before the node stands still,
/// which is five ways there and back later, and not so long that Kafka counts as out of reach.
const SLOW: Duration = Duration::from_millis(400);

/// What a node says when it begins to open a session that it was given.
const OPENED: &str = "\"session opened\"";

/// Five nodes, since two are away for a while.
async fn five(kafka: &Kafka) -> Cluster {
    let mut ways = vec![kafka.bootstrap().to_owned(); TAKER];
    ways.push(kafka.proxied_bootstrap());
    let cluster = Cluster::builder(kafka.bootstrap()).nodes(5);
    cluster.bootstraps(ways).start().await
}

fn way(kafka: &Kafka) -> &Proxy {
    kafka.brokers()[0].proxy().unwrap()
}

/// Kills the owner of the sessions, and has the taker of some of them stand still before their
/// joins are sent. On return all have owners that run.
async fn freeze_while_opening(cluster: &Cluster, kafka: &Kafka, ids: &[String], killed: usize) {
    way(kafka).delay(Direction::Both, SLOW);
    cluster.kill(killed).await;
    eventually(DEADLINE, "the taker opens a session", async || {
        let log = cluster.node(TAKER).log();
        let opened = |line: &str| line.contains(OPENED) && ids.iter().any(|id| line.contains(id));
        log.lines().any(opened)
    })
    .await;
    cluster.freeze(TAKER);
    for id in ids {
        let reason = format!("{id} has an owner that runs");
        eventually(DEADLINE, &reason, async || {
            let owner = cluster.owner(id).await?;
            (owner != TAKER && owner != killed).then_some(())
        })
        .await;
    }
}

/// Lets the taker send its joins, and waits until it knows that it is too late.
async fn thaw(cluster: &Cluster, kafka: &Kafka) {
    way(kafka).heal().await;
    cluster.thaw(TAKER);
    eventually(DEADLINE, "the thawed process learns it", async || {
        cluster.node(TAKER).log_contains("declared dead")
    })
    .await;
}

#[tokio::test]
async fn joins_that_come_too_late_take_no_session_of_a_group_from_its_owner() {
    let kafka = Kafka::builder().through_proxy().start().await;
    let cluster = five(&kafka).await;
    let mut dice = Dice::cast();
    let traffic = Traffic::builder(&cluster, &kafka);
    let traffic = traffic.members(6, 6).partitions(12).start(&mut dice).await;
    traffic.flows().await;
    let mut killed = traffic.owners(&cluster).await;
    killed.retain(|owner| *owner != TAKER);
    let killed = *dice.one_of(&killed);
    let owned = traffic.owned_by(&cluster, killed).await;
    freeze_while_opening(&cluster, &kafka, &owned, killed).await;
    traffic.flows().await;
    thaw(&cluster, &kafka).await;
    traffic.polls(5).await;
    traffic.flows().await;
    cluster.restart(killed).await;
    let verdict = Verdict::owners_lingered()
        .or(409, "superseded")
        // By the thawed one, before it is a node again.
        .or(503, "no_quorum")
        .or(503, "kafka_unavailable")
        .or(503, "rebalance_in_progress")
        .or(504, "kafka_timeout")
        .or(504, "outcome_unknown");
    traffic.finish(&cluster, &kafka, &verdict).await;
}

/// Nobody fences here: each record comes once by the leases alone.
#[tokio::test]
async fn a_taker_that_stood_still_serves_no_assigned_session_of_another() {
    let kafka = Kafka::builder().through_proxy().start().await;
    let cluster = five(&kafka).await;
    let topic = unique("orders");
    kafka.create_topic(&topic, 1).await.unwrap();
    kafka.fill(&topic, 60, 0).await.unwrap();
    let mut owned = BTreeMap::<usize, Vec<String>>::new();
    for _ in 0..20 {
        let spec = json!({"group_id": unique("group"), "topics": [topic],
                          "auto_offset_reset": "earliest", "session_timeout_ms": 600_000});
        let subscribed = cluster.client(0).subscribe(spec).await.expect(200);
        let id = subscribed.text_at("consumer_id").to_owned();
        let assign = json!({"topics": {&topic: [0]}});
        cluster.client(0).assign(&id, assign).await.expect(200);
        reads_on(&cluster, 0, &id, 0).await;
        let owner = cluster.owner(&id).await.unwrap();
        owned.entry(owner).or_default().push(id);
    }
    let (killed, ids) = owned.iter().find(|(owner, _)| **owner != TAKER).unwrap();
    assert!(ids.len() > 2, "sessions are spread: {owned:?}");
    freeze_while_opening(&cluster, &kafka, ids, *killed).await;
    let entry = (killed + 1) % TAKER;
    for id in ids {
        reads_on(&cluster, entry, id, 10).await;
    }
    thaw(&cluster, &kafka).await;
    // By way of the one that stood still, which may take itself for their owner for a moment.
    for (round, node) in [(2, TAKER), (3, entry), (4, TAKER)] {
        for id in ids {
            reads_on(&cluster, node, id, round * 10).await;
        }
    }
    for id in owned.values().flatten() {
        cluster.client(entry).delete(id).await.expect(204);
    }
}

/// Reads ten records from this offset on, which come only there and then, and commits them.
async fn reads_on(cluster: &Cluster, node: usize, id: &str, from: i64) {
    let client = cluster.client(node);
    let mut came = Vec::new();
    while came.len() < 10 {
        let body = json!({"max_records": 10 - came.len(), "timeout_ms": 20_000});
        came.extend(places(client.consume(id, body).await.expect(200).records()));
    }
    let expected: Vec<(i32, i64)> = (from..from + 10).map(|offset| (0, offset)).collect();
    assert_eq!(came, expected, "{id} by way of node {node}");
    client.commit(id, ()).await.expect(200);
}
