//! What has happened, as clients saw it.

use std::collections::BTreeMap;
use std::time::Duration;

/// Offsets by partition.
pub type Offsets = BTreeMap<i32, i64>;

/// One thing that a client of a session has seen. Times count from the beginning of the history.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// The session's id.
    pub session: String,
    /// When the request was sent.
    pub began: Duration,
    /// When its outcome was known to the client.
    pub ended: Duration,
    /// What it was.
    pub what: What,
}

/// What a client has seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum What {
    /// A poll was answered with 200.
    Polled {
        /// Whether it bore the cursor of the answer before.
        after: bool,
        /// The generation in the answer.
        generation: i64,
        /// Partition and offset of each record, in order.
        records: Vec<(i32, i64)>,
    },
    /// A poll has no answer: what it took may have been on its way.
    PollLost {
        /// Whether it bore the cursor of the answer before: then nothing is lost with it.
        after: bool,
    },
    /// A commit was asked for.
    Committed {
        /// The next offsets to read: those of the answer, or those that were asked for.
        offsets: Offsets,
        /// Whether it was answered with 200. Otherwise it may have been made.
        sure: bool,
    },
    /// A seek was asked for.
    Sought {
        /// Where reading shall go on.
        offsets: Offsets,
        /// Whether it was answered with 200. Otherwise it may have been done.
        sure: bool,
    },
}

/// Where the group begins to read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Start {
    /// At the first record of each partition.
    #[default]
    Earliest,
    /// At what was the end when the first member subscribed: not before the first offsets, and
    /// not behind the second ones. A partition that is in neither begins at its first record.
    Between(Offsets, Offsets),
}

impl Start {
    pub(super) fn lowest(&self, partition: i32) -> i64 {
        match self {
            Self::Earliest => 0,
            Self::Between(low, _) => low.get(&partition).copied().unwrap_or(0),
        }
    }

    pub(super) fn highest(&self, partition: i32) -> i64 {
        match self {
            Self::Earliest => 0,
            Self::Between(_, high) => high.get(&partition).copied().unwrap_or(0),
        }
    }
}

/// All that clients of one group have seen of one topic, in the order in which they saw it.
#[derive(Debug, Clone, Default)]
pub struct History {
    /// Where the group begins.
    pub start: Start,
    /// What was seen, by the time at which it was known.
    pub events: Vec<Event>,
}

impl History {
    /// Adds what was seen last.
    pub fn push(&mut self, event: Event) {
        let place = self.events.partition_point(|e| e.ended <= event.ended);
        self.events.insert(place, event);
    }

    /// Returns the events of one session, for people.
    pub(super) fn around(&self, session: &str, at: Duration) -> Vec<&Event> {
        let near = |event: &&Event| {
            event.ended + Duration::from_secs(8) >= at && event.began <= at + Duration::from_secs(1)
        };
        let own = self.events.iter().filter(|event| event.session == session);
        own.filter(near).collect()
    }
}
