//! The body of a produce of one message.

use bytes::Bytes;
use serde::de::{DeserializeSeed, MapAccess};
use serde_json::value::RawValue;
use serde_json::{Map, Value};
use sluice_actors::{Compression, Outgoing, Production};
use sluice_types::{Format, TopicName};

use super::expected::{Any, Expected};
use super::fields::{Faults, Fields};
use crate::api::body::malformed;
use crate::api::error::Problem;

const TOPIC: &str = "topic";
const MESSAGE: &str = "message";
const KEY: &str = "key";

/// Reads the body: the message stays the text that the client sent, as a part of the body.
///
/// # Errors
/// 400, or 422 with all faults.
pub(crate) fn parse(body: &Bytes, mut faults: Faults) -> Result<Production, Problem> {
    let mut reading = Reading::default();
    let mut json = serde_json::Deserializer::from_slice(body);
    let read = Any(&mut reading).deserialize(&mut json);
    read.and_then(|()| json.end())
        .map_err(|error| malformed(&error))?;
    if let Some(kind) = reading.instead {
        faults.add("body", format!("must be a JSON object, not {kind}"));
        return faults.into_result(None);
    }
    let mut fields = Fields::of_body(Some(Value::Object(reading.others)), &mut faults);
    let topic = fields.required(TOPIC, |text| {
        text.parse::<TopicName>().map_err(|error| error.to_string())
    });
    // Known, and taken already.
    fields.take(MESSAGE);
    if reading.message.is_none() {
        fields.missing(MESSAGE);
    }
    let key = fields.text(KEY, |text| Ok(Value::from(text).to_string()));
    fields.finish();
    let message = reading.message.map(|text| match text.get() {
        "null" => None,
        text => Some(body.slice_ref(text.as_bytes())),
    });
    let production = topic.zip(message).map(|(topic, value)| Production {
        topic,
        key_format: Format::String,
        value_format: Format::Json,
        key_schema: None,
        value_schema: None,
        compression: Compression::None,
        records: vec![Outgoing {
            key: key.map(Bytes::from),
            value,
            ..Outgoing::default()
        }],
    });
    faults.into_result(production)
}

/// The body as far as it has been read.
#[derive(Default)]
struct Reading<'b> {
    message: Option<&'b RawValue>,
    others: Map<String, Value>,
    instead: Option<&'static str>,
}

impl<'de> Expected<'de> for &mut Reading<'de> {
    fn object<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(name) = map.next_key::<String>()? {
            if name == MESSAGE {
                self.message = Some(map.next_value()?);
            } else {
                self.others.insert(name, map.next_value()?);
            }
        }
        Ok(())
    }

    fn instead(self, kind: &'static str) {
        self.instead = Some(kind);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(body: &str) -> Result<Production, Problem> {
        parse(&Bytes::copy_from_slice(body.as_bytes()), Faults::default())
    }

    #[track_caller]
    fn fields(body: &str) -> Vec<String> {
        let problem = read(body).unwrap_err();
        let errors = problem.extras["errors"].as_array().unwrap().clone();
        let name = |error: &Value| error["field"].as_str().unwrap().to_owned();
        errors.iter().map(name).collect()
    }

    #[test]
    fn the_message_stays_as_it_was_sent_and_the_key_is_text() {
        let body = r#"{"topic":"t","message": { "b":1.10,"a":[] } ,"key":"a\"b"}"#;
        let production = read(body).unwrap();
        assert_eq!(production.topic.as_str(), "t");
        let record = &production.records[0];
        assert_eq!(
            record.value.as_deref(),
            Some(&br#"{ "b":1.10,"a":[] }"#[..])
        );
        assert_eq!(record.key.as_deref(), Some(&br#""a\"b""#[..]));
        assert_eq!(production.key_format, Format::String);
        assert_eq!(production.value_format, Format::Json);
    }

    #[test]
    fn a_null_message_is_a_kafka_null() {
        let production = read(r#"{"topic":"t","message":null,"key":null}"#).unwrap();
        assert_eq!(production.records, [Outgoing::default()]);
    }

    #[test]
    fn all_faults_are_told_at_once() {
        assert_eq!(fields("{}"), ["topic", "message"]);
        let body = json!({"topic": "a b", "key": 7, "value": 1, "partition": 0}).to_string();
        assert_eq!(
            fields(&body),
            ["topic", "message", "key", "partition", "value"]
        );
        assert_eq!(fields("[1]"), ["body"]);
        assert_eq!(fields("null"), ["body"]);
    }
}
