//! What librdkafka tells, in our own memory.

use rdkafka::error::RDKafkaErrorCode;
use rdkafka::types::RDKafkaRespErr;

use super::ffi::Message;

/// What stands first in a consumer's queue.
pub(crate) enum Polled<'q> {
    Record(Message<'q>),
    Failed {
        error: RDKafkaErrorCode,
        reason: String,
    },
    Rebalance {
        what: RDKafkaRespErr,
        partitions: Vec<ListedOffset>,
    },
    Log {
        /// As in syslog.
        level: i32,
        facility: String,
        line: String,
    },
    /// Something that nobody here asks for.
    Other,
}

/// What became of one commit.
#[derive(Debug)]
pub(crate) struct CommitOutcome {
    /// The number that the commit was sent with.
    pub(crate) number: u64,
    /// Why it failed as a whole.
    pub(crate) error: Option<RDKafkaErrorCode>,
    /// What became of each partition; may be empty if it failed as a whole.
    pub(crate) partitions: Vec<ListedOffset>,
}

/// A partition of an offsets list, with what was committed for it.
#[derive(Debug)]
pub(crate) struct ListedOffset {
    pub(crate) topic: String,
    pub(crate) partition: i32,
    /// Raw, negative if there is none.
    pub(crate) offset: i64,
    /// The committer's text; what is not UTF-8 is replaced.
    pub(crate) metadata: String,
    pub(crate) error: Option<RDKafkaErrorCode>,
}
