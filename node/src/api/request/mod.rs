//! From raw input to typed requests: a handler never sees a body, a query or a path.
//!
//! Every fault of a request is told at once. `fields.rs` and `query.rs` take raw input apart;
//! the other files know one request each.

pub(super) mod assign;
pub(super) mod call;
pub(super) mod commit;
mod expected;
mod fields;
pub(super) mod list;
pub(super) mod message;
mod offsets;
pub(super) mod poll;
pub(super) mod produce;
mod query;
pub(super) mod seek;
pub(super) mod subscribe;

pub(super) use fields::Faults;
pub(super) use query::Query;

use sluice_types::Format;

/// The formats of keys and values, as clients name them.
const FORMATS: &[(&str, Format)] = &[
    ("string", Format::String),
    ("json", Format::Json),
    ("binary", Format::Binary),
    ("avro", Format::Avro),
];

/// Cursors are at most this long, in characters.
const MAX_CURSOR: usize = 16 * 1024;

/// Reads a cursor; what it says, its session knows.
fn cursor(text: &str) -> Result<String, String> {
    if text.is_empty() || text.len() > MAX_CURSOR {
        let length = text.len();
        return Err(format!(
            "must have 1 to {MAX_CURSOR} characters, not {length}"
        ));
    }
    Ok(text.to_owned())
}

#[cfg(test)]
mod tests;
