//! Runs the Kafka of the tests for trying things by hand, fills topics, and shows groups.

#![forbid(unsafe_code)]

use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};
use sluice_tests::{Error, Kafka};
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::Instant;

/// A real Apache Kafka for trying things by hand; its data is gone when it ends.
#[derive(Debug, Parser)]
#[command(args_conflicts_with_subcommands = true)]
struct Arguments {
    #[command(flatten)]
    run: Run,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Args)]
struct Run {
    /// Where to listen on 127.0.0.1.
    #[arg(long, default_value_t = 9092)]
    port: u16,
    /// A topic to create; may be repeated.
    #[arg(long = "topic", value_name = "NAME:PARTITIONS", value_parser = parse_topic)]
    topics: Vec<(String, i32)>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Writes numbered JSON records to a topic, which is made with 3 partitions if there is none.
    Fill {
        /// The topic.
        #[arg(long)]
        topic: String,
        /// How many records.
        #[arg(long, default_value_t = 1000)]
        records: u64,
        /// Bytes of each record's value; 0 for no more than its number needs.
        #[arg(long, default_value_t = 0)]
        size: usize,
        #[command(flatten)]
        to: Address,
    },
    /// Shows how far a group is in each partition, as Kafka sees it.
    Group {
        /// The group's id.
        id: String,
        #[command(flatten)]
        to: Address,
    },
}

#[derive(Debug, Args)]
struct Address {
    /// Where Kafka is.
    #[arg(long, default_value = "127.0.0.1:9092", value_name = "HOST:PORT")]
    bootstrap: String,
}

fn parse_topic(text: &str) -> Result<(String, i32), String> {
    let (name, partitions) = text.rsplit_once(':').unwrap_or((text, "1"));
    match partitions.parse() {
        Ok(partitions) if partitions > 0 && !name.is_empty() => Ok((name.to_owned(), partitions)),
        _ => Err("expected NAME or NAME:PARTITIONS, as in orders:3".to_owned()),
    }
}

#[tokio::main]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let done = match arguments.command {
        None => run(arguments.run).await,
        Some(Command::Fill {
            topic,
            records,
            size,
            to,
        }) => fill(&to.bootstrap, &topic, records, size).await,
        Some(Command::Group { id, to }) => group(&to.bootstrap, &id).await,
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run(run: Run) -> Result<(), Error> {
    let mut interrupt = signal(SignalKind::interrupt()).expect("SIGINT can be caught");
    let mut terminate = signal(SignalKind::terminate()).expect("SIGTERM can be caught");
    let serve = async {
        let kafka = Kafka::builder().port(run.port).try_start().await?;
        for (name, partitions) in &run.topics {
            kafka.create_topic(name, *partitions).await?;
            println!("topic {name} with {partitions} partitions");
        }
        println!("Kafka runs at {}, Ctrl-C ends it", kafka.bootstrap());
        // Kept until the signal: whatever the broker has to say is in its log.
        std::future::pending::<()>().await;
        drop(kafka);
        Ok(())
    };
    tokio::select! {
        served = serve => served,
        _ = interrupt.recv() => Ok(()),
        _ = terminate.recv() => Ok(()),
    }
}

async fn fill(bootstrap: &str, topic: &str, records: u64, size: usize) -> Result<(), Error> {
    let kafka = Kafka::connect(bootstrap).await?;
    if kafka.partitions(topic).await? == 0 {
        kafka.create_topic(topic, 3).await?;
    }
    let start = Instant::now();
    kafka.fill(topic, records, size).await?;
    let seconds = start.elapsed().as_secs_f64();
    println!("wrote {records} records to {topic} in {seconds:.1} s");
    for (partition, end) in kafka.end_offsets(topic).await? {
        println!("{topic} {partition}: next offset {end}");
    }
    Ok(())
}

async fn group(bootstrap: &str, id: &str) -> Result<(), Error> {
    let kafka = Kafka::connect(bootstrap).await?;
    match kafka.group(id).await? {
        None => println!("Kafka knows no group {id}"),
        Some(group) => {
            println!("group {id}: {} ({})", group.state, group.protocol);
            for member in group.members {
                println!(
                    "member {} ({}): {:?}",
                    member.id, member.client_id, member.assignment
                );
            }
        }
    }
    let lags = kafka.lags(id).await?;
    if lags.is_empty() {
        println!("nothing committed");
        return Ok(());
    }
    println!(
        "{:<32} {:>9} {:>12} {:>12} {:>12}",
        "topic", "partition", "committed", "end", "lag"
    );
    for (topic, partitions) in lags {
        for (partition, lag) in partitions {
            let committed = lag
                .committed
                .map_or("-".to_owned(), |offset| offset.to_string());
            println!(
                "{topic:<32} {partition:>9} {committed:>12} {:>12} {:>12}",
                lag.end,
                lag.lag()
            );
        }
    }
    Ok(())
}
