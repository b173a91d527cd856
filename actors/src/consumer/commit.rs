//! Commits: asked for, due, owed before a revocation or at the end.

use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use sluice_types::{Offsets, Partitions};
use tokio::time::Instant;

use super::ops::{Asked, CommitBy, Done, Queued, Urgent};
use super::worker::{Finished, Worker};
use crate::Error;
use crate::session::Judged;

/// How long one try may take; a rebalance waits for it.
const TRY: Duration = Duration::from_secs(5);
/// How long the last commit before a revocation may take.
const LAST_COMMIT: Duration = Duration::from_secs(3);

impl Worker {
    /// Queues an automatic commit if one is due.
    pub(super) fn queue_auto_commit(&mut self) {
        let Some(every) = self.settings.auto_commit.filter(|_| self.is_grouped()) else {
            return;
        };
        let is_auto = |queued: &Queued| {
            matches!(
                &queued.op,
                Asked::Commit {
                    by: CommitBy::Auto,
                    ..
                }
            )
        };
        let due = self.has_partitions
            && self.last_auto_commit.elapsed() >= every
            && !self.asked.iter().any(is_auto)
            && !self.state.owed().is_empty();
        if due {
            self.last_auto_commit = Instant::now();
            self.asked.push_back(Queued {
                op: Asked::commit(CommitBy::Auto),
                until: Instant::now() + TRY,
            });
        }
    }

    pub(super) fn is_grouped(&self) -> bool {
        self.settings.group.is_some()
    }

    pub(super) fn start_commit(&mut self, by: CommitBy, committed: Offsets, until: Instant) {
        let auto = self.settings.auto_commit.is_some() && self.is_grouped();
        let offsets = match &by {
            CommitBy::Caller(_) => self.state.owed_at_delete(),
            CommitBy::Auto => self.state.owed(),
            CommitBy::Close { .. } if !auto => Offsets::new(),
            CommitBy::Close { reply: Some(_) } => self.state.owed_at_delete(),
            CommitBy::Close { reply: None } => self.state.owed(),
        };
        if offsets.is_empty() {
            return self.end_commit(by, Ok(committed));
        }
        let (link, seek_seq) = (self.link.clone(), self.state.seek_seq());
        let patience = until.min(Instant::now() + TRY);
        let sending = async move {
            let judged = link.commit_and_wait(offsets, seek_seq, patience).await;
            Done::Committed {
                by,
                committed,
                until,
                judged,
            }
        };
        self.running = Some(sending.boxed());
    }

    /// Learns the outcome of one try.
    pub(super) fn committed(
        &mut self,
        by: CommitBy,
        mut committed: Offsets,
        until: Instant,
        judged: Judged,
    ) {
        self.note_commit("commit", &judged);
        let done = judged.committed.iter();
        committed.extend(done.map(|(at, offset)| (at, *offset)));
        let outcome = if judged.fenced {
            Err(fenced())
        } else if judged.unresolved {
            let what = "kafka did not say in time whether the positions were committed";
            Err(Error::OutcomeUnknown(what.to_owned()))
        } else if let Some(broken) = self.broken_with(&judged) {
            Err(broken)
        } else if let Some(error) = judged.error {
            Err(error)
        } else if !judged.again.is_empty() {
            return self.try_again(Queued {
                op: Asked::Commit { by, committed },
                until,
            });
        } else {
            Ok(committed)
        };
        self.end_commit(by, outcome);
    }

    /// Why what was not committed never will be.
    fn broken_with(&self, judged: &Judged) -> Option<Error> {
        let is_done = judged.error.is_none() && judged.again.is_empty();
        self.broken().filter(|_| !is_done)
    }

    /// Tells who wanted the commit.
    pub(super) fn end_commit(&mut self, by: CommitBy, outcome: Result<Offsets, Error>) {
        match by {
            CommitBy::Caller(reply) => drop(reply.send(outcome)),
            // Logged already, and due again after the interval.
            CommitBy::Auto => {}
            CommitBy::Close { reply } => {
                let outcome = outcome.map(drop);
                self.finished = Some(Finished { reply, outcome });
            }
        }
    }

    pub(super) fn note_commit(&mut self, what: &str, judged: &Judged) {
        self.state.committed(&judged.committed);
        if !judged.committed.is_empty() {
            self.brokers_down = false;
        }
        if let Some(error) = &judged.error {
            tracing::warn!(%error, what, "commit failed");
        }
    }

    /// Before partitions are given back, what is done with in them is committed.
    pub(super) fn commit_before_revoke(
        &mut self,
        partitions: Partitions,
    ) -> BoxFuture<'static, Done> {
        self.revoking = Some(partitions.clone());
        let mut owed = Offsets::new();
        if self.settings.auto_commit.is_some() && !self.link.handle.assignment_lost() {
            owed = self.state.owed();
            owed.retain(|at, _| partitions.contains(at));
        }
        let (link, seek_seq) = (self.link.clone(), self.state.seek_seq());
        async move {
            let until = Instant::now() + LAST_COMMIT;
            let judged = link.commit_and_wait(owed, seek_seq, until).await;
            Done::CommittedBeforeRevoke { partitions, judged }
        }
        .boxed()
    }

    /// Commits starts that nobody may see before.
    pub(super) fn commit_starts(
        &mut self,
        mut starts: Offsets,
    ) -> Option<BoxFuture<'static, Done>> {
        starts.retain(|at, _| self.state.holds(at));
        if starts.is_empty() {
            return None;
        }
        let (link, seek_seq) = (self.link.clone(), self.state.seek_seq());
        let committing = async move {
            let until = Instant::now() + TRY;
            let judged = link.commit_and_wait(starts.clone(), seek_seq, until).await;
            if judged.committed.is_empty() {
                tokio::time::sleep(super::assign::AGAIN).await;
            }
            Done::CommittedStarts { starts, judged }
        };
        Some(committing.boxed())
    }

    pub(super) fn committed_starts(&mut self, mut starts: Offsets, judged: &Judged) {
        self.note_commit("start", judged);
        for slot in self.state.slots_mut() {
            slot.starting &= !judged.committed.contains(&slot.at);
        }
        starts.retain(|at, _| !judged.committed.contains(at));
        if !starts.is_empty() {
            self.urgent.push_back(Urgent::CommitStarts(starts));
        }
    }
}

fn fenced() -> Error {
    Error::Broken("another consumer has taken the group.instance.id over".to_owned())
}
