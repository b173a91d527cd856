//! The schema registry that a node asks: one that speaks Confluent's API.
//!
//! ```text
//!   producers, sessions ──▶ schemas.rs   what is known; one request for all who miss the same
//!                              │
//!                           client.rs    HTTP: addresses in turn, credentials, time-outs
//! ```
//!
//! The client is our own: `schema_registry_converter` remembers failures for ever, learns of a new
//! version of a subject never, and takes a registry that cannot be reached for one without the
//! schema.

mod client;
mod config;
mod metrics;
mod schemas;

pub use client::check_certificates;
pub use config::{SchemaRegistryConfig, SchemaRegistryCredentials};
pub(crate) use schemas::{Registered, SchemaError, Schemas};
