//! A request to write: its query and its body.
//!
//! The body is not made into values: keys and values stay the text that the client sent, as parts
//! of the body. What is wrong with the shape of the request is told at once for all of it; what is
//! wrong with the content of one record is told of that record later.

use std::fmt;

use bytes::Bytes;
use serde::Deserializer;
use serde::de::{DeserializeSeed, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::Value;
use serde_json::value::RawValue;
use sluice_actors::{Compression, InvalidSchemaRef, Outgoing, Production, SchemaRef, read_headers};
use sluice_types::{Format, Partition, Timestamp};

use super::expected::{Any, Expected, NULL};
use super::fields::{Faults, integer, shown};
use super::{FORMATS, Query};
use crate::api::body::malformed;
use crate::api::error::Problem;

/// Most faults told of one request.
const MAX_FAULTS: usize = 100;

/// How the records of a request become Kafka's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Options {
    /// How keys become bytes.
    pub(crate) key_format: Format,
    /// How values become bytes.
    pub(crate) value_format: Format,
    /// The schema of keys, if one is named.
    pub(crate) key_schema: Option<SchemaRef>,
    /// The schema of values, if one is named.
    pub(crate) value_schema: Option<SchemaRef>,
    /// How batches are compressed.
    pub(crate) compression: Compression,
    /// Whether the client does not wait for Kafka.
    pub(crate) is_async: bool,
}

impl Options {
    /// Reads the query.
    pub(crate) fn parse(mut query: Query, faults: &mut Faults) -> Self {
        let key_format = query.take("key.format", faults, format);
        let value_format = query.take("value.format", faults, format);
        let compression = query.take("compression", faults, compression);
        let is_async = query.take("async", faults, flag);
        let [key_schema, value_schema] = [
            ("key.schema", "key.format", key_format),
            ("value.schema", "value.format", value_format),
        ]
        .map(|(name, needed, format)| {
            query.take(name, faults, |text| match format {
                Some(Format::Avro) => text
                    .parse()
                    .map_err(|error: InvalidSchemaRef| error.to_string()),
                _ => Err(format!("needs {needed}=avro")),
            })
        });
        query.finish(faults);
        Self {
            key_format: key_format.unwrap_or(Format::Json),
            value_format: value_format.unwrap_or(Format::Json),
            key_schema,
            value_schema,
            compression: compression.unwrap_or_default(),
            is_async: is_async.unwrap_or(false),
        }
    }
}

/// Reads the body: the records, in their order.
///
/// # Errors
/// 400, or 422 with all faults.
pub(crate) fn parse(
    body: &Bytes,
    max_records: usize,
    mut faults: Faults,
) -> Result<Vec<Outgoing>, Problem> {
    let mut reading = Reading {
        body,
        max_records,
        faults: &mut faults,
        told: 0,
        headers: 0,
        records: None,
    };
    let mut json = serde_json::Deserializer::from_slice(body);
    let read = Any(&mut reading).deserialize(&mut json);
    read.and_then(|()| json.end())
        .map_err(|error| malformed(&error))?;
    if reading.records.is_none() && reading.told == 0 {
        reading.fault("records", "is required");
    }
    let records = reading.records;
    faults.into_result(records)
}

fn format(text: &str) -> Result<Format, String> {
    choice(text, FORMATS)
}

fn compression(text: &str) -> Result<Compression, String> {
    choice(text, &Compression::ALL.map(|codec| (codec.as_str(), codec)))
}

fn flag(text: &str) -> Result<bool, String> {
    choice(text, &[("true", true), ("false", false)])
}

fn choice<T: Copy>(text: &str, choices: &[(&str, T)]) -> Result<T, String> {
    let found = choices.iter().find(|(word, _)| *word == text);
    found.map(|(_, choice)| *choice).ok_or_else(|| {
        let words: Vec<&str> = choices.iter().map(|(word, _)| *word).collect();
        let given = shown(&Value::from(text));
        format!("must be one of {}, not {given}", words.join(", "))
    })
}

/// The body as far as it has been read.
struct Reading<'b> {
    body: &'b Bytes,
    max_records: usize,
    faults: &'b mut Faults,
    told: usize,
    headers: usize,
    records: Option<Vec<Outgoing>>,
}

impl Reading<'_> {
    fn fault(&mut self, field: impl Into<String>, message: impl Into<String>) {
        self.told += 1;
        match self.told {
            ..=MAX_FAULTS => self.faults.add(field, message),
            told if told == MAX_FAULTS + 1 => {
                let message = format!("has more faults than the {MAX_FAULTS} listed");
                self.faults.add("records", message);
            }
            _ => {}
        }
    }

    /// The part of the body that a text is; nothing is copied.
    fn part(&self, text: &RawValue) -> Option<Bytes> {
        let text = Some(text.get()).filter(|text| *text != "null")?;
        Some(self.body.slice_ref(text.as_bytes()))
    }
}

impl<'de> Expected<'de> for &mut Reading<'_> {
    fn object<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(name) = map.next_key_seed(NameSeed)? {
            if let Name::Records = name {
                self.records = None;
                map.next_value_seed(Any(Records(self)))?;
                continue;
            }
            map.next_value::<IgnoredAny>()?;
            let message = "is not a field of this request; those are records";
            self.fault(name.into_text(), message);
        }
        Ok(())
    }

    fn instead(self, kind: &'static str) {
        self.fault("body", format!("must be a JSON object, not {kind}"));
    }
}

/// The member `records`.
struct Records<'r, 'b>(&'r mut Reading<'b>);

impl<'de> Expected<'de> for Records<'_, '_> {
    fn array<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        let Self(reading) = self;
        let mut records = Vec::new();
        let mut at = 0;
        while at < reading.max_records {
            let mut record = Record {
                reading,
                at,
                record: Outgoing::default(),
            };
            if seq.next_element_seed(Any(&mut record))?.is_none() {
                break;
            }
            records.push(record.record);
            at += 1;
        }
        // Beyond the limit they are counted, not kept.
        while at >= reading.max_records && seq.next_element::<IgnoredAny>()?.is_some() {
            at += 1;
        }
        if !(1..=reading.max_records).contains(&at) {
            let most = reading.max_records;
            reading.fault(
                "records",
                format!("must have 1 to {most} records, not {at}"),
            );
        }
        if reading.headers > Production::MAX_HEADERS {
            let (count, most) = (reading.headers, Production::MAX_HEADERS);
            let message = format!("must have at most {most} headers together, not {count}");
            reading.fault("records", message);
        }
        reading.records = Some(records);
        Ok(())
    }

    fn instead(self, kind: &'static str) {
        if kind != NULL {
            let message = format!("must be an array of records, not {kind}");
            self.0.fault("records", message);
        }
    }
}

/// One record as far as it has been read.
struct Record<'r, 'b> {
    reading: &'r mut Reading<'b>,
    at: usize,
    record: Outgoing,
}

impl Record<'_, '_> {
    fn fault(&mut self, place: &str, message: impl Into<String>) {
        let field = format!("records[{}]{place}", self.at);
        self.reading.fault(field, message);
    }

    fn number(&mut self, place: &str, text: &RawValue, least: i64, most: i64) -> Option<i64> {
        let text = Some(text.get()).filter(|text| *text != NULL)?;
        // It is JSON, and fails only as a number that no type holds.
        let value = serde_json::from_str::<Value>(text);
        let number = value.as_ref().ok().and_then(integer);
        let number = number.filter(|number| (least..=most).contains(number));
        if number.is_none() {
            let given =
                value.map_or_else(|_| "something that large".to_owned(), |value| shown(&value));
            let message = format!("must be an integer from {least} to {most}, not {given}");
            self.fault(place, message);
        }
        number
    }

    fn headers(&mut self, text: &RawValue) {
        let Some(headers) = self.reading.part(text) else {
            return;
        };
        let mut count = 0;
        if let Err(faults) = read_headers(&headers, |_, _| count += 1) {
            for fault in faults {
                self.fault(&format!(".headers{}", fault.place), fault.message);
            }
        }
        self.record.headers = Some(headers);
        self.record.header_count = count;
        self.reading.headers += count;
    }
}

impl<'de> Expected<'de> for &mut Record<'_, '_> {
    fn object<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(name) = map.next_key_seed(NameSeed)? {
            match name {
                Name::Key => self.record.key = self.reading.part(map.next_value()?),
                Name::Value => self.record.value = self.reading.part(map.next_value()?),
                Name::Partition => {
                    let most = i64::from(i32::MAX);
                    let number = self.number(".partition", map.next_value()?, 0, most);
                    let number = number.and_then(|number| i32::try_from(number).ok());
                    self.record.partition = number.and_then(|number| Partition::new(number).ok());
                }
                Name::Timestamp => {
                    // Kafka's clients take 0 for the present.
                    let number = self.number(".timestamp", map.next_value()?, 1, i64::MAX);
                    self.record.timestamp = number.map(Timestamp::from_millis);
                }
                Name::Headers => self.headers(map.next_value()?),
                name @ (Name::Records | Name::Other(_)) => {
                    map.next_value::<IgnoredAny>()?;
                    let message = "is not a field of a record; those are key, value, partition, timestamp, headers";
                    self.fault(&format!(".{}", name.into_text()), message);
                }
            }
        }
        Ok(())
    }

    fn instead(self, kind: &'static str) {
        self.fault("", format!("must be an object, not {kind}"));
    }
}

/// What members are called.
enum Name {
    Records,
    Key,
    Value,
    Partition,
    Timestamp,
    Headers,
    Other(String),
}

impl Name {
    fn into_text(self) -> String {
        match self {
            Self::Records => "records".to_owned(),
            Self::Key => "key".to_owned(),
            Self::Value => "value".to_owned(),
            Self::Partition => "partition".to_owned(),
            Self::Timestamp => "timestamp".to_owned(),
            Self::Headers => "headers".to_owned(),
            Self::Other(name) => name,
        }
    }
}

struct NameSeed;

impl<'de> DeserializeSeed<'de> for NameSeed {
    type Value = Name;

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<Name, D::Error> {
        json.deserialize_str(self)
    }
}

impl Visitor<'_> for NameSeed {
    type Value = Name;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a name")
    }

    fn visit_str<Fault: Error>(self, name: &str) -> Result<Name, Fault> {
        Ok(match name {
            "records" => Name::Records,
            "key" => Name::Key,
            "value" => Name::Value,
            "partition" => Name::Partition,
            "timestamp" => Name::Timestamp,
            "headers" => Name::Headers,
            other => Name::Other(other.to_owned()),
        })
    }
}
