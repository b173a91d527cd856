//! The bytes of answers on their way to clients.

use std::num::NonZeroU64;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::Notify;

/// What a node allows all answers on their way together, whether they are its own sessions' or
/// other nodes'. Clones are the same.
#[derive(Clone, Debug)]
pub struct AnswerBudget(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    limit: u64,
    used: AtomicU64,
    freed: Notify,
}

impl AnswerBudget {
    /// A budget of so many bytes, all free.
    pub fn new(limit: u64) -> Self {
        Self(Arc::new(Inner {
            limit,
            used: AtomicU64::new(0),
            freed: Notify::new(),
        }))
    }

    /// Bytes that another answer may have now; never less than one, which lets one record through.
    pub fn room(&self) -> NonZeroU64 {
        let used = self.0.used.load(Ordering::Relaxed);
        let room = self.0.limit.saturating_sub(used);
        NonZeroU64::new(room).unwrap_or(NonZeroU64::MIN)
    }

    /// Counts an answer, whether or not there is room for it, until what is returned is dropped.
    pub fn hold(&self, bytes: u64) -> HeldBytes {
        self.0.used.fetch_add(bytes, Ordering::Relaxed);
        HeldBytes {
            budget: self.clone(),
            bytes,
        }
    }

    /// As [`hold`](Self::hold), once there is room: one that is larger than the whole budget gets
    /// its turn when nothing else is on its way. Later ones may come first, if they are smaller.
    ///
    /// A dropped future has counted nothing.
    pub async fn admit(&self, bytes: u64) -> HeldBytes {
        loop {
            // Before the look, so that what is freed between it and the wait is not missed.
            let mut freed = std::pin::pin!(self.0.freed.notified());
            freed.as_mut().enable();
            if let Some(held) = self.try_hold(bytes) {
                return held;
            }
            freed.await;
        }
    }

    fn try_hold(&self, bytes: u64) -> Option<HeldBytes> {
        let grown = |used: u64| {
            let all = used.saturating_add(bytes);
            (used == 0 || all <= self.0.limit).then_some(all)
        };
        let used = &self.0.used;
        let updated = used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, grown);
        updated.ok().map(|_| HeldBytes {
            budget: self.clone(),
            bytes,
        })
    }
}

/// An answer on its way. Dropped, its bytes are free again.
#[derive(Debug)]
pub struct HeldBytes {
    budget: AnswerBudget,
    bytes: u64,
}

impl Drop for HeldBytes {
    fn drop(&mut self) {
        let inner = &self.budget.0;
        inner.used.fetch_sub(self.bytes, Ordering::Relaxed);
        inner.freed.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;

    #[test]
    fn what_is_on_its_way_leaves_less_room_but_always_for_one_record() {
        let budget = AnswerBudget::new(10);
        assert_eq!(budget.room().get(), 10);
        let first = budget.hold(7);
        assert_eq!(budget.room().get(), 3);
        let second = budget.hold(7);
        assert_eq!(budget.room().get(), 1);
        drop((first, second));
        assert_eq!(budget.room().get(), 10);
    }

    #[test]
    fn an_answer_is_admitted_when_there_is_room_for_it() {
        let budget = AnswerBudget::new(10);
        let first = budget.admit(7).now_or_never().unwrap();
        let second = budget.admit(3).now_or_never().unwrap();
        let mut waiting = Box::pin(budget.admit(4));
        assert!(waiting.as_mut().now_or_never().is_none());
        drop(second);
        assert!(waiting.as_mut().now_or_never().is_none(), "three are free");
        drop(first);
        assert!(waiting.as_mut().now_or_never().is_some());
    }

    #[test]
    fn an_answer_beyond_the_budget_is_admitted_alone() {
        let budget = AnswerBudget::new(10);
        let first = budget.hold(1);
        let mut large = Box::pin(budget.admit(100));
        assert!(large.as_mut().now_or_never().is_none());
        drop(first);
        let held = large.as_mut().now_or_never().unwrap();
        assert_eq!(budget.room().get(), 1);
        drop(held);
    }
}
