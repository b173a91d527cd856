//! The broker stands still: connections stay open, nothing is answered.

use std::time::Duration;

use reqwest::Method;
use serde_json::json;
use sluice_tests::{Kafka, Node, eventually, unique};
use tokio::time::Instant;

use crate::{DEADLINE, LATE, Reader, assert_waits, fill_anew, readiness, send_within, topic};

#[tokio::test]
async fn no_request_outlasts_its_deadline_and_all_work_after_the_thaw() {
    let kafka = Kafka::start().await;
    let topic = topic(&kafka, 30).await;
    let node = Node::builder().kafka(&kafka).start().await;
    let group = unique("g");
    let mut reader = Reader::subscribe(&node, &group, &topic).await;
    reader.read_to(10).await;
    kafka.freeze().unwrap();

    let client = node.client();
    client.call(Method::GET, "/livez", ()).await.expect(200);
    let begun = Instant::now();
    let committed = reader.commit(10, 1_500).await;
    committed.expect_problem(504, "outcome_unknown");
    let body = json!({"group_id": unique("g"), "topics": [topic]});
    let subscribed = send_within(&client, "/api/consumers/subscribe", body, 1_500).await;
    assert_waits(&subscribed.expect_problem(503, "kafka_unavailable"));
    assert!(begun.elapsed() < Duration::from_secs(3) + LATE);
    // It waits for the commit under way before it asks anything; nothing has moved.
    let sought = reader.seek(json!("earliest"), 1_500).await;
    sought.expect_problem(503, "kafka_unavailable");
    // What a session knows by itself it says all the same.
    assert_eq!(reader.position().await, 10);
    let session = client.get(&reader.id).await.expect(200);
    assert_eq!(session["assignment"], json!({&topic: [0]}));
    assert!(begun.elapsed() < Duration::from_secs(20) + LATE);
    eventually(DEADLINE, "the node says that kafka is away", async || {
        readiness(&client).await == "degraded"
    })
    .await;

    kafka.thaw().unwrap();
    eventually(DEADLINE, "a commit is done", async || {
        reader.commit(10, 30_000).await.status() == Some(200)
    })
    .await;
    assert_eq!(kafka.committed(&group, &topic).await.unwrap()[&0], 10);
    reader.read_to(30).await;
    reader.check(30);
}

#[tokio::test]
async fn a_seek_that_kafka_does_not_answer_has_changed_nothing() {
    let kafka = Kafka::start().await;
    let topic = topic(&kafka, 30).await;
    let node = Node::builder().kafka(&kafka).start().await;
    let mut reader = Reader::subscribe(&node, &unique("g"), &topic).await;
    reader.read_to(10).await;
    kafka.freeze().unwrap();
    for target in [json!("latest"), json!(3)] {
        let begun = Instant::now();
        let refused = reader.seek(target, 1_500).await;
        refused.expect_problem(504, "kafka_timeout");
        assert!(begun.elapsed() < Duration::from_secs(2) + LATE);
    }
    kafka.thaw().unwrap();
    assert_eq!(reader.position().await, 10);
    reader.read_to(30).await;
    reader.check(30);
    reader.seek(json!(3), 30_000).await.expect(200);
    assert_eq!(reader.position().await, 3);
}

#[tokio::test]
async fn a_poll_of_a_frozen_kafka_ends_as_unavailable_and_the_session_goes_on() {
    let kafka = Kafka::start().await;
    let topic = topic(&kafka, 10).await;
    let node = Node::builder().kafka(&kafka).start().await;
    let mut reader = Reader::subscribe(&node, &unique("g"), &topic).await;
    reader.read_to(10).await;
    kafka.freeze().unwrap();
    let refused = reader.poll_until_unavailable(5_000).await;
    assert_waits(&refused);
    kafka.thaw().unwrap();
    fill_anew(&kafka, &topic, 10).await;
    reader.read_to(20).await;
    reader.check(20);
}

#[tokio::test]
async fn a_delete_waits_for_no_broker() {
    let kafka = Kafka::start().await;
    let topic = topic(&kafka, 1).await;
    let node = Node::builder().kafka(&kafka).start().await;
    let (client, id) = (node.client(), unique("c"));
    let body = json!({"group_id": unique("g"), "topics": [topic], "consumer_id": id});
    client.subscribe(&body).await.expect(200);
    kafka.freeze().unwrap();
    let begun = Instant::now();
    client.delete(&id).await.expect(204);
    assert!(begun.elapsed() < Duration::from_secs(5) + LATE);
    let session = client.get(&id).await;
    session.expect_problem(404, "consumer_not_found");
    let again = client.delete(&id).await;
    again.expect_problem(404, "consumer_not_found");
    // Kafka has not let the member go: whoever joined under its id would take its place.
    let early = send_within(&client, "/api/consumers/subscribe", body.clone(), 1_500).await;
    assert_waits(&early.expect_problem(503, "owner_unavailable"));
    kafka.thaw().unwrap();
    eventually(DEADLINE, "the id works again", async || {
        client.subscribe(&body).await.status() == Some(200)
    })
    .await;
}

#[tokio::test]
async fn a_node_that_stops_refuses_work_and_ends_in_time_without_kafka() {
    let kafka = Kafka::start().await;
    let topic = topic(&kafka, 10).await;
    let node = Node::builder()
        .kafka(&kafka)
        .env("SLUICE_DRAIN__TIMEOUT", "8s")
        .start()
        .await;
    let mut reader = Reader::subscribe(&node, &unique("g"), &topic).await;
    reader.read_to(10).await;
    kafka.freeze().unwrap();
    let stopped = Instant::now();
    let client = node.client();
    let stop = async {
        // The poll is there before the signal.
        eventually(DEADLINE, "the poll waits", async || {
            let session = client.get(&reader.id).await.expect(200);
            session["idle_ms"] == 0
        })
        .await;
        node.sigterm();
        // The group cannot be left: that is waited for, and requests are refused meanwhile.
        let refused = eventually(DEADLINE, "it refuses work", async || {
            let reply = client.call(Method::GET, "/readyz", ()).await;
            (reply.status() == Some(503)).then_some(reply)
        })
        .await;
        assert_waits(&refused.expect_problem(503, "shutting_down"));
        let body = json!({"group_id": unique("g"), "topics": [topic]});
        let refused = client.subscribe(body).await;
        let refused = refused.expect_problem(503, "shutting_down");
        assert_waits(&refused);
        assert_eq!(refused.header("connection"), Some("close"));
        client.call(Method::GET, "/livez", ()).await.expect(200);
    };
    let (polled, ()) = tokio::join!(reader.poll(60_000), stop);
    assert_eq!(polled.expect(200).records().len(), 0);
    let status = node.wait_exit(DEADLINE).await.unwrap();
    assert_eq!(status.code(), Some(0), "{}", node.log());
    let took = stopped.elapsed();
    assert!(took < Duration::from_secs(20) + LATE, "{took:?}");
}
