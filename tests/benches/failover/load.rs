//! Whether leaders change without need while all nodes are as busy as they can be.

use std::time::Duration;

use futures::future::join_all;
use sluice_tests::bench::{Cost, PollOptions, Poller, Table, Trio};
use sluice_tests::{Error, Kafka, unique};
use tokio::sync::watch;
use tokio::time::{Instant, sleep};

/// Sessions that are read without pause, of each node.
const READERS: usize = 4;

/// What is read again and again.
const RECORDS: u64 = 100_000;

/// Between two looks at the leader.
const LOOK: Duration = Duration::from_millis(200);

/// Reads through all nodes for so long and returns what their consensus made of it.
pub(crate) async fn measure(kafka: &Kafka, lasts: Duration) -> Result<Table, Error> {
    eprintln!("elections under full load");
    let topic = unique("load");
    kafka.create_topic(&topic, 8).await?;
    kafka.fill(&topic, RECORDS, 1024).await?;
    let trio = Trio::start(kafka, &[]).await?;
    let mut table = Table::new([
        "load",
        "seconds",
        "answers/s",
        "CPU of the nodes, %",
        "terms begun",
        "other leaders seen",
        "least lease left, ms",
    ]);
    for (name, readers) in [("none", 0), ("full", READERS)] {
        table.row(loaded(&trio, &topic, name, readers, lasts).await);
    }
    Ok(table)
}

async fn loaded(
    trio: &Trio,
    topic: &str,
    name: &str,
    readers: usize,
    lasts: Duration,
) -> [String; 7] {
    let mut pollers = Vec::new();
    for number in 0..readers * trio.nodes().len() {
        let node = &trio.nodes()[number % trio.nodes().len()];
        pollers.push(Poller::subscribe(node, topic, polling()).await);
    }
    let stop = watch::Sender::new(false);
    let reading = pollers.into_iter().map(|poller| {
        let (topic, stop) = (topic.to_owned(), stop.subscribe());
        tokio::spawn(read(poller, topic, stop))
    });
    let reading: Vec<_> = reading.collect();
    let cost = || {
        let nodes = trio.nodes().iter();
        let costs = nodes.map(|node| Cost::of(node.pid()).seconds());
        costs.sum::<f64>()
    };
    let (before, cost_before) = (term(trio).await, cost());
    let began = Instant::now();
    let (mut leader, mut others, mut least) = (trio.leader().await, 0, i64::MAX);
    while began.elapsed() < lasts {
        sleep(LOOK).await;
        let shown = trio.shown(0).await;
        let nodes = shown["nodes"].as_array().map_or(&[][..], Vec::as_slice);
        let leases = nodes
            .iter()
            .map(|node| node["lease_ms"].as_i64().unwrap_or(0));
        least = least.min(leases.min().unwrap_or(0));
        let leads = trio.leader().await;
        others += usize::from(leads != leader);
        leader = leads;
    }
    let seconds = began.elapsed().as_secs_f64();
    let used = cost() - cost_before;
    stop.send_replace(true);
    let answers = join_all(reading).await.into_iter();
    let answers: u64 = answers
        .map(|read| read.expect("a reader does not panic"))
        .sum();
    [
        name.to_owned(),
        format!("{seconds:.0}"),
        format!("{:.0}", answers as f64 / seconds),
        format!("{:.0}", 100.0 * used / seconds),
        (term(trio).await - before).to_string(),
        others.to_string(),
        least.to_string(),
    ]
}

async fn term(trio: &Trio) -> i64 {
    let shown = trio.shown(0).await;
    shown["term"].as_i64().expect("a cluster has a term")
}

/// Reads a topic to its end again and again; returns the number of answers.
async fn read(mut poller: Poller, topic: String, stop: watch::Receiver<bool>) -> u64 {
    let mut answers = 0;
    while !*stop.borrow() {
        if poller.poll().await == 0 {
            poller.rewind(&topic).await;
        }
        answers += 1;
    }
    poller.end().await;
    answers
}

fn polling() -> PollOptions {
    PollOptions {
        max_records: 10_000,
        max_bytes: 1 << 20,
        timeout_ms: 200,
        after: true,
        least_record: 1024,
    }
}
