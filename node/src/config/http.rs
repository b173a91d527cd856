//! `[http]`: where clients connect.

use std::net::SocketAddr;
use std::time::Duration;

use super::section::Section;
use super::value::{address, duration, list};

/// Where and how clients connect.
#[derive(Clone, Debug)]
pub struct Http {
    /// Addresses to listen on; port 0 takes a free one. Default `0.0.0.0:8080`.
    pub bind: Vec<SocketAddr>,
    /// How long an idle connection is kept. Longer spares clients the reconnect, shorter frees
    /// file descriptors. It should exceed the idle time-out of a load balancer in front.
    /// Default 75 s.
    pub keep_alive: Duration,
    /// How long a client may take to send the head of a request. Default 10 s.
    pub header_timeout: Duration,
}

impl Http {
    pub(super) fn check(mut section: Section<'_>) -> Self {
        let bind = section
            .get(
                "bind",
                "one or more addresses to listen on, such as \"0.0.0.0:8080\"",
                |value| list(value, address).filter(|bind| !bind.is_empty()),
            )
            .unwrap_or_else(|| vec![SocketAddr::from(([0, 0, 0, 0], 8080))]);
        let keep_alive = section.get(
            "keep_alive",
            "a duration from 1s to 1h, such as \"75s\"",
            |value| duration(value).filter(|d| (1..=3600).contains(&d.as_secs())),
        );
        let header_timeout = section.get(
            "header_timeout",
            "a duration from 1s to 5min, such as \"10s\"",
            |value| duration(value).filter(|d| (1..=300).contains(&d.as_secs())),
        );
        section.finish();
        Self {
            bind,
            keep_alive: keep_alive.unwrap_or(Duration::from_secs(75)),
            header_timeout: header_timeout.unwrap_or(Duration::from_secs(10)),
        }
    }
}
