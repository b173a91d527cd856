//! The clock of leases and silence.

use std::time::Duration;

use nix::time::{ClockId, clock_gettime};

use crate::Moment;

/// Reads a clock that goes on while the machine sleeps. Whatever holds or grants a lease takes one
/// of these, so that tests choose the time.
///
/// # To be kept for correctness
/// - It never goes back, and runs at the rate of real time.
/// - It counts the time for which the machine, or the process, was suspended.
pub trait Moments: Send + Sync + 'static {
    /// The moment now.
    fn now(&self) -> Moment;
}

/// The machine's clock that counts suspension.
#[derive(Debug, Clone, Copy, Default)]
pub struct BootClock;

/// The one that counts suspension there; on Linux the monotonic one does not.
#[cfg(any(target_os = "linux", target_os = "android"))]
const CLOCK: ClockId = ClockId::CLOCK_BOOTTIME;
#[cfg(not(any(target_os = "linux", target_os = "android")))]
const CLOCK: ClockId = ClockId::CLOCK_MONOTONIC;

impl Moments for BootClock {
    /// # Panics
    /// If the kernel does not have the clock: Linux has had it since 2.6.39.
    fn now(&self) -> Moment {
        let since_boot = clock_gettime(CLOCK).expect("the kernel has a clock since boot");
        Moment::from_origin(Duration::from(since_boot))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clock_goes_on() {
        let clock = BootClock;
        let earlier = clock.now();
        let mut now = clock.now();
        while now == earlier {
            now = clock.now();
        }
        assert!(now > earlier);
        assert!(now.since(earlier) < Duration::from_secs(60));
    }
}
