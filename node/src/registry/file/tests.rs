//! What is written stays readable, and what is not whole is refused.

use std::sync::Arc;
use std::time::Duration;

use sluice_raft::{HandedOver, Handover, PartitionCounts, SessionState};
use sluice_types::{
    AssignmentStrategy, CreationStamp, Epoch, Format, Incarnation, IsolationLevel, Mode, NodeId,
    Offset, OffsetReset, Partition, PartitionMap, Point, PointBy, SeekSeq, SeenCommit, SessionSpec,
    TopicPartition,
};

use super::*;

const GOLDEN: &str = include_str!("../../../tests/golden/registry-v1.jsonl");

fn at(partition: i32) -> TopicPartition {
    TopicPartition {
        topic: "orders".parse().unwrap(),
        partition: Partition::new(partition).unwrap(),
    }
}

fn point(offset: i64, by: PointBy, seen: Option<i64>) -> Point {
    Point {
        offset: Offset::new(offset).unwrap(),
        seen: seen.map(|offset| SeenCommit {
            offset: Offset::new(offset).unwrap(),
            metadata: "of a commit".to_owned(),
        }),
        by,
    }
}

fn subscribed() -> Session {
    let seek = PointBy::Seek(SeekSeq::from_number(3));
    let handover = PointBy::Handover(SeekSeq::from_number(3));
    Session {
        id: "reader".parse().unwrap(),
        stamp: CreationStamp::from_number(u64::MAX - 1),
        spec: SessionSpec {
            group_id: "g".parse().unwrap(),
            topics: vec!["orders".parse().unwrap()],
            auto_offset_reset: OffsetReset::Earliest,
            session_timeout: Duration::from_secs(30),
            auto_commit: true,
            auto_commit_interval: Duration::from_millis(1500),
            isolation_level: IsolationLevel::ReadUncommitted,
            key_format: Format::Binary,
            value_format: Format::Json,
            assignment_strategy: AssignmentStrategy::CooperativeSticky,
            client_id: "sluice".to_owned(),
        },
        owner: NodeId {
            name: "sluice-0".parse().unwrap(),
            incarnation: Incarnation::from_number(7),
        },
        epoch: Epoch::FIRST.next(),
        state: SessionState::Active,
        mode: Mode::Subscribed,
        seek_seq: SeekSeq::from_number(3),
        points: [(at(1), point(40, seek, Some(30)))].into_iter().collect(),
        counts_at_creation: PartitionCounts::from(BTreeMap::from([("orders".parse().unwrap(), 2)])),
        counts_seen: PartitionCounts::from(BTreeMap::from([("orders".parse().unwrap(), 4)])),
        created_at: Timestamp::from_millis(1_700_000_000_000),
        handed_over: Some(Box::new(HandedOver {
            handover: Handover {
                points: [(at(0), point(12, handover, None))].into_iter().collect(),
                idle: Duration::from_millis(250),
            },
            is_used: false,
        })),
    }
}

fn assigned() -> Session {
    Session {
        id: "worker".parse().unwrap(),
        mode: Mode::Assigned {
            partitions: [at(0), at(10)].into_iter().collect(),
            revision: 2,
        },
        seek_seq: SeekSeq::NONE,
        points: [(at(10), point(5, PointBy::Assign(SeekSeq::NONE), None))]
            .into_iter()
            .collect(),
        handed_over: None,
        ..subscribed()
    }
}

fn exported(sessions: Vec<Session>) -> Exported {
    Exported {
        cluster: Some("67e55044-10b1-426f-9247-bb680e5fe0c8".parse().unwrap()),
        generation: 1,
        sessions: sessions.into_iter().map(Arc::new).collect(),
    }
}

#[test]
fn the_first_version_is_written_and_read_as_ever() {
    let sessions = vec![subscribed(), assigned()];
    let text = write(&exported(sessions.clone()), Timestamp::from_millis(1));
    let release = format!("\"release\":\"{}\"", env!("CARGO_PKG_VERSION"));
    let text = text.unwrap().replace(&release, "\"release\":\"0.1.0\"");
    assert_eq!(text, GOLDEN, "a shape that is shipped never changes");
    assert_eq!(read(GOLDEN).unwrap(), sessions);
}

#[test]
fn what_has_ended_is_left_out() {
    let deleting = Session {
        state: SessionState::Deleting {
            since: Timestamp::from_millis(5),
        },
        ..subscribed()
    };
    let mut used = assigned();
    used.handed_over = Some(Box::new(HandedOver {
        handover: Handover {
            points: PartitionMap::new(),
            idle: Duration::ZERO,
        },
        is_used: true,
    }));
    let text = write(&exported(vec![deleting, used]), Timestamp::from_millis(1)).unwrap();
    assert_eq!(read(&text).unwrap(), [assigned()]);
}

#[track_caller]
fn refused(text: &str, why: &str) {
    let told = read(text).unwrap_err().to_string();
    assert!(told.contains(why), "{told}");
}

#[test]
fn what_is_no_whole_export_is_refused_with_the_place() {
    let lines: Vec<&str> = GOLDEN.lines().collect();
    refused("", "line 1 does not say");
    refused("{\"format\":\"other\",\"version\":1}", "other");
    refused(
        &GOLDEN.replacen("\"version\":1", "\"version\":2", 1),
        "version 2",
    );
    refused(&lines[..2].join("\n"), "1 sessions and says that it has 2");
    let twice = format!("{}\n{}\n{}\n", lines[0], lines[1], lines[1]);
    refused(&twice, "line 3: reader stands in line 2 already");
    let torn = &GOLDEN[..GOLDEN.len() - 20];
    refused(torn, "line 3: ");
    for (is, becomes, why) in [
        ("\"epoch\":2", "\"epoch\":0", "epoch"),
        ("\"seek_seq\":3", "\"seek_sequence\":3", "seek_sequence"),
        ("\"topics\":[\"orders\"]", "\"topics\":[]", "spec.topics"),
        (
            "\"session_timeout_ms\":30000",
            "\"session_timeout_ms\":5",
            "session_timeout_ms",
        ),
        ("\"offset\":40", "\"offset\":-1", "offset"),
    ] {
        assert!(GOLDEN.contains(is), "{is}");
        let changed = GOLDEN.replacen(is, becomes, 1);
        refused(&changed, "line 2: ");
        refused(&changed, why);
    }
}
