//! What a client does or does not do is nothing that its group notices, and what the group does
//! is nothing that a client sees.

use std::time::Duration;

use serde_json::json;
use sluice_tests::kafka::Record;
use sluice_tests::{Kafka, NativeMember, Node, Reader, eventually, unique};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::{DEADLINE, new_topic, shares, spec};

/// How long a member may be silent towards Kafka here: far less than a client is below.
const SILENCE_MS: u64 = 8000;

#[tokio::test]
async fn a_slow_client_never_makes_the_group_rebalance() {
    let kafka = Kafka::shared().await;
    let node = Node::builder()
        .kafka(kafka)
        .env("SLUICE_KAFKA__CONSUMER__SESSION_TIMEOUT_MS", SILENCE_MS)
        .env("SLUICE_KAFKA__CONSUMER__MAX_POLL_INTERVAL_MS", SILENCE_MS)
        .start()
        .await;
    let (topic, group) = (new_topic(kafka, 3).await, unique("group"));
    let client = node.client();
    let mut slow = spec(&group, &topic);
    slow["session_timeout_ms"] = json!(600_000);
    let silent = Reader::subscribe(&client, slow.clone()).await;
    let stalled = Reader::subscribe(&client, slow).await;
    let mut watcher = Reader::subscribe(&client, spec(&group, &topic)).await;
    shares(
        &client,
        &[silent.id(), stalled.id(), watcher.id()],
        &topic,
        3,
    )
    .await;
    // Much more than the connection's buffers take, and than a session holds unasked.
    kafka.fill(&topic, 3 * 3000, 4000).await.unwrap();
    let held_answer = ask_and_read_nothing(&node.url(), stalled.id()).await;

    let before = kafka.group(&group).await.unwrap().unwrap();
    assert_eq!(before.state, "Stable");
    eventually(DEADLINE, "the watcher has read all", async || {
        watcher.poll(0).await.records().is_empty()
    })
    .await;
    let generation = watcher.poll(0).await["generation"].clone();
    // The clock of this test: five polls of 4 s are 20 s.
    for _ in 0..5 {
        let polled = watcher.poll(SILENCE_MS / 2).await;
        assert_eq!(polled.records().len(), 0);
        assert_eq!(polled["generation"], generation);
        assert_eq!(kafka.group(&group).await.unwrap().as_ref(), Some(&before));
    }
    drop(held_answer);
    // And they still are who they were.
    let mut silent = silent;
    assert!(!silent.poll(10_000).await.records().is_empty());
    let mut stalled = stalled;
    eventually(DEADLINE, "the stalled session goes on", async || {
        !stalled.poll(1000).await.records().is_empty()
    })
    .await;
}

/// Sends a poll for a large answer and leaves that in the connection.
async fn ask_and_read_nothing(url: &str, id: &str) -> TcpStream {
    let address = url.trim_start_matches("http://");
    let mut connection = TcpStream::connect(address).await.unwrap();
    let body = json!({"max_bytes_total": 10_000_000, "max_records": 10_000}).to_string();
    let request = format!(
        "POST /api/consumers/{id}/consume HTTP/1.1\r\nhost: {address}\r\n\
         content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    connection.write_all(request.as_bytes()).await.unwrap();
    // Nothing is taken from it; that there is something says that the session has answered.
    connection.readable().await.unwrap();
    connection
}

#[tokio::test]
async fn commits_and_polls_that_meet_a_rebalance_wait_for_its_end() {
    let (kafka, node) = (Kafka::shared().await, Node::shared().await);
    let (topic, group) = (new_topic(kafka, 3).await, unique("group"));
    let client = node.client();
    let mut spec = spec(&group, &topic);
    // Under range a rebalance stops everybody until the slowest member has come.
    spec["assignment_strategy"] = json!("range");
    let session = Reader::subscribe(&client, spec.clone()).await;
    let native = NativeMember::join(kafka, &group, &topic, "range");
    let joined = async || {
        let members = kafka.members(&group).await.unwrap();
        members.len() == 2 && members.iter().all(|member| !member.assignment.is_empty())
    };
    eventually(DEADLINE, "both have partitions", joined).await;
    shares_with(&client, session.id(), &native, &topic).await;
    let id = session.id();

    native.fall_asleep();
    let third = tokio::spawn({
        let (client, spec) = (client.clone(), spec.clone());
        async move { Reader::subscribe(&client, spec).await }
    });
    eventually(DEADLINE, "the group rebalances", async || {
        let group = kafka.group(&group).await.unwrap().unwrap();
        group.state == "PreparingRebalance"
    })
    .await;
    eventually(DEADLINE, "the session has given all back", async || {
        let held = client.assignment(id).await.expect(200);
        held["assignment"] == json!({})
    })
    .await;

    let everywhere = json!({"offsets": {&topic: {"0": 1, "1": 1, "2": 1}}});
    let requests = async {
        tokio::join!(
            client.commit(id, &everywhere),
            client.consume(id, json!({"timeout_ms": 60_000})),
            client.position(id),
        )
    };
    tokio::pin!(requests);
    for partition in 0..3 {
        let record = Record::value("meanwhile").partition(partition);
        kafka.produce(&topic, [record]).await.unwrap();
    }
    let early = timeout(Duration::from_secs(2), &mut requests).await;
    assert!(early.is_err(), "answered amid the rebalance: {early:?}");

    native.wake_up();
    let (committed, polled, position) = requests.await;
    let committed = committed.expect(200);
    assert_eq!(committed["offsets"][&topic].as_object().unwrap().len(), 1);
    assert_eq!(
        committed["not_assigned"][&topic].as_array().unwrap().len(),
        2
    );
    assert_eq!(polled.expect(200).records().len(), 1);
    let position = position.expect(200);
    assert_eq!(position["offsets"][&topic].as_object().unwrap().len(), 1);
    third.await.unwrap().leave().await;
    client.delete(id).await.expect(204);
}

async fn shares_with(client: &sluice_tests::Client, id: &str, native: &NativeMember, topic: &str) {
    eventually(DEADLINE, "the partitions are shared", async || {
        let held = client.assignment(id).await.expect(200);
        let shares = [
            sluice_tests::reader::assigned(&held, topic),
            native.assigned(),
        ];
        super::are_shares(&shares, 3)
    })
    .await;
}
