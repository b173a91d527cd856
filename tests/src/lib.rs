//! The harness of Sluice's tests: real Apache Kafka, real node processes, and the network
//! between them.
//!
//! Nothing here imitates a part of the system. [`Kafka`] is a broker in its own JVM, [`Node`] is
//! the `sluice` binary as a process, [`SchemaRegistry`] an Apicurio Registry, [`fault::Proxy`] is a TCP connection that can be broken, and
//! [`Client`] speaks the HTTP API as any client would. [`eventually`] is how a test waits.
//!
//! | variable | effect |
//! |---|---|
//! | `SLUICE_TEST_KAFKA` | [`Kafka::shared`] uses the Kafka at this `host:port` |
//! | `SLUICE_TEST_NODE` | [`Node`] runs this binary instead of building it |
//! | `SLUICE_TEST_SEED` | [`Dice`] repeats the run that printed this seed |
//! | `SLUICE_FAULT_MINUTES` | for how long the test `failover` lets things go wrong by chance |
//! | `JAVA_HOME` | whose Java runs Kafka and the schema registry |
//!
//! Logs and data of what runs lie in `target/test-runs`, and stay there when a test fails; the
//! log of a shared Kafka stays for some hours in any case.
//!
//! Every process started here ends with the process that started it, however that ends.

#![forbid(unsafe_code)]

pub mod bench;
mod client;
mod cluster;
mod dice;
mod doors;
mod error;
pub mod fault;
pub mod kafka;
mod maven;
mod names;
mod native_member;
pub mod network;
mod node_builder;
mod node_process;
pub mod oracle;
pub mod ports;
mod process;
pub mod raw;
pub mod reader;
mod run_dir;
mod schema_registry;
mod session;
mod topic;
pub mod traffic;
mod wait;
mod workspace;

pub use client::{Answer, Client, Reply};
pub use cluster::{Cluster, ClusterBuilder};
pub use dice::Dice;
pub use doors::Doors;
pub use error::Error;
pub use kafka::Kafka;
pub use names::unique;
pub use native_member::NativeMember;
pub use network::Network;
pub use node_builder::NodeBuilder;
pub use node_process::Node;
pub use reader::Reader;
pub use schema_registry::SchemaRegistry;
pub use session::{Session, offsets_of, places};
pub use topic::Topic;
pub use traffic::{Traffic, Verdict};
pub use wait::{Condition, eventually};
