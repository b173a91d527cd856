//! Asks where the logs end, reads their tails, writes the answer.

use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use rdkafka::message::{BorrowedMessage, Message};
use sluice_types::{Offset, Partition, Partitions, TopicName, TopicPartition};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout};

use super::choice::{Choice, choose};
use super::tail::Tail;
use crate::answers::HeldBytes;
use crate::blocking::Blocking;
use crate::kafka::{Closer, Cluster, Part, Reader};
use crate::session::{RecordRef, encode_message};
use crate::{AnswerBudget, Config, Deadline, Error, Sessions};

/// Most topics that are read at once: each takes a Kafka handle and a thread.
const AT_ONCE: usize = 8;
/// How long others wait for one of those.
const TURN_WITHIN: Duration = Duration::from_secs(5);
/// Handles that are kept for who comes next, and for how long.
const KEPT: usize = 2;
const KEPT_FOR: Duration = Duration::from_secs(10);
/// Most bytes of keys and values in an answer.
const MOST_BYTES: u64 = 16 * 1024 * 1024;
/// Fewest offsets of a partition that are read first.
const FEWEST: usize = 8;

/// Reads the newest records of topics. Clones are the same.
#[derive(Clone)]
pub struct Newest(Arc<Inner>);

struct Inner {
    config: Config,
    cluster: Arc<Cluster>,
    blocking: Blocking,
    closer: Closer,
    answers: AnswerBudget,
    turns: Arc<Semaphore>,
    /// Handles that nobody uses, and since when.
    idle: Mutex<Vec<(Instant, Reader)>>,
}

/// The newest records of a topic.
#[derive(Debug)]
pub struct Listing {
    /// A JSON array.
    pub body: Bytes,
    /// To be dropped when the client has it.
    pub held: HeldBytes,
}

impl Newest {
    /// Reads from the Kafka of these sessions.
    pub fn new(sessions: &Sessions) -> Self {
        let env = sessions.environment();
        Self(Arc::new(Inner {
            config: env.config.clone(),
            cluster: Arc::clone(&env.cluster),
            blocking: env.blocking.clone(),
            closer: env.closer.clone(),
            answers: env.answers.clone(),
            turns: Arc::new(Semaphore::new(AT_ONCE)),
            idle: Mutex::default(),
        }))
    }

    /// The newest `limit` records of all partitions together, oldest first; fewer if they have
    /// more than 16 MiB. Records of open and aborted transactions are none.
    ///
    /// A dropped future ends the reading soon.
    ///
    /// # Errors
    /// [`Error::TopicNotFound`], [`Error::ReadersBusy`], [`Error::AccessDenied`],
    /// [`Error::KafkaUnavailable`], [`Error::KafkaTimeout`].
    pub async fn of_topic(
        &self,
        topic: TopicName,
        limit: NonZeroUsize,
        deadline: Deadline,
    ) -> Result<Listing, Error> {
        let turn = Arc::clone(&self.0.turns).acquire_owned();
        let within = TURN_WITHIN.min(deadline.remaining());
        let Ok(Ok(turn)) = timeout(within, turn).await else {
            return Err(Error::ReadersBusy);
        };
        let wanted = Wanted(Arc::new(AtomicBool::new(true)));
        let reading = Reading {
            inner: Arc::clone(&self.0),
            topic,
            limit: limit.get(),
            most_bytes: MOST_BYTES.min(self.0.answers.room().get()),
            deadline,
            is_wanted: Arc::clone(&wanted.0),
            _turn: turn,
        };
        let (reader, body) = self.0.blocking.run(move || reading.run()).await??;
        if let Some(reader) = reader {
            self.keep(reader);
        }
        let held = self.0.answers.hold(body.len() as u64);
        Ok(Listing {
            body: body.into(),
            held,
        })
    }

    /// Keeps a handle for who comes next; for a while only, since librdkafka's news pile up in one
    /// that nobody reads with.
    fn keep(&self, reader: Reader) {
        let mut idle = self.0.idle();
        if idle.len() >= KEPT {
            return;
        }
        idle.push((Instant::now(), reader));
        drop(idle);
        let kept = Arc::downgrade(&self.0);
        tokio::spawn(async move {
            tokio::time::sleep(KEPT_FOR).await;
            if let Some(inner) = kept.upgrade() {
                inner.idle().retain(|(since, _)| since.elapsed() < KEPT_FOR);
            }
        });
    }
}

impl Inner {
    fn idle(&self) -> std::sync::MutexGuard<'_, Vec<(Instant, Reader)>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Dropped, it ends the reading.
struct Wanted(Arc<AtomicBool>);

impl Drop for Wanted {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Relaxed);
    }
}

/// One reading, on a thread that may wait.
struct Reading {
    inner: Arc<Inner>,
    topic: TopicName,
    limit: usize,
    most_bytes: u64,
    deadline: Deadline,
    is_wanted: Arc<AtomicBool>,
    _turn: OwnedSemaphorePermit,
}

impl Reading {
    /// The answer, and a handle that can be used again.
    fn run(self) -> Result<(Option<Reader>, Vec<u8>), Error> {
        let mut tails = self.tails()?;
        let mut reader = None;
        loop {
            match choose(&tails, self.limit, self.most_bytes) {
                Choice::Made(chosen) => return Ok((reader, written(&tails, &chosen))),
                Choice::Unread(unread) => {
                    let reader = match &mut reader {
                        Some(reader) => reader,
                        none => none.insert(self.reader()?),
                    };
                    self.read(reader, &mut tails, &unread)?;
                }
            }
            if !self.is_wanted.load(Ordering::Relaxed) {
                return Err(Error::KafkaTimeout);
            }
        }
    }

    /// The ends of all partitions that are not empty, in order of their numbers.
    fn tails(&self) -> Result<Vec<Tail>, Error> {
        let topics = [self.topic.clone()];
        let counts = self.inner.cluster.describe_topics(&topics, self.deadline)?;
        let Some(count) = counts.get(&self.topic) else {
            return Err(Error::TopicNotFound(topics.to_vec()));
        };
        let all = (0..*count).filter_map(|number| Partition::new(number).ok());
        let partitions: Partitions = all
            .map(|partition| TopicPartition {
                topic: self.topic.clone(),
                partition,
            })
            .collect();
        let logs = self.inner.cluster.logs();
        let bounds = logs.bounds(&partitions, self.deadline.remaining())?;
        let filled: Vec<_> = bounds
            .iter()
            .filter(|(_, bounds)| bounds.first < bounds.end)
            .collect();
        // Twice their share, so that one reading does where partitions are about equal.
        let share = (2 * self.limit).div_ceil(filled.len().max(1));
        let span = share.max(FEWEST).min(self.limit) as u64;
        Ok(filled
            .into_iter()
            .map(|(at, bounds)| Tail::new(at, bounds.first.get(), bounds.end.get(), span))
            .collect())
    }

    fn reader(&self) -> Result<Reader, Error> {
        if let Some((_, reader)) = self.inner.idle().pop() {
            return Ok(reader);
        }
        Reader::create(&self.inner.config, self.inner.closer.clone())
    }

    /// Reads some of the tails further back.
    fn read(&self, reader: &Reader, tails: &mut [Tail], unread: &[usize]) -> Result<(), Error> {
        let parts: Vec<Part> = unread
            .iter()
            .map(|tail| {
                let tail = &mut tails[*tail];
                let (from, until) = tail.reach_back();
                Part {
                    partition: tail.at.partition,
                    from,
                    until,
                }
            })
            .collect();
        let mut held: u64 = tails.iter().map(Tail::bytes).sum();
        let is_wanted = || self.is_wanted.load(Ordering::Relaxed);
        reader.read(
            &self.topic,
            &parts,
            self.deadline,
            is_wanted,
            |place, message| {
                let tail = &mut tails[unread[place]];
                held -= tail.bytes();
                if let Some(record) = borrowed(message) {
                    tail.take(&record, self.limit);
                }
                held += tail.bytes();
                // So many are newer that the oldest cannot be among the newest.
                while held > 2 * self.most_bytes && tails.iter().map(Tail::held).sum::<usize>() > 1
                {
                    held -= cut_oldest(tails);
                }
            },
        )?;
        for tail in unread {
            tails[*tail].end_reading(self.limit);
        }
        Ok(())
    }
}

/// Throws the oldest record of all away; returns its bytes.
fn cut_oldest(tails: &mut [Tail]) -> u64 {
    let oldest = tails
        .iter_mut()
        .filter_map(|tail| Some((tail.oldest()?, tail)))
        .min_by_key(|(time, _)| *time);
    match oldest {
        Some((_, tail)) => {
            let before = tail.bytes();
            tail.cut_oldest();
            before - tail.bytes()
        }
        None => 0,
    }
}

fn borrowed<'m>(message: &'m BorrowedMessage<'_>) -> Option<RecordRef<'m>> {
    Some(RecordRef {
        topic: message.topic(),
        partition: message.partition(),
        offset: Offset::new(message.offset()).ok()?,
        timestamp: message.timestamp().to_millis().unwrap_or(-1),
        key: message.key(),
        value: message.payload(),
        headers: &[],
    })
}

fn written(tails: &[Tail], chosen: &[(usize, usize)]) -> Vec<u8> {
    let mut body = b"[".to_vec();
    for (tail, place) in chosen {
        if body.len() > 1 {
            body.push(b',');
        }
        encode_message(&mut body, &tails[*tail].record(*place));
    }
    body.push(b']');
    body
}
