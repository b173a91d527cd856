//! The registry's transitions, one by one and in any order.

mod any_order;
mod format;
mod handover;
mod life;
mod moves;
mod nodes;
mod opening;
mod starts;

use std::collections::BTreeMap;
use std::time::Duration;

use proptest::prelude::*;
use sluice_types::{
    AssignmentStrategy, Claim, ConsumerId, CreationStamp, Epoch, Format, IsolationLevel, Mode,
    NodeId, Offset, OffsetReset, Partition, PartitionMap, Partitions, Point, PointBy, SeekSeq,
    SessionSpec, Timestamp, TopicPartition,
};

use super::*;
use crate::{Handover, Registration};

fn spec() -> SessionSpec {
    SessionSpec {
        group_id: "g".parse().unwrap(),
        topics: vec!["orders".parse().unwrap()],
        auto_offset_reset: OffsetReset::Latest,
        session_timeout: Duration::from_secs(30),
        auto_commit: false,
        auto_commit_interval: Duration::from_secs(5),
        isolation_level: IsolationLevel::ReadCommitted,
        key_format: Format::String,
        value_format: Format::String,
        assignment_strategy: AssignmentStrategy::CooperativeSticky,
        client_id: "sluice".to_owned(),
    }
}

pub(crate) fn id(name: &str) -> ConsumerId {
    name.parse().unwrap()
}

/// The same node for the same name, so that commands can be made anew.
pub(crate) fn node(name: &str) -> NodeId {
    run(name, 1)
}

/// A run of a node: the same for the same number.
pub(crate) fn run(name: &str, incarnation: u64) -> NodeId {
    NodeId {
        name: name.parse().unwrap(),
        incarnation: serde_json::from_str(&incarnation.to_string()).unwrap(),
    }
}

pub(crate) fn registration(id: NodeId, replaces: Option<u64>) -> Registration {
    Registration {
        replaces: replaces.map(|number| run("any", number).incarnation),
        address: format!("{}:7000", id.name).parse().unwrap(),
        raft_id: RaftId::from_number(u64::from(id.name.as_str().as_bytes()[0])),
        version: Version::FIRST,
        release: "0.1.0".to_owned(),
        capacity: 100,
        at: time(0),
        id,
    }
}

/// Registers a run of a node in place of the run before it.
pub(crate) fn register(name: &str, incarnation: u64) -> Command {
    let replaces = (incarnation > 1).then(|| incarnation - 1);
    Command::Register(registration(run(name, incarnation), replaces))
}

pub(crate) fn change_node(node: NodeId, revision: u32, to: NodeState) -> Command {
    Command::ChangeNode {
        node,
        revision,
        to,
        at: time(1),
    }
}

/// A registry with the first runs of these nodes.
pub(crate) fn registry_of(nodes: &[&str]) -> Registry {
    let mut registry = Registry::default();
    for name in nodes {
        assert_eq!(registry.apply(register(name, 1)), Outcome::Applied);
    }
    registry
}

fn at(partition: i32) -> TopicPartition {
    TopicPartition {
        topic: "orders".parse().unwrap(),
        partition: Partition::new(partition).unwrap(),
    }
}

fn point(offset: i64, seq: u64) -> Point {
    Point {
        offset: Offset::new(offset).unwrap(),
        seen: None,
        by: PointBy::Seek(SeekSeq::from_number(seq)),
    }
}

fn handed_over(offset: i64) -> Point {
    Point {
        by: PointBy::Handover(SeekSeq::NONE),
        ..point(offset, 0)
    }
}

fn points<const N: usize>(entries: [(i32, Point); N]) -> PartitionMap<Point> {
    entries
        .into_iter()
        .map(|(p, point)| (at(p), point))
        .collect()
}

fn partitions<const N: usize>(numbers: [i32; N]) -> Partitions {
    numbers.into_iter().map(at).collect()
}

fn epoch(number: u64) -> Epoch {
    (1..number).fold(Epoch::FIRST, |epoch, _| epoch.next())
}

pub(crate) fn claim(name: &str, number: u64) -> Claim {
    Claim {
        id: id(name),
        epoch: epoch(number),
    }
}

fn time(seconds: i64) -> Timestamp {
    Timestamp::from_millis(seconds * 1000)
}

pub(crate) fn create(name: &str, stamp: u64) -> Command {
    create_at(name, stamp, 0)
}

fn create_at(name: &str, stamp: u64, seconds: i64) -> Command {
    Command::Create(Creation {
        id: id(name),
        stamp: CreationStamp::from_number(stamp),
        spec: spec(),
        owner: node("a"),
        created_at: time(seconds),
        counts: BTreeMap::from([("orders".parse().unwrap(), 3)]),
    })
}

pub(crate) fn move_to(to: NodeId, claims: &[Claim], handover: Option<&Handover>) -> Command {
    let entry = |claim: &Claim| {
        let to = Move {
            epoch: claim.epoch,
            to: to.clone(),
            handover: handover.cloned(),
        };
        (claim.id.clone(), to)
    };
    Command::Move {
        moves: claims.iter().map(entry).collect(),
    }
}

fn joined(number: u64) -> Command {
    Command::Joined {
        claim: claim("c", number),
    }
}

fn open(owner: &str, claims: &[Claim]) -> Command {
    Command::Open {
        owner: node(owner),
        claims: claims.iter().map(|c| (c.id.clone(), c.epoch)).collect(),
    }
}

fn seek(number: u64, seq: u64, points: PartitionMap<Point>) -> Command {
    Command::Seek {
        claim: claim("c", number),
        seq: SeekSeq::from_number(seq),
        points,
    }
}

fn assign(number: u64, revision: u32, partitions: Partitions) -> Command {
    Command::Assign {
        claim: claim("c", number),
        partitions,
        revision,
        points: points([(0, point(5, 0))]),
    }
}

fn observed(number: u64, count: i32) -> Command {
    Command::Observed {
        claim: claim("c", number),
        counts: BTreeMap::from([("orders".parse().unwrap(), count)]),
    }
}

pub(crate) fn delete(number: u64) -> Command {
    Command::Delete {
        claim: claim("c", number),
        at: time(1),
    }
}

pub(crate) fn gone(number: u64) -> Command {
    gone_at(number, 2)
}

fn gone_at(number: u64, seconds: i64) -> Command {
    Command::Gone {
        claim: claim("c", number),
        at: time(seconds),
    }
}

/// A registry after these commands, each of which must take effect.
#[track_caller]
fn after(commands: impl IntoIterator<Item = Command>) -> Registry {
    let mut registry = registry_of(&["a", "b"]);
    for command in commands {
        done(&mut registry, command);
    }
    registry
}

#[track_caller]
fn done(registry: &mut Registry, command: Command) -> SessionView {
    match registry.apply(command.clone()) {
        Outcome::Done(view) => view,
        Outcome::Opened(views) if views.len() == 1 => views[0].clone(),
        other => panic!("{command:?} led to {other:?}"),
    }
}

/// The command must answer `Stale` and change nothing.
#[track_caller]
fn stale(registry: &mut Registry, command: Command) {
    let before = format!("{registry:?}");
    assert_eq!(
        registry.apply(command.clone()),
        Outcome::Stale,
        "{command:?}"
    );
    assert_eq!(
        format!("{registry:?}"),
        before,
        "{command:?} changed something"
    );
}

#[track_caller]
fn session(registry: &Registry) -> &Session {
    registry.session(&id("c")).expect("the session lives")
}

/// Begins a session on a node.
pub(crate) fn create_on(owner: NodeId, name: &str, stamp: u64) -> Command {
    match create(name, stamp) {
        Command::Create(creation) => Command::Create(Creation { owner, ..creation }),
        other => other,
    }
}

/// Makes a session an assigned one, for the first time.
pub(crate) fn make_assigned(name: &str, number: u64) -> Command {
    Command::Assign {
        claim: claim(name, number),
        partitions: partitions([0]),
        revision: 1,
        points: PartitionMap::new(),
    }
}

pub(crate) fn delete_of(name: &str, number: u64) -> Command {
    Command::Delete {
        claim: claim(name, number),
        at: time(1),
    }
}
