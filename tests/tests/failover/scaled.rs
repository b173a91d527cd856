//! Nodes come and go, several at a time.

use std::fs;

use reqwest::Method;
use serde_json::json;
use sluice_tests::{Cluster, Dice, Kafka, Traffic, Verdict, eventually, unique};

use crate::DEADLINE;

async fn stop(cluster: &Cluster, nodes: &[usize]) {
    for node in nodes {
        cluster.terminate(*node);
    }
    for node in nodes {
        assert_eq!(cluster.ended(*node, DEADLINE).await, Some(0));
        cluster.doors().close(*node);
    }
}

async fn start(cluster: &Cluster, nodes: &[usize]) {
    for node in nodes {
        cluster.revive(*node).await;
    }
    for node in nodes {
        cluster.ready(*node).await;
        cluster.end_trouble(*node);
    }
}

/// So many nodes vote, all of them run, and they decide.
async fn decide(cluster: &Cluster, count: usize) {
    let leader = cluster.leader().await;
    let reason = format!("{count} nodes vote");
    eventually(DEADLINE, &reason, async || {
        let admin = cluster.node(leader).admin();
        let shown = admin.call(Method::GET, "/api/cluster", ()).await;
        let shown = shown.expect(200);
        let nodes = shown["nodes"].as_array().unwrap();
        let votes = |role: &str| ["leader", "voter"].contains(&role);
        let votes = |node: &&serde_json::Value| node["role"].as_str().is_some_and(votes);
        let voters: Vec<_> = nodes.iter().filter(votes).collect();
        let all_live = voters.iter().all(|node| node["state"] == "alive");
        let is_so = voters.len() == count && all_live;
        is_so.then_some(()).ok_or(shown.json)
    })
    .await;
    let id = unique("scratch");
    let topic = unique("orders");
    let (_, client) = cluster.doors().next();
    let nowhere = json!({"group_id": id, "topics": [topic], "consumer_id": id});
    let refused = client.subscribe(nowhere).await;
    refused.expect_problem(404, "topic_not_found");
    // Said only when a majority confirms that nobody knows it.
    let unknown = client.position(&id).await;
    unknown.expect_problem(404, "consumer_not_found");
}

#[tokio::test]
async fn sessions_go_on_from_five_nodes_to_one_and_back_to_five() {
    let kafka = Kafka::shared().await;
    let cluster = Cluster::builder(kafka.bootstrap()).nodes(5);
    let cluster = cluster.env("SLUICE_DRAIN__LINGER", "1s").start().await;
    let mut dice = Dice::cast();
    let traffic = Traffic::builder(&cluster, kafka);
    let traffic = traffic.members(4, 4).partitions(8).start(&mut dice).await;
    traffic.flows().await;
    let mut order: Vec<usize> = (0..5).collect();
    for last in (1..5).rev() {
        let other = usize::try_from(dice.below(last as u64 + 1)).unwrap();
        order.swap(last, other);
    }
    let (first, second) = (&order[..2], &order[2..4]);
    stop(&cluster, first).await;
    decide(&cluster, 3).await;
    traffic.flows().await;
    stop(&cluster, second).await;
    decide(&cluster, 1).await;
    traffic.flows().await;
    // Two that are new, and two that were here before.
    for node in second {
        fs::remove_dir_all(cluster.volume(*node)).unwrap();
    }
    start(&cluster, second).await;
    decide(&cluster, 3).await;
    traffic.flows().await;
    start(&cluster, first).await;
    decide(&cluster, 5).await;
    traffic.flows().await;
    // What comes while a node closes its port is told to ask another, and so is what comes before
    // a new one has been taken in.
    let verdict = Verdict::unnoticed();
    let verdict = verdict.or(503, "shutting_down").or(503, "no_quorum");
    traffic.finish(&cluster, kafka, &verdict).await;
}
