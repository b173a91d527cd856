//! How long to wait before trying again.

use std::time::Duration;

const SHORTEST: Duration = Duration::from_millis(100);
const LONGEST: Duration = Duration::from_secs(10);

/// Waits that double from 0.1 s to 10 s, each shortened by up to half of it, so that what failed
/// together is not tried again together.
#[derive(Debug)]
pub(super) struct Backoff {
    random: u64,
}

impl Backoff {
    /// The same seed gives the same waits.
    pub(super) fn new(seed: u64) -> Self {
        Self { random: seed }
    }

    /// The wait after this many failures in a row.
    pub(super) fn delay(&mut self, failures: u32) -> Duration {
        let doublings = failures.saturating_sub(1).min(16);
        let whole = SHORTEST.saturating_mul(1 << doublings).min(LONGEST);
        whole.mul_f64(1.0 - self.fraction() / 2.0)
    }

    /// Evenly from 0 to 1: SplitMix64, more than good enough to spread retries.
    fn fraction(&mut self) -> f64 {
        self.random = self.random.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.random;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^= mixed >> 31;
        f64::from((mixed >> 32) as u32) / f64::from(u32::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_ten_seconds() {
        let mut backoff = Backoff::new(7);
        for (failures, whole) in [
            (1, 100),
            (2, 200),
            (4, 800),
            (8, 10_000),
            (u32::MAX, 10_000),
        ] {
            let delay = backoff.delay(failures);
            let whole = Duration::from_millis(whole);
            assert!(
                delay <= whole && delay >= whole / 2,
                "{failures}: {delay:?}"
            );
        }
    }

    #[test]
    fn waits_differ_but_a_seed_repeats_them() {
        let waits = |seed| {
            let mut backoff = Backoff::new(seed);
            [backoff.delay(5), backoff.delay(5)]
        };
        assert_eq!(waits(1), waits(1));
        assert_ne!(waits(1), waits(2));
        assert_ne!(waits(1)[0], waits(1)[1]);
    }
}
