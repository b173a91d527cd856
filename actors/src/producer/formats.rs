//! From the JSON text that a client sent to the bytes that Kafka gets.

use std::borrow::Cow;
use std::fmt;

use base64::Engine;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use serde::Deserializer;
use serde::de::{IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;
use sluice_types::Format;

use super::record::RecordError;

/// The standard alphabet, with padding or without.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// Most faults told of one record's headers.
const MAX_FAULTS: usize = 16;

/// The bytes of a key or a value; `what` it is, for people. The text is valid JSON. Avro needs
/// more than the text.
pub(super) fn encode<'t>(
    text: &'t [u8],
    format: Format,
    what: &'static str,
) -> Result<Cow<'t, [u8]>, RecordError> {
    match format {
        Format::Json => Ok(Cow::Borrowed(text)),
        Format::String => match string(text) {
            Some(Cow::Borrowed(text)) => Ok(Cow::Borrowed(text.as_bytes())),
            Some(Cow::Owned(text)) => Ok(Cow::Owned(text.into_bytes())),
            None => Err(not_a_string(text, what, "string")),
        },
        Format::Binary => {
            let coded = string(text).ok_or_else(|| not_a_string(text, what, "binary"))?;
            let bytes = BASE64.decode(coded.as_bytes());
            bytes
                .map(Cow::Owned)
                .map_err(|_| RecordError::InvalidBase64(what))
        }
        Format::Avro => Err(RecordError::Invalid(
            "avro is not written without a schema".into(),
        )),
    }
}

fn not_a_string(text: &[u8], what: &'static str, format: &'static str) -> RecordError {
    let message = match kind(text) {
        "a string" => format!("the {what} has an escape that is no character"),
        kind => format!("the {what} is {kind}: the format {format} takes JSON strings only"),
    };
    RecordError::Invalid(message.into())
}

/// A JSON string's content; `None` if the text is none.
fn string(text: &[u8]) -> Option<Cow<'_, str>> {
    let inner = text.strip_prefix(b"\"")?.strip_suffix(b"\"")?;
    if inner.contains(&b'\\') {
        return serde_json::from_slice::<String>(text).ok().map(Cow::Owned);
    }
    std::str::from_utf8(inner).ok().map(Cow::Borrowed)
}

/// What a JSON text is, by its first character.
fn kind(text: &[u8]) -> &'static str {
    match text.first() {
        Some(b'{') => "an object",
        Some(b'[') => "an array",
        Some(b'"') => "a string",
        Some(b't' | b'f') => "a boolean",
        Some(b'n') => "null",
        _ => "a number",
    }
}

/// What is wrong with headers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeadersFault {
    /// Where, within the headers: `[0].value`, say; empty for the whole.
    pub place: String,
    /// What is wrong there.
    pub message: String,
}

/// Reads headers, one by one and in order: `[{"key", "value"}]` or `{"key": "value"}`, with
/// strings or nulls as values. The text is valid JSON.
///
/// # Errors
/// The faults, the first 16 of them.
pub fn read_headers(
    text: &[u8],
    mut each: impl FnMut(&str, Option<&str>),
) -> Result<(), Vec<HeadersFault>> {
    let mut faults = Vec::new();
    let reader = Headers {
        each: &mut each,
        faults: &mut faults,
    };
    let mut json = serde_json::Deserializer::from_slice(text);
    let is_read = match text.first() {
        Some(b'[') => json.deserialize_seq(reader).is_ok(),
        Some(b'{') => json.deserialize_map(reader).is_ok(),
        _ => {
            let message = format!("must be a list or an object, not {}", kind(text));
            faults.push(HeadersFault {
                place: String::new(),
                message,
            });
            true
        }
    };
    if !is_read {
        faults.push(HeadersFault {
            place: String::new(),
            message: "cannot be read".to_owned(),
        });
    }
    faults.truncate(MAX_FAULTS);
    if faults.is_empty() {
        Ok(())
    } else {
        Err(faults)
    }
}

struct Headers<'f, F> {
    each: &'f mut F,
    faults: &'f mut Vec<HeadersFault>,
}

impl<F: FnMut(&str, Option<&str>)> Headers<'_, F> {
    fn fault(&mut self, place: String, message: impl Into<String>) {
        if self.faults.len() < MAX_FAULTS {
            let message = message.into();
            self.faults.push(HeadersFault { place, message });
        }
    }

    /// A header of a list.
    fn listed(&mut self, at: usize, raw: &RawValue) {
        let text = raw.get();
        if !text.starts_with('{') {
            let message = format!("must be an object, not {}", kind(text.as_bytes()));
            return self.fault(format!("[{at}]"), message);
        }
        let mut json = serde_json::Deserializer::from_str(text);
        let Ok(entry) = json.deserialize_map(EntryVisitor) else {
            return self.fault(format!("[{at}]"), "cannot be read");
        };
        for name in &entry.unknown {
            let message = "is not a field of a header; those are key, value";
            self.fault(format!("[{at}].{name}"), message);
        }
        let Some(key) = entry.key else {
            return self.fault(format!("[{at}].key"), "is required");
        };
        match string(key.get().as_bytes()) {
            None => {
                let message = format!("must be a string, not {}", kind(key.get().as_bytes()));
                self.fault(format!("[{at}].key"), message);
            }
            Some(key) => self.named(&key, entry.value, || format!("[{at}].value")),
        }
    }

    fn named(&mut self, name: &str, value: Option<&RawValue>, place: impl Fn() -> String) {
        let text = value.map(RawValue::get).filter(|text| *text != "null");
        match text.map(|text| (text, string(text.as_bytes()))) {
            None => (self.each)(name, None),
            Some((_, Some(value))) => (self.each)(name, Some(&value)),
            Some((text, None)) => {
                let message = format!("must be a string or null, not {}", kind(text.as_bytes()));
                self.fault(place(), message);
            }
        }
    }
}

impl<'de, F: FnMut(&str, Option<&str>)> Visitor<'de> for Headers<'_, F> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("headers")
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut seq: A) -> Result<(), A::Error> {
        let mut at = 0;
        while let Some(raw) = seq.next_element::<&RawValue>()? {
            self.listed(at, raw);
            at += 1;
        }
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut map: A) -> Result<(), A::Error> {
        while let Some(name) = map.next_key::<String>()? {
            let raw: &RawValue = map.next_value()?;
            self.named(&name, Some(raw), || format!(".{name}"));
        }
        Ok(())
    }
}

/// A header of a list, taken apart.
#[derive(Default)]
struct Entry<'a> {
    key: Option<&'a RawValue>,
    value: Option<&'a RawValue>,
    unknown: Vec<String>,
}

struct EntryVisitor;

impl<'de> Visitor<'de> for EntryVisitor {
    type Value = Entry<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a header")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Entry<'de>, A::Error> {
        let mut entry = Entry::default();
        while let Some(name) = map.next_key::<String>()? {
            match name.as_str() {
                "key" => entry.key = Some(map.next_value()?),
                "value" => entry.value = Some(map.next_value()?),
                _ => {
                    map.next_value::<IgnoredAny>()?;
                    if entry.unknown.len() < MAX_FAULTS {
                        entry.unknown.push(name);
                    }
                }
            }
        }
        Ok(entry)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn encoded(text: &str, format: Format) -> Vec<u8> {
        encode(text.as_bytes(), format, "value")
            .unwrap()
            .into_owned()
    }

    #[test]
    fn json_is_kept_byte_for_byte() {
        for text in [
            r#"{"b": 1.000, "a" : [1e400, 12345678901234567890.0123]}"#,
            r#""\u00e9 and é""#,
            "7",
        ] {
            assert_eq!(encoded(text, Format::Json), text.as_bytes());
        }
    }

    #[test]
    fn a_string_is_its_text() {
        assert_eq!(encoded(r#""""#, Format::String), b"");
        assert_eq!(
            encoded(r#""plain é""#, Format::String),
            "plain é".as_bytes()
        );
        let escaped = encoded(r#""a\n\"\u00e9\ud83d\ude00""#, Format::String);
        assert_eq!(escaped, "a\n\"é😀".as_bytes());
        for (text, told) in [
            ("7", "a number"),
            ("{}", "an object"),
            ("[]", "an array"),
            ("true", "a boolean"),
            (r#""\ud800""#, "no character"),
        ] {
            let refused = encode(text.as_bytes(), Format::String, "key").unwrap_err();
            assert_eq!(refused.code(), "invalid_record");
            assert!(refused.to_string().contains(told), "{refused}");
            assert!(refused.to_string().contains("the key"), "{refused}");
        }
    }

    #[test]
    fn binary_is_base64_with_or_without_padding() {
        for text in [r#""/wA=""#, r#""/wA""#, r#""\/wA=""#] {
            assert_eq!(encoded(text, Format::Binary), [0xff, 0x00]);
        }
        assert_eq!(encoded(r#""""#, Format::Binary), b"");
        for text in [r#""_wA=""#, r#""/w A=""#, r#""x""#] {
            let refused = encode(text.as_bytes(), Format::Binary, "value").unwrap_err();
            assert_eq!(refused.code(), "invalid_base64", "{text}");
        }
        let refused = encode(b"7", Format::Binary, "value").unwrap_err();
        assert_eq!(refused.code(), "invalid_record");
    }

    type Read = Vec<(String, Option<String>)>;

    fn read(text: &str) -> Result<Read, Vec<HeadersFault>> {
        let mut headers = Vec::new();
        read_headers(text.as_bytes(), |name, value| {
            headers.push((name.to_owned(), value.map(str::to_owned)));
        })?;
        Ok(headers)
    }

    #[test]
    fn headers_are_a_list_or_an_object() {
        let expected: Read = vec![
            ("b".to_owned(), Some("é".to_owned())),
            ("a".to_owned(), None),
            ("b".to_owned(), Some(String::new())),
        ];
        let list =
            r#"[{"key":"b","value":"\u00e9"},{"value":null,"key":"a"},{"key":"b","value":""}]"#;
        assert_eq!(read(list), Ok(expected.clone()));
        assert_eq!(read(r#"[{"key":"a"}]"#), Ok(vec![expected[1].clone()]));
        let object = r#"{"b":"é","a":null}"#;
        assert_eq!(read(object), Ok(expected[..2].to_vec()));
        assert_eq!(read("[]"), Ok(Vec::new()));
    }

    #[test]
    fn all_faults_of_headers_are_told() {
        let places = |text: &str| -> Vec<String> {
            let faults = read(text).unwrap_err();
            faults.into_iter().map(|fault| fault.place).collect()
        };
        assert_eq!(places("7"), [""]);
        assert_eq!(places(r#"{"a":1,"b":"","c":[]}"#), [".a", ".c"]);
        let list = r#"[7,{"value":"x"},{"key":1},{"key":"a","value":{}},{"key":"a","size":1}]"#;
        let expected = ["[0]", "[1].key", "[2].key", "[3].value", "[4].size"];
        assert_eq!(places(list), expected);
        let many = format!("[{}]", vec!["7"; 1000].join(","));
        assert_eq!(places(&many).len(), MAX_FAULTS);
    }

    proptest! {
        #[test]
        fn any_text_comes_through_as_a_string(text in "\\PC*") {
            let json = serde_json::to_string(&text).unwrap();
            prop_assert_eq!(encoded(&json, Format::String), text.as_bytes());
        }
    }
}
