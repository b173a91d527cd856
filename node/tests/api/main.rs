//! The HTTP API of a node in this process, whose Kafka cannot be reached: what must hold then.

#![allow(clippy::unwrap_used, reason = "what fails here fails the test")]

mod lifecycle;
mod node;
mod requests;
mod transport;
