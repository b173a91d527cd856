//! The sessions that requests wait for at this node, whoever owns them.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use sluice_types::ConsumerId;

/// Counts, by session, the requests that wait.
#[derive(Debug, Default)]
pub(super) struct Waiting(Mutex<HashMap<ConsumerId, usize>>);

impl Waiting {
    /// Notes that a request waits for the session, for as long as the guard lives.
    pub(super) fn begin(&self, id: &ConsumerId) -> Wait<'_> {
        *self.counts().entry(id.clone()).or_default() += 1;
        Wait {
            waiting: self,
            id: id.clone(),
        }
    }

    /// Some sessions that requests wait for, `most` of them at most.
    pub(super) fn some(&self, most: usize) -> Vec<ConsumerId> {
        self.counts().keys().take(most).cloned().collect()
    }

    fn counts(&self) -> MutexGuard<'_, HashMap<ConsumerId, usize>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// While it lives, a request waits.
#[derive(Debug)]
pub(super) struct Wait<'a> {
    waiting: &'a Waiting,
    id: ConsumerId,
}

impl Drop for Wait<'_> {
    fn drop(&mut self) {
        let mut counts = self.waiting.counts();
        if let Some(count) = counts.get_mut(&self.id) {
            *count -= 1;
            if *count == 0 {
                counts.remove(&self.id);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_is_waited_for_until_the_last_request_has_gone() {
        let waiting = Waiting::default();
        let ids: [ConsumerId; 2] = ["a", "b"].map(|id| id.parse().unwrap());
        let first = waiting.begin(&ids[0]);
        let second = waiting.begin(&ids[0]);
        assert_eq!(waiting.some(9), [ids[0].clone()]);
        drop(first);
        let other = waiting.begin(&ids[1]);
        assert_eq!(waiting.some(9).len(), 2);
        assert_eq!(waiting.some(1).len(), 1);
        drop((second, other));
        assert!(waiting.some(9).is_empty());
    }
}
