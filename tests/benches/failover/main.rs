//! What clients notice when a node of three ends: killed, frozen, drained. How long it takes to
//! take over many sessions, and whether elections come without need under load. See
//! `docs/benchmarks.md`.

#![forbid(unsafe_code)]

mod load;
mod stall;
mod takeover;

use std::time::Duration;

use clap::{Parser, ValueEnum};
use futures::{StreamExt, stream};
use serde_json::json;
use sluice_tests::bench::{Trio, print_heading};
use sluice_tests::{Error, Kafka, unique};

/// Sessions that are opened at once.
const AT_ONCE: usize = 16;

/// What clients notice when a node of three ends.
#[derive(Debug, Parser)]
struct Options {
    /// Which parts to run; all of them if none is named.
    #[arg(long, value_enum)]
    part: Vec<Part>,
    /// Sessions of the parts that watch clients.
    #[arg(long, env = "BENCH_SESSIONS", default_value_t = 100)]
    sessions: usize,
    /// Milliseconds between two records of a session.
    #[arg(long, default_value_t = 100)]
    every_ms: u64,
    /// Times that each thing befalls a new cluster.
    #[arg(long, env = "BENCH_ROUNDS", default_value_t = 3)]
    rounds: usize,
    /// Sessions on the three nodes when one of them is killed in `takeover`.
    #[arg(long, default_value_t = 1_500)]
    takeover: usize,
    /// Seconds of full load in `elections`.
    #[arg(long, default_value_t = 60)]
    load_seconds: u64,
    /// Given by `cargo bench`.
    #[arg(long, hide = true)]
    bench: bool,
}

/// A part of the benchmark.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Part {
    /// SIGKILL: of a node that does not lead, of the leader.
    Kill,
    /// SIGSTOP.
    Freeze,
    /// SIGTERM.
    Drain,
    /// SIGKILL of a node with hundreds of sessions.
    Takeover,
    /// Elections while all nodes are busy.
    Elections,
}

/// Subscribes sessions, each of a group of its own, to these topics in turn.
async fn subscribe(trio: &Trio, topics: &[String], sessions: usize) -> Vec<String> {
    let subscribed = stream::iter(0..sessions).map(|number| {
        let client = &trio.clients()[number % trio.clients().len()];
        let spec = json!({
            "group_id": unique("group"),
            "topics": [topics[number % topics.len()]],
            "auto_offset_reset": "earliest",
            "session_timeout_ms": 600_000,
        });
        async move {
            let session = client.subscribe(spec).await.expect(200);
            session.text_at("consumer_id").to_owned()
        }
    });
    subscribed.buffer_unordered(AT_ONCE).collect().await
}

/// Returns the number of the owner of each session.
async fn owners(trio: &Trio, ids: &[String]) -> Vec<usize> {
    let owners = stream::iter(ids).map(|id| trio.owner(id));
    owners.buffered(AT_ONCE).collect().await
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let options = Options::parse();
    let kafka = Kafka::shared().await;
    print_heading("failover", kafka);
    let runs = |part| options.part.is_empty() || options.part.contains(&part);
    let blows: Vec<stall::Blow> = [
        (Part::Kill, stall::Blow::KillFollower),
        (Part::Kill, stall::Blow::KillLeader),
        (Part::Freeze, stall::Blow::FreezeFollower),
        (Part::Freeze, stall::Blow::FreezeLeader),
        (Part::Drain, stall::Blow::DrainFollower),
        (Part::Drain, stall::Blow::DrainLeader),
    ]
    .into_iter()
    .filter_map(|(part, blow)| runs(part).then_some(blow))
    .collect();
    if !blows.is_empty() {
        println!(
            "{} sessions, a record every {} ms for each, {} rounds\n",
            options.sessions, options.every_ms, options.rounds
        );
        println!("{}", stall::measure(kafka, &options, &blows).await?);
    }
    if runs(Part::Takeover) {
        println!("{}", takeover::measure(kafka, &options).await?);
    }
    if runs(Part::Elections) {
        let lasts = Duration::from_secs(options.load_seconds);
        println!("{}", load::measure(kafka, lasts).await?);
    }
    Ok(())
}
