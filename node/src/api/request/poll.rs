//! The body of a consume.

use std::num::{NonZeroU32, NonZeroU64};
use std::time::Duration;

use serde_json::Value;
use sluice_actors::{HeadersFormat, Poll};

use super::cursor;
use super::fields::{Faults, Fields};
use crate::api::error::Problem;

/// Reads the body of a poll; none at all is a poll with defaults.
pub(crate) fn parse(body: Option<Value>, mut faults: Faults) -> Result<Poll, Problem> {
    let mut fields = Fields::of_body(body, &mut faults);
    let wait = fields.integer("timeout_ms", 0..=300_000);
    let records = fields.integer("max_records", 1..=10_000);
    let bytes = fields.integer("max_bytes_total", 1..=67_108_864);
    let headers = fields.choice(
        "headers_format",
        &[
            ("object", HeadersFormat::Object),
            ("list", HeadersFormat::List),
        ],
    );
    let after = fields.text("after", cursor);
    fields.finish();
    let max_records = u32::try_from(records.unwrap_or(500))
        .ok()
        .and_then(NonZeroU32::new);
    let max_bytes = u64::try_from(bytes.unwrap_or(1 << 20))
        .ok()
        .and_then(NonZeroU64::new);
    let poll = max_records
        .zip(max_bytes)
        .map(|(max_records, max_bytes)| Poll {
            wait: Duration::from_millis(wait.unwrap_or(30_000).unsigned_abs()),
            max_records,
            max_bytes,
            headers: headers.unwrap_or_default(),
            after,
            shared: None,
        });
    faults.into_result(poll)
}
