//! From JSON to Avro's bytes, as a schema says.

use serde_json::{Map, Value};
use uuid::Uuid;

use super::MAX_DEPTH;
use super::choose::not_finite;
use super::mismatch::Mismatch;
use super::schema::{Field, Kind, Schema, TypeId};

/// Appends the value of a schema.
///
/// # Errors
/// Where it does not fit, and why. What has been appended by then is of no use.
pub(crate) fn write(out: &mut Vec<u8>, schema: &Schema, json: &Value) -> Result<(), Mismatch> {
    let mut writer = Writer { out, schema };
    writer.value(schema.root(), json, Depth(0), From::Client)
}

struct Writer<'a> {
    out: &'a mut Vec<u8>,
    schema: &'a Schema,
}

/// How many arrays and objects lie around a value.
#[derive(Clone, Copy)]
struct Depth(usize);

impl Depth {
    fn deeper(self) -> Result<Self, Mismatch> {
        match self.0 {
            ..MAX_DEPTH => Ok(Self(self.0 + 1)),
            _ => Err(Mismatch::new(format!(
                "lies deeper than {MAX_DEPTH} arrays and objects"
            ))),
        }
    }
}

/// Where a value comes from.
#[derive(Clone, Copy)]
enum From {
    Client,
    /// The schema itself, for a field that the client left out.
    Default,
}

impl Writer<'_> {
    fn value(
        &mut self,
        of: TypeId,
        json: &Value,
        depth: Depth,
        from: From,
    ) -> Result<(), Mismatch> {
        match &self.schema.of(of).kind {
            Kind::Null => match json {
                Value::Null => Ok(()),
                other => Err(Mismatch::expected("null", other)),
            },
            Kind::Boolean => {
                let value = json.as_bool();
                let value = value.ok_or_else(|| Mismatch::expected("a boolean", json))?;
                self.out.push(u8::from(value));
                Ok(())
            }
            Kind::Int => {
                let number = json.as_i64().and_then(|number| i32::try_from(number).ok());
                let what = "an int, an integer from -2147483648 to 2147483647";
                self.long(i64::from(
                    number.ok_or_else(|| Mismatch::expected(what, json))?,
                ));
                Ok(())
            }
            Kind::Long => {
                let what = "a long, an integer of 64 bits";
                let number = json.as_i64();
                self.long(number.ok_or_else(|| Mismatch::expected(what, json))?);
                Ok(())
            }
            Kind::Float => self.float(json),
            Kind::Double => {
                let number = number(json).ok_or_else(|| Mismatch::expected("a double", json))?;
                self.out.extend_from_slice(&number.to_le_bytes());
                Ok(())
            }
            Kind::Bytes => {
                let bytes = bytes(json)?;
                self.sized(&bytes);
                Ok(())
            }
            Kind::String => {
                let text = json.as_str();
                let text = text.ok_or_else(|| Mismatch::expected("a string", json))?;
                self.sized(text.as_bytes());
                Ok(())
            }
            Kind::Fixed(size) => {
                let bytes = bytes(json)?;
                if bytes.len() != *size {
                    let message = format!("must have {size} bytes, not {}", bytes.len());
                    return Err(Mismatch::new(message));
                }
                self.out.extend_from_slice(&bytes);
                Ok(())
            }
            Kind::Uuid => {
                self.out.extend_from_slice(uuid(json)?.as_bytes());
                Ok(())
            }
            Kind::Decimal(decimal) => {
                let bytes = decimal.encode(json)?;
                match decimal.size {
                    Some(_) => self.out.extend_from_slice(&bytes),
                    None => self.sized(&bytes),
                }
                Ok(())
            }
            Kind::Duration => self.duration(json),
            Kind::Enum(symbols) => {
                let text = json.as_str();
                let text = text.ok_or_else(|| Mismatch::expected("a symbol of its enum", json))?;
                let index = symbols.iter().position(|symbol| symbol == text);
                let index = index.ok_or_else(|| {
                    Mismatch::new(format!("must be one of {}", symbols.join(", ")))
                })?;
                self.length(index);
                Ok(())
            }
            Kind::Array(items) => self.array(*items, json, depth, from),
            Kind::Map(values) => self.map(*values, json, depth, from),
            Kind::Union(branches) => self.union(branches, json, depth, from),
            Kind::Record(fields) => self.record(fields, json, depth, from),
        }
    }

    fn float(&mut self, json: &Value) -> Result<(), Mismatch> {
        let wide = number(json).ok_or_else(|| Mismatch::expected("a float", json))?;
        #[expect(
            clippy::cast_possible_truncation,
            reason = "a float is rounded as one expects"
        )]
        let narrow = wide as f32;
        if narrow.is_infinite() && wide.is_finite() {
            return Err(Mismatch::expected("a float, which is smaller", json));
        }
        self.out.extend_from_slice(&narrow.to_le_bytes());
        Ok(())
    }

    fn duration(&mut self, json: &Value) -> Result<(), Mismatch> {
        let what = "a duration: {\"months\", \"days\", \"millis\"}";
        let parts = json.as_object().filter(|parts| parts.len() == 3);
        let parts = parts.ok_or_else(|| Mismatch::expected(what, json))?;
        for name in DURATION {
            let part = parts.get(name).and_then(Value::as_u64);
            let part = part.and_then(|part| u32::try_from(part).ok());
            let part = part.ok_or_else(|| {
                Mismatch::new("must be an integer from 0 to 4294967295").within(name)
            })?;
            self.out.extend_from_slice(&part.to_le_bytes());
        }
        Ok(())
    }

    fn array(
        &mut self,
        items: TypeId,
        json: &Value,
        depth: Depth,
        from: From,
    ) -> Result<(), Mismatch> {
        let values = json.as_array();
        let values = values.ok_or_else(|| Mismatch::expected("an array", json))?;
        let depth = depth.deeper()?;
        if !values.is_empty() {
            self.length(values.len());
        }
        for (index, value) in values.iter().enumerate() {
            self.value(items, value, depth, from)
                .map_err(|mismatch| mismatch.within_item(index))?;
        }
        self.long(0);
        Ok(())
    }

    fn map(
        &mut self,
        values: TypeId,
        json: &Value,
        depth: Depth,
        from: From,
    ) -> Result<(), Mismatch> {
        let map = json.as_object();
        let map = map.ok_or_else(|| Mismatch::expected("an object, for a map", json))?;
        let depth = depth.deeper()?;
        if !map.is_empty() {
            self.length(map.len());
        }
        for (key, value) in map {
            self.sized(key.as_bytes());
            self.value(values, value, depth, from)
                .map_err(|mismatch| mismatch.within(key))?;
        }
        self.long(0);
        Ok(())
    }

    fn union(
        &mut self,
        branches: &[TypeId],
        json: &Value,
        depth: Depth,
        from: From,
    ) -> Result<(), Mismatch> {
        let choice = match from {
            From::Client => self.schema.choose(branches, json)?,
            From::Default => self.schema.choose_for_default(branches, json)?,
        };
        self.length(choice.index);
        if !choice.is_named {
            return self.value(choice.of, choice.json, depth, from);
        }
        let name = self.schema.name(choice.of);
        self.value(choice.of, choice.json, depth.deeper()?, from)
            .map_err(|mismatch| mismatch.within(name))
    }

    fn record(
        &mut self,
        fields: &[Field],
        json: &Value,
        depth: Depth,
        from: From,
    ) -> Result<(), Mismatch> {
        let object = json.as_object();
        let object = object.ok_or_else(|| Mismatch::expected("an object, for a record", json))?;
        let depth = depth.deeper()?;
        let mut given = 0;
        for field in fields {
            let (value, from) = match (object.get(&field.name), &field.default) {
                (Some(value), _) => {
                    given += 1;
                    (value, from)
                }
                (None, Some(default)) => (default, From::Default),
                (None, None) => {
                    let message = "is missing, and has no default";
                    return Err(Mismatch::new(message).within(&field.name));
                }
            };
            self.value(field.of, value, depth, from)
                .map_err(|mismatch| mismatch.within(&field.name))?;
        }
        match given == object.len() {
            true => Ok(()),
            false => Err(unknown(fields, object)),
        }
    }

    fn sized(&mut self, bytes: &[u8]) {
        self.length(bytes.len());
        self.out.extend_from_slice(bytes);
    }

    fn length(&mut self, length: usize) {
        // Nothing in memory is longer than that.
        self.long(i64::try_from(length).unwrap_or(i64::MAX));
    }

    /// Small numbers of either sign first, seven bits a byte.
    fn long(&mut self, number: i64) {
        let mut rest = ((number << 1) ^ (number >> 63)).cast_unsigned();
        while rest > 0x7f {
            self.out.push(rest.to_le_bytes()[0] | 0x80);
            rest >>= 7;
        }
        self.out.push(rest.to_le_bytes()[0]);
    }
}

/// The parts of a duration, in the order of its bytes.
pub(super) const DURATION: [&str; 3] = ["months", "days", "millis"];

fn unknown(fields: &[Field], object: &Map<String, Value>) -> Mismatch {
    let is_field = |name: &&String| fields.iter().any(|field| field.name == **name);
    let name = object.keys().find(|name| !is_field(name));
    let names: Vec<&str> = fields.iter().map(|field| field.name.as_str()).collect();
    let message = format!("is not a field; those are {}", names.join(", "));
    Mismatch::new(message).within(name.map_or("", String::as_str))
}

fn number(json: &Value) -> Option<f64> {
    let by_name = || json.as_str().and_then(not_finite);
    json.as_f64().or_else(by_name)
}

/// A text each of whose characters is a byte, U+0000 to U+00FF.
fn bytes(json: &Value) -> Result<Vec<u8>, Mismatch> {
    let what = "a string, for bytes";
    let text = json.as_str();
    let text = text.ok_or_else(|| Mismatch::expected(what, json))?;
    let bytes = text.chars().map(|letter| u8::try_from(letter).ok());
    let bytes: Option<Vec<u8>> = bytes.collect();
    bytes.ok_or_else(|| {
        Mismatch::new("must have characters from \\u0000 to \\u00ff only: each is a byte")
    })
}

fn uuid(json: &Value) -> Result<Uuid, Mismatch> {
    let text = json.as_str();
    let text = text.ok_or_else(|| Mismatch::expected("a UUID", json))?;
    Uuid::parse_str(text).map_err(|_| Mismatch::new("must be a UUID"))
}
