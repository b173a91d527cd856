//! Going on behind the last answer: what a lost answer costs a client with and without cursors.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};
use sluice_tests::kafka::Record;
use sluice_tests::raw::Connection;
use sluice_tests::{Answer, Dice, Kafka, Node, Session, Topic, places, unique};
use tokio::time::{Instant, timeout};

/// Far more than anything here takes, also on a machine that is busy with other tests.
const DEADLINE: Duration = Duration::from_secs(120);

fn after(cursor: &str) -> Value {
    json!({"after": cursor})
}

#[track_caller]
fn cursor(answer: &Answer) -> String {
    answer.text_at("cursor").to_owned()
}

/// The cursor of before the first record, which the topic must not have yet.
async fn start_of(session: &Session) -> String {
    let polled = session.poll(json!({"timeout_ms": 0})).await;
    assert_eq!(polled.records(), [] as [Value; 0]);
    cursor(&polled)
}

/// Polls with `after` until this many records have come; returns them and the last cursor.
async fn read_after(session: &Session, mut last: String, count: usize) -> (Vec<Value>, String) {
    let mut read = Vec::new();
    let reading = async {
        while read.len() < count {
            let polled = session.poll(after(&last)).await;
            read.extend_from_slice(polled.records());
            last = cursor(&polled);
        }
    };
    timeout(DEADLINE, reading).await.expect("the records come");
    (read, last)
}

#[tokio::test]
async fn the_same_cursor_gets_the_same_records_again() {
    let topic = Topic::create(2).await;
    let session = topic.subscribe(json!({})).await;
    let start = start_of(&session).await;
    topic.kafka().fill(topic.name(), 30, 50).await.unwrap();
    let poll = json!({"after": start, "max_records": 10});
    let first = session.poll(poll.clone()).await;
    assert!(!first.records().is_empty());
    for _ in 0..3 {
        // At least those: which partition comes first is nobody's promise.
        let (again, _) = read_after(&session, start.clone(), 30).await;
        for record in first.records() {
            assert!(again.contains(record), "{record} is not repeated");
        }
    }
    let (rest, _) = read_after(&session, cursor(&first), 30 - first.records().len()).await;
    for record in first.records() {
        assert!(!rest.contains(record), "{record} comes twice");
    }
}

#[tokio::test]
async fn an_older_cursor_goes_back_and_a_newer_one_forward() {
    let topic = Topic::create(1).await;
    topic.write(0, 30).await;
    let session = topic.subscribe(json!({})).await;
    let mut cursors = Vec::new();
    let mut next = Vec::new();
    while next.last() != Some(&30) {
        let polled = session.poll(json!({"max_records": 4})).await;
        cursors.push(cursor(&polled));
        next.push(places(polled.records()).last().expect("it is not empty").1 + 1);
    }
    let mut dice = Dice::cast();
    for _ in 0..20 {
        let any = usize::try_from(dice.below(next.len() as u64 - 1)).expect("it is small");
        let polled = session.poll(after(&cursors[any])).await;
        assert_eq!(places(polled.records())[0], (0, next[any]));
        // What it sees next without a cursor stands behind what it has got.
        let behind = places(polled.records()).last().expect("it is not empty").1 + 1;
        assert_eq!(session.positions().await, BTreeMap::from([(0, behind)]));
    }
}

/// Whether the answer to a poll with `after` comes whole, or how else.
#[derive(Debug, Clone, Copy)]
enum Fate {
    Read,
    ClosedAtOnce,
    ResetAtOnce,
    ResetAfter(usize),
}

impl Fate {
    fn cast(dice: &mut Dice) -> Self {
        match dice.below(6) {
            0 => Self::ClosedAtOnce,
            1 => Self::ResetAtOnce,
            2 | 3 => {
                let bytes = 1 + dice.below(200_000);
                Self::ResetAfter(usize::try_from(bytes).expect("it is small"))
            }
            _ => Self::Read,
        }
    }
}

#[tokio::test]
async fn each_record_comes_once_over_connections_cut_at_random() {
    const RECORDS: usize = 3_000;
    let topic = Topic::create(3).await;
    let session = topic.subscribe(json!({})).await;
    let path = session.path("consume");
    let mut last = start_of(&session).await;
    let mut dice = Dice::cast();
    let mut read = Vec::new();
    let mut lost = 0;
    let reading = async {
        while read.len() < RECORDS {
            let fate = Fate::cast(&mut dice);
            let body = json!({"after": last, "max_records": 1 + dice.below(500)});
            let mut connection = match dice.below(2) {
                0 => Connection::open(topic.client()).await,
                _ => Connection::open_narrow(topic.client()).await,
            };
            connection.post(&path, &body).await;
            match fate {
                Fate::Read => {
                    let answer = connection.answer().await;
                    if let Some(records) = answer["records"].as_array() {
                        read.extend(places(records));
                        last = answer["cursor"].as_str().expect("it has one").to_owned();
                        continue;
                    }
                    // A request sent before, on a connection that is gone, may arrive later.
                    assert_eq!(answer["code"], "superseded", "{answer}");
                }
                Fate::ClosedAtOnce => connection.close(),
                Fate::ResetAtOnce => connection.reset(),
                Fate::ResetAfter(bytes) => {
                    connection.read(bytes).await;
                    connection.reset();
                }
            }
            lost += 1;
        }
    };
    let writing = topic.kafka().fill(topic.name(), RECORDS as u64, 1_500);
    let (reading, writing) = futures::future::join(timeout(DEADLINE, reading), writing).await;
    writing.unwrap();
    reading.unwrap_or_else(|_| panic!("{} records came", read.len()));
    assert!(lost > 0, "no answer was lost");

    // In order too, partition by partition.
    read.sort_by_key(|(partition, _)| *partition);
    let each = i64::try_from(RECORDS / 3).expect("it is small");
    let all: Vec<(i32, i64)> = (0..3)
        .flat_map(|partition| (0..each).map(move |offset| (partition, offset)))
        .collect();
    assert_eq!(read, all);
    let rest = session
        .poll(json!({"after": last, "timeout_ms": 300}))
        .await;
    assert_eq!(rest.records(), [] as [Value; 0]);
}

#[tokio::test]
async fn a_client_that_is_gone_before_the_answer_gets_its_records_with_the_next_poll() {
    let topic = Topic::create(1).await;
    let session = topic.subscribe(json!({})).await;
    let mut dice = Dice::cast();
    let mut next = 0;
    for _ in 0..15 {
        session.is_idle().await;
        let mut connection = Connection::open(topic.client()).await;
        let body = json!({"timeout_ms": 60_000});
        connection.post(&session.path("consume"), &body).await;
        session.awaits_records().await;
        match dice.below(2) {
            0 => connection.close(),
            _ => connection.reset(),
        }
        topic.write(0, 5).await;
        let expected: Vec<(i32, i64)> = (next..next + 5).map(|offset| (0, offset)).collect();
        assert_eq!(places(&session.read(5).await), expected);
        next += 5;
    }
}

/// The node comes to know of both at once: the client that has gone, and the records.
#[tokio::test]
async fn a_client_that_went_while_the_node_stood_still_has_missed_nothing() {
    let node = Node::builder().kafka(Kafka::shared().await).start().await;
    let topic = Topic::create_at(&node, 1, &[]).await;
    let session = topic.subscribe(json!({})).await;
    let mut dice = Dice::cast();
    let mut next = 0;
    for _ in 0..10 {
        session.is_idle().await;
        let mut connection = Connection::open(topic.client()).await;
        let body = json!({"timeout_ms": 60_000});
        connection.post(&session.path("consume"), &body).await;
        session.awaits_records().await;
        node.freeze();
        match dice.below(2) {
            0 => connection.close(),
            _ => connection.reset(),
        }
        topic.write(0, 5).await;
        node.thaw();
        let expected: Vec<(i32, i64)> = (next..next + 5).map(|offset| (0, offset)).collect();
        assert_eq!(places(&session.read(5).await), expected);
        next += 5;
    }
}

/// Writes a record that no connection takes without somebody reading at the other end, and a
/// small one.
async fn write_a_huge_record(topic: &Topic) {
    topic.produce([Record::value(vec![b'x'; 9_000_000])]).await;
    topic.write(0, 1).await;
}

#[tokio::test]
async fn an_answer_that_breaks_off_is_not_delivered() {
    let topic = Topic::create_with(1, &[("max.message.bytes", "10000000")]).await;
    write_a_huge_record(&topic).await;
    let session = topic.subscribe(json!({})).await;
    for bytes in [1, 200_000, 1_000_000] {
        let mut connection = Connection::open_narrow(topic.client()).await;
        let path = session.path("consume");
        connection.post(&path, &json!({"max_records": 1})).await;
        assert!(connection.read(bytes).await, "the answer is too short");
        connection.reset();
        assert_eq!(session.positions().await, BTreeMap::from([(0, 0)]));
    }
    assert_eq!(places(&session.read(2).await), [(0, 0), (0, 1)]);
    assert_eq!(session.positions().await, BTreeMap::from([(0, 2)]));
}

#[tokio::test]
async fn an_answer_that_nobody_takes_is_not_delivered() {
    let topic = Topic::create_with(1, &[("max.message.bytes", "10000000")]).await;
    write_a_huge_record(&topic).await;
    let session = topic.subscribe(json!({})).await;
    let mut connection = Connection::open_narrow(topic.client()).await;
    let path = session.path("consume");
    connection.post(&path, &json!({"max_records": 1})).await;
    assert!(connection.read(1_000).await);
    // The connection stays open and is read no further.
    assert_eq!(places(&session.read(2).await), [(0, 0), (0, 1)]);
    connection.reset();
}

#[tokio::test]
async fn a_cursor_does_not_wait_for_an_answer_that_nobody_takes() {
    let topic = Topic::create_with(1, &[("max.message.bytes", "10000000")]).await;
    let session = topic.subscribe(json!({})).await;
    let start = start_of(&session).await;
    write_a_huge_record(&topic).await;
    let mut connection = Connection::open_narrow(topic.client()).await;
    let path = session.path("consume");
    let body = json!({"max_records": 1, "after": start});
    connection.post(&path, &body).await;
    assert!(connection.read(1_000).await);
    let begun = Instant::now();
    let again = session.poll(body).await;
    assert_eq!(places(again.records()), [(0, 0)]);
    // Less than the silence after which an answer counts as lost.
    assert!(begun.elapsed() < Duration::from_millis(4_500));
    connection.reset();
    let (rest, _) = read_after(&session, cursor(&again), 1).await;
    assert_eq!(places(&rest), [(0, 1)]);
}

#[tokio::test]
async fn a_damaged_cursor_is_refused_and_changes_nothing() {
    let topic = Topic::create(1).await;
    topic.write(0, 4).await;
    let session = topic.subscribe(json!({})).await;
    let good = cursor(&session.poll(json!({"max_records": 1})).await);
    let flipped = |index: usize| -> String {
        let flip = |(at, c)| {
            if at == index {
                if c == 'A' { 'B' } else { 'A' }
            } else {
                c
            }
        };
        good.chars().enumerate().map(flip).collect()
    };
    let damaged = [
        String::new(),
        "no cursor".to_owned(),
        flipped(0),
        flipped(good.len() / 2),
        flipped(good.len() - 2),
        good[1..].to_owned(),
        good[..good.len() - 1].to_owned(),
        format!("{good}AAAA"),
        "A".repeat(16 * 1024 + 1),
    ];
    for text in damaged {
        let refused = session.consume(after(&text)).await;
        let problem = refused.expect_problem(422, "invalid_field");
        assert_eq!(problem["errors"][0]["field"], "after", "{}", problem.text);
        assert_eq!(problem["errors"].as_array().map(Vec::len), Some(1));
    }
    let (rest, _) = read_after(&session, good, 3).await;
    assert_eq!(places(&rest), [(0, 1), (0, 2), (0, 3)]);
}

#[tokio::test]
async fn a_wrong_cursor_does_not_end_the_poll_that_waits() {
    let topic = Topic::create(1).await;
    let session = topic.subscribe(json!({})).await;
    session.is_idle().await;
    let waiting = async { session.poll(json!({"timeout_ms": 60_000})).await };
    let meddling = async {
        session.awaits_records().await;
        let refused = session.consume(after("no cursor")).await;
        refused.expect_problem(422, "invalid_field");
        topic.write(0, 1).await
    };
    let (polled, _) = futures::future::join(waiting, meddling).await;
    assert_eq!(places(polled.records()), [(0, 0)]);
}

#[tokio::test]
async fn another_sessions_cursor_is_refused() {
    let topic = Topic::create(1).await;
    topic.write(0, 1).await;
    let (session, other) = (
        topic.subscribe(json!({})).await,
        topic.subscribe(json!({})).await,
    );
    let foreign = cursor(&other.poll(json!({})).await);
    let refused = session.consume(after(&foreign)).await;
    let problem = refused.expect_problem(422, "invalid_field");
    assert_eq!(problem["errors"][0]["field"], "after");
    assert_eq!(places(&session.read(1).await), [(0, 0)]);
}

#[tokio::test]
async fn a_cursor_of_an_earlier_life_of_the_id_is_ignored() {
    let topic = Topic::create(1).await;
    topic.write(0, 5).await;
    let (id, group) = (unique("consumer"), unique("group"));
    // The second life must not look older than the first by its group's generation alone.
    let mut old = String::new();
    for _ in 0..3 {
        let options = json!({"consumer_id": id, "group_id": group});
        let first = topic.subscribe(options).await;
        let polled = first.poll(json!({"max_records": 3})).await;
        old = cursor(&polled);
        first.delete().await;
    }
    let second = topic.subscribe(json!({"consumer_id": id})).await;
    let (read, _) = read_after(&second, old, 5).await;
    let all: Vec<(i32, i64)> = (0..5).map(|offset| (0, offset)).collect();
    assert_eq!(places(&read), all);
}

#[tokio::test]
async fn a_cursor_of_before_a_seek_does_not_count_for_what_was_sought() {
    let topic = Topic::create(2).await;
    let session = topic.subscribe(json!({})).await;
    let start = start_of(&session).await;
    for partition in 0..2 {
        topic.write(partition, 6).await;
    }
    let (_, old) = read_after(&session, start, 12).await;
    let seek = json!({"topic": topic.name(), "partition": 0, "offset": 2});
    session.seek(seek).await.expect(200);
    topic.write(1, 1).await;

    // Partition 0 goes on where it was sought, partition 1 behind the cursor.
    let (mut read, _) = read_after(&session, old, 5).await;
    read.sort_by_key(|record| record["partition"].as_i64());
    assert_eq!(places(&read), [(0, 2), (0, 3), (0, 4), (0, 5), (1, 6)]);
}

#[tokio::test]
async fn an_empty_answer_has_a_cursor_to_go_on_from() {
    let topic = Topic::create(1).await;
    let session = topic.subscribe(json!({})).await;
    let start = start_of(&session).await;
    topic.write(0, 2).await;
    let (_, last) = read_after(&session, start, 2).await;
    let empty = session.poll(json!({"after": last, "timeout_ms": 0})).await;
    assert_eq!(empty.records(), [] as [Value; 0]);
    topic.write(0, 2).await;
    let (read, _) = read_after(&session, cursor(&empty), 2).await;
    assert_eq!(places(&read), [(0, 2), (0, 3)]);
}
