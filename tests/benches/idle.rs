//! What sessions cost that have nothing to do: memory, threads, processor time; beside as many
//! bare librdkafka consumers with the same settings in one process. See `docs/benchmarks.md`.

#![forbid(unsafe_code)]

use std::time::Duration;

use clap::Parser;
use futures::future::join_all;
use futures::{StreamExt, stream};
use sluice_tests::bench::{
    Child, Cost, HoldTask, Joined, PollOptions, Poller, Settings, Spread, Table, Task,
    print_heading, run_task, threads_and_memory,
};
use sluice_tests::{Error, Kafka, Node, unique};
use tokio::time::{Instant, sleep};

/// What sessions cost that have nothing to do, beside bare librdkafka consumers.
#[derive(Debug, Parser)]
struct Options {
    /// Sessions, and native consumers, each in a group of its own.
    #[arg(long, env = "BENCH_SESSIONS", default_value_t = 500)]
    sessions: usize,
    /// Seconds of each measurement of processor time.
    #[arg(long, env = "BENCH_REST_SECONDS", default_value_t = 30)]
    rest_seconds: u32,
    /// Given by `cargo bench`.
    #[arg(long, hide = true)]
    bench: bool,
}

/// Sessions that are opened at once.
const AT_ONCE: usize = 16;

/// Into how many parts a measurement of processor time is divided, for its spread.
const PARTS: u32 = 6;

/// Processor time of a process in milliseconds a second, part by part.
async fn rest(pid: u32, seconds: u32) -> Spread {
    let mut parts = Vec::new();
    for _ in 0..PARTS {
        let (before, began) = (Cost::of(pid), Instant::now());
        sleep(Duration::from_secs(seconds.into()) / PARTS).await;
        let cost = (Cost::of(pid) - before).seconds();
        parts.push(1000.0 * cost / began.elapsed().as_secs_f64());
    }
    Spread::of(parts)
}

/// What a process holds.
#[derive(Debug, Clone, Copy)]
struct Held {
    threads: u64,
    memory: u64,
}

impl Held {
    fn of(pid: u32) -> Self {
        let (threads, memory) = threads_and_memory(pid);
        Self { threads, memory }
    }
}

/// A process in one state.
struct State {
    what: &'static str,
    /// Without any consumer.
    empty: Held,
    held: Held,
    /// From the first subscription to the last assignment.
    joined: Option<Duration>,
    rest: Spread,
}

async fn native(kafka: &Kafka, topic: &str, options: &Options) -> State {
    let start = |consumers| {
        Child::start(&Task::Hold(HoldTask {
            bootstrap: kafka.bootstrap().to_owned(),
            topic: topic.to_owned(),
            consumers,
            settings: Settings::Tuned,
        }))
    };
    let mut none = start(0);
    let _: Joined = none.told().await;
    let mut all = start(options.sessions);
    let joined: Joined = all.told().await;
    let rest = rest(all.pid(), options.rest_seconds).await;
    State {
        what: "librdkafka, Sluice's settings, at rest",
        empty: Held::of(none.pid()),
        held: Held::of(all.pid()),
        joined: Some(Duration::from_secs_f64(joined.seconds)),
        rest,
    }
}

async fn sluice(kafka: &Kafka, topic: &str, options: &Options) -> Result<[State; 2], Error> {
    let node = Node::builder()
        .kafka(kafka)
        .env("SLUICE_LIMITS__SESSIONS_PER_NODE", options.sessions)
        .try_start()
        .await?;
    let empty = Held::of(node.pid());
    let began = Instant::now();
    let mut pollers: Vec<Poller> = stream::iter(0..options.sessions)
        .map(|_| Poller::subscribe(&node, topic, polling(options)))
        .buffer_unordered(AT_ONCE)
        .collect()
        .await;
    let joined = began.elapsed();
    let at_rest = State {
        what: "Sluice, at rest",
        empty,
        rest: rest(node.pid(), options.rest_seconds).await,
        held: Held::of(node.pid()),
        joined: Some(joined),
    };
    let polls = join_all(pollers.iter_mut().map(Poller::poll));
    let rest = tokio::select! {
        rest = rest(node.pid(), options.rest_seconds) => rest,
        _ = polls => panic!("nothing is written, so all polls wait"),
    };
    let polling = State {
        what: "Sluice, a poll waiting on each",
        empty,
        held: Held::of(node.pid()),
        joined: None,
        rest,
    };
    node.sigterm();
    node.wait_exit(Duration::from_secs(60)).await?;
    Ok([at_rest, polling])
}

fn polling(options: &Options) -> PollOptions {
    PollOptions {
        max_records: 500,
        max_bytes: 1 << 20,
        // Longer than what is measured.
        timeout_ms: 1000 * u64::from(options.rest_seconds) + 60_000,
        after: true,
        least_record: 0,
    }
}

fn table(states: &[State], consumers: usize) -> Table {
    let mut table = Table::new([
        "side",
        "RSS MiB",
        "KiB each",
        "x",
        "threads each",
        "CPU %",
        "CPU ms/s each",
        "x",
        "joined in s",
    ]);
    let count = consumers as f64;
    let memory = |state: &State| {
        let own = state.held.memory.saturating_sub(state.empty.memory);
        own as f64 / 1024.0 / count
    };
    for state in states {
        let native = &states[0];
        let threads = state.held.threads.saturating_sub(state.empty.threads);
        let each = Spread {
            median: state.rest.median / count,
            least: state.rest.least / count,
            most: state.rest.most / count,
        };
        table.row([
            state.what.to_owned(),
            format!("{:.0}", state.held.memory as f64 / 1024.0 / 1024.0),
            format!("{:.0}", memory(state)),
            format!("{:.2}", memory(state) / memory(native)),
            format!("{:.1}", threads as f64 / count),
            // Of one processor: a thousand milliseconds a second are 100 %.
            format!("{:.1}", state.rest.median / 10.0),
            format!("{each:.2}"),
            format!("{:.2}", state.rest.median / native.rest.median),
            state
                .joined
                .map_or_else(String::new, |joined| format!("{:.1}", joined.as_secs_f64())),
        ]);
    }
    table
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    if run_task().await {
        return Ok(());
    }
    let options = Options::parse();
    let kafka = Kafka::shared().await;
    print_heading("idle", kafka);
    let topic = unique("idle");
    kafka.create_topic(&topic, 1).await?;
    let mut states = vec![native(kafka, &topic, &options).await];
    states.extend(sluice(kafka, &topic, &options).await?);
    println!(
        "{} consumers, each in a group of its own, of an empty topic; {} s each: median (least-most) of {PARTS} parts\n",
        options.sessions, options.rest_seconds
    );
    println!("{}", table(&states, options.sessions));
    Ok(())
}
