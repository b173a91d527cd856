//! Avro values as JSON: what clients send becomes bytes, and bytes become what clients get.
//!
//! ```text
//!   schema's text ── apache-avro ──▶ schema.rs     types by number, names resolved once
//!                                     │       │
//!   JSON ── write.rs, choose.rs ──▶ bytes     bytes ── read.rs ──▶ JSON
//!                 └── wire.rs: magic byte, id of the schema, bytes ──┘
//! ```
//!
//! Schemas are parsed by `apache-avro`. Its values are not used. Its reader takes bytes that end
//! too soon for nulls, and follows data that contains itself for as long as it goes on, so that a
//! small record can overflow the stack of its thread and end the process; and its writer knows no
//! place in a value that does not fit. Both would make a tree of each record besides. What is
//! written and read here is held against it by tests.

mod choose;
mod decimal;
mod mismatch;
mod read;
mod schema;
#[cfg(test)]
mod tests;
mod wire;
mod write;

pub use mismatch::Mismatch;
pub(crate) use read::read;
pub(crate) use schema::Schema;
pub use wire::{InvalidSchemaRef, SchemaId, SchemaRef};
pub(crate) use wire::{framed, unframed};
pub(crate) use write::write;

/// How deep arrays and objects may lie in each other. What parses JSON goes a little deeper, so
/// that what is read can be written again.
const MAX_DEPTH: usize = 120;
