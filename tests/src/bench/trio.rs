//! Three nodes that reach each other without anything in between.

use std::time::Duration;

use futures::future::{join_all, try_join_all};
use reqwest::Method;
use serde_json::Value;

use crate::ports::Port;
use crate::{Client, Error, Kafka, Node, NodeBuilder, eventually};

/// Far more than a start takes, also on a busy machine.
const START: Duration = Duration::from_secs(60);

/// Three nodes of one cluster. The [`Cluster`](crate::Cluster) of the tests has proxies of the
/// harness between its nodes, which would take time of what is measured; these have not.
#[derive(Debug)]
pub struct Trio {
    nodes: Vec<Node>,
    clients: Vec<Client>,
    _ports: Vec<Port>,
}

impl Trio {
    /// Starts the nodes, with this more in their environment, and returns once all are ready and
    /// have a lease.
    ///
    /// # Errors
    /// As [`NodeBuilder::try_start`].
    ///
    /// # Panics
    /// When they do not get ready.
    pub async fn start(kafka: &Kafka, environment: &[(&str, String)]) -> Result<Self, Error> {
        let ports: Vec<Port> = (0..3).map(|_| Port::reserve()).collect::<Result<_, _>>()?;
        let addresses: Vec<String> = ports.iter().map(Port::address).collect();
        let nodes = addresses.iter().enumerate().map(|(number, address)| {
            let node = Node::builder()
                .kafka(kafka)
                .env("SLUICE_CLUSTER__NAME", name(number))
                .env("SLUICE_CLUSTER__BIND", address)
                .env("SLUICE_CLUSTER__PEERS", addresses.join(","))
                .env("SLUICE_CLUSTER__DATA_DIR", "registry")
                .env("SLUICE_CLUSTER__SECRET", "only-the-nodes-know");
            let set = |node: NodeBuilder, (key, value): &(&str, String)| node.env(key, value);
            environment.iter().fold(node, set).try_start()
        });
        let nodes = try_join_all(nodes).await?;
        let trio = Self {
            clients: nodes.iter().map(Node::client).collect(),
            nodes,
            _ports: ports,
        };
        join_all(trio.clients.iter().map(ready)).await;
        eventually(START, "all nodes have a lease", async || {
            let cluster = trio.shown(0).await;
            let nodes = cluster["nodes"].as_array().map_or(&[][..], Vec::as_slice);
            let leased = nodes.iter().filter(|n| n["lease_ms"].as_u64() > Some(0));
            (leased.count() == 3).then_some(()).ok_or(cluster.clone())
        })
        .await;
        Ok(trio)
    }

    /// Returns the nodes.
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// Returns clients of the nodes, in order.
    pub fn clients(&self) -> &[Client] {
        &self.clients
    }

    /// Returns what a node says of the cluster.
    ///
    /// # Panics
    /// When it says nothing.
    pub async fn shown(&self, number: usize) -> Value {
        let admin = self.nodes[number].admin();
        let shown = admin.call(Method::GET, "/api/cluster", ()).await;
        shown.expect(200).json
    }

    /// Returns the number of the node that leads.
    ///
    /// # Panics
    /// When none does.
    pub async fn leader(&self) -> usize {
        eventually(START, "a node leads", async || {
            let shown = self.shown(0).await;
            self.number(shown["leader"].as_str()?)
        })
        .await
    }

    /// Returns the number of the node that owns a session.
    ///
    /// # Panics
    /// When no node says so.
    pub async fn owner(&self, session: &str) -> usize {
        let described = self.clients[0].get(session).await.expect(200);
        let owner = self.number(described.text_at("owner"));
        owner.expect("the owner is one of the three")
    }

    fn number(&self, node: &str) -> Option<usize> {
        (0..self.nodes.len()).find(|number| name(*number) == node)
    }
}

fn name(number: usize) -> String {
    format!("sluice-{number}")
}

async fn ready(client: &Client) {
    eventually(START, "a node is ready", async || {
        let ready = client.call(Method::GET, "/readyz", ()).await;
        ready.status() == Some(200)
    })
    .await;
}
