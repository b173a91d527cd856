//! A folder for the files of one started process: settings, data, log.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::Once;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;
use std::{process, thread};

use crate::{Error, workspace};

/// How long the folders of ended processes are kept for whoever wants to look at them.
const KEEP: Duration = Duration::from_secs(6 * 3600);

/// `target/test-runs/<test binary>-<pid>-<number>-<what>`; removed when it is dropped, unless a
/// test is failing just then or an error has told of its files.
#[derive(Debug)]
pub(crate) struct RunDir {
    path: PathBuf,
    keep: AtomicBool,
    _lock: File,
}

impl RunDir {
    pub(crate) fn create(what: &str) -> Result<Self, Error> {
        static SWEEP: Once = Once::new();
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let runs = workspace::target_dir().join("test-runs");
        SWEEP.call_once(|| sweep(&runs));
        let path = runs.join(format!(
            "{}-{}-{}-{what}",
            workspace::binary_name(),
            process::id(),
            NEXT.fetch_add(1, Ordering::Relaxed),
        ));
        let attempt = || {
            // A leftover of an earlier process with this id.
            if path.exists() {
                fs::remove_dir_all(&path)?;
            }
            fs::create_dir_all(&path)?;
            let lock = File::create(path.join("lock"))?;
            lock.lock()?;
            Ok(lock)
        };
        let lock = attempt().map_err(Error::io(format!("create {}", path.display())))?;
        Ok(Self {
            path,
            keep: AtomicBool::new(false),
            _lock: lock,
        })
    }

    /// Keeps the folder, because an error tells about its files.
    pub(crate) fn keep(&self) {
        self.keep.store(true, Ordering::Relaxed);
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for RunDir {
    fn drop(&mut self) {
        if thread::panicking() || self.keep.load(Ordering::Relaxed) {
            eprintln!("kept for you: {}", self.path.display());
        } else {
            // A process that is still dying may write meanwhile; the sweep gets what is left.
            let _ = fs::remove_dir_all(&self.path);
        }
    }
}

/// Removes old folders of processes that have ended, as told by their free locks.
fn sweep(runs: &Path) {
    let Ok(entries) = fs::read_dir(runs) else {
        return;
    };
    for entry in entries.flatten() {
        let lock_path = entry.path().join("lock");
        let free = File::open(&lock_path).is_ok_and(|lock| lock.try_lock().is_ok());
        let old = fs::metadata(&lock_path)
            .and_then(|meta| meta.modified())
            .is_ok_and(|modified| modified.elapsed().is_ok_and(|age| age > KEEP));
        if free && old {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}
