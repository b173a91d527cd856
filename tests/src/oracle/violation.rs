//! What a history shows to have gone wrong.

use std::fmt;
use std::time::Duration;

/// A promise that was not kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// Whose client saw it; nobody's if something never came.
    pub session: Option<String>,
    /// When.
    pub at: Duration,
    /// What.
    pub kind: Kind,
}

/// How a promise was not kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// Records that Kafka holds came to nobody: offsets `from` up to, not including, `to`.
    Missing {
        /// The partition.
        partition: i32,
        /// The first offset.
        from: i64,
        /// Behind the last one.
        to: i64,
    },
    /// Reading went on behind records that nobody has committed or sought.
    Skipped {
        /// The partition.
        partition: i32,
        /// What should have come.
        expected: i64,
        /// What came.
        came: i64,
    },
    /// A record came again to a client that may not get it again.
    Repeated {
        /// The partition.
        partition: i32,
        /// What should have come.
        expected: i64,
        /// What came.
        came: i64,
    },
    /// Reading began before what the group had committed, or before a seek.
    Rewound {
        /// The partition.
        partition: i32,
        /// The lowest offset that may have come.
        floor: i64,
        /// What came.
        came: i64,
    },
    /// The records of a partition did not follow each other in one answer.
    Disorder {
        /// The partition.
        partition: i32,
        /// A record.
        before: i64,
        /// What came behind it.
        came: i64,
    },
    /// More is committed than anybody has got.
    CommittedAhead {
        /// The partition.
        partition: i32,
        /// What is committed.
        committed: i64,
        /// Behind the last record that somebody has got.
        delivered: i64,
    },
    /// Less is committed than has been answered as committed.
    CommitLost {
        /// The partition.
        partition: i32,
        /// What is committed.
        committed: i64,
        /// What was answered.
        answered: i64,
    },
    /// A request was answered as the contract does not allow.
    Refused {
        /// What was asked, and of which node.
        asked: String,
        /// Status, code and body.
        answer: String,
    },
    /// A connection broke although the node and its network were fine.
    Broken {
        /// What was asked, and of which node.
        asked: String,
        /// How it broke.
        error: String,
    },
    /// An answer came too late, or not at all.
    Late {
        /// What was asked, and of which node.
        asked: String,
        /// After how long it came, or was given up.
        took: Duration,
        /// What was allowed.
        allowed: Duration,
    },
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:9.3} s  ", self.at.as_secs_f64())?;
        if let Some(session) = &self.session {
            write!(f, "{session}: ")?;
        }
        match &self.kind {
            Kind::Missing {
                partition,
                from,
                to,
            } => {
                write!(f, "missing: {partition}/{from} up to {to} came to nobody")
            }
            Kind::Skipped {
                partition,
                expected,
                came,
            } => {
                write!(f, "skipped: {partition}/{came} came instead of {expected}")
            }
            Kind::Repeated {
                partition,
                expected,
                came,
            } => {
                write!(f, "repeated: {partition}/{came} came instead of {expected}")
            }
            Kind::Rewound {
                partition,
                floor,
                came,
            } => {
                write!(
                    f,
                    "rewound: {partition}/{came} came, but {floor} was committed or sought"
                )
            }
            Kind::Disorder {
                partition,
                before,
                came,
            } => {
                write!(f, "disorder: {partition}/{came} came behind {before}")
            }
            Kind::CommittedAhead {
                partition,
                committed,
                delivered,
            } => {
                write!(
                    f,
                    "committed ahead: {partition}/{committed}, delivered is {delivered}"
                )
            }
            Kind::CommitLost {
                partition,
                committed,
                answered,
            } => {
                write!(
                    f,
                    "commit lost: {partition}/{committed} is committed, {answered} was answered"
                )
            }
            Kind::Refused { asked, answer } => write!(f, "refused: {asked}: {answer}"),
            Kind::Broken { asked, error } => write!(f, "broken: {asked}: {error}"),
            Kind::Late {
                asked,
                took,
                allowed,
            } => {
                write!(f, "late: {asked}: {took:?}, allowed are {allowed:?}")
            }
        }
    }
}
