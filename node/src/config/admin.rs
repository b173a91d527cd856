//! `[admin]`: where operators connect.

use std::net::SocketAddr;

use super::section::Section;
use super::value::address;

/// Where operators connect: metrics, lists, and what acts on the cluster.
#[derive(Clone, Debug)]
pub struct Admin {
    /// The address to listen on; port 0 takes a free one. Whoever reaches it may do everything,
    /// so the default is this machine only: `127.0.0.1:9091`.
    pub bind: SocketAddr,
}

impl Admin {
    pub(super) fn check(mut section: Section<'_>) -> Self {
        let bind = section.get(
            "bind",
            "an address to listen on, such as \"127.0.0.1:9091\"",
            address,
        );
        section.finish();
        Self {
            bind: bind.unwrap_or_else(|| SocketAddr::from(([127, 0, 0, 1], 9091))),
        }
    }
}
