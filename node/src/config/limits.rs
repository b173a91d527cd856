//! `[limits]`: how much one node takes on.

use std::num::NonZeroUsize;

use sluice_actors::Production;

use super::key::{Heading, Key, Preset};
use super::section::Section;
use super::value::{number_within, size_within};

pub(super) const LIMITS: Heading = Heading {
    name: "limits",
    about: "How much one node takes on.",
    keys: &[
        &SESSIONS_PER_NODE,
        &BODY_BYTES,
        &PRODUCE_RECORDS,
        &RECORD_BYTES,
        &PRODUCE_BUFFER_BYTES,
        &ASYNC_RESULT_BYTES,
        &INFLIGHT_ANSWER_BYTES,
    ],
};

const SESSIONS_PER_NODE: Key = Key {
    name: "sessions_per_node",
    default: Preset::Is("500"),
    allowed: "a number from 1 to 100000",
    about: "Most sessions. Each costs a Kafka handle: as many threads as there are brokers and \
            three more, some sockets, some memory. Lowered at start, with a line in the log, if \
            the machine does not allow that many threads. When all nodes have as many: 429 \
            `too_many_sessions`.",
};
const BODY_BYTES: Key = Key {
    name: "body_bytes",
    default: Preset::Is(r#""16MiB""#),
    allowed: r#"a size from 1KiB to 1GiB, such as "16MiB""#,
    about: "Largest body of a request. Beyond it: 413 `body_too_large`.",
};
const PRODUCE_RECORDS: Key = Key {
    name: "produce_records",
    default: Preset::Is("10000"),
    allowed: "a number from 1 to 1000000",
    about: "Most records of a request to write.",
};
const RECORD_BYTES: Key = Key {
    name: "record_bytes",
    default: Preset::Is(r#""1MiB""#),
    allowed: r#"a size from 1KiB to 512MiB, such as "1MiB""#,
    about: "Largest record that is written: key, value and headers. Beyond it: \
            `record_too_large`, of that record. Kafka has limits of its own (`message.max.bytes`, \
            about 1 MiB).",
};
const PRODUCE_BUFFER_BYTES: Key = Key {
    name: "produce_buffer_bytes",
    default: Preset::Is(r#""256MiB""#),
    allowed: r#"a size from 1MiB to 1TiB, such as "256MiB""#,
    about: "Most bytes that requests to write hold: their bodies while they are read, their \
            records until Kafka has acknowledged them. Enough for the largest request: the default \
            grows with `body_bytes` and `produce_records`. Beyond it: 429 `queue_full`.",
};
const ASYNC_RESULT_BYTES: Key = Key {
    name: "async_result_bytes",
    default: Preset::Is(r#""256MiB""#),
    allowed: r#"a size from 64KiB to 1TiB, such as "256MiB""#,
    about: "Most bytes that are kept of what became of asynchronous requests. Nothing is forgotten \
            early to make room: beyond it further ones are refused with 429 `queue_full`.",
};
const INFLIGHT_ANSWER_BYTES: Key = Key {
    name: "inflight_answer_bytes",
    default: Preset::Is(r#""256MiB""#),
    allowed: r#"a size from 1MiB to 1TiB, such as "256MiB""#,
    about: "Most bytes of answers on their way to clients, those that come from other nodes among \
            them. Polls beyond it get smaller answers, of one record at least.",
};

/// How much one node takes on.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Most sessions of this node. Each costs a Kafka handle: threads, sockets, some memory.
    /// Lowered at start where the machine allows fewer threads.
    pub sessions_per_node: NonZeroUsize,
    /// Largest body of a request, in bytes.
    pub body_bytes: usize,
    /// Most records of a request to write.
    pub produce_records: usize,
    /// Largest record to be written: key, value and headers, in bytes. Kafka has limits of its own,
    /// about 1 MiB by default too.
    pub record_bytes: usize,
    /// Most bytes that requests to write hold: their bodies, and their records until Kafka has
    /// acknowledged them.
    pub produce_buffer_bytes: u64,
    /// Most bytes that are kept of what became of asynchronous requests; beyond it no further one
    /// is taken.
    pub async_result_bytes: u64,
    /// Most bytes of answers on their way to clients; polls beyond it get smaller answers.
    pub inflight_answer_bytes: u64,
}

impl Limits {
    pub(super) fn check(mut section: Section<'_>) -> Self {
        let sessions_per_node = section.value(&SESSIONS_PER_NODE, |value| {
            NonZeroUsize::new(number_within(value, 1..=100_000)?)
        });
        let body_bytes = section.value(&BODY_BYTES, |value| {
            usize::try_from(size_within(value, 1 << 10..=1 << 30)?).ok()
        });
        let inflight_answer_bytes = section.value(&INFLIGHT_ANSWER_BYTES, |value| {
            size_within(value, 1 << 20..=1 << 40)
        });
        let produce_records = section.value(&PRODUCE_RECORDS, |value| {
            number_within(value, 1..=1_000_000)
        });
        let record_bytes = section.value(&RECORD_BYTES, |value| {
            usize::try_from(size_within(value, 1 << 10..=512 << 20)?).ok()
        });
        let buffer = |value: &_| size_within(value, 1 << 20..=1 << 40);
        let given = section.get(&PRODUCE_BUFFER_BYTES, buffer);
        let async_result_bytes = section.value(&ASYNC_RESULT_BYTES, |value| {
            size_within(value, 64 << 10..=1 << 40)
        });
        let least = Production::room_for(body_bytes as u64, produce_records as u64);
        let produce_buffer_bytes =
            given.unwrap_or_else(|| least.max(PRODUCE_BUFFER_BYTES.preset(buffer)));
        if produce_buffer_bytes < least {
            section.mistake(
                PRODUCE_BUFFER_BYTES.name,
                format!(
                    "must be at least {least} bytes ({produce_buffer_bytes} now): the largest request, of limits.body_bytes ({body_bytes}) and limits.produce_records ({produce_records}), has to fit"
                ),
            );
        }
        section.finish();
        Self {
            sessions_per_node,
            body_bytes,
            produce_records,
            record_bytes,
            produce_buffer_bytes,
            async_result_bytes,
            inflight_answer_bytes,
        }
    }
}
