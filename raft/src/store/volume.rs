//! The directory that a member keeps its things in.

use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use redb::backends::FileBackend;
use redb::{Builder, Database};
use tokio::sync::oneshot;

use super::log::{LogStore, make_tables, purged};
use super::{Failing, Failure, Snapshots};

const LOCK: &str = "lock";
const LOG: &str = "log.redb";
const NEW_LOG: &str = "log.redb.new";

/// Memory for redb's cache, bytes. The log is short, and written more than it is read.
const CACHE_BYTES: usize = 16 << 20;

/// Why a volume cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum VolumeError {
    /// The system refused.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Another process uses the directory: two members of one identity would break every promise.
    #[error("{}: another process uses this data directory", .0.display())]
    Locked(PathBuf),
    /// The log cannot be opened.
    #[error("{}: {source}", path.display())]
    Log {
        /// The file.
        path: PathBuf,
        /// Why.
        source: Box<redb::Error>,
    },
    /// Something in the log cannot be read.
    #[error("{what} cannot be read: {reason}")]
    Unreadable {
        /// What it is.
        what: &'static str,
        /// What is wrong with it.
        reason: String,
    },
    /// The snapshot is damaged, or gone, and the log does not reach back to the beginning. What
    /// the volume held is lost; emptied, it can join again as a new member.
    #[error("{}: {reason}, and the log alone is not enough", path.display())]
    SnapshotLost {
        /// The snapshot.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
}

impl VolumeError {
    pub(super) fn io(path: &Path) -> impl Fn(io::Error) -> Self + '_ {
        |source| Self::Io {
            path: path.to_owned(),
            source,
        }
    }

    fn log<E: Into<redb::Error>>(path: &Path) -> impl Fn(E) -> Self + '_ {
        |source| Self::Log {
            path: path.to_owned(),
            source: Box::new(source.into()),
        }
    }
}

/// Holds the directory against other processes; the last part of the store to go lets it go.
#[derive(Debug)]
pub(crate) struct Guard {
    _lock: Option<File>,
    _closed: oneshot::Sender<()>,
}

/// Tells when a volume has been let go of, so that it can be opened again.
#[derive(Debug)]
pub(crate) struct Closed(oneshot::Receiver<()>);

impl Closed {
    /// Waits until nothing of the store uses the directory.
    pub(crate) async fn wait(self) {
        // The sender is never used: it goes with the guard.
        let _ = self.0.await;
    }
}

impl Guard {
    pub(super) fn new(lock: Option<File>) -> (Arc<Self>, Closed) {
        let (sender, receiver) = oneshot::channel();
        let guard = Self {
            _lock: lock,
            _closed: sender,
        };
        (Arc::new(guard), Closed(receiver))
    }
}

/// An opened directory.
#[derive(Debug)]
pub(crate) struct Volume {
    /// The log, and the identity beside it.
    pub(crate) log: LogStore,
    /// The snapshot.
    pub(crate) snapshots: Snapshots,
    /// Tells that the volume has failed.
    pub(crate) failure: Failure,
    /// Tells that it has been closed.
    pub(crate) closed: Closed,
}

impl Volume {
    /// Whether the directory has been one, however much or little it holds.
    pub(crate) fn is_there(dir: &Path) -> bool {
        dir.join(LOG).exists()
    }

    /// Opens the directory, making it what it should be if it is new or empty.
    ///
    /// Blocks while redb mends what a crash has left.
    ///
    /// # Errors
    /// [`VolumeError`]; the directory is then as it was.
    pub(crate) fn open(dir: &Path) -> Result<Self, VolumeError> {
        fs::create_dir_all(dir).map_err(VolumeError::io(dir))?;
        let (guard, closed) = Guard::new(Some(lock(dir)?));
        let failing = Failing::new();
        let failure = failing.subscribe();
        let database = open_database(dir)?;
        let snapshots = Snapshots::open(dir, purged(&database)?, failing.clone(), guard.clone())?;
        let log = LogStore::open(database, failing, guard)?;
        Ok(Self {
            log,
            snapshots,
            failure,
            closed,
        })
    }
}

fn lock(dir: &Path) -> Result<File, VolumeError> {
    let path = dir.join(LOCK);
    let file = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&path)
        .map_err(VolumeError::io(&path))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(VolumeError::Locked(dir.to_owned())),
        Err(TryLockError::Error(source)) => Err(VolumeError::Io { path, source }),
    }
}

fn open_database(dir: &Path) -> Result<Database, VolumeError> {
    let path = dir.join(LOG);
    if !path.exists() {
        // Made under another name: a crash amid the making must not leave what redb refuses.
        let new = dir.join(NEW_LOG);
        if new.exists() {
            fs::remove_file(&new).map_err(VolumeError::io(&new))?;
        }
        let database = open_file(&new)?;
        make_tables(&database).map_err(VolumeError::log(&new))?;
        drop(database);
        fs::rename(&new, &path).map_err(VolumeError::io(&path))?;
        sync_dir(dir).map_err(VolumeError::io(dir))?;
    }
    open_file(&path)
}

fn open_file(path: &Path) -> Result<Database, VolumeError> {
    let file = File::options()
        .create(true)
        .truncate(false)
        .read(true)
        .write(true)
        .open(path)
        .map_err(VolumeError::io(path))?;
    let backend = FileBackend::new(file).map_err(VolumeError::log(path))?;
    let opened = builder().create_with_backend(backend);
    opened.map_err(VolumeError::log(path))
}

/// How redb is used here.
pub(super) fn builder() -> Builder {
    let mut builder = Builder::new();
    builder.set_cache_size(CACHE_BYTES);
    builder
}

/// Makes new and changed names in a directory durable.
pub(super) fn sync_dir(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}
