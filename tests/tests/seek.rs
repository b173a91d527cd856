//! Seeking: where the next poll starts, and what a position outside the log leads to.

use std::collections::BTreeMap;
use std::time::Duration;

use futures::future::join;
use serde_json::{Value, json};
use sluice_tests::kafka::Record;
use sluice_tests::{Kafka, Session, Topic, eventually, offsets_of, places, unique};

/// Far more than anything here takes, also on a machine that is busy with other tests.
const DEADLINE: Duration = Duration::from_secs(60);
/// Some time, a second after each other record's.
const EPOCH: i64 = 1_704_537_600_000;

/// A topic whose partitions have ten records each, a second apart.
async fn topic(partitions: i32) -> Topic {
    let topic = Topic::create(partitions).await;
    let record = |(partition, n): (i32, i64)| {
        let record = Record::value(format!("value {n}"));
        record.partition(partition).timestamp(EPOCH + n * 1_000)
    };
    let all = (0..partitions).flat_map(|partition| (0..10).map(move |n| (partition, n)));
    topic.produce(all.map(record)).await;
    topic
}

fn offsets<const N: usize>(offsets: [(i32, i64); N]) -> BTreeMap<i32, i64> {
    offsets.into()
}

/// Reads this many records and returns where they are, by partition.
async fn read_sorted(session: &Session, count: usize) -> Vec<(i32, i64)> {
    let mut read = places(&session.read(count).await);
    read.sort_by_key(|(partition, _)| *partition);
    read
}

#[tokio::test]
async fn the_next_poll_starts_where_was_sought() {
    let topic = topic(1).await;
    let session = topic.subscribe(json!({})).await;
    session.read(10).await;
    let earlier = EPOCH + 2_500;
    for (target, resolved) in [
        (json!({"offset": 7}), 7),
        (json!({"offset": "earliest"}), 0),
        (json!({"offset": "latest"}), 10),
        (json!({"timestamp": EPOCH + 5_000}), 5),
        (json!({"timestamp": earlier}), 3),
        (json!({"timestamp": 0}), 0),
        (json!({"timestamp": EPOCH + 60_000}), 10),
        (json!({"offset": 10}), 10),
        (json!({"offset": 0}), 0),
    ] {
        let mut body = json!({"topic": topic.name(), "partition": 0});
        for (name, value) in target.as_object().unwrap() {
            body[name] = value.clone();
        }
        let answer = session.seek(&body).await.expect(200);
        let expected = json!({"topic": topic.name(), "partition": 0, "offset": resolved});
        assert_eq!(answer.json, expected, "{body}");
        assert_eq!(session.positions().await, offsets([(0, resolved)]));
        let polled = session.poll(json!({"timeout_ms": 0})).await;
        // Without patience a poll may be too early for the records, never wrong.
        if let Some(first) = places(polled.records()).first() {
            assert_eq!(*first, (0, resolved), "{body}");
        }
    }
    session
        .seek(json!({"topic": topic.name(), "partition": 0, "offset": 8}))
        .await
        .expect(200);
    assert_eq!(places(&session.read(2).await), [(0, 8), (0, 9)]);
}

#[tokio::test]
async fn earliest_is_the_oldest_record_there_is() {
    let topic = topic(1).await;
    let session = topic.subscribe(json!({})).await;
    session.read(10).await;
    topic
        .kafka()
        .delete_records(topic.name(), 0, 4)
        .await
        .unwrap();
    let seek = json!({"topic": topic.name(), "partition": 0, "offset": "earliest"});
    let answer = session.seek(seek).await.expect(200);
    assert_eq!(answer["offset"], 4);
    assert_eq!(places(&session.read(6).await)[0], (0, 4));
}

#[tokio::test]
async fn without_a_partition_all_of_the_topic_are_sought() {
    let topic = topic(3).await;
    let session = topic.subscribe(json!({})).await;
    session.read(30).await;
    for (target, value, resolved) in [
        ("offset", json!(6), 6),
        ("offset", json!("earliest"), 0),
        ("timestamp", json!(EPOCH + 8_000), 8),
    ] {
        let body = json!({"topic": topic.name(), target: value});
        let answer = session.seek(body).await.expect(200);
        let all = offsets([(0, resolved), (1, resolved), (2, resolved)]);
        assert_eq!(offsets_of(&answer, topic.name()), all);
        assert_eq!(session.positions().await, all);
    }
    let read = read_sorted(&session, 6).await;
    assert_eq!(read, [(0, 8), (0, 9), (1, 8), (1, 9), (2, 8), (2, 9)]);
}

#[tokio::test]
async fn several_partitions_are_sought_at_once_and_the_others_go_on() {
    let topic = topic(3).await;
    let session = topic.subscribe(json!({})).await;
    session.read(30).await;
    let body = json!({"offsets": {topic.name(): {"0": 9, "2": "earliest"}}});
    let answer = session.seek(body).await.expect(200);
    assert_eq!(offsets_of(&answer, topic.name()), offsets([(0, 9), (2, 0)]));
    assert_eq!(
        session.positions().await,
        offsets([(0, 9), (1, 10), (2, 0)])
    );
    topic.write(1, 1).await;
    let read = read_sorted(&session, 12).await;
    assert_eq!(read[..3], [(0, 9), (1, 10), (2, 0)]);
}

#[tokio::test]
async fn what_was_read_ahead_is_thrown_away() {
    let topic = Topic::create(2).await;
    topic.kafka().fill(topic.name(), 2_000, 100).await.unwrap();
    let session = topic.subscribe(json!({})).await;
    for target in [900, 100, 500, 0, 499, 999] {
        // Much more is fetched by now than the poll takes.
        let polled = session.poll(json!({"max_records": 3})).await;
        assert!(!polled.records().is_empty());
        let body = json!({"topic": topic.name(), "offset": target});
        session.seek(body).await.expect(200);
        let mut first = BTreeMap::new();
        while first.len() < 2 {
            let polled = session.poll(json!({"max_records": 50})).await;
            for (partition, offset) in places(polled.records()) {
                first.entry(partition).or_insert(offset);
            }
        }
        assert_eq!(first, offsets([(0, target), (1, target)]));
    }
}

#[tokio::test]
async fn a_poll_that_waits_gets_what_was_sought() {
    let topic = topic(1).await;
    let session = topic.subscribe(json!({})).await;
    session.read(10).await;
    session.is_idle().await;
    let polling = session.poll(json!({"timeout_ms": 60_000}));
    let seeking = async {
        session.awaits_records().await;
        let body = json!({"topic": topic.name(), "partition": 0, "offset": 6});
        session.seek(body).await.expect(200)
    };
    let (polled, _) = join(polling, seeking).await;
    assert_eq!(places(polled.records())[0], (0, 6));
}

#[tokio::test]
async fn a_foreign_partition_refuses_the_whole_seek() {
    let (topic, other) = (topic(2).await, topic(1).await);
    let session = topic.subscribe(json!({})).await;
    session.read(20).await;
    let before = session.positions().await;
    for (body, foreign) in [
        (
            json!({"offsets": {topic.name(): {"0": 3, "5": 1}}}),
            json!({topic.name(): [5]}),
        ),
        (
            json!({"offsets": {topic.name(): {"1": 3}, other.name(): {"0": 1}}}),
            json!({other.name(): [0]}),
        ),
        (
            json!({"topic": topic.name(), "partition": 9, "offset": 0}),
            json!({topic.name(): [9]}),
        ),
    ] {
        let refused = session.seek(body).await;
        let problem = refused.expect_problem(409, "partition_not_assigned");
        assert_eq!(problem["partitions"], foreign);
    }
    let whole = json!({"topic": other.name(), "offset": 0});
    let refused = session.seek(whole).await;
    refused.expect_problem(409, "partition_not_assigned");
    assert_eq!(session.positions().await, before);
    topic.write(0, 1).await;
    assert_eq!(places(&session.read(1).await), [(0, 10)]);
}

#[tokio::test]
async fn the_position_is_known_before_the_first_record() {
    let topic = topic(2).await;
    let earliest = topic.subscribe(json!({})).await;
    assert_eq!(earliest.positions().await, offsets([(0, 0), (1, 0)]));
    let latest = topic
        .subscribe(json!({"auto_offset_reset": "latest"}))
        .await;
    assert_eq!(latest.positions().await, offsets([(0, 10), (1, 10)]));

    earliest
        .commit(json!({"offsets": {topic.name(): {"1": 4}}}))
        .await
        .expect(200);
    earliest.delete().await;
    let next = topic.subscribe(json!({"group_id": earliest.group()})).await;
    assert_eq!(next.positions().await, offsets([(0, 0), (1, 4)]));
    let answer = topic.client().position(next.id()).await.expect(200);
    assert_eq!(answer["generation"], next.subscribed["generation"]);
}

#[tokio::test]
async fn a_seek_right_behind_the_subscribe_holds() {
    let topic = topic(2).await;
    for round in 0..30 {
        let strategy = ["cooperative-sticky", "range"][round % 2];
        let session = topic
            .subscribe(json!({"assignment_strategy": strategy}))
            .await;
        let target = i64::try_from(round % 9).unwrap() + 1;
        let body = json!({"topic": topic.name(), "offset": target});
        session.seek(body).await.expect(200);
        let count = usize::try_from(2 * (10 - target)).unwrap();
        let read = read_sorted(&session, count).await;
        let expected: Vec<(i32, i64)> = (0..2)
            .flat_map(|partition| (target..10).map(move |offset| (partition, offset)))
            .collect();
        assert_eq!(read, expected, "{strategy}");
        session.delete().await;
    }
}

#[tokio::test]
async fn seeks_and_polls_in_a_row_never_mix() {
    let topic = Topic::create(1).await;
    topic.kafka().fill(topic.name(), 1_000, 100).await.unwrap();
    let session = topic.subscribe(json!({})).await;
    for round in 0..60 {
        let target = (round * 397) % 1_000;
        let body = json!({"topic": topic.name(), "partition": 0, "offset": target});
        session.seek(body).await.expect(200);
        if round % 3 == 0 {
            // One right behind another: the later one counts.
            let body = json!({"topic": topic.name(), "partition": 0, "offset": 42});
            session.seek(body).await.expect(200);
        }
        let expected = if round % 3 == 0 { 42 } else { target };
        let polled = session.poll(json!({"max_records": 2})).await;
        assert_eq!(places(polled.records())[0], (0, expected));
    }
}

/// A position that the log does not have yet.
const BEYOND: i64 = 1_000_000;

#[tokio::test]
async fn beyond_the_log_earliest_starts_over() {
    let topic = topic(2).await;
    let session = topic.subscribe(json!({})).await;
    session.read(20).await;
    let body = json!({"topic": topic.name(), "partition": 0, "offset": BEYOND});
    let answer = session.seek(body).await.expect(200);
    assert_eq!(answer["offset"], BEYOND);
    let expected: Vec<(i32, i64)> = (0..10).map(|offset| (0, offset)).collect();
    assert_eq!(places(&session.read(10).await), expected);
    assert_eq!(session.positions().await, offsets([(0, 10), (1, 10)]));
}

#[tokio::test]
async fn behind_the_start_of_the_log_earliest_goes_on_at_the_start() {
    let topic = topic(1).await;
    let session = topic.subscribe(json!({})).await;
    session.read(10).await;
    topic
        .kafka()
        .delete_records(topic.name(), 0, 6)
        .await
        .unwrap();
    let body = json!({"topic": topic.name(), "partition": 0, "offset": 2});
    session.seek(body).await.expect(200);
    assert_eq!(places(&session.read(4).await)[0], (0, 6));
}

#[tokio::test]
async fn outside_the_log_latest_goes_on_at_the_end() {
    let topic = topic(2).await;
    let session = topic
        .subscribe(json!({"auto_offset_reset": "latest"}))
        .await;
    let body = json!({"topic": topic.name(), "partition": 0, "offset": BEYOND});
    session.seek(body).await.expect(200);
    // Its start is committed before anything is shown of it.
    let polled = session.poll(json!({"timeout_ms": 3_000})).await;
    assert_eq!(polled.records(), [] as [Value; 0]);
    session.commits([(0, 10), (1, 10)]).await;
    topic.write(0, 2).await;
    assert_eq!(places(&session.read(2).await), [(0, 10), (0, 11)]);
}

#[tokio::test]
async fn outside_the_log_without_a_policy_is_told_behind_the_other_records() {
    let topic = topic(2).await;
    let (kafka, group) = (topic.kafka(), unique("group"));
    let start = [(0, 0), (1, 0)];
    kafka.commit(&group, topic.name(), start).await.unwrap();
    kafka.delete_records(topic.name(), 0, 3).await.unwrap();
    let options = json!({"auto_offset_reset": "none", "group_id": group});
    let session = topic.subscribe(options).await;
    let body = json!({"topic": topic.name(), "partition": 0, "offset": BEYOND});
    session.seek(body).await.expect(200);

    let others = session.read(10).await;
    assert!(places(&others).iter().all(|(partition, _)| *partition == 1));
    for _ in 0..2 {
        let polled = session.consume(json!({"timeout_ms": 30_000})).await;
        let problem = polled.expect_problem(409, "offset_out_of_range");
        assert_eq!(problem["topic"], topic.name());
        assert_eq!(problem["partition"], 0);
        assert_eq!(problem["position"], BEYOND);
        assert_eq!(problem["range"], json!({"first": 3, "end": 10}));
    }
    // New records of the others still come first.
    topic.write(1, 1).await;
    assert_eq!(places(&session.read(1).await), [(1, 10)]);

    // And a seek mends it.
    let body = json!({"topic": topic.name(), "partition": 0, "offset": 8});
    session.seek(body).await.expect(200);
    assert_eq!(places(&session.read(2).await), [(0, 8), (0, 9)]);
}

#[tokio::test]
async fn a_later_partition_without_a_commit_is_told_and_mended_by_a_seek() {
    let topic = topic(1).await;
    let (kafka, group) = (topic.kafka(), unique("group"));
    kafka.commit(&group, topic.name(), [(0, 8)]).await.unwrap();
    let options = json!({"auto_offset_reset": "none", "group_id": group});
    let session = topic.subscribe(options).await;
    kafka.add_partitions(topic.name(), 2).await.unwrap();
    // By a new client: the shared one does not know of the partition yet.
    let newcomer = Kafka::connect(kafka.bootstrap()).await.unwrap();
    let records = ["a", "b", "c"].map(|value| Record::value(value).partition(1));
    newcomer.produce(topic.name(), records).await.unwrap();

    let mut read = places(&session.read(2).await);
    // Noticed when the member looks at the topics again; nothing of it is shown before.
    let told = eventually(DEADLINE, "the partition is told", async || {
        let reply = session.consume(json!({"timeout_ms": 1_000})).await;
        match reply.status() {
            Some(200) => {
                read.extend(places(reply.expect(200).records()));
                None
            }
            _ => Some(reply),
        }
    })
    .await;
    let problem = told.expect_problem(409, "offset_out_of_range");
    assert_eq!(problem["partition"], 1);
    assert_eq!(problem["range"], json!({"first": 0, "end": 3}));
    assert_eq!(read, [(0, 8), (0, 9)]);

    let body = json!({"topic": topic.name(), "partition": 1, "offset": 1});
    session.seek(body).await.expect(200);
    assert_eq!(places(&session.read(2).await), [(1, 1), (1, 2)]);
    assert_eq!(session.positions().await, offsets([(0, 10), (1, 3)]));
}
