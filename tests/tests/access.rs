//! A Kafka that asks for a password and grants rights: what it refuses is told at once, with what
//! to mend, and works once it is mended.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};
use sluice_tests::kafka::{Record, Resource};
use sluice_tests::{Answer, Client, Kafka, Node, NodeBuilder, Reply, eventually, unique};
use tokio::sync::OnceCell;
use tokio::time::Instant;

const DEADLINE: Duration = Duration::from_secs(90);

/// A refusal is an answer, not a time-out: the deadline of a request is 30 s.
const SOON: Duration = Duration::from_secs(12);

const PASSWORD: &str = "alice-secret";

/// Returns the Kafka of all tests here, in which `alice` may do nothing that is not granted.
async fn kafka() -> &'static Kafka {
    static KAFKA: OnceCell<Kafka> = OnceCell::const_new();
    let start = async || Kafka::builder().sasl().start().await;
    KAFKA.get_or_init(start).await
}

/// Describes a node that comes as `alice` and logs all that it can.
fn node_of(kafka: &Kafka, password: &str) -> NodeBuilder {
    Node::builder()
        .bootstrap(&kafka.sasl_bootstrap())
        .env(
            "SLUICE_KAFKA__PROPERTIES__SECURITY_PROTOCOL",
            "sasl_plaintext",
        )
        .env("SLUICE_KAFKA__PROPERTIES__SASL_MECHANISMS", "PLAIN")
        .env("SLUICE_KAFKA__PROPERTIES__SASL_USERNAME", "alice")
        .env("SLUICE_KAFKA__PROPERTIES__SASL_PASSWORD", password)
        .env("SLUICE_LOG", "trace")
}

/// Returns the node of the tests in which the password is right.
async fn client() -> Client {
    static NODE: OnceCell<Node> = OnceCell::const_new();
    let start = async || node_of(kafka().await, PASSWORD).start().await;
    NODE.get_or_init(start).await.client()
}

/// A topic and a group, of which `alice` may do what `rights` say.
struct Place {
    kafka: &'static Kafka,
    topic: String,
    group: String,
}

/// What a session needs of its topic and of its group.
const OF_TOPIC: [&str; 2] = ["Read", "Describe"];
const OF_GROUP: [&str; 1] = ["Read"];

impl Place {
    async fn new() -> Self {
        let kafka = kafka().await;
        let (topic, group) = (unique("orders"), unique("g"));
        kafka.create_topic(&topic, 1).await.expect("Kafka answers");
        kafka.fill(&topic, 10, 10).await.expect("Kafka answers");
        Self {
            kafka,
            topic,
            group,
        }
    }

    async fn allow_topic(&self, rights: &[&str]) {
        let topic = Resource::Topic(&self.topic);
        self.kafka
            .allow("alice", rights, topic)
            .await
            .expect("Kafka answers");
    }

    async fn allow_group(&self) {
        let group = Resource::Group(&self.group);
        self.kafka
            .allow("alice", &OF_GROUP, group)
            .await
            .expect("Kafka answers");
    }

    fn subscribe(&self, id: &str) -> Value {
        json!({"group_id": self.group, "topics": [self.topic], "consumer_id": id,
               "auto_offset_reset": "earliest"})
    }

    /// A session that is refused is not there, neither here nor in Kafka.
    async fn check_nothing_left(&self, client: &Client, id: &str) {
        let session = client.get(id).await;
        session.expect_problem(404, "consumer_not_found");
        let members = self
            .kafka
            .members(&self.group)
            .await
            .expect("Kafka answers");
        assert!(members.is_empty(), "{members:?}");
    }

    async fn committed(&self) -> BTreeMap<i32, i64> {
        let committed = self.kafka.committed(&self.group, &self.topic).await;
        committed.expect("Kafka answers")
    }
}

/// A refusal says in its sentence what to look at.
#[track_caller]
fn denied(reply: Reply) -> Answer {
    let denied = reply.expect_problem(403, "kafka_access_denied");
    let detail = denied.text_at("detail");
    assert!(
        detail.ends_with('.') && !detail.contains(PASSWORD),
        "{detail}"
    );
    assert_eq!(denied.header("retry-after"), None);
    denied
}

/// Waits until a request that was refused is done.
async fn done(what: &str, request: impl AsyncFn() -> Reply) -> Answer {
    eventually(DEADLINE, what, async || {
        let reply = request().await;
        match reply.status() {
            Some(200) => Ok(reply.expect(200)),
            _ => Err(denied(reply).text),
        }
    })
    .await
}

/// Waits until a request that was done is refused.
async fn refused(what: &str, request: impl AsyncFn() -> Reply) -> Answer {
    eventually(DEADLINE, what, async || {
        let reply = request().await;
        match reply.status() {
            Some(200) => Err(reply.expect(200).text),
            _ => Ok(denied(reply)),
        }
    })
    .await
}

#[tokio::test]
async fn a_wrong_password_is_told_at_once_and_never_logged() {
    let place = Place::new().await;
    let wrong = unique("not-the-password");
    let node = node_of(place.kafka, &wrong).start().await;
    let (client, id) = (node.client(), unique("c"));
    for _ in 0..3 {
        let begun = Instant::now();
        let refused = denied(client.subscribe(place.subscribe(&id)).await);
        let detail = refused.text_at("detail");
        assert!(detail.contains("credentials"), "{detail}");
        assert!(begun.elapsed() < SOON, "{:?}", begun.elapsed());
        place.check_nothing_left(&client, &id).await;
    }
    node.sigterm();
    node.wait_exit(DEADLINE).await.unwrap();
    assert!(!node.log_contains(&wrong));
}

#[tokio::test]
async fn a_topic_without_a_right_is_refused_until_it_is_granted() {
    let place = Place::new().await;
    let (client, id) = (client().await, unique("c"));
    place.allow_group().await;
    let begun = Instant::now();
    let refused = denied(client.subscribe(place.subscribe(&id)).await);
    assert!(begun.elapsed() < SOON, "{:?}", begun.elapsed());
    assert!(
        refused.text_at("detail").contains("opic"),
        "{}",
        refused.text
    );
    place.check_nothing_left(&client, &id).await;
    place.allow_topic(&OF_TOPIC).await;
    done("it may read now", async || {
        client.subscribe(place.subscribe(&id)).await
    })
    .await;
    let polled = client.consume(&id, json!({"timeout_ms": 30_000})).await;
    assert_eq!(polled.expect(200).records().len(), 10);
    client.delete(&id).await.expect(204);
}

#[tokio::test]
async fn a_group_without_a_right_is_refused_until_it_is_granted() {
    let place = Place::new().await;
    let (client, id) = (client().await, unique("c"));
    place.allow_topic(&OF_TOPIC).await;
    let begun = Instant::now();
    let refused = denied(client.subscribe(place.subscribe(&id)).await);
    assert!(begun.elapsed() < SOON, "{:?}", begun.elapsed());
    assert!(
        refused.text_at("detail").contains("roup"),
        "{}",
        refused.text
    );
    place.check_nothing_left(&client, &id).await;
    place.allow_group().await;
    done("it may join now", async || {
        client.subscribe(place.subscribe(&id)).await
    })
    .await;
    let committed = client.commit(&id, json!({"offsets": {&place.topic: {"0": 4}}}));
    committed.await.expect(200);
    assert_eq!(place.committed().await[&0], 4);
    client.delete(&id).await.expect(204);
}

#[tokio::test]
async fn a_topic_that_may_be_seen_but_not_read_is_refused_by_the_poll() {
    let place = Place::new().await;
    let (client, id) = (client().await, unique("c"));
    place.allow_group().await;
    place.allow_topic(&["Describe"]).await;
    let subscribed = client.subscribe(place.subscribe(&id)).await;
    if subscribed.status() == Some(200) {
        let poll = async || client.consume(&id, json!({"timeout_ms": 5_000})).await;
        let begun = Instant::now();
        refused("the poll is refused", poll).await;
        assert!(begun.elapsed() < SOON, "{:?}", begun.elapsed());
    } else {
        denied(subscribed);
    }
    place.allow_topic(&OF_TOPIC).await;
    done("it may read now", async || {
        let subscribed = client.subscribe(place.subscribe(&id)).await;
        match subscribed.status() {
            Some(200) => client.consume(&id, json!({"timeout_ms": 5_000})).await,
            _ => subscribed,
        }
    })
    .await;
    client.delete(&id).await.expect(204);
}

#[tokio::test]
async fn a_topic_whose_right_is_taken_back_is_refused_and_read_on_when_it_returns() {
    let place = Place::new().await;
    let (client, id) = (client().await, unique("c"));
    place.allow_group().await;
    place.allow_topic(&OF_TOPIC).await;
    client.subscribe(place.subscribe(&id)).await.expect(200);
    let poll = async || client.consume(&id, json!({"timeout_ms": 2_000})).await;
    let first = client.consume(&id, json!({"timeout_ms": 30_000})).await;
    assert_eq!(first.expect(200).records().len(), 10);
    // Should the partition be lost on the way, reading starts here.
    client.commit(&id, ()).await.expect(200);

    // The right to read alone, then that to see the topic too.
    for (round, rights) in [&["Read"][..], &OF_TOPIC].into_iter().enumerate() {
        let topic = Resource::Topic(&place.topic);
        place.kafka.revoke("alice", rights, topic).await.unwrap();
        refused("polls are refused", poll).await;
        client.get(&id).await.expect(200);

        place.allow_topic(rights).await;
        // There is nothing new to read, and that alone must not look like a refusal.
        let empty = done("polls are answered", poll).await;
        assert_eq!(empty.records().len(), 0);
        let next = [Record::value("next")];
        place.kafka.produce(&place.topic, next).await.unwrap();
        let polled = done("records come", async || {
            client.consume(&id, json!({"timeout_ms": 30_000})).await
        })
        .await;
        assert_eq!(polled.records().len(), 1);
        assert_eq!(polled.records()[0]["offset"], 10 + round);
        client.commit(&id, ()).await.expect(200);
    }
    client.delete(&id).await.expect(204);
}

#[tokio::test]
async fn a_group_whose_right_is_taken_back_refuses_commits_and_takes_them_again() {
    let place = Place::new().await;
    let (client, id) = (client().await, unique("c"));
    place.allow_group().await;
    place.allow_topic(&OF_TOPIC).await;
    client.subscribe(place.subscribe(&id)).await.expect(200);
    let commit = async |offset: i64| {
        let body = json!({"offsets": {&place.topic: {"0": offset}}});
        client.commit(&id, body).await
    };
    commit(3).await.expect(200);

    let group = Resource::Group(&place.group);
    place.kafka.revoke("alice", &OF_GROUP, group).await.unwrap();
    refused("commits are refused", async || commit(5).await).await;
    assert_eq!(place.committed().await[&0], 3);

    place.allow_group().await;
    done("commits are done", async || commit(7).await).await;
    assert_eq!(place.committed().await[&0], 7);
    let poll = async || client.consume(&id, json!({"timeout_ms": 5_000})).await;
    let polled = done("polls are answered", poll).await;
    assert!(!polled.records().is_empty());
    client.delete(&id).await.expect(204);
}

#[tokio::test]
async fn a_password_is_in_no_log_at_any_level() {
    let place = Place::new().await;
    let node = node_of(place.kafka, PASSWORD)
        .env("SLUICE_KAFKA__PROPERTIES__DEBUG", "security,conf,broker")
        .start()
        .await;
    let (client, id) = (node.client(), unique("c"));
    place.allow_group().await;
    place.allow_topic(&OF_TOPIC).await;
    client.subscribe(place.subscribe(&id)).await.expect(200);
    client.get(&id).await.expect(200);
    client.delete(&id).await.expect(204);
    node.sigterm();
    node.wait_exit(DEADLINE).await.unwrap();
    // The log does hold what librdkafka tells of its settings.
    assert!(
        node.log_contains("sasl.username"),
        "{}",
        node.folder().display()
    );
    assert!(!node.log_contains(PASSWORD));
}

#[tokio::test]
async fn a_topic_is_written_only_with_the_right_to() {
    let (place, client) = (Place::new().await, client().await);
    let produce = async || {
        let body = json!({"records": [{"value": 1}, {"value": 2}]});
        let began = Instant::now();
        let reply = client.produce(&place.topic, &[], body).await;
        assert!(began.elapsed() < SOON, "{:?}", began.elapsed());
        reply
    };
    // It may not even be seen.
    denied(produce().await);
    place.allow_topic(&["Describe"]).await;
    // It may be seen; nothing may be written anywhere, then something elsewhere.
    let elsewhere = Place::new().await;
    for _ in 0..2 {
        eventually(DEADLINE, "the refusal names the right", async || {
            let reply = produce().await;
            match reply.status() {
                Some(403) => denied(reply)["offsets"].is_array(),
                _ => false,
            }
        })
        .await;
        elsewhere.allow_topic(&["Write", "Describe"]).await;
    }
    place.allow_topic(&["Write"]).await;
    eventually(DEADLINE, "it is written", async || {
        produce().await.status() == Some(200)
    })
    .await;
}
