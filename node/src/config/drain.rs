//! `[drain]`: how a node stops.

use std::time::Duration;

use super::key::{Heading, Key, Preset};
use super::section::Section;
use super::value::duration_within;

pub(super) const DRAIN: Heading = Heading {
    name: "drain",
    about: "How a node stops on SIGTERM or SIGINT: it takes no new sessions, hands those that it \
            has to other nodes with the positions that they have delivered, gives up its vote, \
            writes what it has taken to write, and exits with status 0. What no other node takes \
            stays on its volume, positions included; without a volume, sessions end: pending polls \
            are answered, what automatic commits owe is committed, the groups are left.",
    keys: &[&LINGER, &TIMEOUT],
};

const LINGER: Key = Key {
    name: "linger",
    default: Preset::Is(r#""10s""#),
    allowed: r#"a duration of at most 10min, such as "10s""#,
    about: "How long it goes on taking requests and passing them on, so that balancers have time \
            to see that it is not ready; at most 70 % of `timeout`. A node that no other can take \
            anything from does not wait.",
};
const TIMEOUT: Key = Key {
    name: "timeout",
    default: Preset::Is(r#""25s""#),
    allowed: r#"a duration from 1s to 10min, such as "25s""#,
    about: "How long that may take in all. It should be shorter than the time that the platform \
            waits before it kills: 30 s in Kubernetes.",
};

/// How a node stops.
#[derive(Clone, Debug)]
pub struct Drain {
    /// How long a node that stops goes on forwarding requests to the others.
    pub linger: Duration,
    /// How long stopping may take in all.
    pub timeout: Duration,
}

impl Drain {
    pub(super) fn check(mut section: Section<'_>) -> Self {
        let checked = Self {
            linger: section.value(&LINGER, |value| duration_within(value, 0..=600_000)),
            timeout: section.value(&TIMEOUT, |value| duration_within(value, 1_000..=600_000)),
        };
        section.finish();
        checked
    }
}
