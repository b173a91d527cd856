//! Snapshots: whole, torn, old and lost.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use openraft::RaftSnapshotBuilder;
use openraft::storage::RaftStateMachine;

use super::*;
use crate::registry::tests::id;
use crate::replica::Replica;
use crate::store::snapshot::{Torn, from_bytes};
use crate::store::{Machine, Volume, VolumeError};

struct Opened {
    log: LogStore,
    machine: Machine,
    replica: Arc<Replica>,
    failure: Failure,
    closed: crate::store::Closed,
}

fn open(dir: &Path) -> Opened {
    let volume = Volume::open(dir).unwrap();
    let replica = Arc::new(Replica::new());
    let machine = Machine::restore(replica.clone(), volume.snapshots).unwrap();
    Opened {
        log: volume.log,
        machine,
        replica,
        failure: volume.failure,
        closed: volume.closed,
    }
}

impl Opened {
    /// Appends and applies these entries.
    async fn grow(&mut self, indexes: std::ops::Range<u64>) {
        self.log
            .blocking_append(entries(indexes.clone()))
            .await
            .unwrap();
        self.machine.apply(entries(indexes)).await.unwrap();
    }

    async fn snapshot(&mut self) {
        let mut builder = self.machine.get_snapshot_builder().await;
        builder.build_snapshot().await.unwrap();
    }

    async fn last(&mut self) -> Option<u64> {
        let (last, _) = self.machine.applied_state().await.unwrap();
        last.map(|id| id.index)
    }

    async fn close(self) {
        drop((self.log, self.machine));
        self.closed.wait().await;
    }
}

fn sessions(replica: &Replica) -> usize {
    replica.read().sessions_after(None).count()
}

/// A directory whose snapshot is after entry 5; the log begins behind entry `purged`.
async fn with_snapshot(dir: &Path, purged: Option<u64>) {
    let mut store = open(dir);
    store.grow(1..6).await;
    store.snapshot().await;
    if let Some(purged) = purged {
        store.log.purge(log_id(3, purged)).await.unwrap();
    }
    store.close().await;
}

#[tokio::test]
async fn a_restart_begins_where_the_snapshot_is() {
    let dir = tempfile::tempdir().unwrap();
    with_snapshot(dir.path(), Some(5)).await;
    let mut store = open(dir.path());
    assert_eq!(store.last().await, Some(5));
    assert_eq!(sessions(&store.replica), 4);
    assert!(store.replica.lookup(&id("c5")).is_some());
    assert_eq!(
        store.log.get_log_state().await.unwrap().last_log_id,
        Some(log_id(3, 5))
    );
}

#[tokio::test]
async fn a_snapshot_that_a_crash_left_unfinished_is_not_seen() {
    let dir = tempfile::tempdir().unwrap();
    with_snapshot(dir.path(), Some(3)).await;
    let whole = fs::read(dir.path().join("snapshot")).unwrap();
    for length in [0, 5, 9, whole.len() / 2, whole.len()] {
        fs::write(dir.path().join("snapshot.new"), &whole[..length]).unwrap();
        let mut store = open(dir.path());
        assert_eq!(store.last().await, Some(5));
        store.close().await;
    }
    let mut store = open(dir.path());
    store.grow(6..8).await;
    store.snapshot().await;
    store.close().await;
    assert_eq!(open(dir.path()).last().await, Some(7));
}

#[tokio::test]
async fn a_torn_snapshot_is_not_used_if_the_log_has_it_all() {
    let dir = tempfile::tempdir().unwrap();
    with_snapshot(dir.path(), None).await;
    let path = dir.path().join("snapshot");
    let whole = fs::read(&path).unwrap();
    fs::write(&path, &whole[..whole.len() - 1]).unwrap();
    let mut store = open(dir.path());
    assert_eq!(store.last().await, None);
    let entries = store.log.try_get_log_entries(..).await.unwrap();
    assert_eq!(entries.len(), 5);
    store.snapshot().await;
}

#[tokio::test]
async fn a_snapshot_that_is_lost_with_what_only_it_had_is_an_error() {
    let dir = tempfile::tempdir().unwrap();
    with_snapshot(dir.path(), Some(5)).await;
    let path = dir.path().join("snapshot");
    let whole = fs::read(&path).unwrap();
    let mut torn = whole.clone();
    torn[whole.len() / 2] ^= 1;
    fs::write(&path, torn).unwrap();
    let refused = Volume::open(dir.path()).unwrap_err();
    assert!(refused.to_string().contains("checksum"), "{refused}");
    fs::remove_file(&path).unwrap();
    let refused = Volume::open(dir.path()).unwrap_err();
    assert!(matches!(refused, VolumeError::SnapshotLost { .. }));
    fs::write(&path, whole).unwrap();
    assert_eq!(open(dir.path()).last().await, Some(5));
}

#[tokio::test]
async fn every_torn_end_and_every_wrong_bit_is_noticed() {
    let dir = tempfile::tempdir().unwrap();
    with_snapshot(dir.path(), None).await;
    let whole = fs::read(dir.path().join("snapshot")).unwrap();
    assert!(from_bytes(&whole).is_ok());
    for length in 0..whole.len() {
        assert!(
            from_bytes(&whole[..length]).is_err(),
            "{length} bytes are taken"
        );
    }
    for place in 0..whole.len() {
        let mut wrong = whole.clone();
        wrong[place] ^= 1 << (place % 8);
        assert!(from_bytes(&wrong).is_err(), "a wrong byte {place} is taken");
    }
    assert_eq!(from_bytes(b"something else").unwrap_err(), Torn::NotOne);
}

#[tokio::test]
async fn a_snapshot_from_another_member_replaces_what_is_here() {
    let (here, there) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let mut other = open(there.path());
    other.grow(1..9).await;
    other.snapshot().await;
    let snapshot = other.machine.get_current_snapshot().await.unwrap().unwrap();

    let mut store = open(here.path());
    store.grow(1..3).await;
    let mut older = store.machine.get_snapshot_builder().await;
    let mut watch = store.replica.watch(&id("c7"));
    assert!(watch.current().is_none());
    store
        .machine
        .install_snapshot(&snapshot.meta, snapshot.snapshot)
        .await
        .unwrap();
    watch.changed().await;
    assert!(watch.current().is_some());
    store.replica.wait_applied(9).await;
    // One that was begun before does not take its place.
    older.build_snapshot().await.unwrap();
    drop(older);
    store.close().await;
    let mut store = open(here.path());
    assert_eq!((store.last().await, sessions(&store.replica)), (Some(8), 7));
}

#[tokio::test]
async fn a_snapshot_that_cannot_be_written_ends_the_store() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = open(dir.path());
    store.grow(1..3).await;
    // A directory has the name: the file cannot be made.
    fs::create_dir(dir.path().join("snapshot.new")).unwrap();
    let mut builder = store.machine.get_snapshot_builder().await;
    assert!(builder.build_snapshot().await.is_err());
    assert_eq!(store.failure.failed().await.what, "write of the snapshot");
    assert!(store.log.save_vote(&Vote::default()).await.is_err());
}
