//! How many sessions a second come and go on three nodes, beside bare librdkafka consumers. See
//! `docs/benchmarks.md`.

#![forbid(unsafe_code)]

use std::time::Duration;

use clap::Parser;
use futures::{StreamExt, stream};
use rdkafka::consumer::Consumer;
use serde_json::json;
use sluice_tests::bench::{Settings, Spread, Table, Trio, percentile, print_heading, subscribed};
use sluice_tests::{Error, Kafka, unique};
use tokio::task::spawn_blocking;
use tokio::time::Instant;

/// How many sessions a second come and go on three nodes.
#[derive(Debug, Parser)]
struct Options {
    /// Sessions of each side in each round, for each time that comes one after the other.
    #[arg(long, env = "BENCH_SESSIONS", default_value_t = 100)]
    sessions: usize,
    /// Sessions that are opened at once in the second part, with four times as many sessions.
    #[arg(long, default_value_t = 16)]
    at_once: usize,
    /// Rounds; in each, both sides have their turn.
    #[arg(long, env = "BENCH_ROUNDS", default_value_t = 3)]
    rounds: usize,
    /// Given by `cargo bench`.
    #[arg(long, hide = true)]
    bench: bool,
}

/// How long a session's begin and end took.
#[derive(Debug, Clone, Copy)]
struct Life {
    begin: Duration,
    end: Duration,
}

/// What one side did.
#[derive(Debug, Default)]
struct Side {
    lives: Vec<Life>,
    /// Sessions that came and went in a second, round by round.
    rates: Vec<f64>,
}

/// Subscribes, in a group of its own, and deletes; each session through the next node.
async fn sluice(trio: &Trio, topic: &str, number: usize) -> Life {
    let client = |turn: usize| &trio.clients()[(number + turn) % trio.clients().len()];
    let spec = json!({
        "group_id": unique("group"), "topics": [topic], "auto_offset_reset": "earliest",
    });
    let began = Instant::now();
    let session = client(0).subscribe(spec).await.expect(200);
    let begin = began.elapsed();
    assert_ne!(session["assignment"], json!({}), "it has partitions");
    client(1)
        .delete(session.text_at("consumer_id"))
        .await
        .expect(204);
    let end = began.elapsed() - begin;
    Life { begin, end }
}

/// Joins a group of its own, and leaves it.
async fn native(kafka: &Kafka, topic: &str) -> Life {
    let config = Settings::Tuned.config(kafka.bootstrap(), &unique("native"));
    let topic = topic.to_owned();
    let lived = spawn_blocking(move || {
        let began = Instant::now();
        let consumer = subscribed(&config, &topic);
        while consumer.context().since().is_none() {
            let _ = consumer.poll(Duration::from_millis(100));
        }
        let begin = began.elapsed();
        // Leaves the group.
        drop(consumer);
        let end = began.elapsed() - begin;
        Life { begin, end }
    });
    lived.await.expect("a consumer joins and leaves")
}

fn add(table: &mut Table, at_once: usize, sides: [Side; 2]) {
    let native_rates = sides[0].rates.clone();
    for (name, side) in ["librdkafka, Sluice's settings", "Sluice"]
        .into_iter()
        .zip(sides)
    {
        let shares = |part: fn(&Life) -> Duration| {
            let mut times: Vec<f64> = side.lives.iter().map(|l| millis(part(l))).collect();
            times.sort_by(f64::total_cmp);
            [0.5, 0.99].map(|share| format!("{:.1}", percentile(&times, share)))
        };
        let [begin, begin_99] = shares(|life| life.begin);
        let [end, end_99] = shares(|life| life.end);
        let ratios = side.rates.iter().zip(&native_rates);
        let ratios = Spread::of(ratios.map(|(own, native)| own / native));
        table.row([
            name.to_owned(),
            at_once.to_string(),
            format!("{:.0}", Spread::of(side.rates.clone())),
            format!("{ratios:.2}"),
            begin,
            begin_99,
            end,
            end_99,
        ]);
    }
}

fn millis(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1000.0
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let options = Options::parse();
    let kafka = Kafka::shared().await;
    let trio = Trio::start(kafka, &[]).await?;
    print_heading("subscribe", kafka);
    let topic = unique("subscribe");
    kafka.create_topic(&topic, 1).await?;
    let mut table = Table::new([
        "side",
        "at once",
        "come and go, sessions/s",
        "x librdkafka",
        "subscribe p50 ms",
        "p99",
        "delete p50 ms",
        "p99",
    ]);
    for (at_once, sessions) in [
        (1, options.sessions),
        (options.at_once, 4 * options.sessions),
    ] {
        let mut sides: [Side; 2] = Default::default();
        for round in 0..options.rounds {
            for turn in 0..sides.len() {
                let index = (round + turn) % sides.len();
                eprintln!("round {}: {at_once} at once, side {index}", round + 1);
                let began = Instant::now();
                let lives = stream::iter(0..sessions).map(async |number| match index {
                    0 => native(kafka, &topic).await,
                    _ => sluice(&trio, &topic, number).await,
                });
                let lives: Vec<Life> = lives.buffer_unordered(at_once).collect().await;
                let rate = lives.len() as f64 / began.elapsed().as_secs_f64();
                sides[index].rates.push(rate);
                sides[index].lives.extend(lives);
            }
        }
        add(&mut table, at_once, sides);
    }
    println!("{} rounds: median (least-most)\n", options.rounds);
    println!("{table}");
    Ok(())
}
