//! `DELETE /api/consumers/{id}`.

use std::cell::Cell;
use std::time::Duration;

use serde_json::json;
use sluice_tests::reader::assigned;
use sluice_tests::{Reader, eventually};
use tokio::time::timeout;

use super::{DEADLINE, Names};

/// Much less than the 30 s after which Kafka would give a silent member up, and much more than a
/// heartbeat.
const NOT_BY_TIMEOUT: Duration = Duration::from_secs(15);

#[tokio::test]
async fn a_deleted_session_is_gone_for_clients_and_for_kafka() {
    let names = Names::new(2).await;
    let client = names.node.client();
    client.subscribe(names.spec()).await.expect(200);
    assert_eq!(names.member_count().await, 1);
    let deleted = client.delete(&names.id).await.expect(204);
    assert_eq!(deleted.text, "");

    let gone = [
        client.delete(&names.id).await,
        client.get(&names.id).await,
        client.consume(&names.id, ()).await,
        client.commit(&names.id, ()).await,
        client.position(&names.id).await,
        client.assignment(&names.id).await,
    ];
    for reply in gone {
        reply.expect_problem(404, "consumer_not_found");
    }
    eventually(NOT_BY_TIMEOUT, "Kafka has let the member go", async || {
        names.member_count().await == 0
    })
    .await;
}

#[tokio::test]
async fn a_delete_ends_the_pending_poll_at_once_and_empty() {
    let names = Names::new(1).await;
    let client = names.node.client();
    client.subscribe(names.spec()).await.expect(200);
    let is_idle = async || client.get(&names.id).await.expect(200)["idle_ms"] != json!(0);
    eventually(DEADLINE, "the session is idle", is_idle).await;
    let poll = client.consume(&names.id, json!({"timeout_ms": 300_000}));
    let delete = async {
        // Only a poll in flight keeps the idle time at zero.
        eventually(DEADLINE, "the poll waits", async || !is_idle().await).await;
        client.delete(&names.id).await.expect(204);
    };
    let both = async { tokio::join!(poll, delete).0 };
    let polled = timeout(DEADLINE, both).await.expect("the poll has ended");
    let polled = polled.expect(200);
    assert_eq!(polled["records"], json!([]));
    assert!(polled["cursor"].is_string(), "{}", polled.json);
}

#[tokio::test]
async fn others_get_the_partitions_of_a_deleted_session_without_waiting_for_a_timeout() {
    let names = Names::new(4).await;
    let client = names.node.client();
    client.subscribe(names.spec()).await.expect(200);
    let other = Reader::subscribe(&client, names.nameless_spec()).await;
    let held = async |count| {
        eventually(NOT_BY_TIMEOUT, "partitions move", async || {
            let held = client.assignment(other.id()).await.expect(200);
            assigned(&held, &names.topic).len() == count
        })
        .await;
    };
    held(2).await;
    client.delete(&names.id).await.expect(204);
    held(4).await;
    assert_eq!(names.member_count().await, 1);
    other.leave().await;
}

#[tokio::test]
async fn an_id_can_be_subscribed_again_right_after_its_delete() {
    let names = Names::new(2).await;
    let client = names.node.client();
    names.kafka.fill(&names.topic, 20, 0).await.unwrap();
    let mut stamps = Vec::new();
    for round in 0..5 {
        let subscribed = client.subscribe(names.spec()).await.expect(200);
        assert_eq!(subscribed.text_at("consumer_id"), names.id);
        let held = assigned(&subscribed, &names.topic);
        assert_eq!(held.len(), 2, "{round}: {}", subscribed.json);
        let mut reader = Reader::of(&client, &names.id);
        // Nothing was committed: each life begins at the beginning.
        eventually(DEADLINE, "all is read", async || {
            reader.poll(500).await;
            reader.seen().len() == 20
        })
        .await;
        stamps.push(client.get(&names.id).await.expect(200)["created_at"].clone());
        client.delete(&names.id).await.expect(204);
    }
    stamps.dedup();
    assert_eq!(stamps.len(), 5, "{stamps:?}");
    // Another specification is none of the former life's business either.
    let mut other = names.spec();
    other["auto_commit"] = json!(true);
    client.subscribe(other).await.expect(200);
    client.delete(&names.id).await.expect(204);
}

#[tokio::test]
async fn a_session_deleted_while_it_joins_leaves_no_member_behind() {
    for _ in 0..5 {
        let names = Names::new(2).await;
        let client = names.node.client();
        let answered = Cell::new(false);
        let subscribe = async {
            let status = client.subscribe(names.spec()).await.status();
            answered.set(true);
            // What there was, or that the session is no more.
            assert!(matches!(status, Some(200 | 503)), "{status:?}");
        };
        let delete = eventually(DEADLINE, "the subscribe is over", async || {
            let before = answered.get();
            let status = client.delete(&names.id).await.status();
            assert!(matches!(status, Some(204 | 404)), "{status:?}");
            before
        });
        tokio::join!(subscribe, delete);
        let gone = client.get(&names.id).await;
        gone.expect_problem(404, "consumer_not_found");
        eventually(NOT_BY_TIMEOUT, "Kafka has no member", async || {
            names.member_count().await == 0
        })
        .await;
    }
}

#[tokio::test]
async fn a_cursor_of_an_earlier_life_of_the_id_does_not_count() {
    let names = Names::new(1).await;
    let client = names.node.client();
    names.kafka.fill(&names.topic, 20, 0).await.unwrap();
    client.subscribe(names.spec()).await.expect(200);
    let poll = json!({"max_records": 10});
    let polled = client.consume(&names.id, poll).await.expect(200);
    let cursor = polled.text_at("cursor");
    client.delete(&names.id).await.expect(204);

    client.subscribe(names.spec()).await.expect(200);
    let committed = client.commit(&names.id, json!({"cursor": cursor})).await;
    assert_eq!(committed.expect(200)["offsets"], json!({}));
    let again = json!({"after": cursor, "max_records": 1});
    let polled = client.consume(&names.id, again).await.expect(200);
    assert_eq!(polled.records()[0]["offset"], json!(0));
    client.delete(&names.id).await.expect(204);
}

#[tokio::test]
async fn a_delete_commits_the_latest_answer_with_auto_commit_and_nothing_without() {
    for auto_commit in [true, false] {
        let names = Names::new(1).await;
        let client = names.node.client();
        names.kafka.fill(&names.topic, 20, 0).await.unwrap();
        let mut spec = names.spec();
        spec["auto_commit"] = json!(auto_commit);
        // So that nothing but the end commits.
        spec["auto_commit_interval_ms"] = json!(3_600_000);
        client.subscribe(spec).await.expect(200);
        let mut last = 0;
        for _ in 0..2 {
            let polled = client.consume(&names.id, json!({"max_records": 5})).await;
            let polled = polled.expect(200);
            last = polled.records().last().unwrap()["offset"].as_i64().unwrap();
        }
        client.delete(&names.id).await.expect(204);
        let committed = names.kafka.committed(&names.group, &names.topic).await;
        let expected = auto_commit.then_some(last + 1);
        assert_eq!(committed.unwrap().get(&0).copied(), expected);
    }
}
