//! A running session as a node sees it.

use std::fmt;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use actix::Addr;
use sluice_types::{Claim, CreationStamp, Partitions, SessionSpec, Timestamp};
use tokio::sync::oneshot;
use tokio::time::timeout_at;

use crate::session::{Ask, Asked, Departure, Fate, Finish, Lease, Reply, SessionActor};
use crate::{
    Answer, Assignment, Commit, Committed, Deadline, Error, HandedOver, HeldBytes, Poll, Positions,
    Record, Seek, Snapshot, Sought,
};

/// How much longer than its deadline a request waits for the actor's own word on it.
const GRACE: Duration = Duration::from_secs(1);

/// What is needed to run a session.
#[derive(Clone, Debug)]
pub struct Opening {
    /// The right to run it: permits exactly one Kafka handle.
    pub claim: Claim,
    /// Tells this life of the id from others.
    pub stamp: CreationStamp,
    /// What the client asked for.
    pub spec: SessionSpec,
    /// What the registry holds of it.
    pub record: Record,
    /// When the session was created.
    pub created_at: Timestamp,
    /// Whether it has been another owner's, or this one's before: a session without an owner is
    /// worse than a full node, so that these may be half as many again as the node may have.
    pub is_takeover: bool,
}

/// Why a session is no longer run here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ended {
    /// Its client was silent for the session timeout.
    Expired,
    /// Its actor panicked.
    Panicked,
    /// Another member took its place in the group, or its claim no longer holds.
    Fenced,
    /// The lease under which it was served has ended.
    LeaseLost,
    /// Kafka refuses it for good, or the handle broke.
    Failed(Error),
}

/// What a session's node must act on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionEvent {
    /// The session and the ownership under which it ran.
    pub claim: Claim,
    /// What happened.
    pub ended: Ended,
}

/// Told when an answer has been handed whole to the client's connection.
///
/// Dropped without [`delivered`](Self::delivered), the answer counts as lost and its records come
/// with the next poll.
pub struct AnswerFate {
    number: u64,
    delivered: bool,
    session: Addr<SessionActor>,
    lease: Lease,
    _held: HeldBytes,
}

impl AnswerFate {
    pub(crate) fn new(
        number: u64,
        session: Addr<SessionActor>,
        lease: Lease,
        held: HeldBytes,
    ) -> Self {
        Self {
            number,
            delivered: false,
            session,
            lease,
            _held: held,
        }
    }

    /// Whether the first byte of the answer may be written: to be asked right before that. If it
    /// may not, the session is another's to serve by now, and is to be asked there.
    pub fn may_begin(&self) -> bool {
        self.lease.holds()
    }

    /// The answer has been handed over whole.
    pub fn delivered(mut self) {
        self.delivered = true;
    }
}

impl Drop for AnswerFate {
    fn drop(&mut self) {
        self.session.do_send(Fate {
            number: self.number,
            delivered: self.delivered,
        });
    }
}

impl fmt::Debug for AnswerFate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AnswerFate")
            .field("number", &self.number)
            .finish_non_exhaustive()
    }
}

/// A running session. Cheap to clone; outlives the actor, whose absence is [`Error::NotHere`].
#[derive(Clone)]
pub struct SessionHandle {
    pub(crate) claim: Arc<Claim>,
    pub(crate) spec: Arc<SessionSpec>,
    pub(crate) actor: Addr<SessionActor>,
    pub(crate) ended: Arc<OnceLock<Ended>>,
}

impl SessionHandle {
    /// The ownership under which the session runs.
    pub fn claim(&self) -> &Claim {
        &self.claim
    }

    /// What the client asked for.
    pub fn spec(&self) -> &SessionSpec {
        &self.spec
    }

    /// Waits until the group has given the session its partitions, or the deadline has passed
    /// (then: what it has). Renews the session.
    ///
    /// # Errors
    /// What keeps the session from its partitions: [`Error::AccessDenied`],
    /// [`Error::InconsistentProtocol`], [`Error::NoCommittedOffset`];
    /// [`Error::KafkaUnavailable`] when no broker was reached by the deadline.
    pub async fn ready(&self, deadline: Deadline) -> Result<Assignment, Error> {
        self.ask(deadline, |reply| Ask::Ready { deadline, reply })
            .await
    }

    /// Waits for records. A dropped future takes nothing. Renews the session.
    ///
    /// # Errors
    /// [`Error::Superseded`] by a newer poll, [`Error::TooManyWaiting`], [`Error::InvalidCursor`],
    /// [`Error::OffsetOutOfRange`], [`Error::KafkaUnavailable`] if no broker could be reached,
    /// and what keeps the session from its partitions.
    pub async fn poll(&self, poll: Poll, deadline: Deadline) -> Result<Answer, Error> {
        self.ask(deadline, |reply| Ask::Poll {
            poll,
            deadline,
            reply,
        })
        .await
    }

    /// Commits and waits for the broker's word. A rebalance is waited out. Renews the session.
    ///
    /// # Errors
    /// [`Error::NotAssigned`] if nothing of it is held, [`Error::GroupHasMembers`],
    /// [`Error::InvalidCursor`], [`Error::Rebalancing`], [`Error::OutcomeUnknown`] if the broker
    /// did not say in time.
    pub async fn commit(&self, what: Commit, deadline: Deadline) -> Result<Committed, Error> {
        self.ask(deadline, |reply| {
            Ask::Op(Asked::Commit {
                what,
                deadline,
                reply,
            })
        })
        .await
    }

    /// Moves positions, all or none. Renews the session.
    ///
    /// # Errors
    /// [`Error::NotAssigned`], [`Error::KafkaUnavailable`], [`Error::NoQuorum`],
    /// [`Error::OutcomeUnknown`] if a rebalance came between.
    pub async fn seek(&self, what: Seek, deadline: Deadline) -> Result<Sought, Error> {
        self.ask(deadline, |reply| {
            Ask::Op(Asked::Seek {
                what,
                deadline,
                reply,
            })
        })
        .await
    }

    /// The next offsets that a poll returns. Waits for the partitions. Renews the session.
    ///
    /// # Errors
    /// [`Error::Rebalancing`] and what else keeps the session from its partitions.
    pub async fn positions(&self, deadline: Deadline) -> Result<Positions, Error> {
        self.ask(deadline, |reply| {
            Ask::Op(Asked::Positions { deadline, reply })
        })
        .await
    }

    /// Replaces group assignment by these partitions. Renews the session.
    ///
    /// # Errors
    /// [`Error::TopicNotFound`], [`Error::PartitionNotFound`]: nothing has changed then.
    pub async fn assign(
        &self,
        partitions: Partitions,
        deadline: Deadline,
    ) -> Result<Assignment, Error> {
        self.ask(deadline, |reply| {
            Ask::Op(Asked::Assign {
                partitions,
                deadline,
                reply,
            })
        })
        .await
    }

    /// The partitions held now. Does not renew the session.
    ///
    /// # Errors
    /// [`Error::NotHere`].
    pub async fn assignment(&self) -> Result<Assignment, Error> {
        let deadline = Deadline::after(GRACE);
        self.ask(deadline, |reply| Ask::Assignment { reply }).await
    }

    /// The session as it is. Does not renew the session.
    ///
    /// # Errors
    /// [`Error::NotHere`].
    pub async fn snapshot(&self, deadline: Deadline) -> Result<Snapshot, Error> {
        self.ask(deadline, |reply| Ask::Snapshot { deadline, reply })
            .await
    }

    /// First step of a planned departure: has the session bring what it does to an end, and says
    /// where it stands; `None` if it never had partitions, so that there is nothing that the next
    /// owner must know.
    ///
    /// The waiting poll is answered with what is there; the answer on its way, the commit under way
    /// and a rebalance are awaited. Requests get [`Error::Moving`] from here on, until
    /// [`depart`](Self::depart) ends the session here or [`resume`](Self::resume) has it go on. On
    /// an error, or when the future is dropped, it goes on by itself.
    ///
    /// # Errors
    /// [`Error::Moving`] if it is being handed over already; [`Error::KafkaTimeout`],
    /// [`Error::KafkaUnavailable`] and what else keeps Kafka from saying what is committed;
    /// [`Error::NotHere`].
    pub async fn hand_over(&self, deadline: Deadline) -> Result<Option<HandedOver>, Error> {
        let resuming = Resuming(Some(self));
        let handed_over = self
            .ask(deadline, |reply| Ask::HandOver { deadline, reply })
            .await;
        if let Ok(_) | Err(Error::Moving) = handed_over {
            resuming.forget();
        }
        handed_over
    }

    /// Ends a handover that has come to nothing: the session goes on from where it stands.
    pub fn resume(&self) {
        self.actor.do_send(Ask::Resume);
    }

    /// First step of a delete: answers the pending poll with no records, refuses further
    /// requests with [`Error::NotHere`], and makes the final commit if auto-commit owes one.
    pub async fn finish(&self, deadline: Deadline) {
        self.finish_because(Finish::Deleted, deadline).await;
    }

    /// As [`finish`](Self::finish).
    pub(crate) async fn finish_because(&self, why: Finish, deadline: Deadline) {
        let (reply, done) = oneshot::channel();
        self.actor.do_send(Ask::Op(Asked::Finish {
            why,
            deadline,
            reply,
        }));
        let _ = timeout_at(deadline.instant() + GRACE, done).await;
    }

    /// Last step of a delete: leaves the group and closes the handle. Returns whether the group
    /// was left by the deadline; the handle is closed in either case.
    pub async fn leave(&self, deadline: Deadline) -> bool {
        self.depart(Departure::Leave, deadline).await
    }

    /// Closes the handle and ends the session here: last step of a planned departure, with
    /// [`Departure::Stay`]. The node is not told of this end. Returns whether the actor has let go of
    /// the handle by the deadline; it is closed behind that.
    pub async fn depart(&self, departure: Departure, deadline: Deadline) -> bool {
        let (reply, done) = oneshot::channel();
        self.actor.do_send(Ask::Op(Asked::Leave {
            departure,
            deadline,
            reply,
        }));
        matches!(
            timeout_at(deadline.instant() + GRACE, done).await,
            Ok(Ok(true))
        )
    }

    /// Ends the session at once, without leaving the group. Returns whether it has ended by the
    /// deadline.
    pub(crate) async fn abandon(&self, deadline: Deadline) -> bool {
        let (reply, done) = oneshot::channel();
        self.actor.do_send(Ask::Abandon { deadline, reply });
        matches!(timeout_at(deadline.instant(), done).await, Ok(Ok(true)))
    }

    /// Makes the session's actor panic while it serves this request, to show what that does.
    /// Returns what the request is told. For tests.
    pub async fn panic_for_tests(&self) -> Result<(), Error> {
        let deadline = Deadline::after(GRACE);
        self.ask(deadline, |reply| Ask::Panic { reply }).await
    }

    async fn ask<T>(
        &self,
        deadline: Deadline,
        ask: impl FnOnce(Reply<T>) -> Ask,
    ) -> Result<T, Error> {
        let (reply, answer) = Reply::new();
        let asked = async {
            // What becomes of the request, the reply tells: dropped with the mailbox, too.
            let _ = self.actor.send(ask(reply)).await;
            answer.await.unwrap_or_else(|_| Err(self.lost()))
        };
        match timeout_at(deadline.instant() + GRACE, asked).await {
            Ok(answer) => answer,
            Err(_) => Err(Error::KafkaTimeout),
        }
    }

    /// Why there was no answer.
    fn lost(&self) -> Error {
        match self.ended.get() {
            Some(Ended::Panicked) => Error::SessionFailed,
            Some(Ended::Expired | Ended::Fenced | Ended::LeaseLost | Ended::Failed(_)) => {
                Error::NotHere
            }
            None if !self.actor.connected() => Error::NotHere,
            None => Error::OutcomeUnknown(
                "a rebalance came before the request was done; ask where the session stands"
                    .to_owned(),
            ),
        }
    }
}

/// Has a session go on whose handover has come to nothing.
struct Resuming<'a>(Option<&'a SessionHandle>);

impl Resuming<'_> {
    fn forget(mut self) {
        self.0 = None;
    }
}

impl Drop for Resuming<'_> {
    fn drop(&mut self) {
        if let Some(session) = self.0 {
            session.resume();
        }
    }
}
