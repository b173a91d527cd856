//! From Avro's bytes to JSON, as a schema says.

use uuid::Uuid;

use super::MAX_DEPTH;
use super::schema::{Kind, Schema, TypeId};
use super::write::DURATION;
use crate::session::{integer, string};

/// Items that may be there without taking a byte.
const FREE_ITEMS: usize = 1024;
/// How much longer JSON may be than the data: names of fields take nothing there.
const MOST_TIMES: usize = 128;
const MOST_MORE: usize = 64 * 1024;

/// Appends the data of a schema as JSON; says whether it is that. Else it appends nothing.
pub(crate) fn read(out: &mut Vec<u8>, schema: &Schema, data: &[u8]) -> bool {
    let start = out.len();
    let most = data.len().saturating_mul(MOST_TIMES) + MOST_MORE;
    let mut reader = Reader {
        schema,
        data,
        items: data.len() + FREE_ITEMS,
        end: start.saturating_add(most),
    };
    let is_whole = reader.value(out, schema.root(), 0).is_some() && reader.data.is_empty();
    if !is_whole {
        out.truncate(start);
    }
    is_whole
}

/// What has not been read yet. Nothing comes of data that is not as the schema says.
struct Reader<'a> {
    schema: &'a Schema,
    data: &'a [u8],
    /// Items of arrays and maps that may yet come.
    items: usize,
    /// How long the JSON may be.
    end: usize,
}

impl<'a> Reader<'a> {
    fn value(&mut self, out: &mut Vec<u8>, of: TypeId, depth: usize) -> Option<()> {
        if depth > MAX_DEPTH || out.len() > self.end {
            return None;
        }
        match &self.schema.of(of).kind {
            Kind::Null => out.extend_from_slice(b"null"),
            Kind::Boolean => match self.take(1)? {
                [0] => out.extend_from_slice(b"false"),
                [1] => out.extend_from_slice(b"true"),
                _ => return None,
            },
            Kind::Int => integer(out, i64::from(i32::try_from(self.long()?).ok()?)),
            Kind::Long => integer(out, self.long()?),
            Kind::Float => {
                let number = f32::from_le_bytes(*self.take_array()?);
                match number.is_finite() {
                    true => serde_json::to_writer(out, &number).ok()?,
                    false => not_finite(out, number.into()),
                }
            }
            Kind::Double => {
                let number = f64::from_le_bytes(*self.take_array()?);
                match number.is_finite() {
                    true => serde_json::to_writer(out, &number).ok()?,
                    false => not_finite(out, number),
                }
            }
            Kind::Bytes => {
                let bytes = self.sized()?;
                text_of_bytes(out, bytes);
            }
            Kind::String => string(out, std::str::from_utf8(self.sized()?).ok()?),
            Kind::Fixed(size) => {
                let bytes = self.take(*size)?;
                text_of_bytes(out, bytes);
            }
            Kind::Uuid => string(out, &Uuid::from_bytes(*self.take_array()?).to_string()),
            Kind::Decimal(decimal) => {
                let bytes = match decimal.size {
                    Some(size) => self.take(size)?,
                    None => self.sized()?,
                };
                string(out, &decimal.decode(bytes)?);
            }
            Kind::Duration => {
                for (index, name) in DURATION.into_iter().enumerate() {
                    out.push(if index == 0 { b'{' } else { b',' });
                    string(out, name);
                    out.push(b':');
                    integer(out, u32::from_le_bytes(*self.take_array()?).into());
                }
                out.push(b'}');
            }
            Kind::Enum(symbols) => string(out, symbols.get(self.index()?)?),
            Kind::Array(items) => {
                self.items(out, b"[]", |reader, out| {
                    reader.value(out, *items, depth + 1)
                })?;
            }
            Kind::Map(values) => {
                self.items(out, b"{}", |reader, out| {
                    string(out, std::str::from_utf8(reader.sized()?).ok()?);
                    out.push(b':');
                    reader.value(out, *values, depth + 1)
                })?;
            }
            Kind::Union(branches) => {
                let index = self.index()?;
                let branch = *branches.get(index)?;
                let is_plain = matches!(self.schema.of(branch).kind, Kind::Null)
                    || self.schema.only_branch(branches).is_some();
                if is_plain {
                    return self.value(out, branch, depth);
                }
                out.push(b'{');
                string(out, self.schema.name(branch));
                out.push(b':');
                self.value(out, branch, depth + 1)?;
                out.push(b'}');
            }
            Kind::Record(fields) => {
                out.push(b'{');
                for (index, field) in fields.iter().enumerate() {
                    if index > 0 {
                        out.push(b',');
                    }
                    string(out, &field.name);
                    out.push(b':');
                    self.value(out, field.of, depth + 1)?;
                }
                out.push(b'}');
            }
        }
        Some(())
    }

    /// Items in blocks, each block behind the number of its items; an empty one is the last.
    fn items(
        &mut self,
        out: &mut Vec<u8>,
        [open, close]: &[u8; 2],
        mut item: impl FnMut(&mut Self, &mut Vec<u8>) -> Option<()>,
    ) -> Option<()> {
        out.push(*open);
        let mut is_first = true;
        loop {
            let count = self.long()?;
            if count == 0 {
                break;
            }
            if count < 0 {
                // How many bytes the block has, for who skips it.
                self.long()?;
            }
            let count = usize::try_from(count.unsigned_abs()).ok()?;
            self.items = self.items.checked_sub(count)?;
            for _ in 0..count {
                if !is_first {
                    out.push(b',');
                }
                is_first = false;
                item(self, out)?;
            }
        }
        out.push(*close);
        Some(())
    }

    fn index(&mut self) -> Option<usize> {
        usize::try_from(self.long()?).ok()
    }

    fn sized(&mut self) -> Option<&'a [u8]> {
        let length = self.index()?;
        self.take(length)
    }

    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.data.split_at_checked(length)?;
        self.data = rest;
        Some(taken)
    }

    fn take_array<const N: usize>(&mut self) -> Option<&'a [u8; N]> {
        let (taken, rest) = self.data.split_first_chunk()?;
        self.data = rest;
        Some(taken)
    }

    /// Small numbers of either sign first, seven bits a byte.
    fn long(&mut self) -> Option<i64> {
        let mut number = 0_u64;
        for shift in (0..64).step_by(7) {
            let [byte] = *self.take_array()?;
            let bits = u64::from(byte & 0x7f);
            // Of the tenth byte only the last bit has a place.
            if shift == 63 && bits > 1 {
                return None;
            }
            number |= bits << shift;
            if byte & 0x80 == 0 {
                return Some((number >> 1).cast_signed() ^ -(number & 1).cast_signed());
            }
        }
        None
    }
}

/// Each byte as the character of its number.
fn text_of_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    let text: String = bytes.iter().map(|byte| char::from(*byte)).collect();
    string(out, &text);
}

fn not_finite(out: &mut Vec<u8>, number: f64) {
    let name = match number {
        f64::INFINITY => "Infinity",
        f64::NEG_INFINITY => "-Infinity",
        _ => "NaN",
    };
    string(out, name);
}
