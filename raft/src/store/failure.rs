//! The end of a store.

use std::fmt::Display;
use std::sync::Arc;

use tokio::sync::watch;

/// The volume did not take, or did not give back, what it should: the process can take no further
/// part in the consensus, since it cannot know what the volume holds.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what} failed: {reason}")]
pub struct StoreFailed {
    /// What was being done.
    pub what: &'static str,
    /// What the system said.
    pub reason: Arc<str>,
}

/// Tells the owner of a store of its end.
#[derive(Debug, Clone)]
pub struct Failure {
    receiver: watch::Receiver<Option<StoreFailed>>,
}

impl Failure {
    /// Waits until the store has failed: the first failure, the others follow from it. Pends for
    /// ever when the store is closed in good order. A dropped future loses nothing.
    pub async fn failed(&mut self) -> StoreFailed {
        loop {
            if let Some(failed) = self.receiver.borrow_and_update().clone() {
                return failed;
            }
            if self.receiver.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }
}

/// Where the parts of a store report that they have failed. Clones report to the same owner.
#[derive(Debug, Clone)]
pub(crate) struct Failing {
    sender: watch::Sender<Option<StoreFailed>>,
}

impl Failing {
    pub(super) fn new() -> Self {
        Self {
            sender: watch::Sender::new(None),
        }
    }

    /// For the owner.
    pub(super) fn subscribe(&self) -> Failure {
        Failure {
            receiver: self.sender.subscribe(),
        }
    }

    /// The failure that has happened, if one has.
    pub(super) fn get(&self) -> Option<StoreFailed> {
        self.sender.borrow().clone()
    }

    /// Reports a failure; the owner is told of the first only.
    pub(super) fn report(&self, what: &'static str, error: &dyn Display) -> StoreFailed {
        let reason = error.to_string().into();
        let failed = StoreFailed { what, reason };
        self.sender.send_if_modified(|known| {
            let is_first = known.is_none();
            known.get_or_insert_with(|| failed.clone());
            is_first
        });
        failed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_owner_is_told_of_the_first_failure() {
        let failing = Failing::new();
        let mut failure = failing.subscribe();
        failing.clone().report("append", &"disk full");
        failing.report("vote", &"the disk failed before");
        assert_eq!(
            failure.failed().await.to_string(),
            "append failed: disk full"
        );
        assert_eq!(failing.get().map(|failed| failed.what), Some("append"));
    }
}
