//! What reaches a session's mailbox.

use actix::Message;
use tokio::sync::oneshot;

use super::ops::Asked;
use super::reply::Reply;
use crate::{Answer, Assignment, Deadline, Error, HandedOver, Poll, Snapshot};

/// A request to a session.
pub(crate) enum Ask {
    Ready {
        deadline: Deadline,
        reply: Reply<Assignment>,
    },
    Poll {
        poll: Poll,
        deadline: Deadline,
        reply: Reply<Answer>,
    },
    Op(Asked),
    Assignment {
        reply: Reply<Assignment>,
    },
    Snapshot {
        deadline: Deadline,
        reply: Reply<Snapshot>,
    },
    /// Bring what was begun to an end, begin nothing new, and say where the session stands;
    /// nothing if it never had partitions.
    HandOver {
        deadline: Deadline,
        reply: Reply<Option<HandedOver>>,
    },
    /// End at once: the node's right to run it has ended. The member stays in the group.
    Abandon {
        deadline: Deadline,
        reply: oneshot::Sender<bool>,
    },
    /// Serve again: the session is not moved after all.
    Resume,
    Panic {
        reply: Reply<()>,
    },
}

impl Message for Ask {
    type Result = ();
}

/// What became of an answer.
pub(crate) struct Fate {
    pub(crate) number: u64,
    pub(crate) delivered: bool,
}

impl Message for Fate {
    type Result = ();
}

impl Ask {
    /// Whether the session ends by it.
    pub(super) fn ends_session(&self) -> bool {
        match self {
            Self::Op(op) => op.ends_session(),
            Self::Abandon { .. } => true,
            _ => false,
        }
    }

    /// Whether a session that is being handed over leaves it to where it goes on.
    pub(super) fn is_served(&self) -> bool {
        match self {
            Self::Ready { .. } | Self::Poll { .. } | Self::Op(_) | Self::Assignment { .. } => true,
            Self::HandOver { .. }
            | Self::Abandon { .. }
            | Self::Resume
            | Self::Snapshot { .. }
            | Self::Panic { .. } => false,
        }
    }

    pub(crate) fn refuse(self, error: Error) {
        match self {
            Self::Ready { reply, .. } | Self::Assignment { reply } => {
                drop(reply.send(Err(error)));
            }
            Self::Poll { reply, .. } => drop(reply.send(Err(error))),
            Self::Op(op) => op.refuse(error),
            Self::HandOver { reply, .. } => drop(reply.send(Err(error))),
            Self::Abandon { reply, .. } => drop(reply.send(false)),
            Self::Resume => {}
            Self::Snapshot { reply, .. } => drop(reply.send(Err(error))),
            Self::Panic { reply } => drop(reply.send(Err(error))),
        }
    }
}
