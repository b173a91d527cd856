//! Sessions in groups of the new type, in which the broker assigns (KIP-848). A member of the new
//! protocol makes a group such a one; Kafka lets members of the classic protocol in all the same.

use serde_json::json;
use sluice_tests::reader::assigned;
use sluice_tests::{Client, Kafka, NativeMember, Node, Reader, eventually, unique};

use super::{DEADLINE, are_shares, new_topic, shares, spec};

/// Waits until the session and the native member have two partitions each.
async fn share(client: &Client, session: &Reader, native: &NativeMember, topic: &str) {
    eventually(DEADLINE, "both have two", async || {
        let held = client.assignment(session.id()).await.expect(200);
        let shares = [assigned(&held, topic), native.assigned()];
        let fair = are_shares(&shares, 4) && shares[0].len() == 2;
        if fair { Ok(()) } else { Err(shares) }
    })
    .await;
}

async fn has_all(native: &NativeMember) {
    eventually(DEADLINE, "the native member has all", async || {
        native.assigned().len() == 4
    })
    .await;
}

/// Reads with the session until it has had `count` records, and commits them.
async fn read(session: &mut Reader, count: usize) {
    eventually(DEADLINE, "the session's share is read", async || {
        session.poll(500).await;
        let seen = session.seen().len();
        if seen == count { Ok(()) } else { Err(seen) }
    })
    .await;
    session.commit().await;
}

#[tokio::test]
async fn a_session_joins_reads_commits_and_leaves_a_group_of_the_new_type() {
    let (kafka, node) = (Kafka::shared().await, Node::shared().await);
    let (topic, group) = (new_topic(kafka, 4).await, unique("group"));
    let client = node.client();
    let native = NativeMember::join_by_new_protocol(kafka, &group, &topic);
    has_all(&native).await;
    // To who asks as of a classic group, there is none.
    assert_eq!(kafka.group(&group).await.unwrap(), None);

    let mut session = Reader::subscribe(&client, spec(&group, &topic)).await;
    share(&client, &session, &native, &topic).await;
    kafka.fill(&topic, 40, 0).await.unwrap();
    read(&mut session, 20).await;
    let mut committed = kafka.committed(&group, &topic).await.unwrap();
    for partition in native.assigned() {
        assert_eq!(committed.remove(&partition), None);
    }
    assert_eq!(committed.into_values().collect::<Vec<_>>(), [10, 10]);
    session.leave().await;
    has_all(&native).await;
}

#[tokio::test]
async fn a_live_group_that_turns_to_the_new_type_and_back_keeps_its_session() {
    let (kafka, node) = (Kafka::shared().await, Node::shared().await);
    let (topic, group) = (new_topic(kafka, 4).await, unique("group"));
    let client = node.client();
    let mut session = Reader::subscribe(&client, spec(&group, &topic)).await;
    shares(&client, &[session.id()], &topic, 4).await;
    let native = NativeMember::join_by_new_protocol(kafka, &group, &topic);
    share(&client, &session, &native, &topic).await;
    assert_eq!(kafka.group(&group).await.unwrap(), None);
    kafka.fill(&topic, 40, 0).await.unwrap();
    read(&mut session, 20).await;

    drop(native);
    shares(&client, &[session.id()], &topic, 4).await;
    read(&mut session, 40).await;
    let committed = kafka.committed(&group, &topic).await.unwrap();
    assert!(
        committed.values().all(|offset| *offset == 10),
        "{committed:?}"
    );
    session.leave().await;
}

#[tokio::test]
async fn a_group_that_turned_while_it_was_without_sessions_is_joined_where_it_stands() {
    let (kafka, node) = (Kafka::shared().await, Node::shared().await);
    let (topic, group) = (new_topic(kafka, 4).await, unique("group"));
    let client = node.client();
    kafka.fill(&topic, 40, 0).await.unwrap();
    let mut session = Reader::subscribe(&client, spec(&group, &topic)).await;
    read(&mut session, 40).await;
    session.leave().await;
    let native = NativeMember::join_by_new_protocol(kafka, &group, &topic);
    has_all(&native).await;

    let session = Reader::subscribe(&client, spec(&group, &topic)).await;
    share(&client, &session, &native, &topic).await;
    let position = client.position(session.id()).await.expect(200);
    let offsets = position["offsets"][&topic].as_object().unwrap();
    assert!(offsets.values().all(|at| *at == 10), "{offsets:?}");
    session.leave().await;
}

#[tokio::test]
async fn sessions_in_a_group_of_the_new_type_need_one_strategy_too() {
    let (kafka, node) = (Kafka::shared().await, Node::shared().await);
    let (topic, group) = (new_topic(kafka, 4).await, unique("group"));
    let client = node.client();
    let native = NativeMember::join_by_new_protocol(kafka, &group, &topic);
    has_all(&native).await;
    let first = Reader::subscribe(&client, spec(&group, &topic)).await;
    share(&client, &first, &native, &topic).await;
    let mut other = spec(&group, &topic);
    other["assignment_strategy"] = json!("range");
    other["consumer_id"] = json!(unique("consumer"));
    let refused = client.subscribe(&other).await;
    refused.expect_problem(409, "inconsistent_group_protocol");
    let id = other["consumer_id"].as_str().unwrap();
    let missing = client.get(id).await;
    missing.expect_problem(404, "consumer_not_found");
    share(&client, &first, &native, &topic).await;
    first.leave().await;
    has_all(&native).await;
}
