//! `[admin]`: where operators connect.

use std::net::SocketAddr;

use super::key::{Heading, Key, Preset};
use super::section::Section;
use super::value::address;

pub(super) const ADMIN: Heading = Heading {
    name: "admin",
    about: "Where operators connect: metrics, lists, and what acts on the cluster.",
    keys: &[&BIND],
};

const BIND: Key = Key {
    name: "bind",
    default: Preset::Is(r#""127.0.0.1:9091""#),
    allowed: r#"an address to listen on, such as "127.0.0.1:9091""#,
    about: "Where to listen; port 0 takes a free one. Whoever reaches it sees all sessions and may \
            drain nodes, hence the default: this machine only.",
};

/// Where operators connect: metrics, lists, and what acts on the cluster.
#[derive(Clone, Debug)]
pub struct Admin {
    /// The address to listen on; port 0 takes a free one.
    pub bind: SocketAddr,
}

impl Admin {
    pub(super) fn check(mut section: Section<'_>) -> Self {
        let bind = section.value(&BIND, address);
        section.finish();
        Self { bind }
    }
}
