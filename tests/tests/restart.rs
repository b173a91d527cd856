//! A node with a volume: its sessions outlive its process.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

use std::fs;
use std::time::Duration;

use reqwest::Method;
use serde_json::json;
use sluice_tests::reader::assigned;
use sluice_tests::{Kafka, Node, Reader, eventually, reader, unique};

/// Far more than anything here takes, also on a machine that is busy with other tests.
const DEADLINE: Duration = Duration::from_secs(60);

/// A folder of the node's own.
const DATA_DIR: &str = "registry";

/// Starts a node with a volume.
async fn start(kafka: &Kafka) -> Node {
    let builder = Node::builder().kafka(kafka);
    let node = builder.env("SLUICE_CLUSTER__DATA_DIR", DATA_DIR);
    let node = node.start().await;
    is_ready(&node).await;
    node
}

async fn is_ready(node: &Node) {
    let client = node.client();
    eventually(DEADLINE, "the node is ready", async || {
        let ready = client.call(Method::GET, "/readyz", ()).await;
        ready.status() == Some(200)
    })
    .await;
}

/// How a node ends.
#[derive(Clone, Copy, Debug)]
enum End {
    Killed,
    Stopped,
}

async fn end_and_restart(node: &Node, end: End) {
    match end {
        End::Killed => node.kill(),
        End::Stopped => {
            node.sigterm();
            let status = node.wait_exit(DEADLINE).await.unwrap();
            assert_eq!(status.code(), Some(0), "{}", node.log());
        }
    }
    node.restart().await.unwrap();
    is_ready(node).await;
}

async fn goes_on_after(end: End) {
    let kafka = Kafka::shared().await;
    let node = start(kafka).await;
    let (topic, group) = (unique("orders"), unique("group"));
    kafka.create_topic(&topic, 2).await.unwrap();
    kafka.fill(&topic, 50, 0).await.unwrap();
    let spec = json!({"group_id": group, "topics": [topic], "auto_offset_reset": "earliest"});
    let mut before = Reader::subscribe(&node.client(), spec.clone()).await;
    before.poll(10_000).await;
    before.commit().await;
    let members = kafka.members(&group).await.unwrap();
    let (id, read) = (before.id().to_owned(), before.seen().to_vec());
    assert!(!read.is_empty());

    end_and_restart(&node, end).await;

    let mut again = spec;
    again["consumer_id"] = json!(id);
    let found = node.client().subscribe(again).await.expect(200);
    assert_eq!(assigned(&found, &topic).len(), 2, "{}", found.json);
    kafka.fill(&topic, 50, 0).await.unwrap();
    let mut after = Reader::of(&node.client(), &id);
    let ends = kafka.end_offsets(&topic).await.unwrap();
    let all = |after: &Reader| read.iter().chain(after.seen()).copied().collect::<Vec<_>>();
    while !reader::missing(&ends, &all(&after)).is_empty() {
        after.poll(10_000).await;
    }
    // It stood at its commit: nothing is read again.
    let mut places: Vec<_> = all(&after)
        .iter()
        .map(|s| (s.partition, s.offset))
        .collect();
    let count = places.len();
    places.sort_unstable();
    places.dedup();
    assert_eq!(places.len(), count);
    // The member is the one of before, in a new life.
    let now = kafka.members(&group).await.unwrap();
    assert_eq!((members.len(), now.len()), (1, 1));
    let described = node.client().get(&id).await.expect(200);
    assert!(described["epoch"].as_u64() >= Some(2), "{}", described.json);
    after.leave().await;
}

#[tokio::test]
async fn a_session_goes_on_after_its_node_was_killed() {
    goes_on_after(End::Killed).await;
}

#[tokio::test]
async fn a_session_goes_on_after_its_node_was_stopped() {
    goes_on_after(End::Stopped).await;
}

#[tokio::test]
async fn a_node_that_is_stopped_leaves_exact_positions_to_its_next_run() {
    let kafka = Kafka::shared().await;
    let node = start(kafka).await;
    let topic = unique("orders");
    kafka.create_topic(&topic, 2).await.unwrap();
    kafka.fill(&topic, 40, 0).await.unwrap();
    let group = unique("group");
    let spec = json!({"group_id": group, "topics": [topic], "auto_offset_reset": "earliest"});
    let session = node.client().subscribe(spec).await.expect(200);
    let id = session.text_at("consumer_id");
    let client = node.client();
    let polled = client.consume(id, json!({"max_records": 15})).await;
    assert_eq!(polled.expect(200).records().len(), 15);
    let before = client.position(id).await.expect(200);

    end_and_restart(&node, End::Stopped).await;

    let after = node.client().position(id).await.expect(200);
    assert_eq!(after["offsets"], before["offsets"], "nothing was committed");
    assert_eq!(after["generation"], before["generation"]);
    node.client().delete(id).await.expect(204);
}

#[tokio::test]
async fn a_poll_with_the_cursor_from_before_the_restart_repeats_what_was_not_confirmed() {
    let kafka = Kafka::shared().await;
    let node = start(kafka).await;
    let (topic, group) = (unique("orders"), unique("group"));
    kafka.create_topic(&topic, 1).await.unwrap();
    kafka.fill(&topic, 30, 0).await.unwrap();
    let spec = json!({"group_id": group, "topics": [topic], "auto_offset_reset": "earliest"});
    let session = node.client().subscribe(spec).await.expect(200);
    let id = session.text_at("consumer_id").to_owned();
    let poll = async |body| node.client().consume(&id, body).await.expect(200);
    let first = poll(json!({"max_records": 10, "timeout_ms": 10_000})).await;
    let cursor = first.text_at("cursor").to_owned();
    // The client does not get this one: its connection breaks, and the node with it.
    let lost = poll(json!({"max_records": 10, "timeout_ms": 10_000, "after": cursor})).await;

    end_and_restart(&node, End::Killed).await;

    let again = json!({"max_records": 10, "timeout_ms": 10_000, "after": cursor});
    let again = node.client().consume(&id, again).await.expect(200);
    assert_eq!(again.records()[0], lost.records()[0]);
    assert_eq!(again["generation"], first["generation"]);
    node.client().delete(&id).await.expect(204);
}

#[tokio::test]
async fn a_seek_and_a_manual_assignment_outlive_the_process() {
    let kafka = Kafka::shared().await;
    let node = start(kafka).await;
    let topic = unique("orders");
    kafka.create_topic(&topic, 2).await.unwrap();
    kafka.fill(&topic, 40, 0).await.unwrap();
    let subscribe = async || {
        let group = unique("group");
        let spec = json!({"group_id": group, "topics": [topic], "auto_offset_reset": "earliest"});
        let session = node.client().subscribe(spec).await.expect(200);
        session.text_at("consumer_id").to_owned()
    };
    let (sought, manual) = (subscribe().await, subscribe().await);
    let seek = json!({"topic": topic, "partition": 0, "offset": 7});
    node.client().seek(&sought, seek).await.expect(200);
    let assign = json!({"topics": {topic.clone(): [1]}});
    node.client().assign(&manual, assign).await.expect(200);

    end_and_restart(&node, End::Killed).await;

    let position = node.client().position(&sought).await.expect(200);
    assert_eq!(position["offsets"][&topic]["0"], 7, "{}", position.json);
    // Asked for its position, it waits until it has its partitions: the killed process may have
    // had a lease on them.
    node.client().position(&manual).await.expect(200);
    let assignment = node.client().assignment(&manual).await.expect(200);
    assert_eq!(assigned(&assignment, &topic), [1].into());
    for id in [sought, manual] {
        node.client().delete(&id).await.expect(204);
    }
}

#[tokio::test]
async fn what_was_deleted_stays_deleted() {
    let kafka = Kafka::shared().await;
    let node = start(kafka).await;
    let (topic, group) = (unique("orders"), unique("group"));
    kafka.create_topic(&topic, 1).await.unwrap();
    let spec = json!({"group_id": group, "topics": [topic]});
    let session = node.client().subscribe(spec).await.expect(200);
    let id = session.text_at("consumer_id");
    node.client().delete(id).await.expect(204);

    end_and_restart(&node, End::Killed).await;

    let gone = node.client().get(id).await;
    gone.expect_problem(404, "consumer_not_found");
    eventually(DEADLINE, "the group is left", async || {
        kafka.members(&group).await.unwrap().is_empty()
    })
    .await;
}

#[tokio::test]
async fn a_second_process_is_refused_on_a_volume_in_use() {
    let kafka = Kafka::shared().await;
    let node = start(kafka).await;
    let in_use = node.folder().join(DATA_DIR);
    let second = Node::builder().kafka(kafka);
    let second = second.env("SLUICE_CLUSTER__DATA_DIR", in_use.display());
    let (status, log) = second.run(DEADLINE).await.unwrap();
    assert_eq!(status.code(), Some(70), "{log}");
    assert!(log.contains("another process"), "{log}");
    node.client()
        .call(Method::GET, "/livez", ())
        .await
        .expect(200);
}

#[tokio::test]
async fn a_volume_that_cannot_be_read_is_told_by_the_exit_code() {
    let kafka = Kafka::shared().await;
    let node = start(kafka).await;
    node.kill();
    let volume = node.folder().join(DATA_DIR);
    fs::write(volume.join("log.redb"), "this was a log").unwrap();
    let second = Node::builder().kafka(kafka);
    let second = second.env("SLUICE_CLUSTER__DATA_DIR", volume.display());
    let (status, log) = second.run(DEADLINE).await.unwrap();
    assert_eq!(status.code(), Some(74), "{log}");
    assert!(log.contains("log.redb"), "{log}");
}
