//! Records as the one-call API writes them.

use std::io::Write;

use sluice_types::Timestamp;

use super::encode::{RecordRef, binary, json_if_valid, place};
use super::escape::string_if_text;

/// Appends a record: its value decoded if that is JSON, else as text, else as base64; its key as
/// text, else as base64; its time as RFC 3339.
pub(crate) fn encode_message(out: &mut Vec<u8>, record: &RecordRef<'_>) {
    place(out, record);
    part(out, "key", record.key, string_if_text);
    part(out, "value", record.value, |out, bytes| {
        json_if_valid(out, bytes) || string_if_text(out, bytes)
    });
    out.extend_from_slice(b",\"timestamp\":");
    match Timestamp::from_millis(record.timestamp).rfc3339() {
        // Writing to a vector does not fail.
        Some(time) => drop(write!(out, "\"{time}\"")),
        None => out.extend_from_slice(b"null"),
    }
    out.push(b'}');
}

/// Writes `,"name":…` and, if the bytes can be shown in no other way, `,"name_encoding":"base64"`.
fn part(
    out: &mut Vec<u8>,
    name: &str,
    bytes: Option<&[u8]>,
    show: impl Fn(&mut Vec<u8>, &[u8]) -> bool,
) {
    let _ = write!(out, ",\"{name}\":");
    match bytes {
        None => out.extend_from_slice(b"null"),
        Some(bytes) if show(out, bytes) => {}
        Some(bytes) => {
            binary(out, bytes);
            let _ = write!(out, ",\"{name}_encoding\":\"base64\"");
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};
    use sluice_types::Offset;

    use super::*;

    fn encoded(key: Option<&[u8]>, value: Option<&[u8]>, timestamp: i64) -> Value {
        let mut out = Vec::new();
        let record = RecordRef {
            topic: "t",
            partition: 2,
            offset: Offset::new(7).unwrap(),
            timestamp,
            key,
            value,
            headers: &[],
        };
        encode_message(&mut out, &record);
        serde_json::from_slice(&out).unwrap()
    }

    #[test]
    fn a_value_is_json_if_it_can_be_and_a_key_is_text() {
        let expected = json!({"topic": "t", "partition": 2, "offset": 7, "key": "{\"k\":1}",
            "value": {"n": 1}, "timestamp": "2024-01-06T10:40:00.123000Z"});
        let got = encoded(Some(b"{\"k\":1}"), Some(b" {\"n\":1}\n"), 1_704_537_600_123);
        assert_eq!(got, expected);
    }

    #[test]
    fn what_is_no_json_is_text_and_what_is_no_text_is_marked_base64() {
        let got = encoded(Some(b""), Some(b"{oops \"x\""), 0);
        assert_eq!(
            (&got["key"], &got["value"]),
            (&json!(""), &json!("{oops \"x\""))
        );
        assert!(got.get("value_encoding").is_none());
        let got = encoded(Some(b"\xff"), Some(b"\xfe\x00"), 0);
        assert_eq!(
            (&got["key"], &got["value"]),
            (&json!("/w=="), &json!("/gA="))
        );
        assert_eq!(got["key_encoding"], "base64");
        assert_eq!(got["value_encoding"], "base64");
    }

    #[test]
    fn a_null_is_null_and_so_is_a_time_that_is_not_there() {
        let got = encoded(None, None, -1);
        assert_eq!(got["key"], Value::Null);
        assert_eq!(got["value"], Value::Null);
        assert_eq!(got["timestamp"], Value::Null);
        assert!(got.get("value_encoding").is_none() && got.get("key_encoding").is_none());
    }

    proptest! {
        #[test]
        fn any_record_is_valid_json(
            key in prop::option::of(prop::collection::vec(any::<u8>(), 0..40)),
            value in prop::option::of(prop::collection::vec(any::<u8>(), 0..40)),
            timestamp: i64,
        ) {
            let got = encoded(key.as_deref(), value.as_deref(), timestamp);
            prop_assert_eq!(got["key"].is_null(), key.is_none());
        }
    }
}
