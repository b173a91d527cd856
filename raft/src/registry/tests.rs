//! The registry's transitions, one by one and in any order.

use std::collections::BTreeMap;
use std::time::Duration;

use proptest::prelude::*;
use sluice_types::{
    AssignmentStrategy, Claim, ConsumerId, CreationStamp, Epoch, Format, IsolationLevel, Mode,
    NodeId, Offset, OffsetReset, Partition, PartitionMap, Partitions, Point, PointBy, SeekSeq,
    SessionSpec, Timestamp, TopicPartition,
};

use super::*;

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
    let incarnation = serde_json::from_str("1").unwrap();
    NodeId {
        name: name.parse().unwrap(),
        incarnation,
    }
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
    let mut registry = Registry::default();
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

#[test]
fn a_new_session_is_active_under_the_first_epoch() {
    let registry = after([create("c", 1)]);
    let session = session(&registry);
    assert_eq!(session.epoch, Epoch::FIRST);
    assert!(session.is_active());
    assert_eq!(session.mode, Mode::Subscribed);
    assert_eq!(session.counts_at_creation, session.counts_seen);
}

#[test]
fn an_id_has_one_session() {
    let mut registry = after([create("c", 1)]);
    let first = registry.session(&id("c")).cloned().unwrap();
    let second = registry.apply(create("c", 2));
    assert_eq!(second, Outcome::Exists(first.clone()));
    // Its own create again is told by the stamp.
    assert_eq!(registry.apply(create("c", 1)), Outcome::Exists(first));
}

#[test]
fn each_opening_takes_a_new_epoch_and_only_the_owner_gets_one() {
    let mut registry = after([create("c", 1)]);
    assert_eq!(
        done(&mut registry, open("a", &[claim("c", 1)])).epoch,
        epoch(2)
    );
    let nothing = Outcome::Opened(Vec::new());
    assert_eq!(registry.apply(open("a", &[claim("c", 1)])), nothing);
    assert_eq!(registry.apply(open("b", &[claim("c", 2)])), nothing);
    assert_eq!(session(&registry).epoch, epoch(2));
}

#[test]
fn a_batch_opens_what_it_can() {
    let mut registry = after([create("c", 1), create("d", 2)]);
    let claims = [claim("c", 1), claim("d", 7), claim("e", 1)];
    assert_eq!(done(&mut registry, open("a", &claims)).id, id("c"));
    assert_eq!(session(&registry).epoch, epoch(2));
    assert_eq!(registry.session(&id("d")).unwrap().epoch, Epoch::FIRST);
}

#[test]
fn a_seek_replaces_the_points_of_its_partitions() {
    let first = points([(0, point(5, 1)), (1, point(6, 1))]);
    let mut registry = after([create("c", 1), seek(1, 1, first)]);
    done(&mut registry, seek(1, 2, points([(1, point(9, 2))])));
    let session = session(&registry);
    assert_eq!(session.points, points([(0, point(5, 1)), (1, point(9, 2))]));
    assert_eq!(session.seek_seq, SeekSeq::from_number(2));
}

#[test]
fn a_repeated_seek_is_done_and_another_of_its_number_is_not() {
    let mine = points([(0, point(5, 2))]);
    let mut registry = after([create("c", 1), seek(1, 2, mine.clone())]);
    done(&mut registry, seek(1, 2, mine));
    stale(&mut registry, seek(1, 2, points([(0, point(6, 2))])));
    stale(&mut registry, seek(1, 1, points([(0, point(6, 1))])));
}

#[test]
fn an_assignment_replaces_mode_and_points() {
    let mut registry = after([create("c", 1), seek(1, 1, points([(2, point(9, 1))]))]);
    done(&mut registry, assign(1, 1, partitions([0, 1])));
    let mode = Mode::Assigned {
        partitions: partitions([0, 1]),
        revision: 1,
    };
    assert_eq!(session(&registry).mode, mode);
    assert_eq!(session(&registry).points, points([(0, point(5, 0))]));
}

#[test]
fn a_repeated_assignment_does_not_undo_the_seek_behind_it() {
    let mut registry = after([
        create("c", 1),
        assign(1, 1, partitions([0])),
        seek(1, 1, points([(0, point(8, 1))])),
    ]);
    done(&mut registry, assign(1, 1, partitions([0])));
    assert_eq!(session(&registry).points, points([(0, point(8, 1))]));
    stale(&mut registry, assign(1, 1, partitions([1])));
    stale(&mut registry, assign(1, 0, partitions([0])));
}

#[test]
fn seen_partition_counts_only_grow() {
    let mut registry = after([create("c", 1), observed(1, 5), observed(1, 4)]);
    done(&mut registry, observed(1, 2));
    let orders = "orders".parse().unwrap();
    assert_eq!(session(&registry).counts_seen[&orders], 5);
    assert_eq!(session(&registry).counts_at_creation[&orders], 3);
}

#[test]
fn a_claim_of_an_earlier_epoch_changes_nothing() {
    let mut registry = after([create("c", 1), open("a", &[claim("c", 1)])]);
    stale(&mut registry, seek(1, 1, points([(0, point(5, 1))])));
    stale(&mut registry, assign(1, 1, partitions([0])));
    stale(&mut registry, observed(1, 9));
    stale(&mut registry, delete(1));
    stale(&mut registry, gone(1));
}

#[test]
fn a_session_being_deleted_can_only_go() {
    let mut registry = after([create("c", 1), delete(1)]);
    assert_eq!(
        session(&registry).state,
        SessionState::Deleting { since: time(1) }
    );
    assert_eq!(session(&registry).epoch, epoch(2));
    let nothing = Outcome::Opened(Vec::new());
    assert_eq!(registry.apply(open("a", &[claim("c", 2)])), nothing);
    stale(&mut registry, seek(2, 1, points([(0, point(5, 1))])));
    stale(&mut registry, assign(2, 1, partitions([0])));
    stale(&mut registry, observed(2, 9));
    stale(&mut registry, delete(2));
    assert!(matches!(registry.apply(create("c", 2)), Outcome::Exists(_)));
    done(&mut registry, gone(2));
    assert!(registry.session(&id("c")).is_none());
}

#[test]
fn a_living_session_does_not_go_undeleted() {
    let mut registry = after([create("c", 1)]);
    stale(&mut registry, gone(1));
}

#[test]
fn what_is_gone_does_not_come_back() {
    let mut registry = after([create("c", 1), delete(1), gone(2)]);
    stale(&mut registry, create("c", 1));
    stale(&mut registry, gone(2));
    stale(&mut registry, delete(1));
}

#[test]
fn the_next_life_of_an_id_begins_above_the_last() {
    let mut registry = after([create("c", 1), delete(1), gone(2), create("c", 2)]);
    assert_eq!(session(&registry).epoch, epoch(3));
    stale(&mut registry, delete(1));
    stale(&mut registry, gone(2));
    done(&mut registry, delete(3));
    stale(&mut registry, gone(2));
}

#[test]
fn a_forgotten_grave_leaves_its_epoch_as_a_floor() {
    let much_later = 2 + 600;
    let mut registry = after([create("c", 1), delete(1), gone(2)]);
    let other = done(&mut registry, create_at("d", 2, much_later - 1));
    assert_eq!(other.epoch, Epoch::FIRST);
    let reborn = done(&mut registry, create_at("c", 3, much_later));
    assert_eq!(reborn.epoch, epoch(3));
    let new = done(&mut registry, create_at("e", 4, much_later));
    assert_eq!(new.epoch, epoch(3));
    assert_eq!(format!("{:?}", registry.graves).matches("\"c\"").count(), 0);
}

#[test]
fn sessions_are_listed_behind_an_id() {
    let registry = after([create("b", 1), create("a", 2), create("c", 3)]);
    let names = |after: Option<&str>| -> Vec<String> {
        let after = after.map(id);
        let sessions = registry.sessions_after(after.as_ref());
        sessions.map(|session| session.id.to_string()).collect()
    };
    assert_eq!(names(None), ["a", "b", "c"]);
    assert_eq!(names(Some("b")), ["c"]);
    assert_eq!(names(Some("bb")), ["c"]);
}

/// Commands as they may arrive: of two ids, of any age, from either of two nodes.
fn any_command() -> impl Strategy<Value = Command> {
    let claims = (prop_oneof!["c", "d"], 1..8_u64).prop_map(|(name, number)| claim(&name, number));
    let create = (
        prop_oneof!["c", "d"],
        0..6_u64,
        prop_oneof!["a", "b"],
        0..500_i64,
    )
        .prop_map(
            |(name, stamp, owner, seconds)| match create_at(&name, stamp, seconds) {
                // A stamp is of one id only.
                Command::Create(creation) => Command::Create(Creation {
                    stamp: CreationStamp::from_number(stamp * 2 + u64::from(name == "c")),
                    owner: node(&owner),
                    ..creation
                }),
                other => other,
            },
        );
    let open = (
        prop_oneof!["a", "b"],
        prop::collection::vec(claims.clone(), 0..3),
    )
        .prop_map(|(owner, claims)| open(&owner, &claims));
    prop_oneof![
        create,
        open,
        (claims.clone(), 0..4_u64, 0..3_i64).prop_map(|(claim, seq, offset)| Command::Seek {
            claim,
            seq: SeekSeq::from_number(seq),
            points: points([(0, point(offset, seq))]),
        }),
        (claims.clone(), 0..4_u32).prop_map(|(claim, revision)| Command::Assign {
            claim,
            partitions: partitions([0]),
            revision,
            points: PartitionMap::new(),
        }),
        (claims.clone(), 0..500_i64).prop_map(|(claim, seconds)| Command::Delete {
            claim,
            at: time(seconds),
        }),
        (claims, 0..500_i64).prop_map(|(claim, seconds)| Command::Gone {
            claim,
            at: time(seconds),
        }),
    ]
}

proptest! {
    /// Whatever comes late, twice or in another order: an epoch has one owner and one life, and
    /// never returns; what is gone stays gone; a command that comes again changes nothing.
    #[test]
    fn no_order_of_commands_breaks_ownership(commands in prop::collection::vec(any_command(), 0..60)) {
        let mut registry = Registry::default();
        let mut owners: BTreeMap<(ConsumerId, u64), (NodeId, CreationStamp)> = BTreeMap::new();
        let mut highest: BTreeMap<ConsumerId, Epoch> = BTreeMap::new();
        let mut lives: BTreeMap<ConsumerId, CreationStamp> = BTreeMap::new();
        let mut gone: Vec<CreationStamp> = Vec::new();
        for command in commands {
            registry.apply(command.clone());
            for name in ["c", "d"] {
                let id = id(name);
                let now = registry.session(&id);
                if let Some(last) = lives.get(&id).copied()
                    && now.is_none_or(|session| session.stamp != last)
                {
                    gone.push(last);
                    lives.remove(&id);
                }
                let Some(session) = now else { continue };
                lives.insert(id.clone(), session.stamp);
                prop_assert!(!gone.contains(&session.stamp), "{command:?} brought back {session:?}");
                let highest = highest.entry(id.clone()).or_insert(session.epoch);
                prop_assert!(session.epoch >= *highest, "{command:?} lowered {session:?}");
                *highest = session.epoch;
                let claimed = (session.owner.clone(), session.stamp);
                let first = owners
                    .entry((id, session.epoch.get()))
                    .or_insert_with(|| claimed.clone());
                prop_assert_eq!(&*first, &claimed);
            }
            let once = format!("{registry:?}");
            registry.apply(command);
            prop_assert_eq!(format!("{registry:?}"), once);
        }
    }

    #[test]
    fn the_same_commands_make_the_same_registry(commands in prop::collection::vec(any_command(), 0..40)) {
        let run = || {
            let mut registry = Registry::default();
            let outcomes: Vec<Outcome> = commands.iter().map(|c| registry.apply(c.clone())).collect();
            let sessions: Vec<_> = registry.sessions_after(None).cloned().collect();
            (outcomes, sessions)
        };
        prop_assert_eq!(run(), run());
    }
}

/// Through each format and back: one by names, one by position.
#[track_caller]
fn round_trip<T>(value: &T)
where
    T: Serialize + for<'a> Deserialize<'a> + PartialEq + std::fmt::Debug,
{
    let text = serde_json::to_string(value).unwrap();
    assert_eq!(&serde_json::from_str::<T>(&text).unwrap(), value);
    let config = bincode::config::standard();
    let bytes = bincode::serde::encode_to_vec(value, config).unwrap();
    let (read, length) = bincode::serde::decode_from_slice::<T, _>(&bytes, config).unwrap();
    assert_eq!((&read, length), (value, bytes.len()));
}

proptest! {
    #[test]
    fn everything_survives_being_written_and_read(commands in prop::collection::vec(any_command(), 0..40)) {
        let mut registry = Registry::default();
        for command in commands {
            round_trip(&command);
            round_trip(&registry.apply(command));
            round_trip(&registry);
        }
    }
}
