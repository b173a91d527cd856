//! How fast records are written over HTTP, beside a bare librdkafka producer: one record a request
//! and many, on one connection and many, with each codec. See `docs/benchmarks.md`.

#![forbid(unsafe_code)]

mod flood;

use std::fmt;

use clap::{Parser, ValueEnum};
use sluice_tests::bench::{
    Child, Spread, Table, Task, WriteTask, Writing, Written, print_heading, run_task,
    write_over_http,
};
use sluice_tests::{Error, Kafka, Node, unique};

/// How fast records are written over HTTP, beside a bare librdkafka producer.
#[derive(Debug, Parser)]
struct Options {
    /// Which parts to run; all of them if none is named.
    #[arg(long, value_enum)]
    part: Vec<Part>,
    /// Only the cases whose name has this in it, such as "64 x 1,".
    #[arg(long)]
    only: Option<String>,
    /// Seconds of each case for each side in each round.
    #[arg(long, env = "BENCH_SECONDS", default_value_t = 5.0)]
    seconds: f64,
    /// Rounds; in each, both sides of each case have their turn.
    #[arg(long, env = "BENCH_ROUNDS", default_value_t = 3)]
    rounds: u32,
    /// Bytes of a value.
    #[arg(long, default_value_t = 100)]
    value_bytes: usize,
    /// Given by `cargo bench`.
    #[arg(long, hide = true)]
    bench: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Part {
    /// Throughput and latency, beside librdkafka.
    Rate,
    /// Memory while clients send more than Kafka takes.
    Flood,
}

const PARTITIONS: i32 = 8;

/// Who writes, and what.
#[derive(Debug, Clone, Copy)]
struct Case {
    writers: usize,
    records: usize,
    compression: &'static str,
}

const fn case(writers: usize, records: usize, compression: &'static str) -> Case {
    Case {
        writers,
        records,
        compression,
    }
}

const CASES: [Case; 9] = [
    case(1, 1, "none"),
    case(16, 1, "none"),
    case(64, 1, "none"),
    case(16, 100, "none"),
    case(16, 1000, "none"),
    case(16, 100, "gzip"),
    case(16, 100, "snappy"),
    case(16, 100, "lz4"),
    case(16, 100, "zstd"),
];

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            writers,
            records,
            compression,
        } = self;
        write!(f, "{writers} x {records}, {compression}")
    }
}

/// One case's rounds: native and Sluice.
#[derive(Debug, Default, Clone)]
struct Rounds(Vec<[Written; 2]>);

impl Rounds {
    fn spread(&self, of: impl Fn(&[Written; 2]) -> f64) -> Spread {
        Spread::of(self.0.iter().map(of))
    }
}

async fn turn(
    kafka: &Kafka,
    node: &Node,
    case: Case,
    options: &Options,
) -> Result<[Written; 2], Error> {
    let topic = unique("produce");
    kafka.create_topic(&topic, PARTITIONS).await?;
    // A JSON text of that length which codecs find something in, as in most real ones.
    let pad = "event login user ".repeat(options.value_bytes / 17 + 1);
    let value = format!(
        "{{\"pad\":\"{}\"}}",
        &pad[..options.value_bytes.saturating_sub(10)]
    );
    let writing = Writing {
        topic: topic.clone(),
        writers: case.writers,
        records: case.records,
        value,
        compression: case.compression.to_owned(),
        seconds: options.seconds,
    };
    let native: Written = Child::start(&Task::Write(WriteTask {
        bootstrap: kafka.bootstrap().to_owned(),
        writing: writing.clone(),
    }))
    .told()
    .await;
    let sluice = write_over_http(node, &writing).await;
    kafka.delete_topic(&topic).await?;
    Ok([native, sluice])
}

fn table(cases: &[Case], rounds: &[Rounds]) -> Table {
    let mut table = Table::new([
        "connections x records",
        "librdkafka, records/s",
        "Sluice, records/s",
        "ratio",
        "librdkafka p50 ms",
        "Sluice p50 ms",
        "librdkafka p99 ms",
        "Sluice p99 ms",
        "librdkafka CPU s/M",
        "Sluice CPU s/M",
    ]);
    for (case, rounds) in cases.iter().zip(rounds) {
        let [native, sluice] = [0, 1].map(|side| {
            let rounds = rounds.clone();
            move |of: fn(&Written) -> f64| rounds.spread(|round| of(&round[side]))
        });
        table.row([
            case.to_string(),
            format!("{:.0}", native(|written| written.records_a_second)),
            format!("{:.0}", sluice(|written| written.records_a_second)),
            rounds
                .spread(|[native, sluice]| sluice.records_a_second / native.records_a_second)
                .to_string(),
            format!("{:.2}", native(|written| written.p50_ms).median),
            format!("{:.2}", sluice(|written| written.p50_ms).median),
            format!("{:.2}", native(|written| written.p99_ms).median),
            format!("{:.2}", sluice(|written| written.p99_ms).median),
            format!(
                "{:.1}",
                native(|written| written.cpu_seconds_a_million).median
            ),
            format!(
                "{:.1}",
                sluice(|written| written.cpu_seconds_a_million).median
            ),
        ]);
    }
    table
}

// One thread for all connections: on a small machine a client with more takes from the node.
#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    if run_task().await {
        return Ok(());
    }
    let options = Options::parse();
    let runs = |part| options.part.is_empty() || options.part.contains(&part);
    print_heading("produce", Kafka::shared().await);
    if runs(Part::Rate) {
        rate(&options).await?;
    }
    if runs(Part::Flood) {
        println!("{}", flood::measure().await?);
    }
    Ok(())
}

async fn rate(options: &Options) -> Result<(), Error> {
    let kafka = Kafka::shared().await;
    let node = Node::builder().kafka(kafka).start().await;
    let only = options.only.as_deref().unwrap_or_default();
    let is_asked_for = |case: &Case| case.to_string().contains(only);
    let cases: Vec<Case> = CASES.into_iter().filter(is_asked_for).collect();
    let mut rounds = vec![Rounds::default(); cases.len()];
    for round in 0..options.rounds {
        for (case, rounds) in cases.iter().zip(&mut rounds) {
            eprintln!("round {}: {case}", round + 1);
            rounds.0.push(turn(kafka, &node, *case, options).await?);
        }
    }
    println!(
        "values of {} B, {} rounds of {} s a case and side\n",
        options.value_bytes, options.rounds, options.seconds
    );
    println!("{}", table(&cases, &rounds));
    Ok(())
}
