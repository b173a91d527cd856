//! `[limits]`: how much one node takes on.

use std::num::NonZeroUsize;

use super::section::Section;
use super::value::{integer, size};

/// How much one node takes on.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Most sessions of this node. Each costs a Kafka handle: threads, sockets, some memory.
    /// Lowered at start where the machine allows fewer threads. Default 500.
    pub sessions_per_node: NonZeroUsize,
    /// Largest body of a request, in bytes. Default 16 MiB.
    pub body_bytes: usize,
    /// Most bytes of answers on their way to clients; polls beyond it get smaller answers.
    /// Default 256 MiB.
    pub inflight_answer_bytes: u64,
}

impl Limits {
    pub(super) fn check(mut section: Section<'_>) -> Self {
        let sessions = section.get("sessions_per_node", "a number from 1 to 100000", |value| {
            let number = integer(value).filter(|n| (1..=100_000).contains(n))?;
            NonZeroUsize::new(usize::try_from(number).ok()?)
        });
        let body = section.get(
            "body_bytes",
            "a size from 1KiB to 1GiB, such as \"16MiB\"",
            |value| {
                let bytes = size(value).filter(|n| (1 << 10..=1 << 30).contains(n))?;
                usize::try_from(bytes).ok()
            },
        );
        let inflight = section.get(
            "inflight_answer_bytes",
            "a size from 1MiB to 1TiB, such as \"256MiB\"",
            |value| size(value).filter(|n| (1 << 20..=1 << 40).contains(n)),
        );
        section.finish();
        const DEFAULT_SESSIONS: NonZeroUsize = NonZeroUsize::new(500).unwrap();
        Self {
            sessions_per_node: sessions.unwrap_or(DEFAULT_SESSIONS),
            body_bytes: body.unwrap_or(16 << 20),
            inflight_answer_bytes: inflight.unwrap_or(256 << 20),
        }
    }
}
