//! Ops: what must not overlap, one at a time. What Kafka wants goes first; what the program asks
//! waits until there are partitions.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use sluice_types::{Offset, Offsets, PartitionMap, Partitions, TopicName, TopicPartition};
use tokio::time::Instant;

use super::ask::Reply;
use super::worker::Worker;
use crate::Error;
use crate::kafka::LogBounds;
use crate::session::{Found, Judged};

/// How long to wait before what met a rebalance is tried again.
const AGAIN: Duration = Duration::from_millis(100);

/// What Kafka, or the consumer itself, wants done.
pub(super) enum Urgent {
    /// The group gives partitions, or there is no group and these are all.
    Assign(Partitions),
    /// The group takes partitions.
    Revoke(Partitions),
    /// The handle has to read from elsewhere; it is left alone until it does.
    Reposition(Offsets),
    /// A position is outside its log.
    OutOfRange,
    /// Starts that must be committed before anything is shown of them.
    CommitStarts(Offsets),
    /// Without a group nobody tells of new partitions.
    CountPartitions,
}

/// Who wants a commit.
pub(super) enum CommitBy {
    /// The program.
    Caller(Reply<Offsets>),
    /// The interval has passed.
    Auto,
    /// The consumer ends; without a reply it was dropped, and what was returned last may not be
    /// done with.
    Close { reply: Option<Reply<()>> },
}

/// What the program asked for.
pub(super) enum Asked {
    Commit {
        by: CommitBy,
        /// What earlier tries have committed.
        committed: Offsets,
    },
    Seek {
        at: TopicPartition,
        offset: Offset,
        reply: Reply<()>,
    },
    Position {
        at: TopicPartition,
        reply: Reply<Offset>,
    },
}

/// An op that waits, at most until then.
pub(super) struct Queued {
    pub(super) op: Asked,
    pub(super) until: Instant,
}

/// What an op has found out or done.
pub(super) enum Done {
    Found {
        partitions: Partitions,
        found: Result<Found, Error>,
    },
    CommittedBeforeRevoke {
        partitions: Partitions,
        judged: Judged,
    },
    CommittedStarts {
        starts: Offsets,
        judged: Judged,
    },
    Repositioned {
        targets: Offsets,
        outcome: Result<(), Error>,
    },
    Counted(Result<BTreeMap<TopicName, i32>, Error>),
    Bounds {
        standing: Offsets,
        bounds: Result<PartitionMap<LogBounds>, Error>,
    },
    Committed {
        by: CommitBy,
        committed: Offsets,
        until: Instant,
        judged: Judged,
    },
}

impl Asked {
    pub(super) fn commit(by: CommitBy) -> Self {
        Self::Commit {
            by,
            committed: Offsets::new(),
        }
    }

    fn is_unwanted(&self) -> bool {
        match self {
            Self::Commit {
                by: CommitBy::Caller(reply),
                ..
            } => reply.is_closed(),
            Self::Commit { .. } => false,
            Self::Seek { reply, .. } => reply.is_closed(),
            Self::Position { reply, .. } => reply.is_closed(),
        }
    }
}

impl Worker {
    /// Starts the next ops, until one has to wait or none is left.
    pub(super) fn next_op(&mut self) {
        while self.running.is_none() && self.finished.is_none() {
            if let Some(op) = self.urgent.pop_front() {
                self.start_urgent(op);
            } else if let Some(queued) = self.next_asked() {
                self.start_asked(queued);
            } else {
                return;
            }
        }
    }

    fn start_urgent(&mut self, op: Urgent) {
        self.running = match op {
            Urgent::Assign(partitions) => Some(self.find_starts(partitions)),
            Urgent::Revoke(partitions) => Some(self.commit_before_revoke(partitions)),
            Urgent::Reposition(targets) => self.reposition(targets),
            Urgent::OutOfRange => Some(self.ask_bounds()),
            Urgent::CommitStarts(starts) => self.commit_starts(starts),
            Urgent::CountPartitions => Some(self.count_partitions()),
        };
    }

    fn next_asked(&mut self) -> Option<Queued> {
        if self.retry_at.is_some_and(|at| Instant::now() >= at) {
            self.retry_at = None;
        }
        self.asked.retain(|queued| !queued.op.is_unwanted());
        // Who ends without partitions has nothing to commit, and need not wait for any.
        let ends = |queued: &Queued| {
            let by = match &queued.op {
                Asked::Commit { by, .. } => by,
                Asked::Seek { .. } | Asked::Position { .. } => return false,
            };
            matches!(by, CommitBy::Close { .. })
        };
        let can_start = (self.has_partitions && self.retry_at.is_none())
            || self.asked.front().is_some_and(ends) && self.state.slots().is_empty();
        if can_start {
            self.asked.pop_front()
        } else {
            None
        }
    }

    fn start_asked(&mut self, Queued { op, until }: Queued) {
        match op {
            Asked::Commit { by, committed } => self.start_commit(by, committed, until),
            Asked::Seek { at, offset, reply } => {
                let _ = reply.send(self.seek(&at, offset));
            }
            Asked::Position { at, reply } => match self.position(&at) {
                Some(answer) => drop(reply.send(answer)),
                // Its start has yet to be committed.
                None => self.try_again(Queued {
                    op: Asked::Position { at, reply },
                    until,
                }),
            },
        }
    }

    /// Puts an op back that cannot be done yet, in front of what was asked after it.
    pub(super) fn try_again(&mut self, queued: Queued) {
        self.asked.push_front(queued);
        self.retry_at = Some(Instant::now() + AGAIN);
    }

    pub(super) fn apply(&mut self, done: Done) {
        match done {
            Done::Found { partitions, found } => self.assigned(partitions, found),
            Done::CommittedBeforeRevoke { partitions, judged } => {
                self.note_commit("before a revocation", &judged);
                self.revoked(&partitions);
            }
            Done::CommittedStarts { starts, judged } => self.committed_starts(starts, &judged),
            Done::Repositioned { targets, outcome } => self.repositioned(targets, outcome),
            Done::Counted(counts) => self.counted(counts),
            Done::Bounds { standing, bounds } => self.restart(&standing, bounds),
            Done::Committed {
                by,
                committed,
                until,
                judged,
            } => self.committed(by, committed, until, judged),
        }
    }

    /// Refuses what has waited too long for partitions.
    pub(super) fn refuse_overdue(&mut self) {
        let now = Instant::now();
        let (late, kept): (VecDeque<_>, VecDeque<_>) = std::mem::take(&mut self.asked)
            .into_iter()
            .partition(|queued| queued.until <= now);
        self.asked = kept;
        for Queued { op, .. } in late {
            let why = self.why_not_ready();
            match op {
                Asked::Commit { by, .. } => self.end_commit(by, Err(why)),
                Asked::Seek { reply, .. } => drop(reply.send(Err(why))),
                Asked::Position { reply, .. } => drop(reply.send(Err(why))),
            }
        }
    }

    fn why_not_ready(&self) -> Error {
        match self.broken().as_ref().or(self.obstacle.as_ref()) {
            Some(obstacle) => obstacle.clone(),
            None if self.brokers_down => super::serve::unreachable(),
            None => Error::Rebalancing,
        }
    }
}
