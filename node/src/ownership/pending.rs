//! Subscribes that have made nothing yet, so that a delete of their id can overtake them.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use sluice_types::ConsumerId;
use tokio::sync::watch;

/// The subscribes under way, by id.
#[derive(Debug, Default)]
pub(super) struct Pending(Mutex<HashMap<ConsumerId, Entry>>);

#[derive(Debug, Default)]
struct Entry {
    subscribes: usize,
    /// Counts deletes.
    overtaken: watch::Sender<u64>,
}

impl Pending {
    /// Notes that a subscribe begins; as many [`end`](Self::end) as there were begins. Told on the
    /// receiver: a delete has come, and the subscribe is to make nothing any more.
    pub(super) fn begin(&self, id: &ConsumerId) -> watch::Receiver<u64> {
        let mut entries = self.entries();
        let entry = entries.entry(id.clone()).or_default();
        entry.subscribes += 1;
        entry.overtaken.subscribe()
    }

    /// Notes that a subscribe makes nothing any more, or has made it.
    pub(super) fn end(&self, id: &ConsumerId) {
        let mut entries = self.entries();
        if let Some(entry) = entries.get_mut(id) {
            entry.subscribes -= 1;
            if entry.subscribes == 0 {
                entries.remove(id);
            }
        }
    }

    /// Tells the subscribes of this id that a delete has come. Returns whether there are any.
    pub(super) fn overtake(&self, id: &ConsumerId) -> bool {
        let entries = self.entries();
        let Some(entry) = entries.get(id) else {
            return false;
        };
        entry.overtaken.send_modify(|deletes| *deletes += 1);
        true
    }

    fn entries(&self) -> MutexGuard<'_, HashMap<ConsumerId, Entry>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_delete_overtakes_the_subscribes_before_it_and_no_others() {
        let pending = Pending::default();
        let id: ConsumerId = "c".parse().unwrap();
        assert!(!pending.overtake(&id));
        let early = pending.begin(&id);
        assert!(pending.overtake(&id));
        let late = pending.begin(&id);
        assert!(early.has_changed().unwrap());
        assert!(!late.has_changed().unwrap());
        pending.end(&id);
        assert!(pending.overtake(&id));
        assert!(late.has_changed().unwrap());
        pending.end(&id);
        assert!(!pending.overtake(&id));
    }
}
