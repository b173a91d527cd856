//! The power goes at every change of the disk, one after another; afterwards everything that was
//! acknowledged is there, and nothing half.

use std::collections::BTreeMap;

use super::disk::{Dice, Disk};
use super::*;
use crate::RaftId;
use crate::store::codec::records::IdentityV1;
use crate::store::log::make_tables;
use crate::store::volume::{Guard, builder};

/// What is done to a log.
#[derive(Clone, Debug)]
enum Step {
    Identity(u64),
    Vote(u64),
    Append(Vec<Entry>),
    Committed(u64),
    Truncate(u64),
    Purge(u64),
}

/// What a log has to hold.
#[derive(Clone, Debug, Default, PartialEq)]
struct Held {
    identity: Option<RaftId>,
    vote: Option<Vote>,
    purged: Option<LogId>,
    entries: BTreeMap<u64, Entry>,
}

impl Held {
    fn after(&self, step: &Step) -> Self {
        let mut held = self.clone();
        match step {
            Step::Identity(id) => held.identity = Some(RaftId::from(*id)),
            Step::Vote(term) => held.vote = Some(Vote::new(*term, RaftId::from(7))),
            Step::Append(entries) => {
                let entries = entries.iter().cloned();
                held.entries
                    .extend(entries.map(|entry| (entry.log_id.index, entry)));
            }
            Step::Committed(_) => {}
            Step::Truncate(from) => held.entries.retain(|index, _| index < from),
            Step::Purge(upto) => {
                held.purged = Some(log_id(3, *upto));
                held.entries.retain(|index, _| index > upto);
            }
        }
        held
    }
}

/// Each kind of step, next to each other kind.
fn script() -> Vec<Step> {
    use Step::{Append, Committed, Identity, Purge, Truncate, Vote};
    vec![
        Identity(9),
        Vote(1),
        Append(entries(1..4)),
        Committed(2),
        Append(entries([4])),
        Truncate(3),
        Vote(2),
        Append(entries(3..60)),
        Purge(2),
        Append(vec![blank(3, 60)]),
        Committed(60),
        Truncate(50),
        Purge(40),
        Append(entries(50..80)),
        Vote(3),
        Purge(79),
        Append(entries([80])),
    ]
}

/// A disk with a log that holds nothing.
fn new_disk() -> Disk {
    let disk = Disk::default();
    let database = builder().create_with_backend(disk.clone()).unwrap();
    make_tables(&database).unwrap();
    drop(database);
    disk.copy()
}

fn open(disk: &Disk) -> Option<(LogStore, Failure, super::super::Closed)> {
    let (guard, closed) = Guard::new(None);
    let failing = Failing::new();
    let failure = failing.subscribe();
    let database = builder().create_with_backend(disk.clone()).ok()?;
    let log = LogStore::open(database, failing, guard).ok()?;
    Some((log, failure, closed))
}

async fn take(log: &mut LogStore, step: Step) -> bool {
    match step {
        Step::Identity(id) => {
            let raft_id = RaftId::from(id);
            let cluster = None;
            let identity = IdentityV1 { raft_id, cluster };
            log.set_identity(identity).await.is_ok()
        }
        Step::Vote(term) => log
            .save_vote(&Vote::new(term, RaftId::from(7)))
            .await
            .is_ok(),
        Step::Append(entries) => log.blocking_append(entries).await.is_ok(),
        Step::Committed(index) => log.save_committed(Some(log_id(3, index))).await.is_ok(),
        Step::Truncate(index) => log.truncate(log_id(3, index)).await.is_ok(),
        Step::Purge(index) => log.purge(log_id(3, index)).await.is_ok(),
    }
}

async fn held(log: &mut LogStore) -> Held {
    let entries = log.try_get_log_entries(0..).await.unwrap();
    let state = log.get_log_state().await.unwrap();
    let last = entries.last().map(|entry| entry.log_id);
    assert_eq!(state.last_log_id, last.or(state.last_purged_log_id));
    let committed = log.read_committed().await.unwrap();
    assert!(
        committed <= state.last_log_id,
        "committed is beyond the log"
    );
    Held {
        identity: log.identity().unwrap().map(|identity| identity.raft_id),
        vote: log.read_vote().await.unwrap(),
        purged: state.last_purged_log_id,
        entries: entries
            .into_iter()
            .map(|entry| (entry.log_id.index, entry))
            .collect(),
    }
}

/// Runs the script until the power goes, and says what was acknowledged, and what was under way.
async fn run(disk: &Disk) -> (Held, Held) {
    let mut acknowledged = Held::default();
    let Some((mut log, mut failure, closed)) = open(disk) else {
        return (acknowledged.clone(), acknowledged);
    };
    let mut under_way = None;
    for step in script() {
        let next = acknowledged.after(&step);
        if !take(&mut log, step).await {
            under_way = Some(next);
            break;
        }
        acknowledged = next;
    }
    if under_way.is_some() {
        failure.failed().await;
        assert!(
            !take(&mut log, Step::Vote(99)).await,
            "a failed log takes a vote"
        );
    }
    drop(log);
    closed.wait().await;
    let under_way = under_way.unwrap_or_else(|| acknowledged.clone());
    (acknowledged, under_way)
}

#[tokio::test]
async fn a_power_loss_at_any_change_loses_nothing_acknowledged_and_leaves_nothing_half() {
    let new = new_disk();
    let disk = new.copy();
    let (all, _) = run(&disk).await;
    let changes = disk.changes();
    assert!(changes > 50, "the script hardly writes: {changes}");
    assert_eq!(all.entries.len(), 1);
    for power in 0..changes {
        for seed in 0..3 {
            let disk = new.copy();
            disk.lose_power_after(power);
            let (acknowledged, under_way) = run(&disk).await;
            let after = disk.after_power_loss(Dice(seed));
            let opened = open(&after);
            let (mut log, _, _) = opened.unwrap_or_else(|| panic!("not mended: {power} {seed}"));
            let found = held(&mut log).await;
            assert!(
                found == acknowledged || found == under_way,
                "power lost at change {power}, seed {seed}: {found:#?}\nneither {acknowledged:#?}\nnor {under_way:#?}"
            );
            // And it goes on from there.
            assert!(take(&mut log, Step::Vote(100)).await);
        }
    }
}

#[tokio::test]
async fn what_waits_for_the_same_sync_is_written_in_the_order_of_asking() {
    let (log, _failure, closed) = open(&new_disk()).unwrap();
    let tasks = (1..200).map(|term| {
        let mut log = log.clone();
        async move { take(&mut log, Step::Vote(term)).await }
    });
    let taken = futures::future::join_all(tasks).await;
    assert!(taken.into_iter().all(|is_taken| is_taken));
    let mut log = log;
    assert_eq!(
        held(&mut log).await.vote.map(|vote| vote.leader_id.term),
        Some(199)
    );
    drop(log);
    closed.wait().await;
}
