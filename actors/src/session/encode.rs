//! Records as JSON, written straight from borrowed bytes into one growing answer.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::value::RawValue;
use sluice_types::{Format, Offset};

pub(super) use super::escape::string;
use super::escape::string_if_text;
use super::schemas::KnownSchemas;
use crate::HeadersFormat;
use crate::avro::SchemaId;

/// One record, borrowed.
#[derive(Clone, Copy)]
pub(crate) struct RecordRef<'a> {
    pub(crate) topic: &'a str,
    pub(crate) partition: i32,
    pub(crate) offset: Offset,
    /// Milliseconds since 1970-01-01 UTC; -1 if Kafka has none.
    pub(crate) timestamp: i64,
    pub(crate) key: Option<&'a [u8]>,
    pub(crate) value: Option<&'a [u8]>,
    pub(crate) headers: &'a [Header],
}

/// One header, its name as Kafka has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) name: Vec<u8>,
    pub(crate) value: Option<Vec<u8>>,
}

impl RecordRef<'_> {
    /// Bytes of key, value, and headers' names and values.
    pub(crate) fn size(&self) -> u64 {
        let headers: usize = self
            .headers
            .iter()
            .map(|header| header.name.len() + header.value.as_ref().map_or(0, Vec::len))
            .sum();
        let size = self.key.map_or(0, <[u8]>::len) + self.value.map_or(0, <[u8]>::len) + headers;
        size as u64
    }
}

/// How a session writes its records.
#[derive(Clone, Copy)]
pub(crate) struct RecordFormat<'s> {
    pub(crate) key: Format,
    pub(crate) value: Format,
    pub(crate) headers: HeadersFormat,
    pub(crate) schemas: &'s KnownSchemas,
}

impl RecordFormat<'_> {
    /// A schema that has to be known before this record can be written.
    pub(crate) fn missing_schema(&self, record: &RecordRef<'_>) -> Option<SchemaId> {
        let of_key = self.schemas.missing(record.key, self.key);
        of_key.or_else(|| self.schemas.missing(record.value, self.value))
    }
}

/// Appends one record to an answer.
pub(crate) fn record(out: &mut Vec<u8>, record: &RecordRef<'_>, format: RecordFormat<'_>) {
    place(out, record);
    out.extend_from_slice(b",\"timestamp\":");
    integer(out, record.timestamp);
    payload(out, b"key", record.key, format.key, format.schemas);
    payload(out, b"value", record.value, format.value, format.schemas);
    match format.headers {
        HeadersFormat::Object => headers_object(out, record.headers),
        HeadersFormat::List => headers_list(out, record.headers),
    }
    out.push(b'}');
}

/// Begins a record with where it is.
pub(super) fn place(out: &mut Vec<u8>, record: &RecordRef<'_>) {
    out.extend_from_slice(b"{\"topic\":\"");
    // A topic name has no character that JSON escapes.
    out.extend_from_slice(record.topic.as_bytes());
    out.extend_from_slice(b"\",\"partition\":");
    integer(out, i64::from(record.partition));
    out.extend_from_slice(b",\"offset\":");
    integer(out, record.offset.get());
}

/// Writes `,"name":…` and, where the bytes are not what the format promises,
/// `,"name_encoding":"base64"`.
fn payload(
    out: &mut Vec<u8>,
    name: &[u8],
    bytes: Option<&[u8]>,
    format: Format,
    schemas: &KnownSchemas,
) {
    out.extend_from_slice(b",\"");
    out.extend_from_slice(name);
    out.extend_from_slice(b"\":");
    let Some(bytes) = bytes else {
        out.extend_from_slice(b"null");
        return;
    };
    let faithful = match format {
        Format::String => string_if_text(out, bytes),
        Format::Json => json_if_valid(out, bytes),
        Format::Binary => {
            binary(out, bytes);
            true
        }
        Format::Avro => schemas.write(out, bytes),
    };
    if !faithful {
        binary(out, bytes);
        out.extend_from_slice(b",\"");
        out.extend_from_slice(name);
        out.extend_from_slice(b"_encoding\":\"base64\"");
    }
}

/// Appends the bytes as they are if they are JSON; returns whether they were.
pub(super) fn json_if_valid(out: &mut Vec<u8>, bytes: &[u8]) -> bool {
    match serde_json::from_slice::<&RawValue>(bytes) {
        Ok(json) => {
            out.extend_from_slice(json.get().as_bytes());
            true
        }
        Err(_) => false,
    }
}

fn headers_object(out: &mut Vec<u8>, headers: &[Header]) {
    out.extend_from_slice(b",\"headers\":{");
    let mut binary_names = Vec::new();
    let mut first = true;
    for (index, header) in headers.iter().enumerate() {
        let overridden = headers[index + 1..]
            .iter()
            .any(|later| later.name == header.name);
        if overridden {
            continue;
        }
        if !first {
            out.push(b',');
        }
        first = false;
        header_name(out, &header.name);
        out.push(b':');
        if !header_value(out, header.value.as_deref()) {
            binary_names.push(&header.name);
        }
    }
    out.push(b'}');
    if !binary_names.is_empty() {
        out.extend_from_slice(b",\"binary_headers\":[");
        for (index, name) in binary_names.into_iter().enumerate() {
            if index > 0 {
                out.push(b',');
            }
            header_name(out, name);
        }
        out.push(b']');
    }
}

fn headers_list(out: &mut Vec<u8>, headers: &[Header]) {
    out.extend_from_slice(b",\"headers\":[");
    for (index, header) in headers.iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        out.extend_from_slice(b"{\"key\":");
        header_name(out, &header.name);
        out.extend_from_slice(b",\"value\":");
        if !header_value(out, header.value.as_deref()) {
            out.extend_from_slice(b",\"value_encoding\":\"base64\"");
        }
        out.push(b'}');
    }
    out.push(b']');
}

/// Kafka's protocol says that names are text; what is not is shown with replacement characters,
/// since a JSON name has no room for a mark.
fn header_name(out: &mut Vec<u8>, name: &[u8]) {
    string(out, &String::from_utf8_lossy(name));
}

/// Writes a header's value; false if it had to be base64.
fn header_value(out: &mut Vec<u8>, value: Option<&[u8]>) -> bool {
    match value {
        None => out.extend_from_slice(b"null"),
        Some(bytes) => {
            let is_text = string_if_text(out, bytes);
            if !is_text {
                binary(out, bytes);
            }
            return is_text;
        }
    }
    true
}

pub(crate) fn integer(out: &mut Vec<u8>, number: i64) {
    out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
}

pub(super) fn binary(out: &mut Vec<u8>, bytes: &[u8]) {
    out.push(b'"');
    let start = out.len();
    let room = base64::encoded_len(bytes.len(), true).unwrap_or(0);
    out.resize(start + room, 0);
    let written = STANDARD.encode_slice(bytes, &mut out[start..]).unwrap_or(0);
    out.truncate(start + written);
    out.push(b'"');
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    fn header(name: &[u8], value: Option<&[u8]>) -> Header {
        Header {
            name: name.to_vec(),
            value: value.map(<[u8]>::to_vec),
        }
    }

    fn encode(
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        headers: &[Header],
        format: Format,
        headers_format: HeadersFormat,
    ) -> Value {
        let mut out = Vec::new();
        let offset = Offset::new(7).unwrap();
        let borrowed = RecordRef {
            topic: "t",
            partition: 2,
            offset,
            timestamp: -1,
            key,
            value,
            headers,
        };
        let format = RecordFormat {
            key: format,
            value: format,
            headers: headers_format,
            schemas: &KnownSchemas::default(),
        };
        record(&mut out, &borrowed, format);
        serde_json::from_slice(&out).unwrap()
    }

    #[test]
    fn text_comes_as_text_and_null_as_null() {
        let got = encode(
            None,
            Some(b"a\"b\n"),
            &[],
            Format::String,
            HeadersFormat::Object,
        );
        let expected = json!({"topic":"t","partition":2,"offset":7,"timestamp":-1,
            "key":null,"value":"a\"b\n","headers":{}});
        assert_eq!(got, expected);
    }

    #[test]
    fn what_is_not_utf8_comes_as_marked_base64() {
        let got = encode(
            Some(b"\xff"),
            Some(b"ok"),
            &[],
            Format::String,
            HeadersFormat::Object,
        );
        assert_eq!(got["key"], "/w==");
        assert_eq!(got["key_encoding"], "base64");
        assert!(got.get("value_encoding").is_none());
    }

    #[test]
    fn json_keeps_its_digits_and_a_poison_record_does_not_fail() {
        let mut out = Vec::new();
        let none = KnownSchemas::default();
        payload(
            &mut out,
            b"value",
            Some(b" {\"n\": 1.10} "),
            Format::Json,
            &none,
        );
        assert_eq!(out, b",\"value\":{\"n\": 1.10}");
        let got = encode(
            None,
            Some(b"{oops"),
            &[],
            Format::Json,
            HeadersFormat::Object,
        );
        assert_eq!(got["value"], "e29vcHM=");
        assert_eq!(got["value_encoding"], "base64");
        let got = encode(None, Some(b""), &[], Format::Json, HeadersFormat::Object);
        assert_eq!(
            (&got["value"], &got["value_encoding"]),
            (&json!(""), &json!("base64"))
        );
    }

    #[test]
    fn binary_is_always_base64_and_never_marked() {
        let got = encode(
            Some(b"k"),
            Some(b""),
            &[],
            Format::Binary,
            HeadersFormat::Object,
        );
        assert_eq!((&got["key"], &got["value"]), (&json!("aw=="), &json!("")));
        assert!(got.get("key_encoding").is_none());
    }

    #[test]
    fn the_last_of_repeated_headers_wins_in_an_object() {
        let headers = [
            header(b"a", Some(b"1")),
            header(b"b", None),
            header(b"a", Some(b"2")),
            header(b"c", Some(b"\xff")),
        ];
        let got = encode(None, None, &headers, Format::String, HeadersFormat::Object);
        assert_eq!(got["headers"], json!({"a":"2","b":null,"c":"/w=="}));
        assert_eq!(got["binary_headers"], json!(["c"]));
    }

    #[test]
    fn a_list_has_all_headers_in_order() {
        let headers = [
            header(b"a", Some(b"1")),
            header(b"a", None),
            header(b"c", Some(b"\xff")),
        ];
        let got = encode(None, None, &headers, Format::String, HeadersFormat::List);
        let expected = json!([{"key":"a","value":"1"},{"key":"a","value":null},
            {"key":"c","value":"/w==","value_encoding":"base64"}]);
        assert_eq!(got["headers"], expected);
    }

    fn bytes() -> impl Strategy<Value = Option<Vec<u8>>> {
        prop::option::of(prop::collection::vec(any::<u8>(), 0..40))
    }

    proptest! {
        #[test]
        fn any_record_is_valid_json(
            key in bytes(),
            value in bytes(),
            names in prop::collection::vec((prop::collection::vec(1u8.., 0..6), bytes()), 0..6),
            which in 0usize..4,
            list: bool,
        ) {
            let headers: Vec<_> =
                names.into_iter().map(|(name, value)| Header { name, value }).collect();
            let format = [Format::String, Format::Json, Format::Binary, Format::Avro][which];
            let shape = if list { HeadersFormat::List } else { HeadersFormat::Object };
            let got = encode(key.as_deref(), value.as_deref(), &headers, format, shape);
            prop_assert_eq!(got["value"].is_null() && format != Format::Json, value.is_none() && format != Format::Json);
        }
    }
}
