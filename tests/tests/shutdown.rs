//! SIGTERM: what a node owes its clients and its groups before it ends.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

use std::time::Duration;

use serde_json::json;
use sluice_tests::reader::assigned;
use sluice_tests::{Answer, Client, Kafka, Node, Reader, Reply, eventually, unique};
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};

/// Far more than anything here takes, also on a machine that is busy with other tests.
const DEADLINE: Duration = Duration::from_secs(60);

/// Much less than the 30 s after which Kafka would give a silent member up.
const NOT_BY_TIMEOUT: Duration = Duration::from_secs(15);

/// What a node may take to end: `drain.timeout`, and what a busy machine adds.
const DRAIN: Duration = Duration::from_secs(10);
const MARGIN: Duration = Duration::from_secs(10);

async fn start(kafka: &Kafka) -> Node {
    let timeout = format!("{}s", DRAIN.as_secs());
    let builder = Node::builder().kafka(kafka);
    builder.env("SLUICE_DRAIN__TIMEOUT", timeout).start().await
}

async fn new_topic(kafka: &Kafka, partitions: i32) -> String {
    let topic = unique("orders");
    kafka.create_topic(&topic, partitions).await.unwrap();
    topic
}

async fn subscribe(client: &Client, group: &str, topic: &str) -> Answer {
    let spec = json!({
        "group_id": group,
        "topics": [topic],
        "auto_offset_reset": "earliest",
        "auto_commit": true,
        "auto_commit_interval_ms": 3_600_000,
    });
    client.subscribe(spec).await.expect(200)
}

/// Begins a poll and returns once it waits.
async fn pending_poll(client: &Client, id: &str) -> JoinHandle<Reply> {
    // Only a poll in flight keeps the idle time at zero.
    let idle = async || client.get(id).await.expect(200)["idle_ms"].clone();
    eventually(DEADLINE, "the session is idle", async || idle().await != 0).await;
    let (poller, id) = (client.clone(), id.to_owned());
    let poll = tokio::spawn(async move {
        let body = json!({"timeout_ms": 120_000});
        poller.consume(&id, body).await
    });
    eventually(DEADLINE, "the poll waits", async || idle().await == 0).await;
    poll
}

/// Waits for a good end of a node that was told to stop.
async fn ends_well(node: &Node, since: Instant) {
    let status = node.wait_exit(DRAIN + MARGIN).await.unwrap();
    assert_eq!(status.code(), Some(0), "{}", node.log());
    let took = since.elapsed();
    assert!(took < DRAIN + MARGIN, "{took:?}");
}

#[tokio::test]
async fn polls_are_answered_empty_groups_are_left_and_the_node_ends_with_0() {
    let kafka = Kafka::shared().await;
    let node = start(kafka).await;
    let client = node.client();
    let (topic, mut groups, mut polls) = (new_topic(kafka, 1).await, Vec::new(), Vec::new());
    for _ in 0..5 {
        let group = unique("group");
        let session = subscribe(&client, &group, &topic).await;
        polls.push(pending_poll(&client, session.text_at("consumer_id")).await);
        groups.push(group);
    }
    let stopped = Instant::now();
    node.sigterm();
    for poll in polls {
        let polled = timeout(DEADLINE, poll).await.expect("the poll has ended");
        let polled = polled.unwrap().expect(200);
        assert_eq!(polled["records"], json!([]));
        assert!(polled["cursor"].is_string(), "{}", polled.json);
    }
    ends_well(&node, stopped).await;
    for group in groups {
        eventually(NOT_BY_TIMEOUT, "the group is left", async || {
            kafka.members(&group).await.unwrap().is_empty()
        })
        .await;
    }
}

#[tokio::test]
async fn what_auto_commit_owes_is_committed_and_the_latest_answer_is_not() {
    let kafka = Kafka::shared().await;
    let node = start(kafka).await;
    let (client, topic, group) = (node.client(), new_topic(kafka, 1).await, unique("group"));
    kafka.fill(&topic, 30, 0).await.unwrap();
    let session = subscribe(&client, &group, &topic).await;
    let id = session.text_at("consumer_id");
    let mut firsts = Vec::new();
    for _ in 0..2 {
        let polled = client.consume(id, json!({"max_records": 5})).await;
        firsts.push(polled.expect(200).records()[0]["offset"].as_i64());
    }
    let stopped = Instant::now();
    node.sigterm();
    ends_well(&node, stopped).await;
    // Nobody knows whether the client has got the second answer whole.
    let committed = kafka.committed(&group, &topic).await.unwrap();
    assert_eq!(committed.get(&0).copied(), firsts[1]);
}

#[tokio::test]
async fn a_member_elsewhere_gets_the_partitions_of_a_node_that_ends() {
    let kafka = Kafka::shared().await;
    let (node, other) = (start(kafka).await, Node::shared().await);
    let (topic, group) = (new_topic(kafka, 4).await, unique("group"));
    subscribe(&node.client(), &group, &topic).await;
    let client = other.client();
    let spec = json!({"group_id": group, "topics": [topic], "auto_offset_reset": "earliest"});
    let stays = Reader::subscribe(&client, spec).await;
    let held = async |count| {
        eventually(NOT_BY_TIMEOUT, "partitions move", async || {
            let held = client.assignment(stays.id()).await.expect(200);
            assigned(&held, &topic).len() == count
        })
        .await;
    };
    held(2).await;
    let stopped = Instant::now();
    node.sigterm();
    held(4).await;
    ends_well(&node, stopped).await;
    stays.leave().await;
}

#[tokio::test]
async fn a_stopping_node_takes_no_new_sessions() {
    let kafka = Kafka::start().await;
    let node = start(&kafka).await;
    let (client, topic) = (node.client(), new_topic(&kafka, 1).await);
    subscribe(&client, &unique("group"), &topic).await;
    // The session's end waits for Kafka, so that the node is stopping for a while.
    kafka.freeze().unwrap();
    let stopped = Instant::now();
    node.sigterm();
    eventually(DEADLINE, "the node stops", async || {
        client
            .call(reqwest::Method::GET, "/readyz", ())
            .await
            .status()
            == Some(503)
    })
    .await;
    let spec = json!({"group_id": unique("group"), "topics": [topic]});
    let refused = client.subscribe(spec).await;
    let problem = refused.expect_problem(503, "shutting_down");
    assert!(problem.header("retry-after").is_some());
    client
        .call(reqwest::Method::GET, "/livez", ())
        .await
        .expect(200);
    ends_well(&node, stopped).await;
    kafka.thaw().unwrap();
}

#[tokio::test]
async fn a_node_ends_in_time_although_kafka_answers_nothing() {
    ends_in_time_without(|kafka| kafka.freeze().unwrap()).await;
}

#[tokio::test]
async fn a_node_ends_in_time_although_kafka_is_gone() {
    ends_in_time_without(|kafka| kafka.kill().unwrap()).await;
}

async fn ends_in_time_without(hurt: impl Fn(&Kafka)) {
    let kafka = Kafka::start().await;
    let node = start(&kafka).await;
    let (client, topic) = (node.client(), new_topic(&kafka, 1).await);
    kafka.fill(&topic, 10, 0).await.unwrap();
    let mut polls = Vec::new();
    for _ in 0..5 {
        let session = subscribe(&client, &unique("group"), &topic).await;
        let id = session.text_at("consumer_id");
        // So that a commit is owed.
        let polled = client.consume(id, json!({"max_records": 10})).await;
        assert!(!polled.expect(200).records().is_empty());
        polls.push(id.to_owned());
    }
    let mut pending = Vec::new();
    for id in &polls {
        let mut reader = Reader::of(&client, id);
        eventually(DEADLINE, "nothing is left to read", async || {
            reader.poll(100).await.records().is_empty()
        })
        .await;
        pending.push(pending_poll(&client, id).await);
    }
    hurt(&kafka);
    let stopped = Instant::now();
    node.sigterm();
    for poll in pending {
        let polled = timeout(DRAIN + MARGIN, poll).await;
        let polled = polled.expect("the poll has ended").unwrap().expect(200);
        assert_eq!(polled["records"], json!([]));
    }
    ends_well(&node, stopped).await;
}

#[tokio::test]
async fn an_idle_node_ends_at_once() {
    let kafka = Kafka::shared().await;
    let node = start(kafka).await;
    let answer = node.client().call(reqwest::Method::GET, "/livez", ()).await;
    answer.expect(200);
    let stopped = Instant::now();
    node.sigterm();
    ends_well(&node, stopped).await;
    assert!(stopped.elapsed() < DRAIN, "{:?}", stopped.elapsed());
}
