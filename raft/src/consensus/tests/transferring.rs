//! Carrying sessions from a volume into a new cluster.

use std::fs;

use super::cluster::Cluster;
use super::*;
use crate::types::Member;
use crate::{Session, StartError, VolumeError, export, import};

fn member() -> Member {
    Member {
        name: "n0".to_owned(),
        address: address(0),
    }
}

/// The sessions of a cluster that has ended.
async fn exported(cluster: &mut Cluster, count: usize) -> Vec<Session> {
    for number in 0..count {
        cluster.create(0, &format!("c{number}")).await;
    }
    let volume = cluster.volume(0);
    let running = export(volume.clone()).await;
    let locked = |error: &StartError| matches!(error, StartError::Volume(VolumeError::Locked(_)));
    assert!(running.as_ref().is_err_and(locked), "{running:?}");
    cluster.stop(0).await;
    let exported = export(volume.clone()).await.unwrap();
    assert!(exported.cluster.is_some());
    assert_eq!(export(volume).await.unwrap(), exported, "it stays as it is");
    let sessions = exported.sessions.into_iter();
    sessions.map(|session| (*session).clone()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_cluster_begins_with_the_sessions_of_another() {
    let timing = Timing {
        snapshot_every: 10,
        ..Timing::default()
    };
    // Some of the sessions are in a snapshot, the others in the log behind it.
    let mut cluster = Cluster::with_timing(1, timing).await;
    let sessions = exported(&mut cluster, 25).await;
    assert_eq!(sessions.len(), 25);

    cluster.lose_volume(0);
    // File systems are not all empty when they are new.
    fs::create_dir(cluster.volume(0).join("lost+found")).unwrap();
    let imported = import(cluster.volume(0), member(), sessions.clone()).await;
    let imported = imported.unwrap();
    assert_eq!((imported.generation, imported.sessions), (0, 25));
    let again = import(cluster.volume(0), member(), sessions.clone()).await;
    assert!(matches!(again, Err(StartError::NotEmpty(_))), "{again:?}");

    cluster.start(0).await;
    assert_eq!(cluster.member(0).raft_id(), imported.raft_id);
    for before in sessions {
        let after = read(&cluster, 0, before.id.as_str()).await.unwrap();
        let after = after.expect("the session is there");
        assert!(after.epoch > before.epoch, "a former claim still holds");
        let same = Session {
            epoch: before.epoch,
            ..(*after).clone()
        };
        assert_eq!(same, before);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_import_that_ended_halfway_is_no_cluster() {
    let mut cluster = Cluster::of(1).await;
    let sessions = exported(&mut cluster, 3).await;
    cluster.lose_volume(0);
    let volume = cluster.volume(0);
    import(volume.clone(), member(), sessions).await.unwrap();
    // What a crash before the last step leaves.
    fs::remove_file(volume.join("snapshot")).unwrap();
    let halfway = export(volume).await;
    let is_refused =
        |e: &StartError| matches!(e, StartError::Volume(VolumeError::SnapshotLost { .. }));
    assert!(halfway.as_ref().is_err_and(is_refused), "{halfway:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_no_volume_does_not_become_one() {
    let dir = tempfile::tempdir().unwrap();
    let none = export(dir.path().to_owned()).await;
    assert!(matches!(none, Err(StartError::NoRegistry(_))), "{none:?}");
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
}
