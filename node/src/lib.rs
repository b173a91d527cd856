//! One Sluice node: the HTTP API in front of Apache Kafka.
//!
//! [`app`] builds and wires everything; [`cli`] runs it as a process. A request goes
//! `api` → `ownership` → a session of `sluice_actors`.

#![forbid(unsafe_code)]

pub mod api;
pub mod app;
pub mod cli;
mod cluster;
pub mod config;
pub mod dev;
mod failure;
mod identity;
mod metrics;
mod nodes;
pub mod ownership;
mod peer;
mod receipts;
mod recover;
mod registry;
pub mod shutdown;
mod sight;
mod status;
pub mod telemetry;
mod threads;
