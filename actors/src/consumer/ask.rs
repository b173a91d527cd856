//! What a program asks of its consumer, and what is open between the two.

use sluice_types::{Offset, Offsets, TopicPartition};
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::record::ConsumedRecord;
use crate::Error;

/// An answer that comes once.
pub(super) type Reply<T> = oneshot::Sender<Result<T, Error>>;

/// What a program asks of its consumer.
pub(super) enum Ask {
    Poll {
        until: Instant,
        reply: Reply<Batch>,
    },
    Commit {
        until: Instant,
        reply: Reply<Offsets>,
    },
    Seek {
        at: TopicPartition,
        offset: Offset,
        until: Instant,
        reply: Reply<()>,
    },
    Position {
        at: TopicPartition,
        until: Instant,
        reply: Reply<Offset>,
    },
    Close {
        until: Instant,
        reply: Reply<()>,
    },
}

/// A poll that waits for records.
pub(super) struct WaitingPoll {
    pub(super) until: Instant,
    pub(super) reply: Reply<Batch>,
}

/// Records that the caller may or may not have got.
pub(super) struct OnItsWay {
    pub(super) number: u64,
    pub(super) delivered: oneshot::Receiver<()>,
}

/// Records on their way to the caller; they are delivered when it has said so.
pub(super) struct Batch {
    pub(super) records: Vec<ConsumedRecord>,
    pub(super) delivered: oneshot::Sender<()>,
}
