//! What it costs to ask another node than the owner: the same sessions, asked at their owners and
//! through others in turn. See `docs/benchmarks.md`.

#![forbid(unsafe_code)]

use std::fmt;
use std::time::Duration;

use clap::Parser;
use futures::future::join_all;
use sluice_tests::bench::{
    Cost, PollOptions, Poller, Spread, Table, Trio, percentile, print_heading,
};
use sluice_tests::{Error, Kafka, unique};
use tokio::time::Instant;

/// What it costs to ask another node than the owner.
#[derive(Debug, Parser)]
struct Options {
    /// Polls of one record, each way.
    #[arg(long, env = "BENCH_POLLS", default_value_t = 5_000)]
    polls: usize,
    /// Rounds of what is measured in rounds; in each, both ways have their turn.
    #[arg(long, env = "BENCH_ROUNDS", default_value_t = 7)]
    rounds: usize,
    /// Seconds that many sessions are read one way.
    #[arg(long, default_value_t = 4)]
    seconds: u64,
    /// Sessions that are read at once.
    #[arg(long, default_value_t = 16)]
    sessions: usize,
    /// Records of 1 KiB that are read in answers of 1 MiB.
    #[arg(long, default_value_t = 100_000)]
    large_records: u64,
    /// Given by `cargo bench`.
    #[arg(long, hide = true)]
    bench: bool,
}

/// Which way a request takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    Direct,
    Forwarded,
}

const WAYS: [Way; 2] = [Way::Direct, Way::Forwarded];

impl fmt::Display for Way {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Direct => "at the owner",
            Self::Forwarded => "through another node",
        })
    }
}

/// A session, and which node owns it.
struct Reading {
    poller: Poller,
    owner: usize,
}

impl Reading {
    async fn begin(trio: &Trio, topic: &str, options: PollOptions) -> Self {
        let poller = Poller::subscribe(&trio.nodes()[0], topic, options).await;
        let owner = trio.owner(poller.id()).await;
        Self { poller, owner }
    }

    /// Sends what follows this way.
    fn take(&mut self, trio: &Trio, way: Way) {
        let node = match way {
            Way::Direct => self.owner,
            Way::Forwarded => (self.owner + 1) % trio.nodes().len(),
        };
        self.poller.through(&trio.clients()[node]);
    }
}

/// Figures of one way.
#[derive(Debug, Default)]
struct Figures {
    /// Times of polls in milliseconds.
    polls: Vec<f64>,
    /// What came in a second, round by round.
    rates: Vec<f64>,
    /// Processor time of all nodes for each of what came, in microseconds, round by round.
    costs: Vec<f64>,
}

/// Polls of one record, direct and forwarded in turn, so that both meet the same moments.
async fn small(trio: &Trio, topic: &str, records: u64, polls: usize) -> [Figures; 2] {
    let mut reading = Reading::begin(trio, topic, polling(1, 0)).await;
    let mut figures: [Figures; 2] = Default::default();
    let warm = 200.min(polls);
    let mut left = records;
    for round in 0..polls + warm {
        if left < WAYS.len() as u64 {
            reading.poller.rewind(topic).await;
            reading.poller.poll().await;
            left = records - 1;
        }
        for turn in 0..WAYS.len() {
            let way = (round + turn) % WAYS.len();
            reading.take(trio, WAYS[way]);
            let began = Instant::now();
            assert_eq!(reading.poller.poll().await, 1, "a record is there");
            left -= 1;
            if round >= warm {
                figures[way].polls.push(millis(began.elapsed()));
            }
        }
    }
    reading.poller.end().await;
    figures
}

/// Small polls of many sessions at once, as fast as they go; figures are of polls.
async fn many(trio: &Trio, topic: &str, records: u64, options: &Options) -> [Figures; 2] {
    let mut figures: [Figures; 2] = Default::default();
    let mut all = Vec::new();
    for _ in 0..options.sessions {
        all.push(Reading::begin(trio, topic, polling(1, 0)).await);
    }
    for round in 0..options.rounds {
        for turn in 0..WAYS.len() {
            let way = (round + turn) % WAYS.len();
            let (began, cost) = (Instant::now(), spent(trio));
            let end = began + Duration::from_secs(options.seconds);
            let reading = all.iter_mut().map(|reading| async move {
                reading.take(trio, WAYS[way]);
                let (mut times, mut left) = (Vec::new(), 0);
                while Instant::now() < end {
                    if left == 0 {
                        reading.poller.rewind(topic).await;
                        left = records;
                    }
                    let began = Instant::now();
                    left -= reading.poller.poll().await;
                    times.push(millis(began.elapsed()));
                }
                times
            });
            let times: Vec<f64> = join_all(reading).await.concat();
            let count = times.len() as f64;
            figures[way]
                .rates
                .push(count / began.elapsed().as_secs_f64());
            figures[way].costs.push(1e6 * (spent(trio) - cost) / count);
            figures[way].polls.extend(times);
        }
    }
    for reading in all {
        reading.poller.end().await;
    }
    figures
}

/// A topic read to its end in answers of 1 MiB; figures are of MB, of keys and values.
async fn large(trio: &Trio, topic: &str, options: &Options) -> [Figures; 2] {
    const MIB: u64 = 1 << 20;
    let mut reading = Reading::begin(trio, topic, polling(10_000, 1024)).await;
    let mut figures: [Figures; 2] = Default::default();
    // The first pass warms up and tells the bytes.
    let mut bytes = 0;
    let mut left = options.large_records;
    while left > 0 {
        left -= reading.poller.poll().await;
        bytes += reading.poller.check();
    }
    assert!(
        bytes >= MIB * options.large_records / 1024,
        "records are whole"
    );
    for round in 0..options.rounds {
        for turn in 0..WAYS.len() {
            let way = (round + turn) % WAYS.len();
            reading.take(trio, WAYS[way]);
            reading.poller.rewind(topic).await;
            // The first answer holds what was fetched before it was asked for: it does not count.
            let first = reading.poller.poll().await;
            let (mut left, cost) = (options.large_records - first, spent(trio));
            let began = Instant::now();
            while left > 0 {
                let asked = Instant::now();
                let came = reading.poller.poll().await;
                assert!(came > 0, "{topic} stands still");
                left -= came;
                figures[way].polls.push(millis(asked.elapsed()));
            }
            let counted = (options.large_records - first) as f64 / options.large_records as f64;
            let megabytes = bytes as f64 * counted / 1e6;
            let seconds = began.elapsed().as_secs_f64();
            figures[way].rates.push(megabytes / seconds);
            figures[way]
                .costs
                .push(1e6 * (spent(trio) - cost) / megabytes);
        }
    }
    reading.poller.end().await;
    figures
}

/// Processor time of all nodes so far, in seconds.
fn spent(trio: &Trio) -> f64 {
    let nodes = trio.nodes().iter();
    nodes.map(|node| Cost::of(node.pid()).seconds()).sum()
}

fn polling(max_records: u32, least_record: usize) -> PollOptions {
    PollOptions {
        max_records,
        max_bytes: 1 << 20,
        timeout_ms: 10_000,
        after: true,
        least_record,
    }
}

fn millis(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1000.0
}

fn add(table: &mut Table, what: &str, unit: &str, mut figures: [Figures; 2]) {
    for own in &mut figures {
        own.polls.sort_by(f64::total_cmp);
    }
    let p50 = figures.each_ref().map(|own| percentile(&own.polls, 0.5));
    for (index, (way, own)) in WAYS.iter().zip(&figures).enumerate() {
        let ratios = own.rates.iter().zip(&figures[0].rates);
        let ratios = Spread::of(ratios.map(|(own, direct)| own / direct));
        let in_rounds = |text: String| {
            if own.rates.is_empty() {
                String::new()
            } else {
                text
            }
        };
        table.row([
            what.to_owned(),
            way.to_string(),
            format!("{:.2}", p50[index]),
            format!("{:+.2}", p50[index] - p50[0]),
            format!("{:.2}", percentile(&own.polls, 0.99)),
            in_rounds(format!("{:.0} {unit}/s", Spread::of(own.rates.clone()))),
            in_rounds(format!("{ratios:.2}")),
            in_rounds(format!("{:.0}", Spread::of(own.costs.clone()).median)),
        ]);
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    const SMALL: u64 = 10_000;
    let options = Options::parse();
    let kafka = Kafka::shared().await;
    let trio = Trio::start(kafka, &[]).await?;
    print_heading("forward", kafka);
    let (few, much) = (unique("small"), unique("large"));
    kafka.create_topic(&few, 1).await?;
    kafka.fill(&few, SMALL, 100).await?;
    kafka.create_topic(&much, 8).await?;
    kafka.fill(&much, options.large_records, 1024).await?;
    let mut table = Table::new([
        "polls",
        "asked",
        "p50 ms",
        "more, ms",
        "p99 ms",
        "throughput",
        "x at the owner",
        "CPU of the nodes, µs each",
    ]);
    eprintln!("one session, small polls");
    let figures = small(&trio, &few, SMALL, options.polls).await;
    add(&mut table, "one record of 100 B", "polls", figures);
    eprintln!("{} sessions, small polls", options.sessions);
    let figures = many(&trio, &few, SMALL, &options).await;
    let what = format!("the same, {} sessions at once", options.sessions);
    add(&mut table, &what, "polls", figures);
    eprintln!("one session, large polls");
    let figures = large(&trio, &much, &options).await;
    add(&mut table, "1 MiB of records of 1 KiB", "MB", figures);
    println!(
        "{} polls each way of the first kind, {} rounds of the others: median (least-most)\n",
        options.polls, options.rounds
    );
    println!("{table}");
    Ok(())
}
