//! `[limits]`: how much one node takes on.

use std::num::NonZeroUsize;

use sluice_actors::Production;

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
    /// Most records of a request to write. Default 10,000.
    pub produce_records: usize,
    /// Largest record to be written: key, value and headers, in bytes. Kafka has limits of its own,
    /// about 1 MiB by default too. Default 1 MiB.
    pub record_bytes: usize,
    /// Most bytes that requests to write hold: their bodies, and their records until Kafka has
    /// acknowledged them. Default 256 MiB, or more where the largest request needs it.
    pub produce_buffer_bytes: u64,
    /// Most bytes that are kept of what became of asynchronous requests; beyond it no further one
    /// is taken. Default 256 MiB.
    pub async_result_bytes: u64,
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
        let records = section.get("produce_records", "a number from 1 to 1000000", |value| {
            let number = integer(value).filter(|n| (1..=1_000_000).contains(n))?;
            usize::try_from(number).ok()
        });
        let record = section.get(
            "record_bytes",
            "a size from 1KiB to 512MiB, such as \"1MiB\"",
            |value| {
                let bytes = size(value).filter(|n| (1 << 10..=512 << 20).contains(n))?;
                usize::try_from(bytes).ok()
            },
        );
        let buffer = section.get(
            "produce_buffer_bytes",
            "a size from 1MiB to 1TiB, such as \"256MiB\"",
            |value| size(value).filter(|n| (1 << 20..=1 << 40).contains(n)),
        );
        let results = section.get(
            "async_result_bytes",
            "a size from 64KiB to 1TiB, such as \"256MiB\"",
            |value| size(value).filter(|n| (64 << 10..=1 << 40).contains(n)),
        );
        let body_bytes = body.unwrap_or(16 << 20);
        let produce_records = records.unwrap_or(10_000);
        let least = Production::room_for(body_bytes as u64, produce_records as u64);
        let produce_buffer_bytes = buffer.unwrap_or(least.max(256 << 20));
        if produce_buffer_bytes < least {
            section.mistake(
                "produce_buffer_bytes",
                format!(
                    "must be at least {least} bytes ({produce_buffer_bytes} now): the largest request, of limits.body_bytes ({body_bytes}) and limits.produce_records ({produce_records}), has to fit"
                ),
            );
        }
        section.finish();
        const DEFAULT_SESSIONS: NonZeroUsize = NonZeroUsize::new(500).unwrap();
        Self {
            sessions_per_node: sessions.unwrap_or(DEFAULT_SESSIONS),
            body_bytes,
            produce_records,
            record_bytes: record.unwrap_or(1 << 20),
            produce_buffer_bytes,
            async_result_bytes: results.unwrap_or(256 << 20),
            inflight_answer_bytes: inflight.unwrap_or(256 << 20),
        }
    }
}
