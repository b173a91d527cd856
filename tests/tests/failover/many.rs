//! Many sessions at once, and clients that come and go while owners are lost.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures::future::join_all;
use futures::{StreamExt, stream};
use serde_json::json;
use sluice_tests::{Client, Cluster, Kafka, eventually, places, unique};

use crate::{DEADLINE, tell, three};

/// Sessions of groups of their own, all of one topic of ten records.
async fn subscribe(cluster: &Cluster, topic: &str, count: usize) -> Vec<String> {
    let ids: Vec<String> = (0..count).map(|_| unique("session")).collect();
    side_by_side(&ids, async |(number, id)| {
        let spec = json!({"consumer_id": id, "group_id": unique("group"), "topics": [topic],
                          "auto_offset_reset": "earliest", "session_timeout_ms": 600_000});
        let client = cluster.client(number % cluster.nodes().len());
        client.subscribe(spec).await.expect(200);
    })
    .await;
    ids
}

/// Does something with each session, with a few at a time.
async fn side_by_side(ids: &[String], each: impl AsyncFn((usize, String))) {
    let (all, each) = (stream::iter(ids.iter().cloned().enumerate()), &each);
    all.for_each_concurrent(8, |one| each(one)).await;
}

/// A session without an owner is worse than a full node: takers may be half as full again.
#[tokio::test]
async fn sessions_of_a_lost_node_go_on_although_all_others_are_full() {
    let kafka = Kafka::shared().await;
    let cluster = Cluster::builder(kafka.bootstrap());
    let cluster = cluster.env("SLUICE_LIMITS__SESSIONS_PER_NODE", 4);
    let cluster = cluster.start().await;
    let topic = unique("orders");
    kafka.create_topic(&topic, 1).await.unwrap();
    let ids = subscribe(&cluster, &topic, 12).await;
    let spec = json!({"group_id": unique("group"), "topics": [topic]});
    let refused = cluster.client(0).subscribe(spec).await;
    refused.expect_problem(429, "too_many_sessions");
    let lost = cluster.owner(&ids[0]).await.unwrap();
    cluster.kill(lost).await;
    let other = cluster.client((lost + 1) % 3);
    let asked = ids.iter().map(|id| other.position(id));
    for position in join_all(asked).await {
        assert_eq!(position.expect(200)["offsets"][&topic]["0"], 0);
    }
}

/// As many as a node takes by default, all of one node.
#[tokio::test]
async fn all_of_five_hundred_sessions_go_on_when_their_node_is_killed() {
    let kafka = Kafka::shared().await;
    let cluster = three(kafka).await;
    let topic = unique("orders");
    kafka.create_topic(&topic, 1).await.unwrap();
    kafka.fill(&topic, 10, 0).await.unwrap();
    let lost = (cluster.leader().await + 1) % 3;
    let others = [(lost + 1) % 3, (lost + 2) % 3];
    for other in others {
        tell(&cluster, other, "drain").await;
    }
    let ids = subscribe(&cluster, &topic, 500).await;
    let read = |client: Client, id: String, most: u64| async move {
        let body = json!({"max_records": most, "timeout_ms": 60_000});
        let answer = client.consume(&id, body).await.expect(200);
        places(answer.records())
    };
    side_by_side(&ids, async |(_, id)| {
        let client = cluster.client(lost);
        assert_eq!(read(client.clone(), id.clone(), 4).await[0], (0, 0));
        client.commit(&id, ()).await.expect(200);
        assert_eq!(cluster.owner(&id).await, Some(lost));
    })
    .await;
    for other in others {
        tell(&cluster, other, "undrain").await;
    }
    cluster.kill(lost).await;
    let other = cluster.client(others[0]);
    let polls = ids.iter().map(|id| read(other.clone(), id.clone(), 10));
    for came in join_all(polls).await {
        assert_eq!(came.first(), Some(&(0, 4)), "{came:?}");
    }
    side_by_side(&ids, async |(_, id)| {
        other.delete(&id).await.expect(204);
    })
    .await;
}

/// Clients that subscribe, look, and delete while nodes are killed; nothing of theirs is left.
async fn storm(kafka: &Kafka) {
    let cluster = Arc::new(three(kafka).await);
    let topic = unique("orders");
    kafka.create_topic(&topic, 4).await.unwrap();
    let groups: Vec<String> = (0..4).map(|_| unique("group")).collect();
    let blows = Arc::new(AtomicBool::new(true));
    let clients = (0..8).map(|number: usize| {
        let (cluster, blows) = (cluster.clone(), blows.clone());
        let spec = json!({"group_id": groups[number % 4], "topics": [topic]});
        tokio::spawn(async move {
            let mut done = 0;
            while blows.load(Ordering::Relaxed) {
                let mut spec = spec.clone();
                let id = unique("session");
                spec["consumer_id"] = json!(id);
                live_once(&cluster, &id, &spec).await;
                done += 1;
            }
            done
        })
    });
    let clients: Vec<_> = clients.collect();
    for round in 0..3 {
        let node = if round == 0 {
            cluster.leader().await
        } else {
            round
        };
        cluster.kill(node).await;
        cluster.restart(node).await;
    }
    blows.store(false, Ordering::Relaxed);
    let done: Vec<usize> = join_all(clients)
        .await
        .into_iter()
        .map(Result::unwrap)
        .collect();
    assert!(done.iter().all(|times| *times > 0), "{done:?}");
    for group in &groups {
        eventually(DEADLINE, "nobody is left in the group", async || {
            let members = kafka.members(group).await.unwrap();
            members.is_empty().then_some(()).ok_or(members)
        })
        .await;
    }
    let admin = cluster.node(0).admin();
    eventually(DEADLINE, "no session is left", async || {
        let listed = admin.list(&[]).await.expect(200);
        let left = listed["consumers"].as_array().map_or(0, Vec::len);
        (left == 0).then_some(()).ok_or(left)
    })
    .await;
}

/// Subscribes and deletes a session, each as often as it takes.
async fn live_once(cluster: &Cluster, id: &str, spec: &serde_json::Value) {
    let again = Duration::from_millis(20);
    loop {
        let (_, client) = cluster.doors().next();
        let subscribed = client.subscribe(spec).await;
        match subscribed.status() {
            Some(200) => break,
            Some(503 | 504) | None => tokio::time::sleep(again).await,
            Some(_) => drop(subscribed.expect(200)),
        }
    }
    let mut may_be_gone = false;
    loop {
        let (_, client) = cluster.doors().next();
        let deleted = client.delete(id).await;
        match deleted.status() {
            Some(204) => return,
            Some(404) if may_be_gone => return,
            Some(503 | 504) | None => {
                may_be_gone = true;
                tokio::time::sleep(again).await;
            }
            Some(_) => drop(deleted.expect(204)),
        }
    }
}

#[tokio::test]
async fn clients_that_come_and_go_while_nodes_are_killed_leave_nothing_behind() {
    storm(Kafka::shared().await).await;
}

/// As in production, where a group waits for members before its first assignment.
#[tokio::test]
async fn they_leave_nothing_behind_where_groups_wait_for_members_either() {
    let kafka = Kafka::builder().initial_rebalance_delay(Duration::from_secs(3));
    storm(&kafka.start().await).await;
}
