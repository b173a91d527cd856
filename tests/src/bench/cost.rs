//! What a process has cost so far, from `/proc`.

use std::fs;
use std::ops::Sub;

/// Units of `/proc/<pid>/stat` in a second: what Linux tells programs, whatever its own clock.
const TICKS: f64 = 100.0;

/// Processor time that a process has taken since it started, all threads together, those that
/// have ended included.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Cost {
    /// In its own code, in seconds.
    pub user: f64,
    /// In the kernel on its behalf, in seconds.
    pub system: f64,
}

impl Cost {
    /// Reads the cost of a process. It counts in steps of 10 ms.
    ///
    /// # Panics
    /// When there is no such process.
    pub fn of(pid: u32) -> Self {
        let path = format!("/proc/{pid}/stat");
        let stat = fs::read_to_string(path).expect("a measured process runs");
        Self::parse(&stat).expect("the kernel tells processor times")
    }

    /// Returns both parts together, in seconds.
    pub fn seconds(self) -> f64 {
        self.user + self.system
    }

    fn parse(stat: &str) -> Option<Self> {
        // The name before it is in parentheses and may hold anything.
        let (_, fields) = stat.rsplit_once(')')?;
        let mut times = fields.split_whitespace().skip(11);
        let mut next = || Some(times.next()?.parse::<f64>().ok()? / TICKS);
        Some(Self {
            user: next()?,
            system: next()?,
        })
    }
}

impl Sub for Cost {
    type Output = Self;

    fn sub(self, earlier: Self) -> Self {
        Self {
            user: self.user - earlier.user,
            system: self.system - earlier.system,
        }
    }
}

/// Returns how many threads a process has and the memory that it holds (RSS) in bytes.
///
/// # Panics
/// When there is no such process.
pub fn threads_and_memory(pid: u32) -> (u64, u64) {
    let path = format!("/proc/{pid}/status");
    let status = fs::read_to_string(path).expect("a measured process runs");
    let number = |field: &str| -> u64 {
        let line = status.lines().find_map(|line| line.strip_prefix(field));
        let number = line.and_then(|line| line.split_whitespace().next()?.parse().ok());
        number.expect("the kernel tells threads and memory")
    };
    (number("Threads:"), number("VmRSS:") * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_stand_behind_a_name_that_may_hold_anything() {
        let stat = "7 (a) R 1 (b)) S 1 2 3 4 5 6 7 8 9 10 250 50 0 0 20 0 3 0 9";
        let cost = Cost::parse(stat).unwrap();
        assert_eq!((cost.user, cost.system), (2.5, 0.5));
        assert_eq!((cost - cost).seconds(), 0.0);
    }

    #[test]
    fn this_process_has_a_thread_and_memory() {
        let (threads, memory) = threads_and_memory(std::process::id());
        assert!(threads >= 1 && memory > 100_000);
    }
}
