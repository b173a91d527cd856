//! What a session has read ahead while nobody polled it: large records, of which it holds only
//! so many before it stops fetching.

use serde_json::{Value, json};
use sluice_tests::kafka::Record;
use sluice_tests::raw::Connection;
use sluice_tests::{Answer, Session, Topic, places};

/// Two of them are more than a session holds unasked.
const LARGE: usize = 700_000;
const RECORDS: usize = 8;
/// Time for a session to look after its handle several times.
const LONG_MS: i64 = 4_000;

/// A session that nobody has polled for so long that it has stopped fetching, the cursor of
/// before the first record, and the answer with that record.
async fn stopped_session(partitions: i32) -> (Topic, Session, String, Answer) {
    let topic = Topic::create(partitions).await;
    let session = topic.subscribe(json!({})).await;
    let empty = session.poll(json!({"timeout_ms": 0})).await;
    let start = empty.text_at("cursor").to_owned();
    for partition in 0..partitions {
        let record = || Record::value(vec![b'x'; LARGE]).partition(partition);
        topic.produce((0..RECORDS).map(|_| record())).await;
    }
    let first = session.poll(json!({"max_records": 1})).await;
    assert_eq!(first.records().len(), 1);
    session.is_idle_for(LONG_MS).await;
    (topic, session, start, first)
}

fn from(start: i64) -> Vec<(i32, i64)> {
    let end = i64::try_from(RECORDS).expect("it is small");
    (start..end).map(|offset| (0, offset)).collect()
}

#[tokio::test]
async fn what_was_held_comes_in_order_and_the_rest_behind_it() {
    let (topic, session, _, _) = stopped_session(1).await;
    assert_eq!(places(&session.read(RECORDS - 1).await), from(1));
    topic.write(0, 1).await;
    session.read(1).await;
}

#[tokio::test]
async fn a_cursor_of_before_what_is_held_goes_back() {
    let (_topic, session, start, _) = stopped_session(1).await;
    let polled = session
        .poll(json!({"after": start, "timeout_ms": 20_000}))
        .await;
    assert_eq!(places(polled.records())[0], (0, 0));
    let rest = session.read(RECORDS - polled.records().len()).await;
    let all = [places(polled.records()), places(&rest)].concat();
    assert_eq!(all, from(0));
}

#[tokio::test]
async fn a_cursor_that_goes_on_takes_what_is_held() {
    let (_topic, session, _, first) = stopped_session(1).await;
    let body = json!({"after": first["cursor"], "timeout_ms": 20_000});
    let polled = session.poll(body).await;
    assert_eq!(places(polled.records())[0], (0, 1));
    let rest = session.read(RECORDS - 1 - polled.records().len()).await;
    let all = [places(polled.records()), places(&rest)].concat();
    assert_eq!(all, from(1));
}

#[tokio::test]
async fn a_seek_leaves_nothing_of_what_was_held() {
    let (topic, session, _, _) = stopped_session(1).await;
    let body = json!({"topic": topic.name(), "partition": 0, "offset": 5});
    session.seek(body).await.expect(200);
    assert_eq!(places(&session.read(RECORDS - 5).await), from(5));
}

#[tokio::test]
async fn a_seek_of_one_partition_keeps_what_is_held_of_another() {
    let (topic, session, _, first) = stopped_session(2).await;
    let (partition, _) = places(first.records())[0];
    let body = json!({"topic": topic.name(), "partition": partition, "offset": 6});
    session.seek(body).await.expect(200);
    let mut read = places(&session.read(RECORDS + 2).await);
    read.sort_by_key(|at| (at.0 != partition, at.0));
    let of = |partition, start| from(start).into_iter().map(move |at| (partition, at.1));
    let expected: Vec<_> = of(partition, 6).chain(of(1 - partition, 0)).collect();
    assert_eq!(read, expected);
}

#[tokio::test]
async fn an_answer_lost_while_much_is_held_comes_again() {
    let topic = Topic::create_with(1, &[("max.message.bytes", "10000000")]).await;
    topic.produce([Record::value(vec![b'x'; 9_000_000])]).await;
    let record = || Record::value(vec![b'x'; LARGE]);
    topic.produce((0..RECORDS).map(|_| record())).await;
    let session = topic.subscribe(json!({})).await;
    let mut connection = Connection::open_narrow(topic.client()).await;
    let path = session.path("consume");
    connection.post(&path, &json!({"max_records": 1})).await;
    assert!(connection.read(1_000).await);
    session.is_idle_for(LONG_MS).await;
    connection.reset();
    let polled = session
        .poll(json!({"timeout_ms": 20_000, "max_records": 1}))
        .await;
    assert_eq!(places(polled.records()), [(0, 0)]);
    session.read(RECORDS).await;
    let end = session.poll(json!({"timeout_ms": 300})).await;
    assert_eq!(end.records(), [] as [Value; 0]);
}
