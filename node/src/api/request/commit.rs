//! The body of a commit.

use serde_json::Value;
use sluice_actors::Commit;

use super::cursor;
use super::fields::{Faults, Fields};
use super::offsets::{AN_OFFSET, by_partition, offset};
use crate::api::error::Problem;

/// Reads the body of a commit; without one, what has been delivered is meant.
pub(crate) fn parse(body: Option<Value>, mut faults: Faults) -> Result<Commit, Problem> {
    let mut fields = Fields::of_body(body, &mut faults);
    if fields.has("offsets") && fields.has("cursor") {
        fields.fault("cursor", "must not stand beside offsets");
    }
    let offsets = fields.take("offsets").map(|value| {
        by_partition("offsets", value, fields.faults(), |v| {
            offset(v).ok_or(AN_OFFSET)
        })
    });
    let cursor = fields.text("cursor", cursor);
    fields.finish();
    faults.into_result(Some(match (offsets, cursor) {
        (Some(offsets), _) => Commit::Offsets(offsets),
        (None, Some(cursor)) => Commit::Cursor(cursor),
        (None, None) => Commit::Delivered,
    }))
}
