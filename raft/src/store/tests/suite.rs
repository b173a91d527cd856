//! openraft's own tests.

use std::sync::Arc;

use openraft::testing::{StoreBuilder, Suite};
use tempfile::TempDir;

use crate::replica::Replica;
use crate::store::{LogStore, Machine, Volume};
use crate::types::{StorageError, Types};

struct OnDisk;

impl StoreBuilder<Types, LogStore, Machine, TempDir> for OnDisk {
    async fn build(&self) -> Result<(TempDir, LogStore, Machine), StorageError> {
        let dir = tempfile::tempdir().unwrap();
        let volume = Volume::open(dir.path()).unwrap();
        let replica = Arc::new(Replica::new());
        let machine = Machine::restore(replica, volume.snapshots).unwrap();
        Ok((dir, volume.log, machine))
    }
}

#[test]
fn the_store_is_what_openraft_asks_for() {
    Suite::test_all(OnDisk).unwrap();
}
