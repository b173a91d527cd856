//! Taking the sessions out of a volume, and beginning a cluster with them on another one.
//!
//! ```text
//!   a member that does not run ──▶ export ──▶ Exported ──▶ … ──▶ import ──▶ an empty volume
//! ```
//!
//! An import writes what the log begins behind, then whose volume it is, and the snapshot last: a
//! crash in between leaves a volume that is empty still, or one that is refused for its missing
//! snapshot, but none that begins with half of the sessions.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use openraft::CommittedLeaderId;
use openraft::storage::RaftLogStorage;

use super::recovery::{Recovered, belong, first_snapshot, keep, take_everything};
use super::{StartError, open};
use crate::replica::Replica;
use crate::store::Volume;
use crate::types::{ClusterId, LogId, Member};
use crate::{RaftId, Registry, Session, SessionView, VolumeError};

/// What file systems put into an empty one.
const NOTHING: &str = "lost+found";

/// What the volume of a member holds.
#[derive(Debug, Clone, PartialEq)]
pub struct Exported {
    /// The cluster that it belongs to, if it does.
    pub cluster: Option<ClusterId>,
    /// How often that was begun anew.
    pub generation: u32,
    /// The sessions, by id, those being deleted too.
    pub sessions: Vec<SessionView>,
}

/// Reads the sessions from the volume of a member that does not run, and leaves it as it is.
///
/// All of the log counts, also what may not have been committed: nobody can tell that here.
///
/// # Errors
/// [`StartError`]: [`StartError::NoRegistry`] if it is not the volume of a member.
pub async fn export(data_dir: PathBuf) -> Result<Exported, StartError> {
    // Opening would make a volume of it.
    if !Volume::is_there(&data_dir) {
        return Err(StartError::NoRegistry(data_dir));
    }
    let replica = Arc::new(Replica::new());
    let (volume, mut machine) = open(data_dir.clone(), replica.clone()).await?;
    let mut log = volume.log;
    let last = take_everything(&mut log, &mut machine).await?;
    let cluster = log.identity()?.and_then(|identity| identity.cluster);
    let exported = {
        let registry = replica.read();
        Exported {
            cluster,
            generation: registry.generation(),
            sessions: registry.sessions_after(None).cloned().collect(),
        }
    };
    drop((log, machine, volume.snapshots));
    volume.closed.wait().await;
    match last {
        Some(_) => Ok(exported),
        None => Err(StartError::NoRegistry(data_dir)),
    }
}

/// Makes a new cluster of one, which begins with these sessions, on a volume that holds nothing.
///
/// What former owners claim of the sessions does not hold in it: each begins with the epoch after
/// the one it had.
///
/// # Errors
/// [`StartError`]: [`StartError::NotEmpty`] if the volume holds anything; it is as it was then.
/// After any other one the volume has to be emptied before it is used.
pub async fn import(
    data_dir: PathBuf,
    member: Member,
    sessions: impl IntoIterator<Item = Session>,
) -> Result<Recovered, StartError> {
    if !is_empty(&data_dir)? {
        return Err(StartError::NotEmpty(data_dir));
    }
    let sessions = sessions
        .into_iter()
        .map(|session| (session.id.clone(), session))
        .collect::<BTreeMap<_, _>>();
    let registry = Registry::begun_with(sessions.into_values());
    let imported = Recovered {
        cluster: ClusterId::random(),
        raft_id: RaftId::random(),
        generation: registry.generation(),
        sessions: registry.session_count(),
    };
    let (volume, machine) = open(data_dir, Arc::new(Replica::new())).await?;
    let mut log = volume.log;
    let begin = LogId::new(CommittedLeaderId::new(1, imported.raft_id), 1);
    let purged = log.purge(begin).await;
    purged.map_err(|error| StartError::Stopped(error.to_string()))?;
    belong(&log, &imported).await?;
    let meta = first_snapshot(begin, imported.raft_id, member);
    keep(&volume.snapshots, meta, registry).await?;
    drop((log, machine, volume.snapshots));
    volume.closed.wait().await;
    Ok(imported)
}

/// Whether nothing is in the directory, or there is none yet.
fn is_empty(dir: &Path) -> Result<bool, VolumeError> {
    let unreadable = |source| VolumeError::Io {
        path: dir.to_owned(),
        source,
    };
    match fs::read_dir(dir) {
        Ok(mut content) => {
            let something = |entry: &io::Result<fs::DirEntry>| !matches!(entry, Ok(e) if e.file_name() == NOTHING);
            match content.find(something) {
                None => Ok(true),
                Some(Ok(_)) => Ok(false),
                Some(Err(error)) => Err(unreadable(error)),
            }
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(true),
        Err(error) => Err(unreadable(error)),
    }
}
