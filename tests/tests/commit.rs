//! Commits: what the client says, what was delivered, and what commits itself.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use sluice_tests::{Answer, Session, Topic, offsets_of, places};

/// Longer than any test: only what ends the session commits.
const NEVER_MS: u64 = 3_600_000;
/// Long enough to do something meanwhile on a busy machine, short enough to wait for.
const EXPIRY_MS: u64 = 3_000;

/// A topic of two partitions with ten records each, and a session that has read nothing of it.
async fn filled(options: Value) -> (Topic, Session) {
    let topic = Topic::create(2).await;
    for partition in 0..2 {
        topic.write(partition, 10).await;
    }
    let session = topic.subscribe(options).await;
    (topic, session)
}

/// A topic of one partition with ten records, and a session that has read nothing of it.
async fn single(options: Value) -> (Topic, Session) {
    let topic = Topic::create(1).await;
    topic.write(0, 10).await;
    let session = topic.subscribe(options).await;
    (topic, session)
}

/// Polls for this many records of a topic with one partition, and returns the answer.
async fn poll(session: &Session, most: usize, after: Option<&Answer>) -> Answer {
    let mut body = json!({"max_records": most});
    if let Some(after) = after {
        body["after"] = after["cursor"].clone();
    }
    session.poll(body).await
}

/// What is to be read behind an answer with records of a topic with one partition.
#[track_caller]
fn behind(answer: &Answer) -> i64 {
    let places = places(answer.records());
    places.last().expect("there are records").1 + 1
}

fn offsets<const N: usize>(offsets: [(i32, i64); N]) -> BTreeMap<i32, i64> {
    offsets.into()
}

#[tokio::test]
async fn named_offsets_are_committed_and_move_no_position() {
    let (topic, session) = filled(json!({})).await;
    let body = json!({"offsets": {topic.name(): {"0": 7, "1": 3}}});
    let answer = session.commit(&body).await.expect(200);
    assert_eq!(answer["offsets"], body["offsets"]);
    assert_eq!(answer["generation"], session.subscribed["generation"]);
    assert!(answer.json.get("not_assigned").is_none(), "{}", answer.text);
    // Answered when the broker has it, so it is there now.
    assert_eq!(session.committed().await, offsets([(0, 7), (1, 3)]));

    assert_eq!(session.positions().await, offsets([(0, 0), (1, 0)]));
    let mut read = places(&session.read(20).await);
    read.sort_unstable();
    assert_eq!((read[0], read[10]), ((0, 0), (1, 0)));

    // Backwards too: what is committed is the client's business.
    let back = json!({"offsets": {topic.name(): {"0": 1}}});
    session.commit(back).await.expect(200);
    assert_eq!(session.committed().await, offsets([(0, 1), (1, 3)]));
    assert_eq!(session.positions().await, offsets([(0, 10), (1, 10)]));
}

#[tokio::test]
async fn the_next_of_the_group_starts_at_the_commit() {
    let (topic, session) = single(json!({})).await;
    let body = json!({"offsets": {topic.name(): {"0": 6}}});
    session.commit(body).await.expect(200);
    session.delete().await;
    let next = topic.subscribe(json!({"group_id": session.group()})).await;
    assert_eq!(places(&next.read(4).await)[0], (0, 6));
}

#[tokio::test]
async fn without_a_body_what_was_delivered_is_committed() {
    let (topic, session) = single(json!({})).await;
    let nothing = session.commit(()).await.expect(200);
    assert_eq!(nothing["offsets"], json!({}));
    assert_eq!(session.committed().await, offsets([]));

    let first = poll(&session, 4, None).await;
    let answer = session.commit(()).await.expect(200);
    let delivered = offsets([(0, behind(&first))]);
    assert_eq!(offsets_of(&answer, topic.name()), delivered);
    assert_eq!(session.committed().await, delivered);

    // An empty object is no other body than none.
    let second = poll(&session, 4, None).await;
    session.commit(json!({})).await.expect(200);
    assert_eq!(session.committed().await, offsets([(0, behind(&second))]));
}

#[tokio::test]
async fn what_no_poll_has_shown_is_not_delivered() {
    let (_topic, session) = filled(json!({})).await;
    let polled = session.poll(json!({"max_records": 1})).await;
    let shown = places(polled.records())[0];
    session.commit(()).await.expect(200);
    assert_eq!(session.committed().await, offsets([(shown.0, 1)]));
}

#[tokio::test]
async fn behind_a_seek_its_position_is_what_was_delivered() {
    let (topic, session) = filled(json!({})).await;
    session.read(20).await;
    let seek = json!({"topic": topic.name(), "partition": 1, "offset": 4});
    session.seek(seek).await.expect(200);
    session.commit(()).await.expect(200);
    assert_eq!(session.committed().await, offsets([(0, 10), (1, 4)]));

    let (topic, unread) = filled(json!({})).await;
    let seek = json!({"topic": topic.name(), "partition": 0, "offset": 2});
    unread.seek(seek).await.expect(200);
    unread.commit(()).await.expect(200);
    assert_eq!(unread.committed().await, offsets([(0, 2)]));
}

#[tokio::test]
async fn empty_offsets_commit_nothing() {
    let (topic, session) = single(json!({})).await;
    session.read(10).await;
    for body in [
        json!({"offsets": {}}),
        json!({"offsets": {topic.name(): {}}}),
    ] {
        let answer = session.commit(body).await.expect(200);
        assert_eq!(answer["offsets"], json!({}));
        assert_eq!(session.committed().await, offsets([]));
    }
}

#[tokio::test]
async fn what_the_session_does_not_hold_is_listed_and_not_committed() {
    let (topic, session) = filled(json!({})).await;
    let other = Topic::create(1).await;
    let body = json!({"offsets": {
        topic.name(): {"0": 5, "7": 1},
        other.name(): {"0": 1},
    }});
    let answer = session.commit(body).await.expect(200);
    assert_eq!(answer["offsets"], json!({topic.name(): {"0": 5}}));
    let foreign = json!({topic.name(): [7], other.name(): [0]});
    assert_eq!(answer["not_assigned"], foreign);
    assert_eq!(session.committed().await, offsets([(0, 5)]));
    let elsewhere = other.kafka().committed(session.group(), other.name());
    assert_eq!(elsewhere.await.unwrap(), offsets([]));

    let body = json!({"offsets": {topic.name(): {"7": 1}, other.name(): {"0": 1}}});
    let refused = session.commit(body).await;
    let problem = refused.expect_problem(409, "partition_not_assigned");
    assert_eq!(problem["partitions"], foreign);
}

#[tokio::test]
async fn a_commit_by_cursor_is_of_the_positions_of_its_answer() {
    let (topic, session) = single(json!({})).await;
    let first = poll(&session, 4, None).await;
    session.read(10 - places(first.records()).len()).await;
    let body = json!({"cursor": first["cursor"]});
    let answer = session.commit(body).await.expect(200);
    let positions = offsets([(0, behind(&first))]);
    assert_eq!(offsets_of(&answer, topic.name()), positions);
    assert_eq!(session.committed().await, positions);
    assert_eq!(session.positions().await, offsets([(0, 10)]));
}

#[tokio::test]
async fn a_cursor_of_before_a_seek_commits_only_what_was_not_sought() {
    let (topic, session) = filled(json!({})).await;
    session.read(20).await;
    let last = session.poll(json!({"timeout_ms": 0})).await;
    let seek = json!({"topic": topic.name(), "partition": 0, "offset": 3});
    session.seek(seek).await.expect(200);
    let body = json!({"cursor": last["cursor"]});
    session.commit(body).await.expect(200);
    assert_eq!(session.committed().await, offsets([(1, 10)]));
}

#[tokio::test]
async fn a_wrong_cursor_commits_nothing() {
    let (topic, session) = single(json!({})).await;
    let first = poll(&session, 4, None).await;
    let damaged = format!("{}A", first.text_at("cursor"));
    let refused = session.commit(json!({"cursor": damaged})).await;
    let problem = refused.expect_problem(422, "invalid_field");
    assert_eq!(problem["errors"][0]["field"], "cursor");
    let both = json!({"cursor": first["cursor"], "offsets": {topic.name(): {"0": 1}}});
    session
        .commit(both)
        .await
        .expect_problem(422, "invalid_field");
    assert_eq!(session.committed().await, offsets([]));
}

#[tokio::test]
async fn auto_commit_takes_what_was_before_the_latest_answer() {
    let options = json!({"auto_commit": true, "auto_commit_interval_ms": 200});
    let (_topic, session) = single(options).await;
    let first = poll(&session, 4, None).await;
    let second = poll(&session, 4, None).await;
    session.commits([(0, behind(&first))]).await;
    // An empty answer asks for more as well.
    session
        .read(10 - usize::try_from(behind(&second)).unwrap())
        .await;
    session.poll(json!({"timeout_ms": 0})).await;
    session.commits([(0, 10)]).await;
}

#[tokio::test]
async fn auto_commit_waits_for_its_interval() {
    let options = json!({"auto_commit": true, "auto_commit_interval_ms": NEVER_MS});
    let (_topic, session) = single(options).await;
    session.read(10).await;
    session.poll(json!({"timeout_ms": 1_500})).await;
    assert_eq!(session.committed().await, offsets([]));
    session.delete().await;
    assert_eq!(session.committed().await, offsets([(0, 10)]));
}

#[tokio::test]
async fn a_delete_commits_the_latest_answer_too() {
    let options = json!({"auto_commit": true, "auto_commit_interval_ms": NEVER_MS});
    let (_topic, session) = single(options).await;
    poll(&session, 4, None).await;
    let second = poll(&session, 4, None).await;
    session.delete().await;
    assert_eq!(session.committed().await, offsets([(0, behind(&second))]));
}

#[tokio::test]
async fn an_expiry_commits_only_what_was_acknowledged() {
    let options = json!({
        "auto_commit": true, "auto_commit_interval_ms": NEVER_MS, "session_timeout_ms": EXPIRY_MS,
    });
    let (_topic, session) = single(options).await;
    let first = poll(&session, 4, None).await;
    poll(&session, 4, None).await;
    session.is_gone().await;
    assert_eq!(session.committed().await, offsets([(0, behind(&first))]));
}

#[tokio::test]
async fn with_cursors_the_one_sent_is_acknowledged() {
    let options = json!({
        "auto_commit": true, "auto_commit_interval_ms": NEVER_MS, "session_timeout_ms": EXPIRY_MS,
    });
    let (_topic, session) = single(options).await;
    let first = poll(&session, 2, None).await;
    let second = poll(&session, 2, Some(&first)).await;
    poll(&session, 2, Some(&second)).await;
    // An answer was lost: the client is where it was before it.
    poll(&session, 2, Some(&first)).await;
    session.is_gone().await;
    assert_eq!(session.committed().await, offsets([(0, behind(&first))]));
}

#[tokio::test]
async fn with_cursors_a_delete_commits_the_latest_answer_too() {
    let options = json!({"auto_commit": true, "auto_commit_interval_ms": NEVER_MS});
    let (_topic, session) = single(options).await;
    let first = poll(&session, 2, None).await;
    let second = poll(&session, 2, Some(&first)).await;
    session.delete().await;
    assert_eq!(session.committed().await, offsets([(0, behind(&second))]));
}

#[tokio::test]
async fn a_seek_clears_what_was_acknowledged() {
    let options = json!({
        "auto_commit": true, "auto_commit_interval_ms": NEVER_MS, "session_timeout_ms": EXPIRY_MS,
    });
    let (topic, session) = filled(options).await;
    session.read(20).await;
    session.poll(json!({"timeout_ms": 0})).await;
    let seek = json!({"topic": topic.name(), "partition": 0, "offset": 3});
    session.seek(seek).await.expect(200);
    session.is_gone().await;
    assert_eq!(session.committed().await, offsets([(1, 10)]));
}

#[tokio::test]
async fn without_auto_commit_nothing_is_committed_by_itself() {
    let (_topic, session) = single(json!({"session_timeout_ms": EXPIRY_MS})).await;
    session.read(10).await;
    session.poll(json!({"timeout_ms": 0})).await;
    session.is_gone().await;
    assert_eq!(session.committed().await, offsets([]));

    let (_topic, deleted) = single(json!({})).await;
    deleted.read(10).await;
    deleted.delete().await;
    assert_eq!(deleted.committed().await, offsets([]));
}

#[tokio::test]
async fn a_start_at_the_end_is_committed_before_the_session_is_shown() {
    let topic = Topic::create(3).await;
    topic.write(0, 4).await;
    topic.write(2, 1).await;
    let session = topic
        .subscribe(json!({"auto_offset_reset": "latest"}))
        .await;
    let start = offsets([(0, 4), (1, 0), (2, 1)]);
    assert_eq!(session.committed().await, start);
    assert_eq!(session.positions().await, start);

    // What comes now is not skipped by whoever starts after a crash.
    topic.write(0, 2).await;
    session.delete().await;
    let latest = json!({"auto_offset_reset": "latest", "group_id": session.group()});
    let next = topic.subscribe(latest).await;
    assert_eq!(places(&next.read(2).await), [(0, 4), (0, 5)]);
}
