//! The log and the vote, on redb.

use std::fmt::{Debug, Display};
use std::ops::{Bound, RangeBounds};
use std::sync::Arc;

use openraft::storage::{LogFlushed, RaftLogStorage};
use openraft::{AnyError, LogState, OptionalSend, RaftLogReader, StorageIOError};
use redb::{Database, ReadOnlyTable, ReadableDatabase, ReadableTable};
use tokio::sync::{mpsc, oneshot};

use super::codec::records::{EntryV1, IdentityV1, LogIdV1, VoteV1};
use super::codec::{Shape, decode, encode};
use super::failure::{Failing, StoreFailed};
use super::volume::{Guard, VolumeError};
use super::writer::{Change, Job, LOG, Lazy, MARKS, Mark, Writer};
use crate::types::{Entry, LogId, StorageError, Types, Vote};

/// Jobs that may wait for the writer. openraft has few at a time.
const WAITING_JOBS: usize = 64;

/// Most bytes of entries that one message to a member carries, but for a first that is longer.
const MESSAGE_BYTES: usize = 4 << 20;

/// The log, the vote and the identity of this member. Clones are the same one.
///
/// # To be kept for correctness
/// - Writing is done by one thread, in the order in which it was asked for; see [`super::writer`].
/// - Each method that writes answers when what it wrote has been synced.
/// - The log has no holes, and begins behind the purge mark.
#[derive(Debug, Clone)]
pub(crate) struct LogStore {
    shared: Arc<Shared>,
}

/// The fields go in this order: when the channel closes, the writer's database is the last.
#[derive(Debug)]
struct Shared {
    db: Arc<Database>,
    committed: Arc<Lazy>,
    failing: Failing,
    jobs: mpsc::Sender<Job>,
}

impl LogStore {
    pub(super) fn open(
        db: Database,
        failing: Failing,
        guard: Arc<Guard>,
    ) -> Result<Self, VolumeError> {
        let (jobs, receiver) = mpsc::channel(WAITING_JOBS);
        let db = Arc::new(db);
        let committed = Arc::<Lazy>::default();
        let writer = Writer {
            db: db.clone(),
            jobs: receiver,
            committed: committed.clone(),
            failing: failing.clone(),
            guard,
        };
        writer.spawn().map_err(|error| VolumeError::Unreadable {
            what: "the log",
            reason: error.to_string(),
        })?;
        let shared = Shared {
            db,
            committed,
            failing,
            jobs,
        };
        Ok(Self {
            shared: Arc::new(shared),
        })
    }

    /// Whose volume it is; `None` for a new one.
    ///
    /// # Errors
    /// If it cannot be read.
    pub(crate) fn identity(&self) -> Result<Option<IdentityV1>, StoreFailed> {
        self.mark(Mark::Identity)
    }

    /// Says whose volume it is.
    ///
    /// # Errors
    /// [`StoreFailed`].
    pub(crate) async fn set_identity(&self, identity: IdentityV1) -> Result<(), StoreFailed> {
        self.set(Mark::Identity, &identity).await
    }

    async fn set<S: Shape>(&self, mark: Mark, shape: &S) -> Result<(), StoreFailed> {
        let bytes = self.bytes(shape)?;
        self.write(Change::Set(mark, bytes), None).await
    }

    async fn write(
        &self,
        change: Change,
        flushed: Option<LogFlushed<Types>>,
    ) -> Result<(), StoreFailed> {
        let (done, answer) = oneshot::channel();
        let job = Job {
            change,
            flushed,
            done,
        };
        let gone = "the thread that writes the log is gone";
        if self.shared.jobs.send(job).await.is_err() {
            return Err(self.shared.failing.report("write", &gone));
        }
        match answer.await {
            Ok(result) => result,
            Err(_) => Err(self.shared.failing.report("write", &gone)),
        }
    }

    fn mark<S: Shape>(&self, mark: Mark) -> Result<Option<S>, StoreFailed> {
        let bytes = read_mark(&self.shared.db, mark).map_err(|error| self.read_failed(&error))?;
        let shape = bytes.map(|bytes| decode(&bytes)).transpose();
        shape.map_err(|error| self.read_failed(&error))
    }

    fn table(&self) -> Result<ReadOnlyTable<u64, &'static [u8]>, redb::Error> {
        Ok(self.shared.db.begin_read()?.open_table(LOG)?)
    }

    fn last_in_log(&self) -> Result<Option<LogId>, StoreFailed> {
        let last = || -> Result<Option<Vec<u8>>, redb::Error> {
            let table = self.table()?;
            let last = table.last()?;
            Ok(last.map(|(_, bytes)| bytes.value().to_owned()))
        };
        let bytes = last().map_err(|error| self.read_failed(&error))?;
        let entry = bytes.map(|bytes| self.entry(&bytes)).transpose()?;
        Ok(entry.map(|entry| entry.log_id))
    }

    /// The entries of the range that are there, as many as `is_enough`, asked with the bytes so
    /// far before each but the first, lets come.
    fn entries(
        &self,
        range: impl RangeBounds<u64>,
        is_enough: impl Fn(usize) -> bool,
    ) -> Result<Vec<Entry>, StoreFailed> {
        let bounds = (range.start_bound().cloned(), range.end_bound().cloned());
        if is_empty(bounds) {
            return Ok(Vec::new());
        }
        let failed = |error: redb::Error| self.read_failed(&error);
        let table = self.table().map_err(failed)?;
        let mut length = 0;
        let mut entries = Vec::new();
        for item in table.range(bounds).map_err(|error| failed(error.into()))? {
            if length > 0 && is_enough(length) {
                break;
            }
            let (_, bytes) = item.map_err(|error| failed(error.into()))?;
            length += bytes.value().len();
            entries.push(self.entry(bytes.value())?);
        }
        Ok(entries)
    }

    fn entry(&self, bytes: &[u8]) -> Result<Entry, StoreFailed> {
        let entry = decode::<EntryV1>(bytes);
        Ok(entry.map_err(|error| self.read_failed(&error))?.into())
    }

    fn bytes<S: Shape>(&self, shape: &S) -> Result<Vec<u8>, StoreFailed> {
        encode(shape).map_err(|error| self.shared.failing.report("write", &error))
    }

    fn read_failed(&self, error: &dyn Display) -> StoreFailed {
        self.shared.failing.report("read of the log", error)
    }
}

/// Makes a new database one that [`LogStore::open`] can take.
pub(super) fn make_tables(db: &Database) -> Result<(), redb::Error> {
    let transaction = db.begin_write()?;
    transaction.open_table(LOG)?;
    transaction.open_table(MARKS)?;
    transaction.commit()?;
    Ok(())
}

/// The last entry that was purged; `None` while the log reaches back to the beginning.
pub(super) fn purged(db: &Database) -> Result<Option<LogId>, VolumeError> {
    let unreadable = |reason: String| VolumeError::Unreadable {
        what: "the log",
        reason,
    };
    let bytes = read_mark(db, Mark::Purged).map_err(|error| unreadable(error.to_string()))?;
    let purged = bytes.map(|bytes| decode::<LogIdV1>(&bytes)).transpose();
    let purged = purged.map_err(|error| unreadable(error.to_string()))?;
    Ok(purged.map(LogId::from))
}

fn read_mark(db: &Database, mark: Mark) -> Result<Option<Vec<u8>>, redb::Error> {
    let marks = db.begin_read()?.open_table(MARKS)?;
    let bytes = marks.get(mark as u8)?;
    Ok(bytes.map(|bytes| bytes.value().to_owned()))
}

/// redb, like a `BTreeMap`, takes no range that ends before it begins.
fn is_empty(bounds: (Bound<u64>, Bound<u64>)) -> bool {
    let start = match bounds.0 {
        Bound::Included(start) => start,
        Bound::Excluded(start) => start.saturating_add(1),
        Bound::Unbounded => 0,
    };
    match bounds.1 {
        Bound::Included(end) => end < start,
        Bound::Excluded(end) => end <= start,
        Bound::Unbounded => false,
    }
}

fn reading(error: StoreFailed) -> StorageError {
    StorageIOError::read_logs(AnyError::new(&error)).into()
}

fn writing(error: StoreFailed) -> StorageError {
    StorageIOError::write_logs(AnyError::new(&error)).into()
}

fn voting(error: StoreFailed) -> StorageError {
    StorageIOError::write_vote(AnyError::new(&error)).into()
}

impl RaftLogReader<Types> for LogStore {
    async fn try_get_log_entries<RB>(&mut self, range: RB) -> Result<Vec<Entry>, StorageError>
    where
        RB: RangeBounds<u64> + Clone + Debug + OptionalSend,
    {
        self.entries(range, |_| false).map_err(reading)
    }

    async fn limited_get_log_entries(
        &mut self,
        start: u64,
        end: u64,
    ) -> Result<Vec<Entry>, StorageError> {
        let entries = self.entries(start..end, |length| length >= MESSAGE_BYTES);
        let mut entries = entries.map_err(reading)?;
        // Purged meanwhile: what is behind does not follow on what the member has.
        if entries
            .first()
            .is_some_and(|first| first.log_id.index != start)
        {
            entries.clear();
        }
        Ok(entries)
    }
}

impl RaftLogStorage<Types> for LogStore {
    type LogReader = Self;

    async fn get_log_state(&mut self) -> Result<LogState<Types>, StorageError> {
        let purged = self.mark::<LogIdV1>(Mark::Purged).map_err(reading)?;
        let last_purged_log_id = purged.map(LogId::from);
        let last_log_id = self.last_in_log().map_err(reading)?.or(last_purged_log_id);
        Ok(LogState {
            last_purged_log_id,
            last_log_id,
        })
    }

    async fn get_log_reader(&mut self) -> Self {
        self.clone()
    }

    async fn save_vote(&mut self, vote: &Vote) -> Result<(), StorageError> {
        let vote = VoteV1::from(*vote);
        self.set(Mark::Vote, &vote).await.map_err(voting)
    }

    async fn read_vote(&mut self) -> Result<Option<Vote>, StorageError> {
        let vote = self.mark::<VoteV1>(Mark::Vote).map_err(reading)?;
        Ok(vote.map(Vote::from))
    }

    async fn save_committed(&mut self, committed: Option<LogId>) -> Result<(), StorageError> {
        if let Some(committed) = committed {
            self.shared.committed.set(committed.into());
        }
        Ok(())
    }

    async fn read_committed(&mut self) -> Result<Option<LogId>, StorageError> {
        let last = self.last_in_log().map_err(reading)?;
        let committed = match self.shared.committed.get() {
            Some(waiting) => Some(waiting),
            None => self.mark::<LogIdV1>(Mark::Committed).map_err(reading)?,
        };
        // Never beyond the log: entries and mark are written together, but a mark may be older
        // than a purge.
        Ok(committed.map(LogId::from).filter(|id| Some(*id) <= last))
    }

    async fn append<I>(
        &mut self,
        entries: I,
        flushed: LogFlushed<Types>,
    ) -> Result<(), StorageError>
    where
        I: IntoIterator<Item = Entry> + OptionalSend,
        I::IntoIter: OptionalSend,
    {
        let entries = entries.into_iter().map(|entry| {
            let index = entry.log_id.index;
            Ok((index, self.bytes(&EntryV1::from(entry))?))
        });
        let entries = entries.collect::<Result<_, StoreFailed>>();
        let change = Change::Append(entries.map_err(writing)?);
        // openraft wants the entries readable from here on, and waits for `flushed` anyway.
        self.write(change, Some(flushed)).await.map_err(writing)
    }

    async fn truncate(&mut self, log_id: LogId) -> Result<(), StorageError> {
        let change = Change::Truncate(log_id.index);
        self.write(change, None).await.map_err(writing)
    }

    async fn purge(&mut self, log_id: LogId) -> Result<(), StorageError> {
        let mark = self.bytes(&LogIdV1::from(log_id)).map_err(writing)?;
        let change = Change::Purge(log_id.index, mark);
        self.write(change, None).await.map_err(writing)
    }
}
