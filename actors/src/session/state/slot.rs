//! Where a session stands in one partition.

use sluice_types::{Offset, SeekSeq, TopicPartition};

use crate::session::trouble::Trouble;

/// One partition that the session holds.
#[derive(Clone, Debug)]
pub(crate) struct Slot {
    pub(crate) at: TopicPartition,
    /// The generation since which it is held without interruption.
    pub(super) held_since: i32,
    /// The last seek of it.
    pub(super) sought_at: SeekSeq,
    /// What the next poll returns first, as the client knows.
    pub(super) position: Offset,
    /// What the next answer takes first.
    pub(super) next: Offset,
    /// What the handle gives next.
    pub(super) fetched: Offset,
    /// Where a client that sends `after` stands, as far as it has said: the start, or the last
    /// cursor that counted.
    pub(super) known: Offset,
    /// Behind what this owner has delivered or sought; none before that.
    pub(super) delivered: Option<Offset>,
    /// Behind what the client has acknowledged by asking for more.
    pub(super) acknowledged: Option<Offset>,
    /// What this owner has committed last.
    pub(super) committed: Option<Offset>,
    /// Why nothing can be read from it.
    pub(super) trouble: Option<Trouble>,
    /// Whether the handle is told not to fetch it.
    pub(crate) paused: bool,
    /// Whether its start has yet to be committed before anything is shown of it.
    pub(crate) starting: bool,
    /// Whether the handle reads from elsewhere than it should.
    pub(super) astray: bool,
}

impl Slot {
    /// Why nothing can be read from it.
    pub(crate) fn trouble(&self) -> Option<&Trouble> {
        self.trouble.as_ref()
    }

    /// Whether nothing can be read from it.
    pub(crate) fn is_in_trouble(&self) -> bool {
        self.trouble.is_some()
    }

    /// Whether nothing can be read from it because nothing was ever committed.
    pub(crate) fn was_never_committed(&self) -> bool {
        self.trouble
            .is_some_and(|trouble| trouble.position.is_none())
    }
}
