//! Ops that commit: what the client asks for, and what auto-commit owes.

use std::time::Duration;

use actix::{AsyncContext, Context};
use sluice_types::{Offsets, Partitions};
use tokio::time::Instant;

use super::actor::SessionActor;
use super::cursor::Cursor;
use super::link::Judged;
use super::ops::{Asked, OpFuture, then};
use super::reply::Reply;
use super::state::split_held;
use crate::{Commit, Committed, Deadline, Ended, Error};

/// How long to wait before a commit that met a rebalance is tried again.
const AGAIN: Duration = Duration::from_millis(100);
/// How long an automatic commit may take.
const AUTO_COMMIT: Duration = Duration::from_secs(10);

impl SessionActor {
    /// Commits for the client.
    pub(super) fn commit(
        &mut self,
        what: Commit,
        deadline: Deadline,
        reply: Reply<Committed>,
    ) -> Option<OpFuture> {
        let link = self.link.clone()?;
        let (offsets, not_assigned) = match self.to_commit(&what) {
            Ok(split) => split,
            Err(error) => {
                let _ = reply.send(Err(error));
                return None;
            }
        };
        if offsets.is_empty() {
            let answer = if not_assigned.is_empty() {
                let generation = self.state.generation();
                Ok(Committed {
                    offsets,
                    not_assigned,
                    generation,
                })
            } else {
                Err(Error::NotAssigned(not_assigned))
            };
            let _ = reply.send(answer);
            return None;
        }
        self.state.committed_by_client(&offsets);
        let seek_seq = self.state.seek_seq();
        let sent = offsets.clone();
        Some(Box::pin(async move {
            let judged = link
                .commit_and_wait(sent, seek_seq, deadline.instant())
                .await;
            then(move |actor, ctx| {
                actor.note_commit("client", &judged);
                if judged.fenced {
                    let _ = reply.send(Err(Error::NotHere));
                    return actor.stop(Ended::Fenced, ctx);
                }
                if !judged.again.is_empty() && !deadline.remaining().is_zero() {
                    let retry = Asked::Commit {
                        what,
                        deadline,
                        reply,
                    };
                    return actor.ask_again(retry, ctx);
                }
                let _ = reply.send(actor.commit_answer(judged, &offsets, not_assigned));
            })
        }))
    }

    /// What a commit is of: what the session holds of it, and what it does not.
    fn to_commit(&self, what: &Commit) -> Result<(Offsets, Partitions), Error> {
        match what {
            Commit::Delivered => Ok((self.state.delivered(), Partitions::new())),
            Commit::Offsets(offsets) => Ok(split_held(&self.state, offsets)),
            Commit::Cursor(text) => {
                let cursor =
                    Cursor::decode(text, &self.opening.claim.id).map_err(Error::InvalidCursor)?;
                Ok((self.state.counting(&cursor), Partitions::new()))
            }
        }
    }

    fn commit_answer(
        &self,
        judged: Judged,
        asked: &Offsets,
        not_assigned: Partitions,
    ) -> Result<Committed, Error> {
        if judged.unresolved {
            let partitions = asked.partitions();
            return Err(Error::OutcomeUnknown(format!(
                "kafka did not say in time whether {partitions:?} were committed; commit again"
            )));
        }
        match judged.error {
            Some(error) => Err(error),
            None if !judged.again.is_empty() => Err(self.why_not_ready()),
            None => Ok(Committed {
                offsets: judged.committed,
                not_assigned,
                generation: self.state.generation(),
            }),
        }
    }

    /// Puts an op that met a rebalance back, in front of what was asked after it.
    fn ask_again(&mut self, op: Asked, ctx: &mut Context<Self>) {
        if self.moving {
            return op.refuse(Error::Moving);
        }
        self.asked.push_front(op);
        self.retry_at = Some(Instant::now() + AGAIN);
        ctx.run_later(AGAIN, |actor, ctx| {
            actor.retry_at = None;
            actor.next_op(ctx);
        });
    }

    /// Commits what auto-commit owes.
    pub(super) fn auto_commit(&mut self) -> Option<OpFuture> {
        let link = self.link.clone()?;
        self.last_auto_commit = Instant::now();
        let owed = self.state.owed();
        if owed.is_empty() {
            return None;
        }
        let seek_seq = self.state.seek_seq();
        Some(Box::pin(async move {
            let until = Instant::now() + AUTO_COMMIT;
            let judged = link.commit_and_wait(owed, seek_seq, until).await;
            then(move |actor, ctx| {
                actor.note_commit("auto", &judged);
                if judged.fenced {
                    actor.stop(Ended::Fenced, ctx);
                }
            })
        }))
    }

    /// Takes note of what became of a commit.
    pub(super) fn note_commit(&mut self, kind: &str, judged: &Judged) {
        self.state.committed(&judged.committed);
        let outcome = if judged.fenced {
            "fenced"
        } else if judged.unresolved {
            "unknown"
        } else if judged.error.is_some() {
            "failed"
        } else if !judged.again.is_empty() {
            "retried"
        } else if judged.committed.is_empty() {
            return;
        } else {
            self.brokers_down = false;
            "ok"
        };
        self.env
            .metrics
            .commits
            .with_label_values(&[kind, outcome])
            .inc();
        if let Some(error) = judged.error.as_ref().filter(|_| kind != "client") {
            tracing::warn!(parent: &self.span, %error, kind, "commit failed");
        }
    }
}
