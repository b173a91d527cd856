//! Many proposals, one entry of the log.
//!
//! ```text
//!   proposals ──▶ all that wait ──▶ a majority is asked ──▶ one entry ──▶ an outcome for each
//! ```
//!
//! What arrives while an entry is on its way goes into the next one, so that the cost of a sync
//! here and on a majority is shared. What is once in the log of a leader cannot be taken back,
//! even when no majority gets to see it. So a majority is asked first: a leader that is cut off
//! says so, and changes nothing.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, timeout, timeout_at};

use super::quorum::{Leader, Quorum, ReadIndex};
use crate::store::codec::length;
use crate::{Command, Outcome};

/// Proposals that may wait. Further ones wait to wait.
const WAITING: usize = 1024;

/// Most commands of one entry.
const MOST_COMMANDS: usize = 256;

/// Most bytes of one entry, but for a first command that is longer.
const MOST_BYTES: usize = 1 << 20;

/// What became of a proposal.
#[derive(Debug)]
pub(crate) enum Proposed {
    /// It has been applied, as the entry before `next`.
    Applied { outcome: Outcome, next: u64 },
    /// This member does not lead. Nothing was done.
    NotLeader(Option<Leader>),
    /// No majority answers. Nothing was done.
    NoQuorum,
    /// It may have been applied, or may yet be.
    Unknown,
}

/// Takes proposals. Clones are the same.
#[derive(Clone)]
pub(crate) struct Proposals(mpsc::Sender<Waiting>);

struct Waiting {
    command: Command,
    claim: Claim,
    answer: oneshot::Sender<Proposed>,
}

/// Who decides about a proposal: its asker, who may give it up, or the log.
#[derive(Clone, Default)]
struct Claim(Arc<AtomicBool>);

impl Claim {
    /// Whether nobody was first.
    fn take(&self) -> bool {
        !self.0.swap(true, Ordering::SeqCst)
    }
}

impl Proposals {
    /// Starts the task that writes them. An entry that is not decided within the patience is
    /// waited for no longer.
    pub(super) fn start(quorum: Quorum, patience: Duration) -> Self {
        let (sender, waiting) = mpsc::channel(WAITING);
        let writer = Writer {
            quorum,
            waiting,
            left_over: None,
            patience,
        };
        tokio::spawn(writer.run());
        Self(sender)
    }

    /// Has the command applied.
    pub(super) async fn propose(&self, command: Command, deadline: Instant) -> Proposed {
        let (answer, answered) = oneshot::channel();
        let claim = Claim::default();
        let waiting = Waiting {
            command,
            claim: claim.clone(),
            answer,
        };
        if !matches!(timeout_at(deadline, self.0.send(waiting)).await, Ok(Ok(()))) {
            return Proposed::NoQuorum;
        }
        match timeout_at(deadline, answered).await {
            Ok(Ok(proposed)) => proposed,
            // It waits still, and is nobody's now.
            Ok(Err(_)) | Err(_) if claim.take() => Proposed::NoQuorum,
            Ok(Err(_)) | Err(_) => Proposed::Unknown,
        }
    }
}

struct Writer {
    quorum: Quorum,
    waiting: mpsc::Receiver<Waiting>,
    /// What did not fit in the last entry.
    left_over: Option<Waiting>,
    patience: Duration,
}

impl Writer {
    async fn run(mut self) {
        while let Some(batch) = self.next().await {
            let deadline = Instant::now() + self.patience;
            match self.quorum.check(deadline).await {
                Ok(()) => self.write(batch).await,
                Err(refused) => refuse(batch, &refused),
            }
        }
    }

    /// All that waits and fits; `None` when nobody is left who could ask.
    async fn next(&mut self) -> Option<Vec<Waiting>> {
        let first = match self.left_over.take() {
            Some(first) => first,
            None => self.waiting.recv().await?,
        };
        let size = |waiting: &Waiting| length(&waiting.command).unwrap_or(MOST_BYTES);
        let mut bytes = size(&first);
        let mut batch = vec![first];
        while batch.len() < MOST_COMMANDS {
            let Ok(waiting) = self.waiting.try_recv() else {
                break;
            };
            bytes += size(&waiting);
            if bytes > MOST_BYTES {
                self.left_over = Some(waiting);
                break;
            }
            batch.push(waiting);
        }
        Some(batch)
    }

    async fn write(&self, mut batch: Vec<Waiting>) {
        batch.retain(|waiting| waiting.claim.take());
        if batch.is_empty() {
            return;
        }
        let (commands, answers): (Vec<Command>, Vec<oneshot::Sender<Proposed>>) = batch
            .into_iter()
            .map(|waiting| (waiting.command, waiting.answer))
            .unzip();
        // A write that is given up stays in the log. And openraft answers "not leader" also to a
        // write that was in the log when another leader came: it may have been kept elsewhere.
        let written = timeout(self.patience, self.quorum.raft().client_write(commands));
        let Ok(Ok(response)) = written.await else {
            tell(answers, std::iter::repeat_with(|| Proposed::Unknown));
            return;
        };
        let next = response.log_id.index + 1;
        let applied = response.data.into_iter();
        tell(
            answers,
            applied.map(|outcome| Proposed::Applied { outcome, next }),
        );
    }
}

fn refuse(batch: Vec<Waiting>, refused: &ReadIndex) {
    let leader = match refused {
        ReadIndex::NotLeader(leader) => Some(leader.clone()),
        ReadIndex::NoQuorum | ReadIndex::Next(_) => None,
    };
    let answers = batch.into_iter().map(|waiting| waiting.answer);
    let refusal = || match &leader {
        Some(leader) => Proposed::NotLeader(leader.clone()),
        None => Proposed::NoQuorum,
    };
    tell(answers, std::iter::repeat_with(refusal));
}

/// Who has given up does not want to know.
fn tell(
    answers: impl IntoIterator<Item = oneshot::Sender<Proposed>>,
    proposed: impl Iterator<Item = Proposed>,
) {
    for (answer, proposed) in answers.into_iter().zip(proposed) {
        let _ = answer.send(proposed);
    }
}
