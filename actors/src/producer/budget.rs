//! Bytes that requests to write may hold on a node, from the first byte of a body until Kafka has
//! the record.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use prometheus::IntGauge;

/// There is no room for more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("requests to write hold all the bytes that they may")]
pub struct Full;

/// A bound of bytes. Clones share it.
#[derive(Clone)]
pub struct Budget(Arc<Inner>);

struct Inner {
    limit: u64,
    used: AtomicU64,
    shown: IntGauge,
}

impl Budget {
    /// A budget of so many bytes; what is used of it is shown in the gauge.
    pub(super) fn new(limit: u64, shown: IntGauge) -> Self {
        Self(Arc::new(Inner {
            limit,
            used: AtomicU64::new(0),
            shown,
        }))
    }

    /// A charge of nothing yet.
    pub fn charge(&self) -> Charge {
        Charge {
            budget: self.clone(),
            bytes: 0,
        }
    }

    /// What is used.
    pub fn used(&self) -> u64 {
        self.0.used.load(Ordering::Relaxed)
    }
}

impl fmt::Debug for Budget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Budget")
            .field("limit", &self.0.limit)
            .field("used", &self.used())
            .finish()
    }
}

/// A part of a budget. Dropped, it is free again.
#[derive(Debug)]
pub struct Charge {
    budget: Budget,
    bytes: u64,
}

impl Charge {
    /// Takes more of the budget, or nothing.
    ///
    /// # Errors
    /// [`Full`]: there is not that much left.
    pub fn grow(&mut self, bytes: u64) -> Result<(), Full> {
        let inner = &*self.budget.0;
        let more = |used: u64| used.checked_add(bytes).filter(|sum| *sum <= inner.limit);
        inner
            .used
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, more)
            .map_err(|_| Full)?;
        self.bytes += bytes;
        inner.shown.add(signed(bytes));
        Ok(())
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        let inner = &*self.budget.0;
        inner.used.fetch_sub(self.bytes, Ordering::Relaxed);
        inner.shown.sub(signed(self.bytes));
    }
}

fn signed(bytes: u64) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_fit_takes_nothing_and_what_is_dropped_is_free() {
        let shown = IntGauge::new("bytes", "bytes").unwrap();
        let budget = Budget::new(10, shown.clone());
        let (mut one, mut other) = (budget.charge(), budget.charge());
        one.grow(6).unwrap();
        assert_eq!(other.grow(5), Err(Full));
        assert_eq!(budget.used(), 6);
        other.grow(4).unwrap();
        assert_eq!(one.grow(u64::MAX), Err(Full));
        drop(one);
        assert_eq!((budget.used(), shown.get()), (4, 4));
        other.grow(6).unwrap();
        drop(other);
        assert_eq!((budget.used(), shown.get()), (0, 0));
    }
}
