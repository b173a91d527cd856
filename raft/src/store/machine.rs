//! The state machine: the log's commands, applied to the replica.
//!
//! It lives in memory. What survives is the snapshot and the log behind it, from which a restart
//! makes the same state again.

use std::io::Cursor;
use std::sync::Arc;

use openraft::storage::RaftStateMachine;
use openraft::{
    AnyError, EntryPayload, OptionalSend, RaftSnapshotBuilder, Snapshot, StorageIOError,
};
use tokio::task;

use super::failure::StoreFailed;
use super::snapshot::{Snapshots, Torn, boxed, from_bytes, to_bytes};
use crate::replica::Replica;
use crate::types::{Entry, LogId, SnapshotMeta, StorageError, StoredMembership, Types};
use crate::{Outcome, Registry};

/// The state machine of this member.
#[derive(Debug)]
pub(crate) struct Machine {
    replica: Arc<Replica>,
    snapshots: Snapshots,
    last: Option<LogId>,
    membership: StoredMembership,
}

impl Machine {
    /// Brings the replica to where the snapshot is. Blocks.
    ///
    /// # Errors
    /// If the snapshot cannot be read.
    pub(crate) fn restore(
        replica: Arc<Replica>,
        snapshots: Snapshots,
    ) -> Result<Self, StoreFailed> {
        let found = snapshots.read()?;
        let mut machine = Self {
            replica,
            snapshots,
            last: None,
            membership: StoredMembership::default(),
        };
        if let Some((meta, bytes)) = found {
            let restored = from_bytes(&bytes);
            let (_, registry) = restored.map_err(|torn| machine.failed("restoration", &torn))?;
            machine.take(&meta, registry);
        }
        Ok(machine)
    }

    fn take(&mut self, meta: &SnapshotMeta, registry: Registry) {
        self.last = meta.last_log_id;
        self.membership = meta.last_membership.clone();
        self.replica.replace(registry);
        self.tell();
    }

    /// Tells those who wait for an entry.
    fn tell(&self) {
        self.replica.has_applied(next_index(self.last));
    }

    fn apply_one(&mut self, entry: Entry) -> Vec<Outcome> {
        self.last = Some(entry.log_id);
        match entry.payload {
            EntryPayload::Blank => Vec::new(),
            EntryPayload::Normal(commands) => {
                let commands = commands.into_iter();
                commands
                    .map(|command| self.replica.apply(command))
                    .collect()
            }
            EntryPayload::Membership(membership) => {
                self.membership = StoredMembership::new(Some(entry.log_id), membership);
                Vec::new()
            }
        }
    }

    fn failed(&self, what: &'static str, torn: &Torn) -> StoreFailed {
        self.snapshots.failing().report(what, torn)
    }
}

/// The index behind an entry.
pub(crate) fn next_index(last: Option<LogId>) -> u64 {
    last.map_or(0, |id| id.index + 1)
}

fn reading(error: StoreFailed) -> StorageError {
    StorageIOError::read_snapshot(None, AnyError::new(&error)).into()
}

fn writing(error: StoreFailed) -> StorageError {
    StorageIOError::write_snapshot(None, AnyError::new(&error)).into()
}

/// Runs what blocks where it may.
async fn blocking<T: Send + 'static>(
    snapshots: &Snapshots,
    what: &'static str,
    act: impl FnOnce() -> Result<T, StoreFailed> + Send + 'static,
) -> Result<T, StoreFailed> {
    let result = task::spawn_blocking(act).await;
    result.unwrap_or_else(|error| Err(snapshots.failing().report(what, &error)))
}

impl RaftStateMachine<Types> for Machine {
    type SnapshotBuilder = Builder;

    async fn applied_state(&mut self) -> Result<(Option<LogId>, StoredMembership), StorageError> {
        Ok((self.last, self.membership.clone()))
    }

    async fn apply<I>(&mut self, entries: I) -> Result<Vec<Vec<Outcome>>, StorageError>
    where
        I: IntoIterator<Item = Entry> + OptionalSend,
        I::IntoIter: OptionalSend,
    {
        let outcomes = entries.into_iter().map(|entry| self.apply_one(entry));
        let outcomes = outcomes.collect();
        self.tell();
        Ok(outcomes)
    }

    async fn get_snapshot_builder(&mut self) -> Builder {
        Builder {
            // Cheap: the sessions are shared.
            registry: self.replica.read().clone(),
            snapshots: self.snapshots.clone(),
            meta: SnapshotMeta {
                last_log_id: self.last,
                last_membership: self.membership.clone(),
                snapshot_id: self.last.map_or_else(String::new, |id| id.to_string()),
            },
        }
    }

    async fn begin_receiving_snapshot(&mut self) -> Result<Box<Cursor<Vec<u8>>>, StorageError> {
        Ok(boxed(Vec::new()))
    }

    async fn install_snapshot(
        &mut self,
        meta: &SnapshotMeta,
        snapshot: Box<Cursor<Vec<u8>>>,
    ) -> Result<(), StorageError> {
        let bytes = snapshot.into_inner();
        let snapshots = self.snapshots.clone();
        let kept = meta.clone();
        let what = "installation of a snapshot";
        let installed = blocking(&self.snapshots, what, move || {
            let read = from_bytes(&bytes);
            let (_, registry) = read.map_err(|torn| snapshots.failing().report(what, &torn))?;
            snapshots.write(&kept, &bytes)?;
            Ok(registry)
        });
        let registry = installed.await.map_err(writing)?;
        let up_to = meta.last_log_id.map(|last| last.index);
        tracing::info!(up_to, "took a snapshot of the leader over");
        self.take(meta, registry);
        Ok(())
    }

    async fn get_current_snapshot(&mut self) -> Result<Option<Snapshot<Types>>, StorageError> {
        let snapshots = self.snapshots.clone();
        let what = "read of the snapshot";
        let found = blocking(&self.snapshots, what, move || snapshots.read()).await;
        let found = found.map_err(reading)?;
        Ok(found.map(|(meta, bytes)| Snapshot {
            meta,
            snapshot: boxed(bytes),
        }))
    }
}

/// Writes a snapshot of the registry as it was when the builder was made.
#[derive(Debug)]
pub(crate) struct Builder {
    registry: Registry,
    snapshots: Snapshots,
    meta: SnapshotMeta,
}

impl RaftSnapshotBuilder<Types> for Builder {
    async fn build_snapshot(&mut self) -> Result<Snapshot<Types>, StorageError> {
        let snapshots = self.snapshots.clone();
        let meta = self.meta.clone();
        let registry = std::mem::take(&mut self.registry);
        let what = "write of the snapshot";
        let built = blocking(&self.snapshots, what, move || {
            let bytes = to_bytes(&meta, registry);
            let bytes = bytes.map_err(|error| snapshots.failing().report(what, &error))?;
            snapshots.write(&meta, &bytes)?;
            Ok(bytes)
        });
        Ok(Snapshot {
            meta: self.meta.clone(),
            snapshot: boxed(built.await.map_err(writing)?),
        })
    }
}
