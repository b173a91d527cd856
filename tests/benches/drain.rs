//! How fast a topic is read to its end over HTTP, beside a bare librdkafka consumer.
//!
//! One session with one client on one connection polls back to back. See `docs/benchmarks.md`.

#![forbid(unsafe_code)]

use std::fmt;

use clap::Parser;
use sluice_tests::bench::{
    Child, Cost, DrainTask, Drained, PollOptions, Poller, Settings, Spread, Table, Task,
    print_heading, run_task,
};
use sluice_tests::{Error, Kafka, Node, unique};
use tokio::time::Instant;

/// How fast a topic is read to its end over HTTP, beside a bare librdkafka consumer.
#[derive(Debug, Parser)]
struct Options {
    /// Records of the small size.
    #[arg(long, env = "BENCH_SMALL_RECORDS", default_value_t = 500_000)]
    small_records: u64,
    /// Bytes of a small record's value.
    #[arg(long, default_value_t = 100)]
    small_bytes: usize,
    /// Records of the large size.
    #[arg(long, env = "BENCH_LARGE_RECORDS", default_value_t = 200_000)]
    large_records: u64,
    /// Bytes of a large record's value.
    #[arg(long, default_value_t = 1024)]
    large_bytes: usize,
    /// Rounds; in each, every side reads everything once.
    #[arg(long, env = "BENCH_ROUNDS", default_value_t = 9)]
    rounds: usize,
    /// Partitions of the topics.
    #[arg(long, default_value_t = 8)]
    partitions: i32,
    /// `max_records` of a poll.
    #[arg(long, default_value_t = 10_000)]
    max_records: u32,
    /// `max_bytes_total` of a poll.
    #[arg(long, default_value_t = 64 << 20)]
    max_bytes: u64,
    /// Given by `cargo bench`.
    #[arg(long, hide = true)]
    bench: bool,
}

/// Who reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Side {
    Native(Settings),
    /// Whether the client sends `after`.
    Sluice {
        after: bool,
    },
}

const SIDES: [Side; 4] = [
    Side::Native(Settings::Default),
    Side::Sluice { after: true },
    Side::Native(Settings::Tuned),
    Side::Sluice { after: false },
];

impl fmt::Display for Side {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Native(Settings::Default) => "librdkafka, its defaults",
            Self::Native(Settings::Tuned) => "librdkafka, Sluice's settings",
            Self::Sluice { after: true } => "Sluice, with `after`",
            Self::Sluice { after: false } => "Sluice, without `after`",
        })
    }
}

/// What one side has done in one round.
#[derive(Debug, Clone, Copy)]
struct Run {
    drained: Drained,
    /// Processor time of the HTTP client.
    client_seconds: f64,
    polls: u64,
}

/// A topic with records of one size.
struct Load<'a> {
    kafka: &'a Kafka,
    node: &'a Node,
    topic: String,
    records: u64,
    record_bytes: usize,
    options: &'a Options,
}

impl Load<'_> {
    async fn run(&self, side: Side) -> Run {
        match side {
            Side::Native(settings) => self.native(settings).await,
            Side::Sluice { after } => self.sluice(after, false).await,
        }
    }

    async fn native(&self, settings: Settings) -> Run {
        let mut child = Child::start(&Task::Drain(DrainTask {
            bootstrap: self.kafka.bootstrap().to_owned(),
            topic: self.topic.clone(),
            group: unique("native"),
            settings,
            records: self.records,
        }));
        Run {
            drained: child.told().await,
            client_seconds: 0.0,
            polls: 0,
        }
    }

    /// Reads everything over HTTP; `check` reads each answer wholly, which takes time.
    async fn sluice(&self, after: bool, check: bool) -> Run {
        let options = PollOptions {
            max_records: self.options.max_records,
            max_bytes: self.options.max_bytes,
            timeout_ms: 10_000,
            after,
            least_record: self.record_bytes,
        };
        let mut poller = Poller::subscribe(self.node, &self.topic, options).await;
        let cost = || (Cost::of(self.node.pid()), Cost::of(std::process::id()));
        let mut first = None;
        let (mut records, mut polls, mut bytes) = (0, 0, 0);
        while records < self.records {
            let came = poller.poll().await;
            assert!(came > 0, "{} stands still", self.topic);
            if check {
                bytes += poller.check();
            }
            records += came;
            polls += 1;
            // The session has fetched ahead of the first poll: that answer does not count.
            first.get_or_insert_with(|| (Instant::now(), cost(), came));
        }
        let (began, (node_before, client_before), of_first) = first.expect("there are records");
        let seconds = began.elapsed().as_secs_f64();
        let (node_after, client_after) = cost();
        assert_eq!(records, self.records, "each record once");
        poller.end().await;
        Run {
            drained: Drained {
                seconds,
                cpu_seconds: (node_after - node_before).seconds(),
                records: records - of_first,
                bytes,
            },
            client_seconds: (client_after - client_before).seconds(),
            polls: polls - 1,
        }
    }
}

impl Run {
    /// Records a second.
    fn rate(&self) -> f64 {
        self.records() / self.drained.seconds
    }

    /// Records that count.
    fn records(&self) -> f64 {
        self.drained.records as f64
    }
}

async fn measure(load: &Load<'_>) -> Table {
    // Fills the page cache, warms the broker's JVM, and checks what is only counted later.
    let bytes = load.native(Settings::Default).await.drained.bytes;
    for after in [true, false] {
        let checked = load.sluice(after, true).await;
        assert_eq!(checked.drained.bytes, bytes, "both sides read the same");
    }
    let mut runs: [Vec<Run>; SIDES.len()] = Default::default();
    for round in 0..load.options.rounds {
        for turn in 0..SIDES.len() {
            // Another side begins each round: none always follows the same one.
            let side = (round + turn) % SIDES.len();
            let run = load.run(SIDES[side]).await;
            let (side_name, rate) = (SIDES[side], run.rate());
            eprintln!("round {}: {side_name}: {rate:.0} records/s", round + 1);
            runs[side].push(run);
        }
    }
    table(load, bytes, &runs)
}

fn table(load: &Load<'_>, bytes: u64, runs: &[Vec<Run>; SIDES.len()]) -> Table {
    let mut table = Table::new([
        "side",
        "records/s",
        "MB/s",
        "x default",
        "x same settings",
        "CPU s/M records",
        "client CPU s/M",
        "records/answer",
    ]);
    let of = |wanted: Side| {
        let index = SIDES.iter().position(|side| *side == wanted);
        &runs[index.expect("it is one of the sides")]
    };
    // Both of one round, which the machine has treated alike.
    let ratio = |own: &[Run], other: Side| {
        let pairs = own.iter().zip(of(other));
        Spread::of(pairs.map(|(own, other)| own.rate() / other.rate()))
    };
    let megabytes = bytes as f64 / load.records as f64 / 1e6;
    for (side, own) in SIDES.iter().zip(runs) {
        let over = |figure: &dyn Fn(&Run) -> f64| Spread::of(own.iter().map(figure));
        let http_only = |figure: &dyn Fn(&Run) -> f64, digits: usize| match side {
            Side::Native(_) => String::new(),
            Side::Sluice { .. } => format!("{:.digits$}", over(figure).median),
        };
        table.row([
            side.to_string(),
            format!("{:.0}", over(&Run::rate)),
            format!("{:.0}", over(&|run| megabytes * run.rate()).median),
            format!("{:.2}", ratio(own, Side::Native(Settings::Default))),
            format!("{:.2}", ratio(own, Side::Native(Settings::Tuned))),
            format!(
                "{:.2}",
                over(&|run| 1e6 * run.drained.cpu_seconds / run.records())
            ),
            http_only(&|run| 1e6 * run.client_seconds / run.records(), 2),
            http_only(&|run| run.records() / run.polls as f64, 0),
        ]);
    }
    table
}

// One thread: the client should take as little as it can of what it measures.
#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    if run_task().await {
        return Ok(());
    }
    let options = Options::parse();
    let kafka = Kafka::shared().await;
    let node = Node::builder().kafka(kafka).start().await;
    print_heading("drain", kafka);
    for (records, record_bytes) in [
        (options.small_records, options.small_bytes),
        (options.large_records, options.large_bytes),
    ] {
        let topic = unique("drain");
        kafka.create_topic(&topic, options.partitions).await?;
        kafka.fill(&topic, records, record_bytes).await?;
        let load = Load {
            kafka,
            node: &node,
            topic,
            records,
            record_bytes,
            options: &options,
        };
        let table = measure(&load).await;
        println!(
            "{records} records of {record_bytes} B in {} partitions, {} rounds: median (least-most)\n",
            options.partitions, options.rounds
        );
        println!("{table}");
        kafka.delete_topic(&load.topic).await?;
    }
    Ok(())
}
