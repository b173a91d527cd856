//! Polling: when it answers, with how much, and who of several gets it.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::time::Duration;

use futures::future::{join, join3};
use serde_json::{Value, json};
use sluice_tests::kafka::Record;
use sluice_tests::{Dice, Session, Topic, places};
use tokio::time::{Instant, timeout};

/// Far more than anything here takes, also on a machine that is busy with other tests.
const DEADLINE: Duration = Duration::from_secs(60);

/// A session that has been given all partitions and has nothing to read.
async fn waiting_session(topic: &Topic) -> Session {
    let session = topic.subscribe(json!({})).await;
    session.is_idle().await;
    session
}

#[tokio::test]
async fn a_poll_answers_when_a_record_comes_and_not_before() {
    let topic = Topic::create(2).await;
    let session = waiting_session(&topic).await;
    let poll = async {
        let begun = Instant::now();
        let polled = session.poll(json!({"timeout_ms": 300_000})).await;
        (polled, begun.elapsed())
    };
    let produce = async {
        session.awaits_records().await;
        topic.write(1, 1).await
    };
    let ((polled, took), _) = join(poll, produce).await;
    assert_eq!(places(polled.records()), [(1, 0)]);
    assert_eq!(polled.records()[0]["value"], "value 0");
    assert_eq!(polled.records()[0]["topic"], topic.name());
    assert_eq!(polled["generation"], session.subscribed["generation"]);
    assert!(took < DEADLINE, "{took:?}");
}

#[tokio::test]
async fn without_records_a_poll_ends_empty_at_its_timeout() {
    let topic = Topic::create(1).await;
    let session = topic.subscribe(json!({})).await;
    let begun = Instant::now();
    let polled = session.poll(json!({"timeout_ms": 700})).await;
    assert!(begun.elapsed() >= Duration::from_millis(700));
    assert_eq!(polled["records"], json!([]));
    for member in ["cursor", "timestamp", "generation"] {
        assert!(!polled[member].is_null(), "{}", polled.text);
    }
}

#[tokio::test]
async fn a_poll_without_patience_takes_what_is_there() {
    let topic = Topic::create(1).await;
    let session = topic.subscribe(json!({})).await;
    let begun = Instant::now();
    let polled = session.poll(json!({"timeout_ms": 0})).await;
    assert_eq!(polled["records"], json!([]));
    assert!(begun.elapsed() < Duration::from_secs(5));

    topic.write(0, 3).await;
    let mut read = Vec::new();
    timeout(DEADLINE, async {
        while read.len() < 3 {
            let polled = session.poll(json!({"timeout_ms": 0})).await;
            read.extend_from_slice(polled.records());
        }
    })
    .await
    .expect("polls without patience get the records too");
    assert_eq!(places(&read), [(0, 0), (0, 1), (0, 2)]);
}

#[tokio::test]
async fn a_poll_without_a_body_is_one_with_defaults() {
    let topic = Topic::create(1).await;
    topic.write(0, 2).await;
    let session = topic.subscribe(json!({})).await;
    let polled = session.poll(Value::Null).await;
    assert_eq!(places(polled.records())[0], (0, 0));
}

#[tokio::test]
async fn an_answer_holds_at_most_max_records() {
    let topic = Topic::create(1).await;
    topic.write(0, 50).await;
    let session = topic.subscribe(json!({})).await;
    let mut read = Vec::new();
    while read.len() < 50 {
        let polled = session.poll(json!({"max_records": 7})).await;
        let count = polled.records().len();
        assert!((1..=7).contains(&count), "{count}");
        read.extend(places(polled.records()));
    }
    let all: Vec<(i32, i64)> = (0..50).map(|offset| (0, offset)).collect();
    assert_eq!(read, all);
}

#[tokio::test]
async fn an_answer_holds_at_most_max_bytes_of_keys_values_and_headers() {
    let topic = Topic::create(1).await;
    // 10 + 60 + 5 + 25 bytes.
    let record = || {
        Record::value(vec![b'v'; 60])
            .key(vec![b'k'; 10])
            .header("h-123", vec![b'h'; 25])
    };
    topic.produce((0..20).map(|_| record())).await;
    let session = topic.subscribe(json!({})).await;
    let mut counts = Vec::new();
    while counts.iter().sum::<usize>() < 20 {
        let polled = session.poll(json!({"max_bytes_total": 350})).await;
        counts.push(polled.records().len());
    }
    assert!(counts.iter().all(|count| *count <= 3), "{counts:?}");
    // What is there is taken up to the limit: all but the first answers have the time to.
    assert!(counts.contains(&3), "{counts:?}");
}

#[tokio::test]
async fn an_oversize_record_does_not_block_the_session() {
    let topic = Topic::create_with(1, &[("max.message.bytes", "4000000")]).await;
    let sizes = [10, 3_000_000, 10, 700_000, 10];
    let record = |size| Record::value(vec![b'x'; size]);
    topic.produce(sizes.map(record)).await;
    let session = topic.subscribe(json!({})).await;
    let mut read = Vec::new();
    while read.len() < sizes.len() {
        let polled = session.poll(json!({"max_bytes_total": 1_000})).await;
        let size = |record: &Value| record["value"].as_str().map_or(0, str::len);
        let answer: Vec<usize> = polled.records().iter().map(size).collect();
        assert!(
            answer.len() == 1 || answer.iter().sum::<usize>() <= 1_000,
            "{answer:?}"
        );
        read.extend(answer);
    }
    assert_eq!(read, sizes);
}

#[tokio::test]
async fn partitions_keep_their_order_whatever_the_limits() {
    let topic = Topic::create(4).await;
    topic.kafka().fill(topic.name(), 4_000, 200).await.unwrap();
    let session = topic.subscribe(json!({})).await;
    let mut dice = Dice::cast();
    let mut next = BTreeMap::new();
    let mut count = 0;
    while count < 4_000 {
        let limits = json!({
            "max_records": 1 + dice.below(300),
            "max_bytes_total": 1 + dice.below(60_000),
        });
        for (partition, offset) in places(session.poll(limits).await.records()) {
            let expected = next.entry(partition).or_insert(0);
            assert_eq!(offset, *expected, "in partition {partition}");
            *expected += 1;
            count += 1;
        }
    }
    assert_eq!(next, (0..4).map(|partition| (partition, 1_000)).collect());
}

/// How many records of a busy partition may come before a quiet one's: what is prefetched by
/// then, which is bounded by 6 MB, and some.
const AHEAD: usize = 8_000;

#[tokio::test]
async fn a_busy_partition_does_not_starve_a_quiet_one() {
    const BUSY: usize = 20_000;
    let topic = Topic::create(2).await;
    let busy = || Record::value(vec![b'x'; 1_000]).partition(0);
    topic.produce((0..BUSY).map(|_| busy())).await;
    topic.write(1, 1).await;
    let session = topic.subscribe(json!({})).await;

    let read_until_quiet = async || {
        let mut before = 0;
        loop {
            let polled = session.poll(json!({})).await;
            let quiet = places(polled.records()).iter().position(|at| at.0 == 1);
            match quiet {
                Some(index) => return before + index,
                None => before += polled.records().len(),
            }
            assert!(before <= AHEAD, "{before} records and none of the quiet");
        }
    };
    read_until_quiet().await;
    // One that comes while the backlog is read does not wait for its end either.
    topic.write(1, 1).await;
    read_until_quiet().await;
}

#[tokio::test]
async fn a_newer_poll_ends_the_older_at_once() {
    let topic = Topic::create(1).await;
    let session = waiting_session(&topic).await;
    let older = async {
        let begun = Instant::now();
        let reply = session.consume(json!({"timeout_ms": 300_000})).await;
        reply.expect_problem(409, "superseded");
        assert!(begun.elapsed() < DEADLINE);
        // It was the newer poll that ended it, for there are no records yet.
        topic.write(0, 2).await;
    };
    let newer = async {
        session.awaits_records().await;
        session.read(2).await
    };
    let ((), read) = join(older, newer).await;
    assert_eq!(places(&read), [(0, 0), (0, 1)]);
}

#[tokio::test]
async fn polls_that_race_lose_and_repeat_nothing() {
    const RECORDS: usize = 1_500;
    let topic = Topic::create(3).await;
    let session = topic.subscribe(json!({})).await;
    let (count, superseded) = (Cell::new(0), Cell::new(0));
    let poller = async |mut dice: Dice| {
        let mut read = Vec::new();
        while count.get() < RECORDS {
            let body = json!({"timeout_ms": 1_000, "max_records": 1 + dice.below(20)});
            let answer = session.consume(body).await.answer();
            if answer.status == 409 {
                assert_eq!(answer["code"], "superseded");
                superseded.set(superseded.get() + 1);
            } else {
                read.extend(places(answer.records()));
                count.set(count.get() + answer.records().len());
            }
        }
        read
    };
    let writer = async {
        for n in 0..RECORDS / 10 {
            let partition = i32::try_from(n % 3).expect("it is small");
            topic.write(partition, 10).await;
        }
    };
    let racing = async { join3(poller(Dice::cast()), poller(Dice::cast()), writer).await };
    let raced = timeout(DEADLINE, racing).await;
    let (first, second, ()) = raced.unwrap_or_else(|_| panic!("{} records came", count.get()));
    assert!(superseded.get() > 0, "the polls never met");
    let mut read = [first, second].concat();
    let rest = session.poll(json!({"timeout_ms": 500})).await;
    read.extend(places(rest.records()));
    read.sort_unstable();
    let each = i64::try_from(RECORDS / 3).expect("it is small");
    let all: Vec<(i32, i64)> = (0..3)
        .flat_map(|partition| (0..each).map(move |offset| (partition, offset)))
        .collect();
    assert_eq!(read, all);
}
