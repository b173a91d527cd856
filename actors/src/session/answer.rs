//! An answer while it is being made.

use std::time::Duration;

use sluice_types::SessionSpec;
use tokio::time::Instant;

use super::encode::{self, RecordFormat, RecordRef};
use super::message::encode_message;
use crate::Poll;
use crate::answers::HeldBytes;
use crate::avro::SchemaId;

/// How the records of an answer are written.
#[derive(Clone, Copy)]
pub(super) enum Layout<'s> {
    /// As sessions write them.
    Records(RecordFormat<'s>),
    /// As the one-call API does.
    Messages,
}

impl Layout<'_> {
    /// A schema that has to be known before this record can be written.
    pub(super) fn missing_schema(&self, record: &RecordRef<'_>) -> Option<SchemaId> {
        match self {
            Self::Records(format) => format.missing_schema(record),
            Self::Messages => None,
        }
    }
}

/// An answer as far as it is made: its records stand in no other.
pub(super) struct Made {
    pub(super) body: Vec<u8>,
    pub(super) count: usize,
    /// Of keys, values and headers.
    pub(super) bytes: u64,
    /// When the last record came.
    last: Instant,
    /// What it takes of the budget of answers while it waits for more.
    held: Option<HeldBytes>,
}

impl Made {
    /// The answer to a poll, without records yet.
    pub(super) fn new(poll: &Poll) -> Self {
        let begin: &[u8] = match poll.shared {
            None => b"{\"records\":[",
            Some(_) => b"{\"success\":true,\"messages\":[",
        };
        Self {
            body: begin.to_vec(),
            count: 0,
            bytes: 0,
            last: Instant::now(),
            held: None,
        }
    }

    /// Adds a record.
    pub(super) fn add(&mut self, record: &RecordRef<'_>, layout: Layout<'_>) {
        if self.count > 0 {
            self.body.push(b',');
        }
        match layout {
            Layout::Records(format) => encode::record(&mut self.body, record, format),
            Layout::Messages => encode_message(&mut self.body, record),
        }
        self.count += 1;
        self.bytes += record.size();
    }

    /// Notes that records have come, and what they take of the budget.
    pub(super) fn has_grown(&mut self, held: HeldBytes) {
        self.last = Instant::now();
        self.held = Some(held);
    }

    /// How long no record has come.
    pub(super) fn lull(&self) -> Duration {
        self.last.elapsed()
    }
}

/// Ends an answer of the one-call API.
pub(super) fn end_messages(body: &mut Vec<u8>, count: usize, spec: &SessionSpec) {
    body.extend_from_slice(b"],\"count\":");
    encode::integer(body, i64::try_from(count).unwrap_or(i64::MAX));
    body.extend_from_slice(b",\"topic\":");
    encode::string(body, spec.topics.first().map_or("", |topic| topic.as_str()));
    body.extend_from_slice(b",\"group_id\":");
    encode::string(body, spec.group_id.as_str());
    body.push(b'}');
}
