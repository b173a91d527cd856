//! Reading JSON as it comes, without making values of it.

use std::fmt;

use serde::Deserializer;
use serde::de::{DeserializeSeed, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};

/// What [`Expected::instead`] is told of a null.
pub(super) const NULL: &str = "null";

/// What is made of a JSON text that should be of one kind and may be of any.
pub(super) trait Expected<'de>: Sized {
    /// It is an object.
    fn object<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        self.instead("an object");
        Ok(())
    }

    /// It is an array.
    fn array<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        while seq.next_element::<IgnoredAny>()?.is_some() {}
        self.instead("an array");
        Ok(())
    }

    /// It is something else.
    fn instead(self, kind: &'static str);
}

/// Reads a JSON text of any kind.
pub(super) struct Any<E>(pub(super) E);

impl<'de, E: Expected<'de>> DeserializeSeed<'de> for Any<E> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<(), D::Error> {
        json.deserialize_any(self)
    }
}

impl<'de, E: Expected<'de>> Visitor<'de> for Any<E> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON text")
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<(), A::Error> {
        self.0.object(map)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<(), A::Error> {
        self.0.array(seq)
    }

    fn visit_str<Fault: Error>(self, _: &str) -> Result<(), Fault> {
        self.0.instead("a string");
        Ok(())
    }

    fn visit_bool<Fault: Error>(self, _: bool) -> Result<(), Fault> {
        self.0.instead("a boolean");
        Ok(())
    }

    fn visit_i64<Fault: Error>(self, _: i64) -> Result<(), Fault> {
        self.0.instead("a number");
        Ok(())
    }

    fn visit_u64<Fault: Error>(self, _: u64) -> Result<(), Fault> {
        self.0.instead("a number");
        Ok(())
    }

    fn visit_f64<Fault: Error>(self, _: f64) -> Result<(), Fault> {
        self.0.instead("a number");
        Ok(())
    }

    fn visit_unit<Fault: Error>(self) -> Result<(), Fault> {
        self.0.instead(NULL);
        Ok(())
    }
}
