//! The one thread that writes the log.
//!
//! ```text
//!   jobs ──▶ take all that wait ──▶ one redb transaction ──▶ sync ──▶ answer each, in order
//! ```
//!
//! What arrives during a sync is written by the next one together, so that the cost of a sync is
//! shared. A job is answered only when it is on the volume. After a failure every job is refused:
//! nothing may be written behind a gap.

use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

use openraft::storage::LogFlushed;
use redb::{Database, TableDefinition};
use tokio::sync::{mpsc, oneshot};

use super::codec::encode;
use super::codec::records::LogIdV1;
use super::failure::{Failing, StoreFailed};
use super::volume::Guard;
use crate::types::Types;

/// The log: entries by index.
pub(super) const LOG: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("log");

/// What stands beside the log, by [`Mark`].
pub(super) const MARKS: TableDefinition<'_, u8, &[u8]> = TableDefinition::new("marks");

/// Most jobs written with one sync.
const MOST_JOBS: usize = 128;

/// What stands beside the log. Append-only: the numbers are on volumes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Mark {
    /// Whose volume it is.
    Identity = 0,
    /// The last vote.
    Vote = 1,
    /// The id of the last entry that was purged.
    Purged = 2,
    /// The id of an entry known to be committed.
    Committed = 3,
}

/// Something to be written.
#[derive(Debug)]
pub(super) enum Change {
    /// Entries, behind those that are there.
    Append(Vec<(u64, Vec<u8>)>),
    /// The entries from this index on go.
    Truncate(u64),
    /// The entries up to this index go; the bytes are the [`Mark::Purged`].
    Purge(u64, Vec<u8>),
    /// A mark is set.
    Set(Mark, Vec<u8>),
}

impl Change {
    fn what(&self) -> &'static str {
        match self {
            Self::Append(_) => "append to the log",
            Self::Truncate(_) => "truncation of the log",
            Self::Purge(..) => "purge of the log",
            Self::Set(..) => "write beside the log",
        }
    }
}

/// A change, and who waits for it.
pub(super) struct Job {
    pub(super) change: Change,
    pub(super) flushed: Option<LogFlushed<Types>>,
    pub(super) done: oneshot::Sender<Result<(), StoreFailed>>,
}

impl Job {
    fn answer(self, result: Result<(), StoreFailed>) {
        if let Some(flushed) = self.flushed {
            flushed.log_io_completed(result.clone().map_err(io::Error::other));
        }
        // Who has stopped waiting does not want to know.
        let _ = self.done.send(result);
    }
}

/// The commit mark that is to be written when something else is: it saves work after a restart,
/// and nothing depends on it, so it is not worth a sync.
#[derive(Debug, Default)]
pub(super) struct Lazy(Mutex<Option<LogIdV1>>);

impl Lazy {
    pub(super) fn set(&self, committed: LogIdV1) {
        *self.lock() = Some(committed);
    }

    /// What is waiting to be written.
    pub(super) fn get(&self) -> Option<LogIdV1> {
        *self.lock()
    }

    fn take(&self) -> Option<LogIdV1> {
        self.lock().take()
    }

    fn lock(&self) -> MutexGuard<'_, Option<LogIdV1>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The thread's side.
pub(super) struct Writer {
    pub(super) db: Arc<Database>,
    pub(super) jobs: mpsc::Receiver<Job>,
    pub(super) committed: Arc<Lazy>,
    pub(super) failing: Failing,
    /// Lets go of the volume last.
    pub(super) guard: Arc<Guard>,
}

impl Writer {
    /// Runs until all senders of jobs are gone; then the database is closed.
    pub(super) fn spawn(self) -> io::Result<()> {
        let thread = thread::Builder::new().name("raft-log".to_owned());
        thread.spawn(move || self.run()).map(drop)
    }

    fn run(mut self) {
        let mut batch = Vec::new();
        while self.jobs.blocking_recv_many(&mut batch, MOST_JOBS) > 0 {
            let result = self.write(&batch);
            for job in batch.drain(..) {
                job.answer(result.clone());
            }
        }
        if self.failing.get().is_none() {
            // Failing now costs a restart some work and nothing else.
            let _ = self.commit(&[]);
        }
        drop(self.db);
        drop(self.guard);
    }

    fn write(&self, batch: &[Job]) -> Result<(), StoreFailed> {
        if let Some(failed) = self.failing.get() {
            return Err(failed);
        }
        self.commit(batch).map_err(|error| {
            let what = batch.first().map_or("sync", |job| job.change.what());
            self.failing.report(what, &error)
        })
    }

    fn commit(&self, batch: &[Job]) -> Result<(), redb::Error> {
        // A transaction commits with a sync unless told otherwise.
        let transaction = self.db.begin_write()?;
        {
            let mut log = transaction.open_table(LOG)?;
            let mut marks = transaction.open_table(MARKS)?;
            for job in batch {
                match &job.change {
                    Change::Append(entries) => {
                        for (index, bytes) in entries {
                            log.insert(index, bytes.as_slice())?;
                        }
                    }
                    Change::Truncate(from) => log.retain_in::<u64, _>(from.., |_, _| false)?,
                    Change::Purge(upto, mark) => {
                        marks.insert(Mark::Purged as u8, mark.as_slice())?;
                        log.retain_in::<u64, _>(..=upto, |_, _| false)?;
                    }
                    Change::Set(mark, bytes) => {
                        marks.insert(*mark as u8, bytes.as_slice())?;
                    }
                }
            }
            if let Some(Ok(bytes)) = self.committed.take().map(|id| encode(&id)) {
                marks.insert(Mark::Committed as u8, bytes.as_slice())?;
            }
        }
        transaction.commit()?;
        Ok(())
    }
}
