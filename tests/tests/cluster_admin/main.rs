//! What operators see of a cluster, set for it, and do to it.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

mod budget;
mod nodes;
mod recovery;
mod status;

use std::time::Duration;

use reqwest::Method;
use serde_json::Value;
use sluice_tests::ports::Port;
use sluice_tests::{Client, Node, NodeBuilder, eventually};

/// Far more than anything here takes, also on a machine that is busy with other tests.
const DEADLINE: Duration = Duration::from_secs(60);

/// A Kafka that is not there, for tests without sessions: port 1 refuses.
const NO_KAFKA: &str = "127.0.0.1:1";

/// Three nodes, and the ports at which they find each other.
struct Cluster {
    nodes: Vec<Node>,
    ports: Vec<Port>,
}

impl Cluster {
    /// Starts the nodes at the Kafka of this address, with this more in their environment.
    async fn start(kafka: &str, environment: &[(&str, &str)]) -> Self {
        let ports: Vec<Port> = (0..3).map(|_| Port::reserve().unwrap()).collect();
        let start = async |number: usize| {
            let node = node(number, &ports).bootstrap(kafka);
            let set = |node: NodeBuilder, (key, value): &(&str, &str)| node.env(key, value);
            environment.iter().fold(node, set).start().await
        };
        let (a, b, c) = tokio::join!(start(0), start(1), start(2));
        let cluster = Self {
            nodes: vec![a, b, c],
            ports,
        };
        for node in &cluster.nodes {
            is_ready(node).await;
        }
        // All of them have a lease, and a leader that says so.
        for node in &cluster.nodes {
            let seen = "the leader has heard from all nodes";
            until(&node.admin(), seen, |cluster| {
                let nodes = cluster["nodes"].as_array().unwrap();
                nodes.len() == 3 && nodes.iter().all(|node| node["lease_ms"].as_u64() > Some(0))
            })
            .await;
        }
        cluster
    }

    fn admin(&self, number: usize) -> Client {
        self.nodes[number].admin()
    }

    /// The number of the node that leads.
    async fn leader(&self) -> usize {
        let led = until(&self.admin(0), "a node leads", |cluster| {
            cluster["leader"].is_string()
        })
        .await;
        let leader = led["leader"].as_str().unwrap().to_owned();
        (0..3).find(|number| name(*number) == leader).unwrap()
    }

    /// The number of a node that does not lead.
    async fn follower(&self) -> usize {
        (self.leader().await + 1) % 3
    }
}

/// How the node of this number is started.
fn node(number: usize, ports: &[Port]) -> NodeBuilder {
    let peers: Vec<String> = ports.iter().map(Port::address).collect();
    Node::builder()
        .env("SLUICE_CLUSTER__NAME", name(number))
        .env("SLUICE_CLUSTER__BIND", &peers[number])
        .env("SLUICE_CLUSTER__PEERS", peers.join(","))
        .env("SLUICE_CLUSTER__DATA_DIR", "registry")
        .env("SLUICE_CLUSTER__SECRET", "only-the-nodes-know")
        .env("SLUICE_LOG", "info,sluice_node=debug,openraft=off")
}

fn name(number: usize) -> String {
    format!("sluice-{number}")
}

async fn is_ready(node: &Node) {
    let client = node.client();
    eventually(DEADLINE, "the node is ready", async || {
        let ready = client.call(Method::GET, "/readyz", ()).await;
        ready.status() == Some(200)
    })
    .await;
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
