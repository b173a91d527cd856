//! A session's connection to Kafka: its handle, and the commits that are under way on it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rdkafka::error::RDKafkaErrorCode as Code;
use sluice_types::{
    CreationStamp, Offsets, Partition, PartitionMap, Partitions, SeekSeq, TopicPartition,
};
use tokio::sync::{Notify, oneshot};
use tokio::time::{Instant, timeout_at};

use super::lease::Lease;
use super::stamp::CommitStamp;
use crate::kafka::{Cluster, CommitOutcome, Handle, ListedOffset, LogBounds, code_failure};
use crate::{Error, SeekTarget};

/// Handle and commits. Shared between the actor and the op that runs.
pub(crate) struct Link {
    pub(crate) handle: Handle,
    life: CreationStamp,
    manual: bool,
    /// Without it nothing is committed.
    lease: Lease,
    /// Asked about logs if it sees what the session sees; else the handle is.
    cluster: Option<Arc<Cluster>>,
    commits: Mutex<Commits>,
    settled: Notify,
}

#[derive(Default)]
struct Commits {
    last_number: u64,
    pending: HashMap<u64, Option<oneshot::Sender<CommitOutcome>>>,
}

/// A commit that has been sent.
pub(crate) struct Sent {
    offsets: Offsets,
    outcome: oneshot::Receiver<CommitOutcome>,
}

/// What became of a commit.
#[derive(Debug, Default)]
pub(crate) struct Judged {
    /// What the broker has acknowledged.
    pub(crate) committed: Offsets,
    /// What may be tried again while it is held.
    pub(crate) again: Offsets,
    /// What stands against the rest.
    pub(crate) error: Option<Error>,
    /// Another member has taken this one's place.
    pub(crate) fenced: bool,
    /// Nothing was heard by the deadline: it may still land.
    pub(crate) unresolved: bool,
}

impl Link {
    /// Commits of a `manual` link need the lease, and are refused for good while its group has
    /// members.
    pub(crate) fn new(
        handle: Handle,
        cluster: Option<Arc<Cluster>>,
        life: CreationStamp,
        manual: Option<Lease>,
    ) -> Self {
        Self {
            handle,
            life,
            manual: manual.is_some(),
            lease: manual.unwrap_or_else(Lease::not_needed),
            cluster,
            commits: Mutex::default(),
            settled: Notify::new(),
        }
    }

    /// *Blocking.* The offsets that targets stand for.
    pub(crate) fn resolve(
        &self,
        targets: &PartitionMap<SeekTarget>,
        wait: Duration,
    ) -> Result<Offsets, Error> {
        match &self.cluster {
            Some(cluster) => cluster.logs().resolve(targets, wait),
            None => self.handle.logs().resolve(targets, wait),
        }
    }

    /// *Blocking.* The bounds of the partitions' logs.
    pub(crate) fn bounds(
        &self,
        partitions: &Partitions,
        wait: Duration,
    ) -> Result<PartitionMap<LogBounds>, Error> {
        match &self.cluster {
            Some(cluster) => cluster.logs().bounds(partitions, wait),
            None => self.handle.logs().bounds(partitions, wait),
        }
    }

    /// Whether the handle takes part in its group's rebalancing.
    pub(crate) fn joins(&self) -> bool {
        !self.manual
    }

    fn commits(&self) -> MutexGuard<'_, Commits> {
        self.commits.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sends a commit, stamped as this session's. Without a lease, where one is needed, it is
    /// [`Error::NotHere`]: another owner may have committed since.
    fn commit(&self, offsets: Offsets, seek_seq: SeekSeq) -> Result<Sent, Error> {
        if !self.lease.holds() {
            return Err(Error::NotHere);
        }
        let (sender, outcome) = oneshot::channel();
        let number = {
            let mut commits = self.commits();
            commits.last_number += 1;
            let number = commits.last_number;
            commits.pending.insert(number, Some(sender));
            number
        };
        let stamp = CommitStamp {
            life: self.life,
            seek_seq,
            number,
        };
        if let Err(error) = self.handle.commit(&offsets, &stamp.to_string(), number) {
            self.commits().pending.remove(&number);
            return Err(error);
        }
        Ok(Sent { offsets, outcome })
    }

    /// Hands outcomes that have come to who waits for them.
    pub(crate) fn collect(&self) {
        let mut any = false;
        while let Some(outcome) = self.handle.next_commit() {
            any = true;
            let waiting = self.commits().pending.remove(&outcome.number).flatten();
            if let Some(waiting) = waiting {
                // Who waited may have given up at its deadline.
                let _ = waiting.send(outcome);
            }
        }
        if any {
            self.settled.notify_waiters();
        }
    }

    /// Waits until no commit is under way; false if that takes longer than `until`.
    pub(crate) async fn settled(&self, until: Instant) -> bool {
        loop {
            let settled = self.settled.notified();
            if self.commits().pending.is_empty() {
                return true;
            }
            if timeout_at(until, settled).await.is_err() {
                return self.commits().pending.is_empty();
            }
        }
    }

    /// Commits and waits for the outcome. While that of an earlier commit is open nothing is sent:
    /// librdkafka keeps commits back until a coordinator is there and may then send the earlier
    /// one behind this, which would be undone.
    pub(crate) async fn commit_and_wait(
        &self,
        offsets: Offsets,
        seek_seq: SeekSeq,
        until: Instant,
    ) -> Judged {
        if offsets.is_empty() {
            return Judged::default();
        }
        if !self.settled(until).await {
            let why = "a commit made before is still under way".to_owned();
            return Judged {
                error: Some(Error::KafkaUnavailable(why)),
                ..Judged::default()
            };
        }
        match self.commit(offsets, seek_seq) {
            Ok(sent) => self.judge(sent, until).await,
            Err(error) => Judged {
                error: Some(error),
                ..Judged::default()
            },
        }
    }

    async fn judge(&self, sent: Sent, until: Instant) -> Judged {
        let Sent { offsets, outcome } = sent;
        let Ok(Ok(outcome)) = timeout_at(until, outcome).await else {
            return Judged {
                unresolved: true,
                ..Judged::default()
            };
        };
        let mut judged = Judged::default();
        for (at, offset) in offsets.iter() {
            let code = outcome_of(&outcome, &at);
            match code.map(|code| self.verdict(code, &at)) {
                None => {
                    judged.committed.insert(&at, *offset);
                }
                Some(Verdict::Again) => {
                    judged.again.insert(&at, *offset);
                }
                Some(Verdict::Fenced) => judged.fenced = true,
                Some(Verdict::Never(error)) => judged.error = Some(error),
            }
        }
        judged
    }

    fn verdict(&self, code: Code, at: &TopicPartition) -> Verdict {
        match code {
            Code::UnknownMemberId | Code::IllegalGeneration | Code::RebalanceInProgress
                if self.manual =>
            {
                Verdict::Never(Error::GroupHasMembers)
            }
            Code::RebalanceInProgress
            | Code::IllegalGeneration
            | Code::UnknownMemberId
            | Code::AssignmentLost
            | Code::WaitingForCoordinator
            | Code::NotCoordinator
            | Code::CoordinatorNotAvailable
            | Code::CoordinatorLoadInProgress
            | Code::UnstableOffsetCommit
            | Code::BrokerTransportFailure
            | Code::AllBrokersDown
            | Code::OperationTimedOut
            | Code::RequestTimedOut => Verdict::Again,
            Code::FencedInstanceId => Verdict::Fenced,
            Code::UnknownTopicOrPartition => Verdict::Never(Error::PartitionNotFound(
                Partitions::from_iter([at.clone()]),
            )),
            code => Verdict::Never(code_failure(code)),
        }
    }
}

enum Verdict {
    Again,
    Fenced,
    Never(Error),
}

fn outcome_of(outcome: &CommitOutcome, at: &TopicPartition) -> Option<Code> {
    let is = |part: &&ListedOffset| {
        part.topic == at.topic.as_str() && Partition::new(part.partition) == Ok(at.partition)
    };
    match outcome.partitions.iter().find(is) {
        Some(ListedOffset {
            error: Some(error), ..
        }) => Some(*error),
        // A commit that failed as a whole marks no partition.
        _ => outcome.error.filter(|code| *code != Code::NoOffset),
    }
}
