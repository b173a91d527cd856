//! Sessions outlive their nodes: clients read and commit all the while that something befalls
//! nodes, network or Kafka, and an oracle judges what they saw.
//!
//! ```text
//! killed.rs    processes end at once
//! ```

#![allow(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

mod killed;

use sluice_tests::{Cluster, Kafka};

/// Starts three nodes at the shared Kafka.
async fn three(kafka: &Kafka) -> Cluster {
    Cluster::builder(kafka.bootstrap()).start().await
}
