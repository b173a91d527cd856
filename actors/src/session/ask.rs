//! What reaches a session's mailbox.

use actix::Message;

use super::ops::Asked;
use super::reply::Reply;
use crate::{Answer, Assignment, Deadline, Error, Poll, Snapshot};

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
    pub(crate) fn refuse(self, error: Error) {
        match self {
            Self::Ready { reply, .. } | Self::Assignment { reply } => {
                drop(reply.send(Err(error)));
            }
            Self::Poll { reply, .. } => drop(reply.send(Err(error))),
            Self::Op(op) => op.refuse(error),
            Self::Snapshot { reply, .. } => drop(reply.send(Err(error))),
            Self::Panic { reply } => drop(reply.send(Err(error))),
        }
    }
}
