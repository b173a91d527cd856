//! What operators see of a cluster, set for it, and do to it.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

mod budget;
mod nodes;
mod recovery;
mod status;
mod transfer;

use std::time::Duration;

use reqwest::Method;
use serde_json::Value;
use sluice_tests::{Client, Cluster, ClusterBuilder, eventually};

/// Far more than anything here takes, also on a machine that is busy with other tests.
const DEADLINE: Duration = Duration::from_secs(60);

/// A Kafka that is not there, for tests without sessions: port 1 refuses.
const NO_KAFKA: &str = "127.0.0.1:1";

/// Starts three nodes at the Kafka of this address, with this more in their environment.
async fn start(kafka: &str, environment: &[(&str, &str)]) -> Cluster {
    let cluster = Cluster::builder(kafka);
    let set = |cluster: ClusterBuilder, (key, value): &(&str, &str)| cluster.env(key, value);
    let cluster = environment.iter().fold(cluster, set).start().await;
    // All of them have a lease, and a leader that says so.
    for node in cluster.nodes() {
        let seen = "the leader has heard from all nodes";
        until(&node.admin(), seen, |cluster| {
            let nodes = cluster["nodes"].as_array().unwrap();
            nodes.len() == 3 && nodes.iter().all(|node| node["lease_ms"].as_u64() > Some(0))
        })
        .await;
    }
    cluster
}

/// The number of the node that leads, as the others know.
async fn leader(cluster: &Cluster) -> usize {
    let led = until(&cluster.node(0).admin(), "a node leads", |cluster| {
        cluster["leader"].is_string()
    })
    .await;
    cluster.number(led["leader"].as_str().unwrap()).unwrap()
}

fn name(number: usize) -> String {
    format!("sluice-{number}")
}

/// What a node says of the cluster.
async fn shown(admin: &Client) -> Value {
    let shown = admin.call(Method::GET, "/api/cluster", ()).await;
    shown.expect(200).json
}

/// Waits until what a node says of the cluster is as it should be, and returns that.
async fn until(admin: &Client, reason: &str, is_so: impl Fn(&Value) -> bool) -> Value {
    eventually(DEADLINE, reason, async || {
        let cluster = shown(admin).await;
        if is_so(&cluster) {
            Ok(cluster)
        } else {
            Err(cluster)
        }
    })
    .await
}

/// What it says of one node.
fn of(cluster: &Value, number: usize) -> Value {
    let nodes = cluster["nodes"].as_array().unwrap();
    let found = nodes.iter().find(|node| node["name"] == name(number));
    found.cloned().unwrap_or_default()
}
