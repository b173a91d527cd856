//! Wall time, as an argument.

use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

/// The last one of the year 9999, in seconds since 1970-01-01 UTC.
const LAST_SECOND: u64 = 253_402_300_799;

/// A point in wall time: milliseconds since 1970-01-01 UTC.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Timestamp(i64);

impl Timestamp {
    /// The time this many milliseconds after 1970-01-01 UTC.
    pub fn from_millis(millis: i64) -> Self {
        Self(millis)
    }

    /// Milliseconds since 1970-01-01 UTC.
    pub fn as_millis(self) -> i64 {
        self.0
    }

    /// The time as RFC 3339 writes it, in UTC with microseconds: `2024-01-06T10:40:00.123000Z`.
    /// There is none before the year 1970 or behind 9999.
    pub fn rfc3339(self) -> Option<impl fmt::Display> {
        let since = Duration::from_millis(u64::try_from(self.0).ok()?);
        let has_one = since.as_secs() <= LAST_SECOND;
        has_one.then(|| humantime::format_rfc3339_micros(UNIX_EPOCH + since))
    }
}

impl fmt::Debug for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ms", self.0)
    }
}

/// Reads wall time. Whatever stamps something takes one of these, so that tests choose the time.
pub trait Clock: Send + Sync + 'static {
    /// The time now.
    fn now(&self) -> Timestamp;
}

/// The machine's clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[allow(
        clippy::disallowed_methods,
        reason = "the one place that reads the wall clock"
    )]
    fn now(&self) -> Timestamp {
        let since = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or(Duration::ZERO);
        Timestamp(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(millis: i64, expected: Option<&str>) {
        let written = Timestamp::from_millis(millis).rfc3339();
        let written = written.map(|time| time.to_string());
        assert_eq!(written.as_deref(), expected);
    }

    #[test]
    fn a_time_is_written_in_utc_with_microseconds() {
        check(0, Some("1970-01-01T00:00:00.000000Z"));
        check(1_704_537_600_123, Some("2024-01-06T10:40:00.123000Z"));
        check(253_402_300_799_999, Some("9999-12-31T23:59:59.999000Z"));
    }

    #[test]
    fn a_time_that_has_no_four_digits_of_a_year_is_not_written() {
        for millis in [-1, i64::MIN, 253_402_300_800_000, i64::MAX] {
            check(millis, None);
        }
    }
}
