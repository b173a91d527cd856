//! A data directory belongs to one process.

use crate::store::{Volume, VolumeError};

#[tokio::test]
async fn a_directory_in_use_is_refused_until_it_is_let_go() {
    let dir = tempfile::tempdir().unwrap();
    let first = Volume::open(dir.path()).unwrap();
    let refused = Volume::open(dir.path()).unwrap_err();
    assert!(matches!(refused, VolumeError::Locked(_)), "{refused}");
    let reader = first.log.clone();
    let closed = first.closed;
    drop((first.log, first.snapshots));
    assert!(Volume::open(dir.path()).is_err(), "a reader still uses it");
    drop(reader);
    closed.wait().await;
    Volume::open(dir.path()).unwrap();
}

#[test]
fn what_is_no_log_is_refused_by_name() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("log.redb"), [7; 8192]).unwrap();
    let refused = Volume::open(dir.path()).unwrap_err();
    assert!(refused.to_string().contains("log.redb"), "{refused}");
}

#[test]
fn a_log_that_was_never_finished_is_made_anew() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("log.redb.new"), [0; 8192]).unwrap();
    Volume::open(dir.path()).unwrap();
}
