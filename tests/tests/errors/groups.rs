//! What a group does not let its sessions do.

use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use reqwest::Method;
use serde_json::json;
use sluice_tests::{Client, Kafka, Reply, eventually, unique};
use tokio::time::Instant;

use crate::{DEADLINE, assert_waits, client, left, session, topic};

/// A native member of a group, which is polled only when a test says so.
fn native(kafka: &Kafka, group: &str, topic: &str, settings: &[(&str, &str)]) -> BaseConsumer {
    let mut config: ClientConfig = kafka.client_config();
    config
        .set("group.id", group)
        .set("enable.auto.commit", "false");
    for (key, value) in settings {
        config.set(*key, *value);
    }
    let member: BaseConsumer = config.create().expect("the settings are right");
    member.subscribe(&[topic]).expect("the name is legal");
    member
}

/// Polls a native member until it has partitions.
async fn assigned(member: &BaseConsumer) {
    eventually(DEADLINE, "the native member is assigned", async || {
        member.poll(Duration::ZERO);
        member.assignment().is_ok_and(|held| held.count() > 0)
    })
    .await;
}

#[tokio::test]
async fn another_strategy_in_the_group_is_told_with_the_field_to_set() {
    let client = client().await;
    let kafka = Kafka::shared().await;
    let (topic, group, id) = (topic(1).await, unique("g"), unique("c"));
    let member = native(
        kafka,
        &group,
        &topic,
        &[("partition.assignment.strategy", "range")],
    );
    assigned(&member).await;
    let begun = Instant::now();
    let mut body = json!({"group_id": group, "topics": [topic], "consumer_id": id});
    let refused = client.subscribe(&body).await;
    let refused = refused.expect_problem(409, "inconsistent_group_protocol");
    assert!(refused.text_at("detail").contains("assignment_strategy"));
    assert!(begun.elapsed() < Duration::from_secs(10));
    let session = client.get(&id).await;
    session.expect_problem(404, "consumer_not_found");
    let members = kafka.members(&group).await.unwrap();
    assert_eq!(members.len(), 1, "{members:?}");
    drop(member);
    left(&group).await;
    body["assignment_strategy"] = json!("range");
    client.subscribe(&body).await.expect(200);
    client.delete(&id).await.expect(204);
}

#[tokio::test]
async fn a_manual_session_cannot_commit_beside_members() {
    let client = client().await;
    let kafka = Kafka::shared().await;
    let (topic, group) = (topic(1).await, unique("g"));
    let manual = session(&client, &group, &topic).await;
    let assign = client.assign(&manual, json!({"topics": {&topic: [0]}}));
    assign.await.expect(200);
    let member = session(&client, &group, &topic).await;
    let offsets = json!({"offsets": {&topic: {"0": 7}}});
    let refused = client.commit(&manual, &offsets).await;
    refused.expect_problem(409, "group_has_members");
    client.delete(&member).await.expect(204);
    left(&group).await;
    client.commit(&manual, &offsets).await.expect(200);
    assert_eq!(kafka.committed(&group, &topic).await.unwrap()[&0], 7);
    client.delete(&manual).await.expect(204);
}

#[tokio::test]
async fn a_commit_that_meets_a_lasting_rebalance_ends_at_its_deadline() {
    let client = client().await;
    let kafka = Kafka::shared().await;
    let (topic, group) = (topic(2).await, unique("g"));
    let member = native(
        kafka,
        &group,
        &topic,
        &[("partition.assignment.strategy", "cooperative-sticky")],
    );
    assigned(&member).await;
    let id = unique("c");
    let body = json!({"group_id": group, "topics": [topic], "auto_offset_reset": "earliest",
                      "consumer_id": id});
    // The group waits for a member that is not polled any more to give a partition up.
    let joining = client.subscribe(&body);
    tokio::pin!(joining);
    let rebalancing = eventually(DEADLINE, "the group rebalances", async || {
        let group = kafka.group(&group).await.unwrap();
        group.is_some_and(|group| group.state == "PreparingRebalance")
    });
    tokio::select! {
        reply = &mut joining => panic!("{reply:?}"),
        () = rebalancing => {}
    }
    let refused = commit_within(&client, &id, &topic, "1500").await;
    let refused = refused.expect_problem(503, "rebalance_in_progress");
    assert_waits(&refused);
    drop(member);
    joining.await.expect(200);
    eventually(DEADLINE, "it has both partitions", async || {
        let session = client.assignment(&id).await.expect(200);
        session["assignment"] == json!({&topic: [0, 1]})
    })
    .await;
    commit_within(&client, &id, &topic, "30000")
        .await
        .expect(200);
    client.delete(&id).await.expect(204);
}

async fn commit_within(client: &Client, id: &str, topic: &str, time: &str) -> Reply {
    let body = json!({"offsets": {topic: {"0": 0}}});
    let request = client
        .request(Method::POST, &format!("/api/consumers/{id}/commit"))
        .header("x-request-timeout-ms", time)
        .json(&body);
    client.send(request).await
}

#[tokio::test]
async fn a_session_that_is_being_opened_again_is_not_called_missing() {
    let client = client().await;
    let kafka = Kafka::shared().await;
    let (topic, group) = (topic(1).await, unique("g"));
    let id = session(&client, &group, &topic).await;
    // A member under the session's own name takes its place in the group, and the session takes
    // it back: later each time.
    let refused = eventually(
        DEADLINE,
        "a request comes between two openings",
        async || {
            let settings = [
                ("group.instance.id", &*id),
                ("partition.assignment.strategy", "cooperative-sticky"),
            ];
            let rival = native(kafka, &group, &topic, &settings);
            assigned(&rival).await;
            for _ in 0..3 {
                let reply = commit_within(&client, &id, &topic, "100").await;
                match reply.code() {
                    None => drop(reply.expect(200)),
                    // It is joining, or its commit was on the way when it lost its place.
                    Some("rebalance_in_progress" | "outcome_unknown") => {}
                    _ => return Some(reply.expect_problem(503, "owner_unavailable")),
                }
            }
            None
        },
    )
    .await;
    assert_waits(&refused);
    eventually(DEADLINE, "the session has its place again", async || {
        let reply = commit_within(&client, &id, &topic, "30000").await;
        reply.status() == Some(200)
    })
    .await;
    client.delete(&id).await.expect(204);
}
