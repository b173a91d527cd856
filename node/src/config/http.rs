//! `[http]`: where clients connect.

use std::net::SocketAddr;
use std::time::Duration;

use super::key::{Heading, Key, Preset};
use super::section::Section;
use super::value::{address, duration_within, list};

pub(super) const HTTP: Heading = Heading {
    name: "http",
    about: "Where clients connect.",
    keys: &[&BIND, &KEEP_ALIVE, &HEADER_TIMEOUT],
};

const BIND: Key = Key {
    name: "bind",
    default: Preset::Is(r#"["0.0.0.0:8080"]"#),
    allowed: r#"one or more addresses to listen on, such as "0.0.0.0:8080""#,
    about: "Where to listen. Port 0 takes a free one.",
};
const KEEP_ALIVE: Key = Key {
    name: "keep_alive",
    default: Preset::Is(r#""75s""#),
    allowed: r#"a duration from 1s to 1h, such as "75s""#,
    about: "How long an idle connection is kept. Longer saves clients the reconnect, shorter frees \
            file descriptors. It should exceed the idle time-out of a load balancer in front.",
};
const HEADER_TIMEOUT: Key = Key {
    name: "header_timeout",
    default: Preset::Is(r#""10s""#),
    allowed: r#"a duration from 1s to 5min, such as "10s""#,
    about: "How long a client may take to send the head of a request.",
};

/// Where and how clients connect.
#[derive(Clone, Debug)]
pub struct Http {
    /// Addresses to listen on; port 0 takes a free one.
    pub bind: Vec<SocketAddr>,
    /// How long an idle connection is kept.
    pub keep_alive: Duration,
    /// How long a client may take to send the head of a request.
    pub header_timeout: Duration,
}

impl Http {
    pub(super) fn check(mut section: Section<'_>) -> Self {
        let checked = Self {
            bind: section.value(&BIND, |value| {
                list(value, address).filter(|bind| !bind.is_empty())
            }),
            keep_alive: section.value(&KEEP_ALIVE, |value| {
                duration_within(value, 1_000..=3_600_000)
            }),
            header_timeout: section.value(&HEADER_TIMEOUT, |value| {
                duration_within(value, 1_000..=300_000)
            }),
        };
        section.finish();
        checked
    }
}
