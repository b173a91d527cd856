//! Sessions and native consumers in one group.

use serde_json::{Value, json};
use sluice_tests::{Kafka, NativeMember, Node, Reader, eventually, unique};

use super::{DEADLINE, are_shares, new_topic, shares, spec};
use sluice_tests::reader::assigned;

fn spec_with(group: &str, topic: &str, strategy: &str) -> Value {
    let mut spec = spec(group, topic);
    spec["assignment_strategy"] = json!(strategy);
    spec
}

/// A session and a native member share a topic, whoever was first, and each gets all of it when
/// the other leaves.
async fn share_with_native(strategy: &str) {
    let (kafka, node) = (Kafka::shared().await, Node::shared().await);
    let (topic, group) = (new_topic(kafka, 4).await, unique("group"));
    let client = node.client();
    let native = NativeMember::join(kafka, &group, &topic, strategy);
    eventually(DEADLINE, "the native member has all", async || {
        native.assigned().len() == 4
    })
    .await;

    let session = Reader::subscribe(&client, spec_with(&group, &topic, strategy)).await;
    eventually(DEADLINE, "both have two", async || {
        let held = client.assignment(session.id()).await.expect(200);
        let shares = [assigned(&held, &topic), native.assigned()];
        let fair = are_shares(&shares, 4) && shares[0].len() == 2;
        if fair { Ok(()) } else { Err(shares) }
    })
    .await;
    let members = kafka.group(&group).await.unwrap().unwrap();
    assert_eq!(members.protocol, strategy);
    assert_eq!(members.members.len(), 2, "{members:?}");

    drop(native);
    shares(&client, &[session.id()], &topic, 4).await;
    let native = NativeMember::join(kafka, &group, &topic, strategy);
    shares_two(kafka, &group, &topic).await;
    session.leave().await;
    eventually(DEADLINE, "the native member has all again", async || {
        native.assigned().len() == 4
    })
    .await;
}

/// Waits until Kafka has given two members two partitions each.
async fn shares_two(kafka: &Kafka, group: &str, topic: &str) {
    eventually(DEADLINE, "Kafka shares the partitions", async || {
        let members = kafka.members(group).await.unwrap();
        let of = |member: &sluice_tests::kafka::Member| {
            member.assignment.get(topic).map_or(0, |held| held.len())
        };
        let counts: Vec<usize> = members.iter().map(of).collect();
        if counts == [2, 2] {
            Ok(())
        } else {
            Err(members)
        }
    })
    .await;
}

#[tokio::test]
async fn a_session_shares_partitions_with_a_native_cooperative_member() {
    share_with_native("cooperative-sticky").await;
}

#[tokio::test]
async fn a_session_shares_partitions_with_a_native_range_member() {
    share_with_native("range").await;
}

#[tokio::test]
async fn a_session_shares_partitions_with_a_native_roundrobin_member() {
    share_with_native("roundrobin").await;
}

#[tokio::test]
async fn another_strategy_than_the_groups_is_refused_and_nothing_is_left_behind() {
    let (kafka, node) = (Kafka::shared().await, Node::shared().await);
    let (topic, group) = (new_topic(kafka, 2).await, unique("group"));
    let (client, id) = (node.client(), unique("consumer"));
    let native = NativeMember::join(kafka, &group, &topic, "range");
    eventually(DEADLINE, "the native member has all", async || {
        native.assigned().len() == 2
    })
    .await;
    let before = kafka.group(&group).await.unwrap();

    let mut spec = spec_with(&group, &topic, "cooperative-sticky");
    spec["consumer_id"] = json!(id);
    let refused = client.subscribe(&spec).await;
    let problem = refused.expect_problem(409, "inconsistent_group_protocol");
    let detail = problem.text_at("detail");
    assert!(detail.contains("assignment_strategy"), "{detail}");

    client
        .get(&id)
        .await
        .expect_problem(404, "consumer_not_found");
    let listed = node.admin().list(&[("group_id", &group)]).await.expect(200);
    assert_eq!(listed["consumers"], json!([]));
    assert_eq!(kafka.group(&group).await.unwrap(), before);

    // The id is free, and the remedy works.
    spec["assignment_strategy"] = json!("range");
    client.subscribe(&spec).await.expect(200);
    let members = kafka.members(&group).await.unwrap();
    assert_eq!(members.len(), 2, "{members:?}");
    client.delete(&id).await.expect(204);
}

#[tokio::test]
async fn sessions_of_two_strategies_cannot_be_in_one_group() {
    let (kafka, node) = (Kafka::shared().await, Node::shared().await);
    let (topic, group) = (new_topic(kafka, 2).await, unique("group"));
    let client = node.client();
    let first = Reader::subscribe(&client, spec(&group, &topic)).await;
    let generation = generation(&client, &first).await;
    let refused = client.subscribe(spec_with(&group, &topic, "range")).await;
    refused.expect_problem(409, "inconsistent_group_protocol");
    assert_eq!(self::generation(&client, &first).await, generation);
    first.leave().await;
    // Whose strategy counts is the members' choice, and there are none any more.
    let second = Reader::subscribe(&client, spec_with(&group, &topic, "range")).await;
    shares(&client, &[second.id()], &topic, 2).await;
    second.leave().await;
}

async fn generation(client: &sluice_tests::Client, reader: &Reader) -> Value {
    client.assignment(reader.id()).await.expect(200)["generation"].clone()
}
