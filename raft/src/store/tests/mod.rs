//! The store as openraft wants it, and as a crash leaves it.

mod crash;
pub(crate) mod disk;
mod snapshot;
mod suite;
mod volume;

use openraft::storage::{RaftLogStorage, RaftLogStorageExt};
use openraft::{EntryPayload, RaftLogReader};

use super::{Failing, Failure, LogStore};
use crate::registry::tests::{create, register};
use crate::store::codec::tests::{entry, log_id};
use crate::types::{Entry, LogId, Vote};

/// Entries at these indexes: the first registers a node, each other begins a session.
fn entries(indexes: impl IntoIterator<Item = u64>) -> Vec<Entry> {
    let new = |index| match index {
        1 => entry(1, register("a", 1)),
        _ => entry(index, create(&format!("c{index}"), index)),
    };
    indexes.into_iter().map(new).collect()
}

/// A blank entry of another term.
fn blank(term: u64, index: u64) -> Entry {
    Entry {
        log_id: log_id(term, index),
        payload: EntryPayload::Blank,
    }
}
