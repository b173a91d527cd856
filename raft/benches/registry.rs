//! What the registry takes: memory, bytes of a snapshot, time to make and to restore one. See
//! `docs/benchmarks.md`.
//!
//! Each figure is of a process of its own, this program started again: memory is what such a
//! process holds (RSS) beyond what it held before. A session is made as on a node, where each
//! comes out of the log by itself: two of them share no text, though they have the same topic.

#![forbid(unsafe_code)]

use std::env;
use std::error::Error;
use std::fs::{self, File};
use std::hint::black_box;
use std::io::Write;
use std::path::Path;
use std::process::Command as Process;
use std::time::Duration;

use sluice_raft::{Command, Creation, Outcome, RaftId, Registration, Registry, Version, snapshot};
use sluice_types::{
    AssignmentStrategy, Claim, ConsumerId, CreationStamp, Epoch, Format, Incarnation,
    IsolationLevel, NodeId, Offset, OffsetReset, Partition, PartitionMap, Point, PointBy, SeekSeq,
    SeenCommit, SessionSpec, Timestamp, TopicPartition,
};
use tokio::time::Instant;

type Failed = Box<dyn Error>;

/// How many sessions, unless the command line says otherwise.
const SESSIONS: [usize; 3] = [1_000, 10_000, 100_000];

/// Partitions of a session's topic.
const PARTITIONS: i32 = 8;

/// What sessions have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shape {
    /// As they are subscribed.
    Plain,
    /// A point for each partition, as after a seek or a planned move.
    Points,
}

impl Shape {
    const ALL: [Self; 2] = [Self::Plain, Self::Points];

    fn name(self) -> &'static str {
        match self {
            Self::Plain => "as subscribed",
            Self::Points => "with 8 points",
        }
    }

    fn of(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|shape| shape.name() == name)
    }
}

fn node(number: usize) -> Result<NodeId, Failed> {
    Ok(NodeId {
        name: format!("sluice-{number}.sluice").parse()?,
        incarnation: Incarnation::random(),
    })
}

/// A registry of three nodes with so many sessions.
fn registry(sessions: usize, shape: Shape) -> Result<Registry, Failed> {
    let mut registry = Registry::default();
    let nodes = [node(0)?, node(1)?, node(2)?];
    for (number, id) in (1..).zip(&nodes) {
        let registered = registry.apply(Command::Register(Registration {
            id: id.clone(),
            replaces: None,
            address: format!("{}:7070", id.name).parse()?,
            raft_id: RaftId::from_number(number),
            version: Version::FIRST,
            release: "0.1.0".to_owned(),
            capacity: 50_000,
            at: Timestamp::from_millis(0),
        }));
        assert_eq!(registered, Outcome::Applied);
    }
    for number in 0..sessions {
        let creation = creation(number, nodes[number % nodes.len()].clone())?;
        let id = creation.id.clone();
        let created = registry.apply(Command::Create(creation));
        assert!(matches!(created, Outcome::Done(_)), "{created:?}");
        if shape == Shape::Points {
            let sought = registry.apply(seek(id)?);
            assert!(matches!(sought, Outcome::Done(_)), "{sought:?}");
        }
    }
    Ok(registry)
}

fn creation(number: usize, owner: NodeId) -> Result<Creation, Failed> {
    let spec = SessionSpec {
        group_id: format!("order-service-{}", number / 10).parse()?,
        topics: vec!["shop.orders.v1".parse()?],
        auto_offset_reset: OffsetReset::Latest,
        session_timeout: Duration::from_secs(30),
        auto_commit: false,
        auto_commit_interval: Duration::from_secs(5),
        isolation_level: IsolationLevel::ReadCommitted,
        key_format: Format::String,
        value_format: Format::String,
        assignment_strategy: AssignmentStrategy::CooperativeSticky,
        client_id: "sluice".to_owned(),
    };
    Ok(Creation {
        id: ConsumerId::random(),
        stamp: CreationStamp::random(),
        spec,
        owner,
        created_at: Timestamp::from_millis(1_700_000_000_000),
        counts: [("shop.orders.v1".parse()?, PARTITIONS)].into(),
    })
}

fn seek(id: ConsumerId) -> Result<Command, Failed> {
    let mut points = PartitionMap::new();
    for partition in 0..PARTITIONS {
        let at = TopicPartition {
            topic: "shop.orders.v1".parse()?,
            partition: Partition::new(partition)?,
        };
        let offset = Offset::new(1_000_000)?;
        let point = Point {
            offset,
            // As Sluice's own commits look.
            seen: Some(SeenCommit {
                offset,
                metadata: "s1:0123456789abcdef:12:3456".to_owned(),
            }),
            by: PointBy::Seek(SeekSeq::from_number(1)),
        };
        points.insert(&at, point);
    }
    let epoch = Epoch::FIRST;
    Ok(Command::Seek {
        claim: Claim { id, epoch },
        seq: SeekSeq::from_number(1),
        points,
    })
}

/// Memory that this process holds, in bytes: now, and at most so far.
fn memory() -> Result<(u64, u64), Failed> {
    let status = fs::read_to_string("/proc/self/status")?;
    let kilobytes = |field: &str| -> Result<u64, Failed> {
        let line = status.lines().find_map(|line| line.strip_prefix(field));
        let number = line.and_then(|line| line.split_whitespace().next());
        Ok(number.ok_or("the kernel tells memory")?.parse()?)
    };
    Ok((kilobytes("VmRSS:")? << 10, kilobytes("VmHWM:")? << 10))
}

/// Builds a registry and writes a snapshot of it, as a member does. Prints bytes of memory,
/// bytes of the snapshot, milliseconds to make it, and to write it.
fn build(sessions: usize, shape: Shape, file: &Path) -> Result<(), Failed> {
    let (before, _) = memory()?;
    let registry = registry(sessions, shape)?;
    let (after, _) = memory()?;
    let began = Instant::now();
    let bytes = snapshot::encode(&registry)?;
    let made = began.elapsed();
    let mut written = File::create(file)?;
    written.write_all(&bytes)?;
    written.sync_all()?;
    let kept = began.elapsed() - made;
    println!(
        "{} {} {} {}",
        after.saturating_sub(before),
        bytes.len(),
        made.as_secs_f64() * 1000.0,
        kept.as_secs_f64() * 1000.0
    );
    black_box(registry);
    Ok(())
}

/// Reads a registry back. Prints bytes of memory, the most on the way, milliseconds.
fn restore(sessions: usize, file: &Path) -> Result<(), Failed> {
    let (before, _) = memory()?;
    let began = Instant::now();
    let bytes = fs::read(file)?;
    let registry = snapshot::decode(&bytes)?;
    drop(bytes);
    let took = began.elapsed();
    let (after, most) = memory()?;
    assert_eq!(registry.session_count(), sessions);
    println!(
        "{} {} {}",
        after.saturating_sub(before),
        most.saturating_sub(before),
        took.as_secs_f64() * 1000.0
    );
    black_box(registry);
    Ok(())
}

/// Starts this program again and returns the numbers that it prints.
fn child<const N: usize>(arguments: [&str; 4]) -> Result<[f64; N], Failed> {
    let output = Process::new(env::current_exe()?).args(arguments).output()?;
    let printed = String::from_utf8(output.stdout)?;
    let numbers: Result<Vec<f64>, _> = printed.split_whitespace().map(str::parse).collect();
    let numbers: Result<[f64; N], _> = numbers?.try_into();
    let wrong = String::from_utf8_lossy(&output.stderr);
    Ok(numbers.map_err(|printed| format!("{arguments:?}: {printed:?} {wrong}"))?)
}

/// Prints a row for each number of sessions and each shape: the medians of some processes.
fn report(counts: &[usize]) -> Result<(), Failed> {
    const PROCESSES: usize = 5;
    let median = |runs: &mut Vec<f64>| {
        runs.sort_by(f64::total_cmp);
        runs[runs.len() / 2]
    };
    let mib = |bytes: f64| bytes / f64::from(1 << 20);
    println!("registry: medians of {PROCESSES} processes\n");
    println!(
        "| sessions | each          | memory MiB | B a session | snapshot MiB | made ms | written ms | restored ms | then MiB | at most MiB |"
    );
    println!(
        "|---------:|---------------|-----------:|------------:|-------------:|--------:|-----------:|------------:|---------:|------------:|"
    );
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("snapshot");
    let name = file.to_str().ok_or("a path of text")?;
    for count in counts {
        for shape in Shape::ALL {
            let number = count.to_string();
            let mut figures: [Vec<f64>; 7] = Default::default();
            for _ in 0..PROCESSES {
                let built: [f64; 4] = child(["build", &number, shape.name(), name])?;
                let restored: [f64; 3] = child(["restore", &number, shape.name(), name])?;
                for (all, one) in figures.iter_mut().zip(built.into_iter().chain(restored)) {
                    all.push(one);
                }
            }
            let [memory, size, made, written, then, most, restored] =
                figures.each_mut().map(median);
            println!(
                "| {count:>8} | {:<13} | {:>10.1} | {:>11.0} | {:>12.2} | {made:>7.1} | {written:>10.1} | {restored:>11.1} | {:>8.1} | {:>11.1} |",
                shape.name(),
                mib(memory),
                memory / *count as f64,
                mib(size),
                mib(then),
                mib(most),
            );
        }
    }
    Ok(())
}

fn main() -> Result<(), Failed> {
    let arguments: Vec<String> = env::args().skip(1).filter(|a| a != "--bench").collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments[..] {
        ["build", sessions, shape, file] => {
            let shape = Shape::of(shape).ok_or("a shape")?;
            build(sessions.parse()?, shape, Path::new(file))
        }
        ["restore", sessions, _, file] => restore(sessions.parse()?, Path::new(file)),
        [] => report(&SESSIONS),
        ref counts => {
            let counts: Result<Vec<usize>, _> = counts.iter().map(|count| count.parse()).collect();
            report(&counts?)
        }
    }
}
