//! `sluice dev`: a node with an imitation of a broker, which some requests would abort if they
//! reached it. None may.

use std::time::Duration;

use futures::future::join_all;
use reqwest::Method;
use serde_json::{Value, json};
use sluice_tests::{Client, Node, eventually, unique};
use tokio::sync::OnceCell;

use crate::DEADLINE;

/// Starts a node of its own.
pub(crate) async fn start() -> Node {
    // Its address comes from the environment, as a node's does.
    Node::builder().subcommand("dev").start().await
}

/// Returns the node of the tests that do not end it.
async fn node() -> &'static Node {
    static NODE: OnceCell<Node> = OnceCell::const_new();
    NODE.get_or_init(start).await
}

fn body(group: &str) -> Value {
    json!({"group_id": group, "topics": ["orders"], "auto_offset_reset": "earliest"})
}

async fn subscribe(client: &Client, body: Value) -> String {
    let subscribed = client.subscribe(body).await.expect(200);
    subscribed.text_at("consumer_id").to_owned()
}

/// The node lives and a new session reads from it.
async fn still_works(client: &Client) {
    let id = subscribe(client, body(&unique("g"))).await;
    let polled = client.consume(&id, json!({"timeout_ms": 30_000})).await;
    assert!(!polled.expect(200).records().is_empty());
    client.delete(&id).await.expect(204);
}

#[tokio::test]
async fn it_says_what_it_is_has_records_and_ends_in_order() {
    let node = start().await;
    for told in [
        "This broker is not Apache Kafka",
        "forgets everything when it stops",
        "orders (3 partitions) and events (2 partitions)",
        "in memory only",
        &node.url(),
    ] {
        eventually(DEADLINE, told, async || node.log_contains(told)).await;
    }
    let client = node.client();
    for topic in ["orders", "events"] {
        let mut body = body(&unique("g"));
        body["topics"] = json!([topic]);
        let id = subscribe(&client, body).await;
        let mut seen = 0;
        eventually(
            DEADLINE,
            "there are fifty records and more come",
            async || {
                let polled = client.consume(&id, json!({"timeout_ms": 5_000})).await;
                seen += polled.expect(200).records().len();
                seen > 50
            },
        )
        .await;
    }
    node.sigterm();
    let status = node.wait_exit(DEADLINE).await.unwrap();
    assert_eq!(status.code(), Some(0), "{}", node.log());
}

#[tokio::test]
async fn what_is_told_of_another_broker_is_refused() {
    let dev = Node::builder().subcommand("dev").bootstrap("kafka:9092");
    let (status, log) = dev.run(DEADLINE).await.unwrap();
    assert_eq!(status.code(), Some(64), "{log}");
    assert!(log.contains("SLUICE_KAFKA__BOOTSTRAP_SERVERS"), "{log}");
    assert!(log.contains("sluice serve"), "{log}");
}

#[tokio::test]
async fn what_the_embedded_broker_cannot_do_is_refused_before_it_is_asked() {
    let client = node().await.client();
    for strategy in ["range", "roundrobin"] {
        let mut body = body(&unique("g"));
        body["assignment_strategy"] = json!(strategy);
        let refused = client.subscribe(body).await;
        let refused = refused.expect_problem(501, "unsupported_by_dev_broker");
        assert!(refused.text_at("detail").contains("assignment_strategy"));
    }
    let id = subscribe(&client, body(&unique("g"))).await;
    let by_time = json!({"topic": "orders", "timestamp": 1_704_537_600_000_i64});
    let refused = client.seek(&id, by_time).await;
    refused.expect_problem(501, "unsupported_by_dev_broker");
    // Offsets and words it does know.
    for target in [json!(3), json!("earliest"), json!("latest")] {
        let body = json!({"topic": "orders", "partition": 1, "offset": target});
        client.seek(&id, body).await.expect(200);
    }
    client.delete(&id).await.expect(204);
    still_works(&client).await;
}

#[tokio::test]
async fn a_missing_topic_and_a_missing_partition_are_told_here_too() {
    let client = node().await.client();
    let mut missing = body(&unique("g"));
    missing["topics"] = json!(["orders", unique("gone")]);
    let refused = client.subscribe(missing).await;
    refused.expect_problem(404, "topic_not_found");
    let id = subscribe(&client, body(&unique("g"))).await;
    let refused = client.assign(&id, json!({"topics": {"orders": [3]}})).await;
    refused.expect_problem(404, "partition_not_found");
    client.delete(&id).await.expect(204);
}

#[tokio::test]
async fn a_session_can_take_partitions_by_hand() {
    let client = node().await.client();
    let id = subscribe(&client, body(&unique("g"))).await;
    let assigned = client.assign(&id, json!({"topics": {"events": [1], "orders": [0, 2]}}));
    let assigned = assigned.await.expect(200);
    let expected = json!({"events": [1], "orders": [0, 2]});
    assert_eq!(assigned["assignment"], expected);
    let polled = client.consume(&id, json!({"timeout_ms": 30_000})).await;
    assert!(!polled.expect(200).records().is_empty());
    client.delete(&id).await.expect(204);
    still_works(&client).await;
}

#[tokio::test]
async fn members_of_a_group_share_its_partitions_and_inherit_them() {
    let client = node().await.client();
    let group = unique("g");
    let first = subscribe(&client, body(&group)).await;
    let second = subscribe(&client, body(&group)).await;
    let held = async |id: &str| {
        let assignment = client.assignment(id).await.expect(200);
        let held = assignment["assignment"]["orders"].as_array().cloned();
        held.unwrap_or_default()
    };
    eventually(DEADLINE, "they share three partitions", async || {
        let (one, two) = (held(&first).await, held(&second).await);
        let fair = one.len() + two.len() == 3 && !one.is_empty() && !two.is_empty();
        let apart = one.iter().all(|partition| !two.contains(partition));
        (fair && apart).then_some(()).ok_or((one, two))
    })
    .await;
    client.delete(&first).await.expect(204);
    eventually(DEADLINE, "the other has them all", async || {
        held(&second).await.len() == 3
    })
    .await;
    client.delete(&second).await.expect(204);
}

#[tokio::test]
async fn the_one_call_api_works() {
    let client = node().await.client();
    for path in ["/", "/health"] {
        client.call(Method::GET, path, ()).await.expect(200);
    }
    let topics = client.call(Method::GET, "/topics", ()).await.expect(200);
    let named = |topic: &Value| topic["topic"].as_str().map(str::to_owned);
    let names: Vec<_> = topics
        .json
        .as_array()
        .unwrap()
        .iter()
        .filter_map(named)
        .collect();
    assert_eq!(names, ["events", "orders"]);
    let message = unique("message");
    let body = json!({"topic": "events", "message": message, "key": "k"});
    let written = client
        .call(Method::POST, "/produce", body)
        .await
        .expect(200);
    let newest = client.call(Method::GET, "/messages/events?limit=1000", ());
    let newest = newest.await.expect(200);
    let is_it = |found: &&Value| found["value"] == *message;
    let found = newest.json.as_array().unwrap().iter().find(is_it).unwrap();
    assert_eq!(found["offset"], written["offset"]);
    let mut seen = Vec::new();
    eventually(DEADLINE, "it is read", async || {
        let body = json!({"topic": "events", "max_messages": 1000, "timeout": 5});
        let read = client
            .call(Method::POST, "/consume", body)
            .await
            .expect(200);
        seen.extend(read["messages"].as_array().unwrap().clone());
        seen.iter().any(|found| found["value"] == *message)
    })
    .await;
}

#[tokio::test]
async fn a_silent_session_expires() {
    let client = node().await.client();
    let mut silent = body(&unique("g"));
    silent["session_timeout_ms"] = json!(1_000);
    let id = subscribe(&client, silent).await;
    eventually(DEADLINE, "it has expired", async || {
        // Looking does not renew it.
        client.get(&id).await.status() == Some(404)
    })
    .await;
    still_works(&client).await;
}

#[tokio::test]
async fn nothing_that_a_client_sends_ends_it() {
    let node = start().await;
    let client = node.client();
    let id = subscribe(&client, body(&unique("g"))).await;
    let words = [
        "range", "sticky", "none", "latest", "earliest", "avro", "binary", "", "☃",
    ];
    let numbers = [i64::MIN, -1, 0, 1, 3, 1_000, i64::MAX - 1, i64::MAX];
    let mut odd = Vec::new();
    for number in numbers {
        for word in words {
            let path = |verb: &str| format!("/api/consumers/{id}/{verb}");
            odd.extend([
                (
                    Method::POST,
                    path("seek"),
                    json!({"topic": "orders", "partition": 0, "offset": number}),
                ),
                (
                    Method::POST,
                    path("seek"),
                    json!({"topic": "orders", "timestamp": number}),
                ),
                (
                    Method::POST,
                    path("seek"),
                    json!({"topic": word, "offset": word}),
                ),
                (
                    Method::POST,
                    path("commit"),
                    json!({"offsets": {"orders": {"0": number}}}),
                ),
                (
                    Method::POST,
                    path("commit"),
                    json!({"offsets": {"events": {word: number}}}),
                ),
                (
                    Method::POST,
                    path("consume"),
                    json!({"timeout_ms": 0, "max_records": number}),
                ),
                (
                    Method::POST,
                    path("consume"),
                    json!({"timeout_ms": 0, "after": word}),
                ),
                (
                    Method::PUT,
                    path("assignment"),
                    json!({"topics": {word: [number]}}),
                ),
                (
                    Method::POST,
                    "/api/consumers/subscribe".to_owned(),
                    json!({"group_id": word, "topics": ["orders"], "isolation_level": word,
                           "assignment_strategy": word, "session_timeout_ms": number}),
                ),
                (
                    Method::POST,
                    "/api/consumers/subscribe".to_owned(),
                    json!({"group_id": "odd", "topics": [word, "events"], "key_format": word}),
                ),
            ]);
        }
    }
    // Sessions that begin and end at once, in one group, with clients that do not wait for it.
    for number in 0..60 {
        let mut body = body("crowd");
        body["consumer_id"] = json!(format!("crowd-{}", number % 6));
        odd.push((Method::POST, "/api/consumers/subscribe".to_owned(), body));
        let gone = format!("/api/consumers/crowd-{}", (number + 3) % 6);
        odd.push((Method::DELETE, gone, Value::Null));
    }
    for some in odd.chunks(20) {
        let sending = some.iter().map(async |(method, path, body)| {
            let request = client
                .request(method.clone(), path)
                .header("x-request-timeout-ms", 200)
                .json(body);
            client.send(request).await.answer()
        });
        for answer in join_all(sending).await {
            assert_ne!(answer.status, 500, "{}", answer.text);
        }
        assert!(node.is_running(), "{}", node.log());
    }
    let client = Client::with_timeout(node.url(), Duration::from_secs(60));
    eventually(DEADLINE, "a new session begins", async || {
        let mut body = body("after");
        body["consumer_id"] = json!("after");
        client.subscribe(body).await.status() == Some(200)
    })
    .await;
    let polled = client.consume("after", json!({"timeout_ms": 30_000})).await;
    assert!(!polled.expect(200).records().is_empty());
    assert!(node.is_running());
}
