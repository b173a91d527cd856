//! What reaches a session's mailbox.

use actix::Message;
use tokio::sync::oneshot;

use super::ops::Asked;
use crate::{Answer, Assignment, Deadline, Error, Poll, Snapshot};

/// A request to a session.
pub(crate) enum Ask {
    Ready {
        deadline: Deadline,
        reply: oneshot::Sender<Result<Assignment, Error>>,
    },
    Poll {
        poll: Poll,
        deadline: Deadline,
        reply: oneshot::Sender<Result<Answer, Error>>,
    },
    Op(Asked),
    Assignment {
        reply: oneshot::Sender<Result<Assignment, Error>>,
    },
    Snapshot {
        deadline: Deadline,
        reply: oneshot::Sender<Result<Snapshot, Error>>,
    },
    Panic,
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
    pub(crate) fn refuse(self, error: Error) {
        match self {
            Self::Ready { reply, .. } | Self::Assignment { reply } => {
                drop(reply.send(Err(error)));
            }
            Self::Poll { reply, .. } => drop(reply.send(Err(error))),
            Self::Op(op) => op.refuse(error),
            Self::Snapshot { reply, .. } => drop(reply.send(Err(error))),
            Self::Panic => {}
        }
    }
}
