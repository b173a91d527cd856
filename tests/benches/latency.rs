//! How late a record reaches a client that waits for it over HTTP, beside a bare librdkafka
//! consumer, and what waiting costs.
//!
//! Records are written one at a time, each with the time of writing in it; that time, the
//! native consumer and the HTTP client are all in this process and have one monotonic clock. See
//! `docs/benchmarks.md`.

#![forbid(unsafe_code)]

use std::fmt;
use std::time::Duration;

use clap::Parser;
use futures::future::try_join_all;
use rdkafka::Message;
use rdkafka::consumer::Consumer;
use rdkafka::producer::{FutureProducer, FutureRecord};
use serde_json::Value;
use sluice_tests::bench::{
    Child, Cost, HoldTask, Joined, PollOptions, Poller, Settings, Spread, Table, Task, next,
    percentile, print_heading, run_task, subscribed,
};
use sluice_tests::{Error, Kafka, Node, unique};
use tokio::sync::oneshot;
use tokio::task::spawn_blocking;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, timeout};

/// How late a record reaches a client that waits for it, beside a bare librdkafka consumer.
#[derive(Debug, Parser)]
struct Options {
    /// Seconds of records for each side, over all rounds.
    #[arg(long, env = "BENCH_SECONDS", default_value_t = 30)]
    seconds: u32,
    /// Rounds; in each, every side has its turn.
    #[arg(long, env = "BENCH_ROUNDS", default_value_t = 3)]
    rounds: u32,
    /// Records a second.
    #[arg(long, default_value_t = 100)]
    rate: u32,
    /// Seconds at rest for the measurement of processor time.
    #[arg(long, env = "BENCH_REST_SECONDS", default_value_t = 20)]
    rest_seconds: u64,
    /// Given by `cargo bench`.
    #[arg(long, hide = true)]
    bench: bool,
}

/// Records at the start of each turn that do not count: connections and caches are cold.
const WARM_UP: u32 = 50;

/// How long the client's polls wait.
const WAIT: Duration = Duration::from_secs(30);

/// Who waits for records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Side {
    Native(Settings),
    Sluice,
}

const SIDES: [Side; 3] = [
    Side::Native(Settings::Default),
    Side::Sluice,
    Side::Native(Settings::Tuned),
];

impl fmt::Display for Side {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Native(Settings::Default) => "librdkafka, its defaults",
            Self::Native(Settings::Tuned) => "librdkafka, Sluice's settings",
            Self::Sluice => "Sluice, long poll",
        })
    }
}

/// What both ends of a record share.
struct Bench<'a> {
    kafka: &'a Kafka,
    node: &'a Node,
    producer: FutureProducer,
    /// Times in records count from here.
    start: Instant,
    options: &'a Options,
}

impl Bench<'_> {
    fn records(&self) -> u32 {
        WARM_UP + self.options.rate * self.options.seconds / self.options.rounds
    }

    /// Gives a side its turn and returns by how many milliseconds each record was late.
    async fn turn(&self, side: Side) -> Result<Vec<f64>, Error> {
        let topic = unique("latency");
        self.kafka.create_topic(&topic, 1).await?;
        let late = match side {
            Side::Native(settings) => self.native(&topic, settings).await?,
            Side::Sluice => self.sluice(&topic).await?,
        };
        self.kafka.delete_topic(&topic).await?;
        Ok(late.into_iter().skip(WARM_UP as usize).collect())
    }

    async fn native(&self, topic: &str, settings: Settings) -> Result<Vec<f64>, Error> {
        let config = settings.config(self.kafka.bootstrap(), &unique("native"));
        let (joined, ready) = oneshot::channel();
        let (name, start, records) = (topic.to_owned(), self.start, self.records());
        let reading = spawn_blocking(move || {
            let consumer = subscribed(&config, &name);
            while consumer.context().since().is_none() {
                // Nothing is written before the consumer has joined.
                let _ = consumer.poll(Duration::from_millis(10));
            }
            let _ = joined.send(());
            let mut late = Vec::new();
            while late.len() < records as usize {
                let message = next(&consumer);
                let payload = message.payload_view::<str>();
                let payload = payload.expect("it has a value").expect("it is text");
                late.push(lateness(start, payload));
            }
            late
        });
        ready.await.expect("the consumer joins");
        self.write(topic).await?;
        Ok(reading.await.expect("a consumer that reads all records"))
    }

    async fn sluice(&self, topic: &str) -> Result<Vec<f64>, Error> {
        let mut poller = Poller::subscribe(self.node, topic, polling()).await;
        let reading = async {
            let mut late = Vec::new();
            while late.len() < self.records() as usize {
                assert!(poller.poll().await > 0, "a record comes in time");
                let arrived = Instant::now();
                let answer: Value =
                    serde_json::from_slice(poller.body()).expect("an answer is JSON");
                for record in answer["records"].as_array().into_iter().flatten() {
                    let payload = record["value"].as_str().expect("the value is text");
                    late.push(lateness(self.start, payload) - millis(arrived.elapsed()));
                }
            }
            Ok(late)
        };
        let (late, ()) = tokio::try_join!(reading, self.write(topic))?;
        poller.end().await;
        Ok(late)
    }

    /// Writes records at their pace, each with the time just before it was given to librdkafka.
    async fn write(&self, topic: &str) -> Result<(), Error> {
        let mut pace = interval(Duration::from_secs(1) / self.options.rate);
        // One that is held up must not bring others upon each other's heels.
        pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut deliveries = Vec::new();
        for _ in 0..self.records() {
            pace.tick().await;
            let sent = self.start.elapsed().as_nanos().to_string();
            let record: FutureRecord<'_, (), String> =
                FutureRecord::to(topic).payload(&sent).partition(0);
            let queued = self.producer.send_result(record);
            deliveries.push(queued.map_err(|(source, _)| failed(topic, source))?);
        }
        let deliveries = try_join_all(deliveries).await;
        for delivery in deliveries.expect("the producer lives") {
            delivery.map_err(|(source, _)| failed(topic, source))?;
        }
        Ok(())
    }

    /// Returns the share of one processor, in percent, that a side takes while nothing comes.
    async fn rest(&self, side: Side) -> Result<f64, Error> {
        let topic = unique("rest");
        self.kafka.create_topic(&topic, 1).await?;
        let wait = Duration::from_secs(self.options.rest_seconds);
        let cost = match side {
            Side::Native(settings) => {
                let mut child = Child::start(&Task::Hold(HoldTask {
                    bootstrap: self.kafka.bootstrap().to_owned(),
                    topic: topic.clone(),
                    consumers: 1,
                    settings,
                }));
                let _: Joined = child.told().await;
                let before = Cost::of(child.pid());
                sleep(wait).await;
                Cost::of(child.pid()) - before
            }
            Side::Sluice => {
                let mut poller = Poller::subscribe(self.node, &topic, polling()).await;
                let before = Cost::of(self.node.pid());
                let _ = timeout(wait, async {
                    loop {
                        poller.poll().await;
                    }
                })
                .await;
                let cost = Cost::of(self.node.pid()) - before;
                poller.end().await;
                cost
            }
        };
        self.kafka.delete_topic(&topic).await?;
        Ok(100.0 * cost.seconds() / wait.as_secs_f64())
    }
}

fn polling() -> PollOptions {
    PollOptions {
        max_records: 500,
        max_bytes: 1 << 20,
        timeout_ms: WAIT.as_secs() * 1000,
        after: true,
        least_record: 0,
    }
}

fn lateness(start: Instant, payload: &str) -> f64 {
    let sent = payload.parse().expect("the value is a time");
    millis(start.elapsed().saturating_sub(Duration::from_nanos(sent)))
}

fn millis(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1000.0
}

fn failed(topic: &str, source: rdkafka::error::KafkaError) -> Error {
    Error::Kafka {
        what: format!("produce to {topic}"),
        source,
    }
}

/// One side's rounds.
#[derive(Debug, Default, Clone)]
struct Late {
    rounds: Vec<Vec<f64>>,
    rest_percent: f64,
}

impl Late {
    fn sorted(&self) -> Vec<f64> {
        let mut all: Vec<f64> = self.rounds.iter().flatten().copied().collect();
        all.sort_by(f64::total_cmp);
        all
    }

    fn medians(&self) -> Spread {
        let medians = self.rounds.iter().map(|round| {
            let mut sorted = round.clone();
            sorted.sort_by(f64::total_cmp);
            percentile(&sorted, 0.5)
        });
        Spread::of(medians)
    }
}

fn table(sides: &[Late; SIDES.len()]) -> Table {
    let mut table = Table::new([
        "side",
        "p50 ms",
        "p99 ms",
        "max ms",
        "p50 over the rounds",
        "CPU at rest, %",
    ]);
    const SHARES: [f64; 3] = [0.5, 0.99, 1.0];
    let figures = sides.each_ref().map(|late| {
        let sorted = late.sorted();
        SHARES.map(|share| percentile(&sorted, share))
    });
    for ((side, late), [p50, p99, most]) in SIDES.iter().zip(sides).zip(figures) {
        table.row([
            side.to_string(),
            format!("{p50:.2}"),
            format!("{p99:.2}"),
            format!("{most:.2}"),
            late.medians().to_string(),
            format!("{:.2}", late.rest_percent),
        ]);
    }
    let [native, sluice, _] = figures;
    let more = |index: usize| format!("{:+.2}", sluice[index] - native[index]);
    table.row([
        "Sluice over librdkafka's defaults".to_owned(),
        more(0),
        more(1),
        more(2),
        String::new(),
        format!("{:+.2}", sides[1].rest_percent - sides[0].rest_percent),
    ]);
    table
}

// One thread for the client, as most HTTP clients have; the native consumer has one of its own.
#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    if run_task().await {
        return Ok(());
    }
    let options = Options::parse();
    let kafka = Kafka::shared().await;
    let node = Node::builder().kafka(kafka).start().await;
    print_heading("latency", kafka);
    let producer = kafka.client_config().set("linger.ms", "0").create();
    let bench = Bench {
        kafka,
        node: &node,
        producer: producer.expect("a producer needs nothing but addresses"),
        start: Instant::now(),
        options: &options,
    };
    let mut sides: [Late; SIDES.len()] = Default::default();
    for round in 0..options.rounds as usize {
        for turn in 0..SIDES.len() {
            let index = (round + turn) % SIDES.len();
            eprintln!("round {}: {}", round + 1, SIDES[index]);
            sides[index].rounds.push(bench.turn(SIDES[index]).await?);
        }
    }
    for (side, late) in SIDES.iter().zip(&mut sides) {
        eprintln!("at rest: {side}");
        late.rest_percent = bench.rest(*side).await?;
    }
    println!(
        "{} records a second, {} s a side in {} rounds; at rest: {} s\n",
        options.rate, options.seconds, options.rounds, options.rest_seconds
    );
    println!("{}", table(&sides));
    Ok(())
}
