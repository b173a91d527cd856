//! Sessions outlive their nodes: clients read and commit all the while that something befalls
//! nodes, network or Kafka, and an oracle judges what they saw.
//!
//! ```text
//! killed.rs    processes end at once
//! frozen.rs    processes stand still, and go on when others have taken over
//! opening.rs   processes stand still between being given sessions and joining for them
//! cut.rs       nodes do not reach each other, or not Kafka
//! broker.rs    a broker ends while sessions get new owners
//! drained.rs   processes end in order
//! scaled.rs    nodes come and go, several at a time
//! volumes.rs   volumes are full, or lost
//! seeks.rs     seeks, commits and new partitions around the loss of an owner
//! ends.rs      sessions are deleted or expire around the loss of an owner
//! many.rs      many sessions, and storms of subscribes and deletes
//! chance.rs    anything, by dice
//! ```

#![allow(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

mod broker;
mod chance;
mod cut;
mod drained;
mod ends;
mod frozen;
mod killed;
mod many;
mod opening;
mod scaled;
mod seeks;
mod volumes;

use std::time::Duration;

use reqwest::Method;
use sluice_tests::{Cluster, Dice, Kafka, Traffic};

/// Far more than anything here takes, also on a machine that is busy with other tests.
const DEADLINE: Duration = Duration::from_secs(60);

/// Starts three nodes at a Kafka.
async fn three(kafka: &Kafka) -> Cluster {
    Cluster::builder(kafka.bootstrap()).start().await
}

/// Tells a node by way of another to `drain`, or to `undrain`.
async fn tell(cluster: &Cluster, node: usize, what: &str) {
    let other = (node + 1) % cluster.nodes().len();
    let path = format!("/api/cluster/nodes/sluice-{node}/{what}");
    let admin = cluster.node(other).admin();
    admin.call(Method::POST, &path, ()).await.expect(204);
}

/// A node that owns one of the sessions and does not lead.
async fn owner_that_follows(cluster: &Cluster, traffic: &Traffic, dice: &mut Dice) -> usize {
    let leader = cluster.leader().await;
    let mut owners = traffic.owners(cluster).await;
    owners.retain(|owner| *owner != leader);
    *dice.one_of(&owners)
}
