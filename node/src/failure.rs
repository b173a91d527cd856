//! Why a node that runs cannot go on.

use sluice_raft::StoreFailed;

/// Why a node that runs cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// Its volume has failed.
    #[error("the volume failed, look after cluster.data_dir: {0}")]
    Volume(StoreFailed),
    /// The cluster uses commands or formats that this release does not know.
    #[error("the cluster uses what this release does not know, run a later one")]
    TooOld,
}
