//! Beginning anew from one member, after a majority was lost.
//!
//! ```text
//!   the snapshot, and all of the log   what was committed and what was not: nobody can tell now
//!     ──▶ Command::Recover             what former members claim holds no longer
//!     ──▶ a snapshot one entry on, of which this member is the only voter
//!     ──▶ the log is purged
//!     ──▶ a new raft id in a new cluster: former members are strangers
//! ```
//!
//! The new identity comes last: after a crash amid it the volume is a former member's still, and
//! can be recovered again.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;

use openraft::RaftLogReader;
use openraft::storage::{RaftLogStorage, RaftStateMachine};
use sluice_types::Timestamp;
use tokio::task;

use super::{StartError, open};
use crate::replica::Replica;
use crate::store::codec::records::IdentityV1;
use crate::store::{LogStore, Machine, Snapshots, StoreFailed, next_index, snapshot};
use crate::types::{
    ClusterId, LogId, Member, Membership, SnapshotMeta, StorageError, StoredMembership,
};
use crate::{Command, RaftId, Registry};

/// What a recovery has made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recovered {
    /// The new cluster.
    pub cluster: ClusterId,
    /// Its only member so far.
    pub raft_id: RaftId,
    /// Counts the beginnings.
    pub generation: u32,
    /// The sessions that are there.
    pub sessions: usize,
}

/// Makes a cluster of one out of the volume of a member that does not run.
///
/// For a cluster that has lost the majority of its volumes for good. What the others had and this
/// one had not is lost; should they come back, they are refused.
///
/// # Errors
/// [`StartError`]; the volume is then a former member's still.
pub async fn recover(
    data_dir: PathBuf,
    member: Member,
    at: Timestamp,
) -> Result<Recovered, StartError> {
    let replica = Arc::new(Replica::new());
    let (volume, mut machine) = open(data_dir, replica.clone()).await?;
    let stopped = |error: &dyn std::fmt::Display| StartError::Stopped(error.to_string());

    let mut log = volume.log;
    let last = take_everything(&mut log, &mut machine).await?;
    let last = last.ok_or_else(|| stopped(&"the volume holds nothing to begin from"))?;

    let generation = replica.read().generation() + 1;
    replica.apply(Command::Recover { generation, at });
    let registry = replica.read().clone();
    let recovered = Recovered {
        cluster: ClusterId::random(),
        raft_id: RaftId::random(),
        generation,
        sessions: registry.sessions_after(None).count(),
    };
    let begin = LogId::new(last.leader_id, last.index + 1);
    let meta = first_snapshot(begin, recovered.raft_id, member);
    keep(&volume.snapshots, meta, registry).await?;
    log.purge(begin).await.map_err(|e| stopped(&e))?;
    belong(&log, &recovered).await?;
    drop((log, machine, volume.snapshots));
    volume.closed.wait().await;
    tracing::info!(cluster = %recovered.cluster, generation, "recovered");
    Ok(recovered)
}

/// Applies all of the log, and returns the last entry that there is.
pub(super) async fn take_everything(
    log: &mut LogStore,
    machine: &mut Machine,
) -> Result<Option<LogId>, StartError> {
    let stopped = |error: StorageError| StartError::Stopped(error.to_string());
    let (applied, _) = machine.applied_state().await.map_err(stopped)?;
    let entries = log.try_get_log_entries(next_index(applied)..).await;
    let entries = entries.map_err(stopped)?;
    machine.apply(entries).await.map_err(stopped)?;
    let (last, _) = machine.applied_state().await.map_err(stopped)?;
    Ok(last)
}

/// A snapshot behind `begin`, in a cluster with this voter alone.
pub(super) fn first_snapshot(begin: LogId, raft_id: RaftId, member: Member) -> SnapshotMeta {
    let voters = vec![BTreeSet::from([raft_id])];
    let membership = Membership::new(voters, BTreeMap::from([(raft_id, member)]));
    SnapshotMeta {
        last_log_id: Some(begin),
        last_membership: StoredMembership::new(Some(begin), membership),
        snapshot_id: begin.to_string(),
    }
}

pub(super) async fn keep(
    snapshots: &Snapshots,
    meta: SnapshotMeta,
    registry: Registry,
) -> Result<(), StartError> {
    let snapshots = snapshots.clone();
    let kept = task::spawn_blocking(move || -> Result<(), StartError> {
        let bytes = snapshot::to_bytes(&meta, registry);
        let bytes = bytes.map_err(|error| StartError::Stopped(error.to_string()))?;
        Ok(snapshots.write(&meta, &bytes)?)
    });
    match kept.await {
        Ok(kept) => kept,
        Err(error) => Err(StartError::Stopped(error.to_string())),
    }
}

pub(super) async fn belong(log: &LogStore, recovered: &Recovered) -> Result<(), StoreFailed> {
    log.set_identity(IdentityV1 {
        raft_id: recovered.raft_id,
        cluster: Some(recovered.cluster),
    })
    .await
}
