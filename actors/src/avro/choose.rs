//! Which branch of a union a JSON value is meant for.
//!
//! Only the outermost layer of the value is looked at: trying branches out would take time without
//! bound where unions lie within unions.

use serde_json::Value;
use uuid::Uuid;

use super::mismatch::{Mismatch, kind};
use super::schema::{Kind, Schema, TypeId};

/// A branch, and the value that is to be written by it.
pub(super) struct Choice<'j> {
    pub(super) index: usize,
    pub(super) of: TypeId,
    pub(super) json: &'j Value,
    /// Whether the value stands in an object that names the branch.
    pub(super) is_named: bool,
}

impl Schema {
    /// Chooses a branch. `{"branch": value}` names one; with only one branch beside null, the
    /// value itself will do, and with several too if only one of them takes such a value.
    pub(super) fn choose<'j>(
        &self,
        branches: &[TypeId],
        json: &'j Value,
    ) -> Result<Choice<'j>, Mismatch> {
        let plain = |index: usize| Choice {
            index,
            of: branches[index],
            json,
            is_named: false,
        };
        if json.is_null() {
            let null = branches.iter().position(|branch| self.is_null(*branch));
            return null
                .map(plain)
                .ok_or_else(|| self.none_takes(branches, json));
        }
        let named = self.named(branches, json);
        let only = self.only_branch(branches);
        match (only, named) {
            (Some(index), Some(_)) if self.means_itself(branches[index], json) => Ok(plain(index)),
            (_, Some(named)) => Ok(named),
            (Some(index), None) => Ok(plain(index)),
            (None, None) => {
                let takes = |index: &usize| self.takes(branches[*index], json);
                let taking: Vec<usize> = (0..branches.len()).filter(takes).collect();
                match taking[..] {
                    [index] => Ok(plain(index)),
                    [] => Err(self.none_takes(branches, json)),
                    [first, ..] => {
                        let names = taking.iter().map(|index| self.name(branches[*index]));
                        let names: Vec<&str> = names.collect();
                        let (names, first) = (names.join(" and "), self.name(branches[first]));
                        let message =
                            format!("may be {names}: say which, as in {{\"{first}\": …}}");
                        Err(Mismatch::new(message))
                    }
                }
            }
        }
    }

    /// The branch for a default, which names none: the first that takes it.
    pub(super) fn choose_for_default<'j>(
        &self,
        branches: &[TypeId],
        json: &'j Value,
    ) -> Result<Choice<'j>, Mismatch> {
        let takes = |branch: &TypeId| self.takes(*branch, json);
        let index = branches.iter().position(takes);
        let index = index.ok_or_else(|| self.none_takes(branches, json))?;
        Ok(Choice {
            index,
            of: branches[index],
            json,
            is_named: false,
        })
    }

    /// The only branch beside null, which is written without its name.
    pub(super) fn only_branch(&self, branches: &[TypeId]) -> Option<usize> {
        let mut others = (0..branches.len()).filter(|index| !self.is_null(branches[*index]));
        let only = others.next()?;
        others.next().is_none().then_some(only)
    }

    fn named<'j>(&self, branches: &[TypeId], json: &'j Value) -> Option<Choice<'j>> {
        let object = json.as_object().filter(|object| object.len() == 1)?;
        let (name, value) = object.iter().next()?;
        let index = self.branch_named(branches, name)?;
        Some(Choice {
            index,
            of: branches[index],
            json: value,
            is_named: true,
        })
    }

    /// The branch of this name; the last part of it is enough where that is one branch's only.
    fn branch_named(&self, branches: &[TypeId], name: &str) -> Option<usize> {
        let is = |branch: &TypeId| self.name(*branch) == name;
        branches.iter().position(is).or_else(|| {
            let short = |index: &usize| {
                let (_, last) = self.name(branches[*index]).rsplit_once('.')?;
                Some(last == name)
            };
            let mut found = (0..branches.len()).filter(|index| short(index) == Some(true));
            let first = found.next()?;
            found.next().is_none().then_some(first)
        })
    }

    /// Whether an object that seems to name the only branch is that branch's value instead.
    fn means_itself(&self, branch: TypeId, json: &Value) -> bool {
        match &self.of(branch).kind {
            Kind::Map(values) => json
                .as_object()
                .is_some_and(|map| map.values().all(|value| self.takes(*values, value))),
            _ => self.takes(branch, json),
        }
    }

    /// Whether the outermost layer of the value fits.
    fn takes(&self, of: TypeId, json: &Value) -> bool {
        match &self.of(of).kind {
            Kind::Null => json.is_null(),
            Kind::Boolean => json.is_boolean(),
            Kind::Int => json.as_i64().is_some_and(|n| i32::try_from(n).is_ok()),
            Kind::Long => json.is_i64(),
            Kind::Float | Kind::Double => {
                json.is_number() || json.as_str().is_some_and(|text| not_finite(text).is_some())
            }
            Kind::Bytes => json.as_str().is_some_and(is_bytes),
            Kind::String => json.is_string(),
            Kind::Fixed(size) => {
                let fits = |text: &str| is_bytes(text) && text.chars().count() == *size;
                json.as_str().is_some_and(fits)
            }
            Kind::Uuid => json
                .as_str()
                .is_some_and(|text| Uuid::parse_str(text).is_ok()),
            Kind::Decimal(decimal) => decimal.encode(json).is_ok(),
            Kind::Duration => json
                .as_object()
                .is_some_and(|parts| parts.len() == 3 && parts.contains_key("months")),
            Kind::Enum(symbols) => {
                let is = |text: &str| symbols.iter().any(|symbol| symbol == text);
                json.as_str().is_some_and(is)
            }
            Kind::Array(_) => json.is_array(),
            Kind::Map(_) => json.is_object(),
            Kind::Record(fields) => json.as_object().is_some_and(|object| {
                let is_field = |name: &String| fields.iter().any(|field| field.name == *name);
                object.keys().all(is_field)
                    && fields
                        .iter()
                        .all(|field| field.default.is_some() || object.contains_key(&field.name))
            }),
            Kind::Union(branches) => {
                self.named(branches, json).is_some()
                    || branches.iter().any(|branch| self.takes(*branch, json))
            }
        }
    }

    fn none_takes(&self, branches: &[TypeId], json: &Value) -> Mismatch {
        let names: Vec<&str> = branches.iter().map(|branch| self.name(*branch)).collect();
        let names = names.join(", ");
        let found = match json {
            Value::Object(_) => "an object that none of them takes".to_owned(),
            other => kind(other),
        };
        Mismatch::new(format!("must be one of {names}, not {found}"))
    }

    fn is_null(&self, of: TypeId) -> bool {
        matches!(self.of(of).kind, Kind::Null)
    }

    pub(super) fn name(&self, of: TypeId) -> &str {
        &self.of(of).name
    }
}

/// The numbers that JSON does not have, by name.
pub(super) fn not_finite(text: &str) -> Option<f64> {
    match text {
        "NaN" => Some(f64::NAN),
        "Infinity" => Some(f64::INFINITY),
        "-Infinity" => Some(f64::NEG_INFINITY),
        _ => None,
    }
}

/// Whether each character stands for a byte.
fn is_bytes(text: &str) -> bool {
    text.chars().all(|letter| u8::try_from(letter).is_ok())
}
