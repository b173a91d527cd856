//! What a session's panic does to it and to others. The node runs in the test's own process, as
//! only there a session can be made to panic.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

use std::time::Duration;

use serde_json::json;
use sluice_actors::Error;
use sluice_node::app::{App, Options, Running};
use sluice_node::config::{Config, Env, Flags};
use sluice_tests::kafka::Record;
use sluice_tests::{Client, Kafka, NativeMember, Reader, Reply, eventually, reader, unique};
use sluice_types::ConsumerId;
use tokio::task::JoinHandle;
use tokio::time::timeout;

/// Far more than anything here takes, also on a machine that is busy with other tests.
const DEADLINE: Duration = Duration::from_secs(60);

/// A node in this process, and the names of one test.
struct Fixture {
    kafka: &'static Kafka,
    node: Running,
    client: Client,
    topic: String,
    group: String,
}

impl Fixture {
    async fn start(partitions: i32) -> Self {
        let kafka = Kafka::shared().await;
        let topic = unique("orders");
        kafka.create_topic(&topic, partitions).await.unwrap();
        let env: Env = [
            ("SLUICE_HTTP__BIND", "127.0.0.1:0"),
            ("SLUICE_ADMIN__BIND", "127.0.0.1:0"),
            ("SLUICE_KAFKA__BOOTSTRAP_SERVERS", kafka.bootstrap()),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into();
        let config = Config::parse("", &env, &Flags::default()).expect("the settings are right");
        let node = App::start(config, Options::default()).await.unwrap();
        let address = node.http[0];
        Self {
            kafka,
            node,
            client: Client::new(format!("http://{address}")),
            topic,
            group: unique("group"),
        }
    }

    /// Subscribes a session of `group` and returns its id.
    async fn subscribe(&self, group: &str) -> String {
        let spec = json!({
            "group_id": group,
            "topics": [self.topic],
            "auto_offset_reset": "earliest",
        });
        let answer = self.client.subscribe(spec).await.expect(200);
        answer.text_at("consumer_id").to_owned()
    }

    /// Makes the session panic, and returns when nobody is asked any more who has panicked. A
    /// session that has not come back yet is waited for.
    async fn panic(&self, id: &str) {
        let id: ConsumerId = id.parse().unwrap();
        let running = || self.node.sessions.get(&id);
        let session = eventually(DEADLINE, "the session runs", async || running()).await;
        let told = session.panic_for_tests().await;
        assert_eq!(told, Err(Error::SessionFailed));
        eventually(DEADLINE, "it has ended", async || {
            running().is_none_or(|now| now.claim() != session.claim())
        })
        .await;
    }

    /// Begins a poll of the session and returns once it waits.
    async fn poll(&self, id: &str) -> JoinHandle<Reply> {
        // Only a poll in flight keeps the idle time at zero.
        let idle = async || self.client.get(id).await.expect(200)["idle_ms"].clone();
        eventually(DEADLINE, "the session is idle", async || idle().await != 0).await;
        let (client, id) = (self.client.clone(), id.to_owned());
        let body = json!({"timeout_ms": 120_000});
        let poll = tokio::spawn(async move { client.consume(&id, body).await });
        eventually(DEADLINE, "the poll waits", async || idle().await == 0).await;
        poll
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_panic_fails_the_sessions_own_poll_and_nobody_elses() {
    let fixture = Fixture::start(1).await;
    let failing = fixture.subscribe(&fixture.group).await;
    // More than there are threads for sessions, so that some share the one of the session that
    // fails.
    let mut neighbours = Vec::new();
    for _ in 0..8 {
        let id = fixture.subscribe(&unique("group")).await;
        neighbours.push(fixture.poll(&id).await);
    }
    let poll = fixture.poll(&failing).await;
    fixture.panic(&failing).await;
    let polled = timeout(DEADLINE, poll).await.expect("the poll has ended");
    polled.unwrap().expect_problem(500, "session_failed");

    assert!(neighbours.iter().all(|poll| !poll.is_finished()));
    let record = Record::value("for all");
    fixture
        .kafka
        .produce(&fixture.topic, [record])
        .await
        .unwrap();
    for poll in neighbours {
        let polled = timeout(DEADLINE, poll).await.expect("the poll has ended");
        let polled = polled.unwrap().expect(200);
        assert_eq!(polled.records()[0]["value"], "for all");
    }
    fixture.node.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_comes_back_by_itself_from_panic_after_panic() {
    let fixture = Fixture::start(2).await;
    let (client, topic) = (&fixture.client, &fixture.topic);
    let id = fixture.subscribe(&fixture.group).await;
    let first = client.get(&id).await.expect(200);
    let members = fixture.kafka.group(&fixture.group).await.unwrap().unwrap();
    let (mut reader, mut epochs) = (Reader::of(client, &id), Vec::new());
    for round in 0..4 {
        fixture.kafka.fill(topic, 10, 0).await.unwrap();
        let ends = fixture.kafka.end_offsets(topic).await.unwrap();
        eventually(DEADLINE, "all is read", async || {
            reader.poll(500).await;
            reader::missing(&ends, reader.seen()).is_empty()
        })
        .await;
        reader.commit().await;
        fixture.panic(&id).await;

        // Waits by itself until the session is back.
        let position = client.position(&id).await.expect(200);
        let offset = 5 * (round + 1);
        assert_eq!(
            position["offsets"],
            json!({topic: {"0": offset, "1": offset}})
        );
        assert_eq!(position["generation"], first["generation"]);
        let described = client.get(&id).await.expect(200);
        assert_eq!(described["assignment"], first["assignment"]);
        assert_eq!(described["state"], "running");
        epochs.push(described["epoch"].as_i64().unwrap());
    }
    assert!(epochs.is_sorted_by(|a, b| a < b), "{epochs:?}");
    // The cursor of before each panic counted: nothing came twice.
    assert_eq!(reader.seen().len(), 40);
    // The group has not noticed anything but the member's new name.
    let after = fixture.kafka.group(&fixture.group).await.unwrap().unwrap();
    assert_eq!((&*after.state, after.members.len()), ("Stable", 1));
    assert_eq!(after.members[0].assignment, members.members[0].assignment);
    client.delete(&id).await.expect(204);
    fixture.node.shutdown().await;
}

/// A session in a group of the new type (KIP-848) is taken over as in a classic one: the same
/// partitions at the same generation, and the members of the new protocol notice nothing.
#[tokio::test(flavor = "multi_thread")]
async fn a_session_keeps_its_place_in_a_group_of_the_new_type() {
    let fixture = Fixture::start(4).await;
    let (client, kafka, topic) = (&fixture.client, fixture.kafka, &fixture.topic);
    let id = fixture.subscribe(&fixture.group).await;
    let native = NativeMember::join_by_new_protocol(kafka, &fixture.group, topic);
    let held = eventually(DEADLINE, "both have two partitions", async || {
        let held = reader::assigned(&client.assignment(&id).await.expect(200), topic);
        let fair = held.len() == 2 && native.assigned().len() == 2;
        if fair { Ok(held) } else { Err(held) }
    })
    .await;
    let before = client.assignment(&id).await.expect(200);
    let natives = native.assigned();
    let mut reader = Reader::of(client, &id);
    for round in 1..4 {
        kafka.fill(topic, 8, 0).await.unwrap();
        eventually(DEADLINE, "all is read", async || {
            reader.poll(500).await;
            reader.seen().len() == 4 * round
        })
        .await;
        reader.commit().await;
        fixture.panic(&id).await;
        let position = client.position(&id).await.expect(200);
        for partition in &held {
            let of = &position["offsets"][topic][partition.to_string()];
            assert_eq!(*of, 2 * round, "{position:?}");
        }
        let after = client.assignment(&id).await.expect(200);
        assert_eq!(after.json, before.json);
        assert_eq!(native.assigned(), natives);
    }
    client.delete(&id).await.expect(204);
    eventually(DEADLINE, "the native member has all", async || {
        native.assigned().len() == 4
    })
    .await;
    fixture.node.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn records_of_an_answer_that_was_not_committed_come_again_after_a_panic() {
    let fixture = Fixture::start(1).await;
    let client = &fixture.client;
    let id = fixture.subscribe(&fixture.group).await;
    fixture.kafka.fill(&fixture.topic, 10, 0).await.unwrap();
    let most = |count| json!({"timeout_ms": 30_000, "max_records": count});
    let first = client.consume(&id, most(4)).await.expect(200);
    client.commit(&id, ()).await.expect(200);
    let second = client.consume(&id, most(3)).await.expect(200);
    fixture.panic(&id).await;

    // With the cursor it goes on behind the answer, without from the commit.
    let mut after = most(1);
    after["after"] = second["cursor"].clone();
    let polled = client.consume(&id, after).await.expect(200);
    assert_eq!(polled.records()[0]["offset"], 7);
    fixture.panic(&id).await;
    let polled = client.consume(&id, most(1)).await.expect(200);
    assert_eq!(polled.records()[0]["offset"], first.records().len());
    fixture.node.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_panics_can_be_deleted_and_leaves_its_group() {
    let fixture = Fixture::start(1).await;
    let id = fixture.subscribe(&fixture.group).await;
    fixture.panic(&id).await;
    fixture.client.delete(&id).await.expect(204);
    let again = fixture.client.get(&id).await;
    again.expect_problem(404, "consumer_not_found");
    let not_by_timeout = Duration::from_secs(15);
    eventually(not_by_timeout, "the member has left", async || {
        let members = fixture.kafka.members(&fixture.group).await.unwrap();
        if members.is_empty() {
            Ok(())
        } else {
            Err(members)
        }
    })
    .await;
    fixture.node.shutdown().await;
}
