//! What a session answers when it cannot do what it is asked, and that nothing is left behind.

use serde_json::json;
use sluice_tests::kafka::Record;
use sluice_tests::{Kafka, Node, eventually, unique};
use tokio::time::Instant;

use crate::{DEADLINE, assert_waits, client, left, session, topic};

#[tokio::test]
async fn a_missing_topic_is_named_and_nothing_is_left_behind() {
    let client = client().await;
    let (there, group, id) = (topic(1).await, unique("g"), unique("c"));
    let (gone, away) = (unique("gone"), unique("away"));
    let refused = client
        .subscribe(json!({"group_id": group, "topics": [there, gone, away], "consumer_id": id}))
        .await
        .expect_problem(404, "topic_not_found");
    assert_eq!(refused["topics"], json!([gone, away]));
    let session = client.get(&id).await;
    session.expect_problem(404, "consumer_not_found");
    assert_eq!(Kafka::shared().await.group(&group).await.unwrap(), None);
    // The id is free for another specification.
    let other = json!({"group_id": group, "topics": [there], "consumer_id": id});
    client.subscribe(other).await.expect(200);
    client.delete(&id).await.expect(204);
}

#[tokio::test]
async fn a_partition_that_is_not_there_is_named() {
    let client = client().await;
    let (topic, missing) = (topic(2).await, unique("gone"));
    let id = session(&client, &unique("g"), &topic).await;
    let refused = client.assign(&id, json!({"topics": {&topic: [0, 2, 7]}}));
    let refused = refused.await.expect_problem(404, "partition_not_found");
    assert_eq!(refused["partitions"], json!({&topic: [2, 7]}));
    let refused = client.assign(&id, json!({"topics": {&missing: [0]}}));
    let refused = refused.await.expect_problem(404, "topic_not_found");
    assert_eq!(refused["topics"], json!([missing]));
    // The session has stayed what it was.
    let session = client.get(&id).await.expect(200);
    assert_eq!(session["mode"], "subscribed");
    assert_eq!(session["assignment"], json!({&topic: [0, 1]}));
    client.delete(&id).await.expect(204);
}

#[tokio::test]
async fn a_deleted_session_is_no_more_to_any_request() {
    let client = client().await;
    let topic = topic(1).await;
    let id = session(&client, &unique("g"), &topic).await;
    client.delete(&id).await.expect(204);
    let replies = [
        client.get(&id).await,
        client.position(&id).await,
        client.assignment(&id).await,
        client.consume(&id, json!({"timeout_ms": 0})).await,
        client.commit(&id, ()).await,
        client
            .seek(&id, json!({"topic": topic, "offset": "latest"}))
            .await,
        client.assign(&id, json!({"topics": {&topic: [0]}})).await,
        client.delete(&id).await,
    ];
    for reply in replies {
        reply.expect_problem(404, "consumer_not_found");
    }
}

#[tokio::test]
async fn an_id_lives_with_one_specification() {
    let client = client().await;
    let (one, other) = (topic(1).await, topic(1).await);
    let (group, id) = (unique("g"), unique("c"));
    let first = json!({"group_id": group, "topics": [one, other], "consumer_id": id});
    client.subscribe(&first).await.expect(200);
    for (field, value) in [
        ("group_id", json!(unique("g"))),
        ("topics", json!([one])),
        ("auto_offset_reset", json!("earliest")),
        ("session_timeout_ms", json!(30_001)),
        ("auto_commit", json!(true)),
        ("auto_commit_interval_ms", json!(5_001)),
        ("isolation_level", json!("read_uncommitted")),
        ("key_format", json!("json")),
        ("value_format", json!("binary")),
        ("assignment_strategy", json!("range")),
        ("client_id", json!("other")),
    ] {
        let mut changed = first.clone();
        changed[field] = value;
        let refused = client.subscribe(&changed).await;
        refused.expect_problem(409, "consumer_exists");
    }
    // The same in other words: another order, defaults written out.
    let mut same = first.clone();
    same["topics"] = json!([other, one]);
    same["auto_offset_reset"] = json!("latest");
    same["session_timeout_ms"] = json!(30_000);
    let again = client.subscribe(&same).await.expect(200);
    assert_eq!(again.text_at("consumer_id"), id);
    let members = Kafka::shared().await.members(&group).await.unwrap();
    assert_eq!(members.len(), 1, "{members:?}");
    client.delete(&id).await.expect(204);
}

#[tokio::test]
async fn what_a_session_does_not_hold_it_cannot_seek_or_commit() {
    let client = client().await;
    let (held, foreign) = (topic(1).await, topic(2).await);
    let kafka = Kafka::shared().await;
    kafka.fill(&held, 5, 0).await.unwrap();
    let group = unique("g");
    let id = session(&client, &group, &held).await;
    let both = json!({&held: {"0": 3, "4": 1}, &foreign: {"1": 1}});

    let refused = client.seek(&id, json!({"offsets": both})).await;
    let refused = refused.expect_problem(409, "partition_not_assigned");
    let named = json!({&held: [4], &foreign: [1]});
    assert_eq!(refused["partitions"], named);
    let refused = client
        .seek(&id, json!({"topic": foreign, "offset": 0}))
        .await;
    refused.expect_problem(409, "partition_not_assigned");
    // None of it was done, the part that could have been neither.
    let position = client.position(&id).await.expect(200);
    assert_eq!(position["offsets"], json!({&held: {"0": 0}}));

    let only_foreign = json!({"offsets": {&foreign: {"0": 1, "1": 1}}});
    let refused = client.commit(&id, only_foreign).await;
    let refused = refused.expect_problem(409, "partition_not_assigned");
    assert_eq!(refused["partitions"], json!({&foreign: [0, 1]}));
    let partly = client
        .commit(&id, json!({"offsets": both}))
        .await
        .expect(200);
    assert_eq!(partly["offsets"], json!({&held: {"0": 3}}));
    assert_eq!(partly["not_assigned"], named);
    let committed = kafka.committed(&group, &held).await.unwrap();
    assert_eq!(committed.into_iter().collect::<Vec<_>>(), [(0, 3)]);
    assert!(kafka.committed(&group, &foreign).await.unwrap().is_empty());
    client.delete(&id).await.expect(204);
}

#[tokio::test]
async fn a_full_node_says_so_until_a_session_has_ended() {
    let kafka = Kafka::shared().await;
    let node = Node::builder()
        .kafka(kafka)
        .env("SLUICE_LIMITS__SESSIONS_PER_NODE", 2)
        .start()
        .await;
    let client = node.client();
    let (topic, third) = (topic(1).await, unique("g"));
    let first = session(&client, &unique("g"), &topic).await;
    session(&client, &unique("g"), &topic).await;
    let body = json!({"group_id": third, "topics": [topic], "consumer_id": "third"});
    let refused = client.subscribe(&body).await;
    let refused = refused.expect_problem(429, "too_many_sessions");
    assert_eq!(refused["limit"], 2);
    assert_waits(&refused);
    let session = client.get("third").await;
    session.expect_problem(404, "consumer_not_found");
    assert_eq!(kafka.group(&third).await.unwrap(), None);
    client.delete(&first).await.expect(204);
    eventually(DEADLINE, "there is room again", async || {
        client.subscribe(&body).await.status() == Some(200)
    })
    .await;
}

#[tokio::test]
async fn avro_needs_a_schema_registry() {
    let client = client().await;
    for field in ["key_format", "value_format"] {
        let mut body = json!({"group_id": unique("g"), "topics": [topic(1).await]});
        body[field] = json!("avro");
        let refused = client.subscribe(body).await;
        refused.expect_problem(422, "schema_registry_not_configured");
    }
}

#[tokio::test]
async fn without_a_reset_policy_a_group_must_have_committed() {
    let client = client().await;
    let kafka = Kafka::shared().await;
    let (topic, group, id) = (topic(2).await, unique("g"), unique("c"));
    kafka.fill(&topic, 20, 0).await.unwrap();
    kafka.commit(&group, &topic, [(1, 4)]).await.unwrap();
    let body = json!({"group_id": group, "topics": [topic], "auto_offset_reset": "none",
                      "consumer_id": id});
    let refused = client.subscribe(&body).await;
    let refused = refused.expect_problem(422, "no_committed_offset");
    assert_eq!(refused["partitions"], json!({&topic: [0]}));
    let session = client.get(&id).await;
    session.expect_problem(404, "consumer_not_found");
    left(&group).await;

    kafka.commit(&group, &topic, [(0, 2)]).await.unwrap();
    client.subscribe(&body).await.expect(200);
    let position = client.position(&id).await.expect(200);
    assert_eq!(position["offsets"], json!({&topic: {"0": 2, "1": 4}}));

    // A position outside the log: the records of the other partition come first.
    kafka.delete_records(&topic, 0, 6).await.unwrap();
    let seek = client.seek(&id, json!({"topic": topic, "partition": 0, "offset": 1}));
    seek.await.expect(200);
    let polled = client.consume(&id, json!({"timeout_ms": 30_000})).await;
    let polled = polled.expect(200);
    assert!(
        polled
            .records()
            .iter()
            .all(|record| record["partition"] == 1)
    );
    let refused = client.consume(&id, json!({"timeout_ms": 30_000})).await;
    let refused = refused.expect_problem(409, "offset_out_of_range");
    assert_eq!(refused["topic"], topic);
    assert_eq!(refused["partition"], 0);
    assert_eq!(refused["position"], 1);
    assert_eq!(refused["range"], json!({"first": 6, "end": 10}));
    let seek = client.seek(&id, json!({"topic": topic, "partition": 0, "offset": 6}));
    seek.await.expect(200);
    let polled = client.consume(&id, json!({"timeout_ms": 30_000})).await;
    let polled = polled.expect(200);
    assert_eq!(polled.records()[0]["offset"], 6);
    client.delete(&id).await.expect(204);
}

#[tokio::test]
async fn a_newer_poll_ends_the_older_one() {
    let client = client().await;
    let topic = topic(1).await;
    let id = session(&client, &unique("g"), &topic).await;
    let older = async {
        let poll = client.consume(&id, json!({"timeout_ms": 60_000})).await;
        (poll, Instant::now())
    };
    let newer = async {
        // Renewed once the older poll is there; a poll that came first would be the one to end.
        eventually(DEADLINE, "the older poll waits", async || {
            let session = client.get(&id).await.expect(200);
            session["idle_ms"] == 0
        })
        .await;
        let record = [Record::value("x")];
        let poll = client.consume(&id, json!({"timeout_ms": 1_000})).await;
        Kafka::shared().await.produce(&topic, record).await.unwrap();
        poll
    };
    let ((older, _), newer) = tokio::join!(older, newer);
    older.expect_problem(409, "superseded");
    assert_eq!(newer.expect(200).records().len(), 0);
    let polled = client.consume(&id, json!({"timeout_ms": 30_000})).await;
    assert_eq!(polled.expect(200).records().len(), 1);
    client.delete(&id).await.expect(204);
}
