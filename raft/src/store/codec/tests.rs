//! The recorded bytes of every format, and bytes that are no format at all.
//!
//! A failure of the recorded bytes means that what was written yesterday is read no more. A new
//! format, or a new variant, is recorded by running the tests with `RECORD_GOLDEN=1` set; lines
//! that are there already never change.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::PathBuf;
use std::time::Duration;

use openraft::{CommittedLeaderId, EntryPayload};
use proptest::prelude::*;
use sluice_types::{
    Offset, Partition, PartitionMap, Partitions, Point, PointBy, SeekSeq, SeenCommit, Timestamp,
    TopicPartition,
};

use super::records::*;
use super::*;
use crate::registry::tests::{
    change_node, claim, create, delete, gone, id, move_to, node, register, registry_of, run,
};
use crate::types::*;
use crate::{Command, Handover, NodeState, RaftId, Version};

pub(crate) fn log_id(term: u64, index: u64) -> LogId {
    LogId::new(CommittedLeaderId::new(term, RaftId::from(7)), index)
}

pub(crate) fn entry(index: u64, command: Command) -> Entry {
    Entry {
        log_id: log_id(3, index),
        payload: EntryPayload::Normal(vec![command]),
    }
}

fn at(partition: i32) -> TopicPartition {
    TopicPartition {
        topic: "orders".parse().unwrap(),
        partition: Partition::new(partition).unwrap(),
    }
}

fn points() -> PartitionMap<Point> {
    let point = |offset, by| Point {
        offset: Offset::new(offset).unwrap(),
        seen: Some(SeenCommit {
            offset: Offset::ZERO,
            metadata: "m".to_owned(),
        }),
        by,
    };
    let seq = SeekSeq::from_number(300);
    PartitionMap::from_iter([
        (at(0), point(5, PointBy::Seek(seq))),
        (at(1), point(1 << 40, PointBy::Assign(seq))),
        (at(2), point(0, PointBy::Handover(seq))),
    ])
}

/// One of each variant.
fn commands() -> Vec<Command> {
    let owner = node("a");
    let handover = Handover {
        points: points(),
        idle: Duration::from_millis(1500),
    };
    vec![
        create("c", 1),
        Command::Open {
            owner,
            claims: BTreeMap::from([(id("c"), claim("c", 2).epoch)]),
        },
        Command::Seek {
            claim: claim("c", 2),
            seq: SeekSeq::from_number(300),
            points: points(),
        },
        Command::Assign {
            claim: claim("c", 2),
            partitions: Partitions::from_iter([at(0), at(9)]),
            revision: 4,
            points: points(),
        },
        Command::Observed {
            claim: claim("c", 2),
            counts: BTreeMap::from([("orders".parse().unwrap(), 12)]),
        },
        delete(2),
        gone(3),
        move_to(run("b", 3), &[claim("c", 2)], Some(&handover)),
        Command::Joined {
            claim: claim("c", 2),
        },
        register("a", 2),
        change_node(node("a"), 1, NodeState::Draining),
        Command::RemoveNode {
            node: node("a"),
            at: Timestamp::from_millis(7),
        },
        Command::RaiseVersion {
            to: Version::from_number(2),
        },
        Command::Recover {
            generation: 2,
            at: Timestamp::from_millis(7),
        },
    ]
}

/// Its name in the records. A variant that is missing here is missing in [`commands`] too.
fn name(command: &Command) -> &'static str {
    match command {
        Command::Create(_) => "create",
        Command::Open { .. } => "open",
        Command::Seek { .. } => "seek",
        Command::Assign { .. } => "assign",
        Command::Observed { .. } => "observed",
        Command::Delete { .. } => "delete",
        Command::Gone { .. } => "gone",
        Command::Move { .. } => "move",
        Command::Joined { .. } => "joined",
        Command::Register(_) => "register",
        Command::ChangeNode { .. } => "change-node",
        Command::RemoveNode { .. } => "remove-node",
        Command::RaiseVersion { .. } => "raise-version",
        Command::Recover { .. } => "recover",
    }
}

pub(crate) fn membership() -> Membership {
    let set = |ids: &[u64]| ids.iter().copied().map(RaftId::from).collect();
    let member = |name: &str| Member {
        name: name.to_owned(),
        address: format!("{name}:7000"),
    };
    let configs: Vec<BTreeSet<RaftId>> = vec![set(&[1, 2]), set(&[2, 3])];
    let members = BTreeMap::from([1, 2, 3, 4].map(|n| (RaftId::from(n), member(&format!("n{n}")))));
    Membership::new(configs, members)
}

fn snapshot() -> SnapshotV1 {
    let mut registry = registry_of(&["a", "b"]);
    for command in commands().into_iter().chain([create("d", 2)]) {
        registry.apply(command);
    }
    let meta = SnapshotMeta {
        last_log_id: Some(log_id(3, 1000)),
        last_membership: StoredMembership::new(Some(log_id(2, 9)), membership()),
        snapshot_id: "3-1000".to_owned(),
    };
    SnapshotV1 {
        meta: (&meta).into(),
        registry,
    }
}

/// The bytes as they were recorded, or how to record them.
#[track_caller]
pub(crate) fn assert_recorded(name: &str, bytes: &[u8]) {
    let hex = bytes.iter().fold(String::new(), |mut hex, byte| {
        let _ = write!(hex, "{byte:02x}");
        hex
    });
    let path: PathBuf = [env!("CARGO_MANIFEST_DIR"), "tests/golden", name]
        .iter()
        .collect();
    let path = path.with_extension("hex");
    match std::fs::read_to_string(&path) {
        Ok(recorded) => assert_eq!(recorded.trim(), hex, "{} has changed", path.display()),
        Err(_) if std::env::var_os("RECORD_GOLDEN").is_some() => {
            std::fs::write(path, hex + "\n").unwrap();
        }
        Err(error) => panic!("{}: {error}", path.display()),
    }
}

#[track_caller]
pub(crate) fn assert_format<S: Shape + PartialEq + std::fmt::Debug>(name: &str, shape: &S) {
    let bytes = encode(shape).unwrap();
    assert_recorded(name, &bytes);
    assert_eq!(&decode::<S>(&bytes).unwrap(), shape);
}

#[test]
fn every_command_is_written_as_it_was_recorded() {
    for command in commands() {
        let name = format!("entry-{}", name(&command));
        assert_format(&name, &EntryV1::from(entry(12, command)));
    }
}

#[test]
fn entries_without_a_command_are_written_as_they_were_recorded() {
    let blank = EntryPayload::Blank;
    let change = EntryPayload::Membership(membership());
    for (name, payload) in [("entry-blank", blank), ("entry-membership", change)] {
        let log_id = log_id(1, 1);
        let entry = Entry { log_id, payload };
        assert_format(name, &EntryV1::from(entry.clone()));
        assert_eq!(Entry::from(EntryV1::from(entry.clone())), entry);
    }
}

#[test]
fn what_stands_beside_the_log_is_written_as_it_was_recorded() {
    assert_format("log-id", &LogIdV1::from(log_id(3, 70_000)));
    let vote = Vote::new_committed(5, RaftId::from(u64::MAX));
    assert_format("vote", &VoteV1::from(vote));
    assert_eq!(Vote::from(VoteV1::from(vote)), vote);
    let raft_id = RaftId::from(0x0123_4567_89ab_cdef);
    let cluster = "01234567-89ab-4def-8123-456789abcdef".parse().ok();
    assert_format("identity", &IdentityV1 { raft_id, cluster });
    let cluster = None;
    assert_format("identity-alone", &IdentityV1 { raft_id, cluster });
}

#[test]
fn a_snapshot_is_written_as_it_was_recorded() {
    assert_format("snapshot", &snapshot());
    let meta = SnapshotMeta::from(snapshot().meta);
    assert_eq!(SnapshotMetaV1::from(&meta), snapshot().meta);
}

#[test]
fn bytes_of_another_version_or_kind_are_refused_by_name() {
    let mut bytes = encode(&LogIdV1::from(log_id(1, 1))).unwrap();
    let other = decode::<VoteV1>(&bytes).unwrap_err();
    assert_eq!(other.to_string(), "Vote: the bytes are of kind 3");
    bytes[0] = 9;
    let later = decode::<LogIdV1>(&bytes).unwrap_err();
    assert_eq!(
        later.to_string(),
        "LogId: written in version 9, this is version 1"
    );
    assert_eq!(
        decode::<VoteV1>(&[1]).unwrap_err(),
        CodecError::Short(Kind::Vote)
    );
}

#[test]
fn bytes_that_are_left_over_are_damage() {
    let mut bytes = encode(&LogIdV1::from(log_id(1, 1))).unwrap();
    bytes.push(0);
    let refused = decode::<LogIdV1>(&bytes).unwrap_err();
    assert_eq!(refused.to_string(), "LogId: damaged: 1 bytes too many");
}

#[test]
fn a_damaged_length_claims_no_memory() {
    // A text that says it is 2^60 bytes long.
    let mut bytes = vec![VERSION, Kind::Identity as u8];
    bytes.extend([253, 0, 0, 0, 0, 0, 0, 0, 16]);
    assert!(decode::<EntryV1>(&[&[VERSION, 1][..], &bytes[2..]].concat()).is_err());
    let large = vec![0; MAX_BYTES + 1];
    assert!(matches!(
        decode::<EntryV1>(&large),
        Err(CodecError::TooLarge { .. })
    ));
}

#[test]
fn what_is_too_large_to_be_read_is_not_written() {
    let mut seek = commands().swap_remove(2);
    if let Command::Seek { points, .. } = &mut seek {
        let point = points.get_mut(&at(0)).unwrap();
        let seen = point.seen.as_mut().unwrap();
        seen.metadata = "m".repeat(MAX_BYTES);
    }
    let refused = encode(&EntryV1::from(entry(1, seek)));
    assert!(matches!(refused, Err(CodecError::TooLarge { .. })));
}

proptest! {
    #[test]
    fn no_bytes_make_reading_panic(
        kind in 1..8_u8,
        body in prop::collection::vec(any::<u8>(), 0..200),
    ) {
        let bytes = [&[VERSION, kind][..], &body].concat();
        let _ = decode::<EntryV1>(&bytes);
        let _ = decode::<VoteV1>(&bytes);
        let _ = decode::<LogIdV1>(&bytes);
        let _ = decode::<IdentityV1>(&bytes);
        let _ = decode_any_size::<SnapshotV1>(&bytes);
    }

    #[test]
    fn no_damage_makes_reading_panic(
        which in 0..14_usize,
        flips in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
    ) {
        let shape = EntryV1::from(entry(12, commands().swap_remove(which)));
        let mut bytes = encode(&shape).unwrap();
        let mut image = encode_any_size(&snapshot()).unwrap();
        for (place, byte) in flips {
            *place.get_mut(&mut bytes) ^= byte;
            *place.get_mut(&mut image) ^= byte;
        }
        let _ = decode::<EntryV1>(&bytes);
        let _ = decode_any_size::<SnapshotV1>(&image);
    }

    #[test]
    fn a_vote_survives_being_written(term: u64, candidate: u64, committed: bool) {
        let vote = Vote { committed, ..Vote::new(term, candidate.into()) };
        let bytes = encode(&VoteV1::from(vote)).unwrap();
        prop_assert_eq!(Vote::from(decode::<VoteV1>(&bytes).unwrap()), vote);
    }
}

#[test]
fn times_are_kept_to_the_millisecond() {
    let at = Timestamp::from_millis(-1);
    let claim = claim("c", 1);
    let shape = EntryV1::from(entry(1, Command::Delete { claim, at }));
    assert_eq!(decode::<EntryV1>(&encode(&shape).unwrap()), Ok(shape));
}
