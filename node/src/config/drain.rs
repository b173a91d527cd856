//! `[drain]`: how a node stops.

use std::time::Duration;

use super::section::Section;
use super::value::duration;

/// How a node stops.
#[derive(Clone, Debug)]
pub struct Drain {
    /// How long a node that stops goes on forwarding requests to the others. Default 10 s.
    pub linger: Duration,
    /// How long stopping may take in all. It should be shorter than the time that the platform
    /// waits before it kills, 30 s in Kubernetes. Default 25 s.
    pub timeout: Duration,
}

impl Drain {
    pub(super) fn check(mut section: Section<'_>) -> Self {
        let linger = section.get(
            "linger",
            "a duration of at most 10min, such as \"10s\"",
            |value| duration(value).filter(|d| *d <= Duration::from_secs(600)),
        );
        let timeout = section.get(
            "timeout",
            "a duration from 1s to 10min, such as \"25s\"",
            |value| duration(value).filter(|d| (1..=600).contains(&d.as_secs())),
        );
        section.finish();
        Self {
            linger: linger.unwrap_or(Duration::from_secs(10)),
            timeout: timeout.unwrap_or(Duration::from_secs(25)),
        }
    }
}
