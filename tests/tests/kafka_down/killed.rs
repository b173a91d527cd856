//! No broker listens.

use std::time::Duration;

use reqwest::Method;
use serde_json::json;
use sluice_tests::kafka::Record;
use sluice_tests::{Kafka, Node, eventually, unique};
use tokio::time::Instant;

use crate::{DEADLINE, LATE, Reader, assert_waits, fill_anew, readiness, topic};

#[tokio::test]
async fn a_node_starts_without_kafka_and_works_when_it_comes() {
    let kafka = Kafka::start().await;
    let topic = topic(&kafka, 10).await;
    kafka.kill().unwrap();
    let node = Node::builder().kafka(&kafka).start().await;
    let client = node.client();
    client.call(Method::GET, "/livez", ()).await.expect(200);
    assert_eq!(readiness(&client).await, "degraded");

    let id = unique("c");
    let body = json!({"group_id": unique("g"), "topics": [topic], "consumer_id": id,
                      "auto_offset_reset": "earliest"});
    let begun = Instant::now();
    let refused = client.subscribe(&body).await;
    assert_waits(&refused.expect_problem(503, "kafka_unavailable"));
    // A broker that refuses is known to be away; the deadline is 30 s.
    assert!(
        begun.elapsed() < Duration::from_secs(15),
        "{:?}",
        begun.elapsed()
    );
    let session = client.get(&id).await;
    session.expect_problem(404, "consumer_not_found");

    kafka.restart().await.unwrap();
    eventually(DEADLINE, "the node finds kafka", async || {
        client.subscribe(&body).await.status() == Some(200)
    })
    .await;
    let polled = client.consume(&id, json!({"timeout_ms": 30_000})).await;
    assert!(!polled.expect(200).records().is_empty());
    assert_eq!(readiness(&client).await, "ok");
}

#[tokio::test]
async fn a_subscribe_during_which_kafka_dies_leaves_nothing_behind() {
    // Long enough to be seen joining.
    let kafka = Kafka::builder()
        .initial_rebalance_delay(Duration::from_secs(20))
        .start()
        .await;
    let topic = topic(&kafka, 1).await;
    let node = Node::builder().kafka(&kafka).start().await;
    let client = node.client();
    let (group, id) = (unique("g"), unique("c"));
    let body = json!({"group_id": group, "topics": [topic], "consumer_id": id});
    let begun = Instant::now();
    let kill = async {
        eventually(DEADLINE, "the session joins", async || {
            !kafka.members(&group).await.unwrap().is_empty()
        })
        .await;
        kafka.kill().unwrap();
    };
    let (refused, ()) = tokio::join!(client.subscribe(&body), kill);
    assert_waits(&refused.expect_problem(503, "kafka_unavailable"));
    assert!(begun.elapsed() < Duration::from_secs(30) + LATE);
    let session = client.get(&id).await;
    session.expect_problem(404, "consumer_not_found");

    kafka.restart().await.unwrap();
    eventually(DEADLINE, "the group has no members", async || {
        kafka
            .members(&group)
            .await
            .map(|members| members.is_empty())
    })
    .await;
}

#[tokio::test]
async fn a_session_survives_a_restart_of_kafka_and_its_client_sees_every_record() {
    let kafka = Kafka::start().await;
    let topic = topic(&kafka, 40).await;
    let node = Node::builder().kafka(&kafka).start().await;
    let mut reader = Reader::subscribe(&node, &unique("g"), &topic).await;
    reader.read_to(10).await;
    kafka.kill().unwrap();

    let refused = reader.poll_until_unavailable(3_000).await;
    assert_waits(&refused);
    let session = reader.client.get(&reader.id).await.expect(200);
    assert_eq!(session["assignment"], json!({&topic: [0]}));
    assert_eq!(readiness(&reader.client).await, "degraded");

    kafka.restart().await.unwrap();
    fill_anew(&kafka, &topic, 40).await;
    reader.read_to(80).await;
    reader.check(80);
    assert!(node.is_running());
}

#[tokio::test]
async fn a_poll_goes_on_when_the_broker_is_back_in_time() {
    let kafka = Kafka::start().await;
    let topic = topic(&kafka, 0).await;
    let node = Node::builder().kafka(&kafka).start().await;
    let reader = Reader::subscribe(&node, &unique("g"), &topic).await;
    let restart = async {
        kafka.kill().unwrap();
        eventually(DEADLINE, "the node has noticed", async || {
            readiness(&reader.client).await == "degraded"
        })
        .await;
        kafka.restart().await.unwrap();
        kafka.produce(&topic, [Record::value("x")]).await.unwrap();
    };
    let (polled, ()) = tokio::join!(reader.poll(120_000), restart);
    assert_eq!(polled.expect(200).records().len(), 1);
}

#[tokio::test]
async fn a_commit_without_kafka_is_not_called_done_and_a_later_one_counts() {
    let kafka = Kafka::start().await;
    let topic = topic(&kafka, 20).await;
    let node = Node::builder().kafka(&kafka).start().await;
    let group = unique("g");
    let reader = Reader::subscribe(&node, &group, &topic).await;
    reader.commit(2, 30_000).await.expect(200);
    kafka.kill().unwrap();

    let begun = Instant::now();
    let refused = reader.commit(5, 2_000).await;
    assert!(begun.elapsed() < Duration::from_secs(2) + LATE);
    match refused.status() {
        Some(503) => drop(refused.expect_problem(503, "kafka_unavailable")),
        _ => drop(refused.expect_problem(504, "outcome_unknown")),
    }

    kafka.restart().await.unwrap();
    eventually(DEADLINE, "a commit is done", async || {
        reader.commit(9, 30_000).await.status() == Some(200)
    })
    .await;
    assert_eq!(kafka.committed(&group, &topic).await.unwrap()[&0], 9);
    // A seek waits for all commits that are under way: the first one does not land behind this.
    reader.seek(json!(0), 30_000).await.expect(200);
    assert_eq!(kafka.committed(&group, &topic).await.unwrap()[&0], 9);
    assert_eq!(reader.position().await, 0);
}

#[tokio::test]
async fn a_delete_without_kafka_is_done_and_the_id_works_again_when_it_is_back() {
    let kafka = Kafka::start().await;
    let topic = topic(&kafka, 1).await;
    let node = Node::builder().kafka(&kafka).start().await;
    let (client, id) = (node.client(), unique("c"));
    let body = json!({"group_id": unique("g"), "topics": [topic], "consumer_id": id});
    client.subscribe(&body).await.expect(200);
    kafka.kill().unwrap();
    let begun = Instant::now();
    client.delete(&id).await.expect(204);
    assert!(begun.elapsed() < Duration::from_secs(30) + LATE);
    let session = client.get(&id).await;
    session.expect_problem(404, "consumer_not_found");

    kafka.restart().await.unwrap();
    eventually(DEADLINE, "the id is free", async || {
        client.subscribe(&body).await.status() == Some(200)
    })
    .await;
}

#[tokio::test]
async fn all_sessions_of_a_node_survive_a_restart_of_kafka() {
    let kafka = Kafka::start().await;
    let topic = topic(&kafka, 10).await;
    let node = Node::builder().kafka(&kafka).start().await;
    let mut readers = Vec::new();
    for _ in 0..5 {
        readers.push(Reader::subscribe(&node, &unique("g"), &topic).await);
    }
    kafka.kill().unwrap();
    for _ in 0..3 {
        for reader in &mut readers {
            reader.poll_until_unavailable(500).await;
        }
    }
    kafka.restart().await.unwrap();
    fill_anew(&kafka, &topic, 10).await;
    for reader in &mut readers {
        reader.read_to(20).await;
        reader.check(20);
    }
}
