//! What is wrong with a request of the one-call API.

use futures::future::join_all;
use reqwest::Method;
use serde_json::{Value, json};
use sluice_tests::{Answer, Kafka, NativeMember, Node, Topic, eventually, unique};

use crate::{DEADLINE, consume};

#[track_caller]
fn faults(answer: &Answer) -> Vec<&str> {
    let errors = answer["errors"].as_array().expect("errors is a list");
    errors
        .iter()
        .map(|error| error["field"].as_str().unwrap())
        .collect()
}

#[tokio::test]
async fn all_faults_are_told_at_once() {
    let client = Node::shared().await.client();
    let cases: [(&str, Value, &[&str]); 4] = [
        ("/consume", json!({}), &["topic"]),
        (
            "/consume",
            json!({"topic": "a b", "group_id": 7, "max_messages": 1001, "timeout": 301, "max": 1}),
            &["topic", "group_id", "max_messages", "timeout", "max"],
        ),
        ("/consume", json!({"topic": "t".repeat(249)}), &["group_id"]),
        (
            "/produce",
            json!({"topic": 7, "key": {}, "value": 1}),
            &["topic", "message", "key", "value"],
        ),
    ];
    for (path, body, expected) in cases {
        let refused = client.call(Method::POST, path, &body).await;
        let refused = refused.expect_problem(422, "invalid_field");
        assert_eq!(faults(&refused), expected, "{path} {body}");
    }
    for (path, expected) in [
        ("/messages/t?limit=0&page=2", &["limit", "page"][..]),
        ("/messages/t?limit=1001", &["limit"]),
        ("/?x=1", &["x"]),
        ("/health?x=1", &["x"]),
        ("/topics?x=1", &["x"]),
    ] {
        let refused = client.call(Method::GET, path, ()).await;
        let refused = refused.expect_problem(422, "invalid_field");
        assert_eq!(faults(&refused), expected, "{path}");
    }
    for path in ["/consume", "/produce"] {
        let none = client.call(Method::POST, path, ()).await;
        none.expect_problem(400, "malformed_json");
    }
}

#[tokio::test]
async fn a_missing_topic_leaves_nothing_behind() {
    let (kafka, client) = (Kafka::shared().await, Node::shared().await.client());
    let (topic, group) = (unique("missing"), unique("group"));
    let body = json!({"topic": topic, "group_id": group});
    let refused = consume(&client, body).await;
    let refused = refused.expect_problem(404, "topic_not_found");
    assert_eq!(refused["topics"], json!([topic]));
    assert_eq!(
        kafka
            .group(&group)
            .await
            .unwrap()
            .map(|group| group.members),
        None
    );
    let refused = client
        .call(
            Method::POST,
            "/produce",
            json!({"topic": topic, "message": 1}),
        )
        .await;
    refused.expect_problem(404, "topic_not_found");
}

#[tokio::test]
async fn a_group_of_another_strategy_is_told() {
    let topic = Topic::create(1).await;
    let group = unique("group");
    let _native = NativeMember::join(topic.kafka(), &group, topic.name(), "range");
    eventually(DEADLINE, "the group is stable", async || {
        let found = topic.kafka().group(&group).await.unwrap();
        found.is_some_and(|found| found.state == "Stable")
    })
    .await;
    let body = json!({"topic": topic.name(), "group_id": group});
    let refused = consume(topic.client(), body).await;
    refused.expect_problem(409, "inconsistent_group_protocol");
}

#[tokio::test]
async fn more_calls_than_may_wait_are_refused() {
    let topic = Topic::create(1).await;
    let body = json!({"topic": topic.name(), "timeout": 5});
    let mut first = body.clone();
    first["timeout"] = json!(0);
    consume(topic.client(), first).await.expect(200);
    let calls = (0..300).map(|_| consume(topic.client(), &body));
    let mut refused = 0;
    for reply in join_all(calls).await {
        match reply.status() {
            Some(200) => {}
            _ => {
                let problem = reply.expect_problem(429, "queue_full");
                assert!(problem.header("retry-after").is_some());
                refused += 1;
            }
        }
    }
    assert!((1..=43).contains(&refused), "{refused}");
}

#[tokio::test]
async fn without_kafka_nothing_is_taken_for_done() {
    // Port 1 refuses.
    let node = Node::builder().bootstrap("127.0.0.1:1").start().await;
    let client = node.client();
    let replies = [
        consume(&client, json!({"topic": "t", "timeout": 1})).await,
        client.call(Method::GET, "/messages/t", ()).await,
        client.call(Method::GET, "/topics", ()).await,
        client
            .call(
                Method::POST,
                "/produce",
                json!({"topic": "t", "message": 1}),
            )
            .await,
    ];
    for reply in replies {
        reply.expect_problem(503, "kafka_unavailable");
    }
}
