//! What a member keeps: its log and its vote on a volume, the registry in memory with snapshots.
//!
//! ```text
//!                     openraft
//!          append, vote │   │ apply
//!         truncate, purge   │
//!                ┌──────┘   └──────┐
//!                ▼                 ▼
//!   log.rs   LogStore        machine.rs  Machine ──▶ Replica   (what lookups read)
//!                │ jobs            │ now and then
//!                ▼                 ▼
//!   writer.rs  one thread    snapshot.rs  Snapshots
//!                │ redb            │ write, sync, rename, sync
//!                ▼                 ▼
//!           DIR/log.redb      DIR/snapshot          volume.rs  locks DIR, opens both
//! ```
//!
//! Nothing is acknowledged before it is synced. What fails to be written ends this process's part
//! in the consensus: it cannot know what the disk holds. `failure.rs` tells the owner, once.

pub(crate) mod codec;
mod failure;
mod log;
mod machine;
pub(crate) mod snapshot;
mod space;
mod volume;
mod writer;

#[cfg(test)]
pub(crate) mod tests;

use failure::Failing;
pub use failure::{Failure, StoreFailed};
pub(crate) use log::LogStore;
pub(crate) use machine::{Machine, next_index};
pub(crate) use snapshot::Snapshots;
pub use space::Space;
pub use volume::VolumeError;
pub(crate) use volume::{Closed, Volume};
