//! Nodes that share their sessions, and everything that can befall them.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::future::{join_all, try_join_all};
use reqwest::Method;
use tokio::time::Instant;

use crate::oracle::Trouble;
use crate::ports::Port;
use crate::{Client, Doors, Error, Network, Node, NodeBuilder, eventually};

/// The folder of a node in which it keeps the registry.
const VOLUME: &str = "registry";

/// Far more than a start takes, also on a busy machine.
const START: Duration = Duration::from_secs(60);

/// How long what befell a node may be felt after it is over.
const AFTERMATH: Duration = Duration::from_secs(2);

/// How long before its end a node may close its port: a connection that is made or used again at
/// that very moment is reset, whatever either side does.
const CLOSING: Duration = Duration::from_secs(3);

/// Describes a cluster before it is started. Made by [`Cluster::builder`].
#[derive(Debug, Clone)]
#[must_use = "nothing runs before start()"]
pub struct ClusterBuilder {
    nodes: usize,
    bootstraps: Vec<String>,
    environment: BTreeMap<String, String>,
}

impl ClusterBuilder {
    /// Sets the number of nodes (3).
    pub fn nodes(mut self, nodes: usize) -> Self {
        self.nodes = nodes;
        self
    }

    /// Leads each node to Kafka at an address of its own, in order; the last one serves the rest.
    pub fn bootstraps(mut self, bootstraps: Vec<String>) -> Self {
        self.bootstraps = bootstraps;
        self
    }

    /// Sets an environment variable of all nodes, over whatever the harness sets.
    pub fn env(mut self, key: &str, value: impl ToString) -> Self {
        self.environment.insert(key.to_owned(), value.to_string());
        self
    }

    /// Starts the nodes and returns once all are ready.
    ///
    /// # Panics
    /// When they do not get ready.
    pub async fn start(self) -> Cluster {
        match self.try_start().await {
            Ok(cluster) => cluster,
            Err(error) => panic!("{error}"),
        }
    }

    async fn try_start(self) -> Result<Cluster, Error> {
        let ports = (0..self.nodes * 2).map(|_| Port::reserve());
        let ports: Vec<Port> = ports.collect::<Result<_, _>>()?;
        let (internal, http) = ports.split_at(self.nodes);
        let named: Vec<(String, String)> = (0..self.nodes)
            .map(|number| (name(number), internal[number].address()))
            .collect();
        let network = Network::between(&named).await?;
        let addresses: Vec<String> = (0..self.nodes).map(|n| network.address(n)).collect();
        let peers = addresses.join(",");
        let nodes = named.iter().enumerate().map(|(number, (name, listens))| {
            let last = self.bootstraps.len().saturating_sub(1);
            let builder = NodeBuilder::new()
                .bootstrap(&self.bootstraps[number.min(last)])
                .env("SLUICE_HTTP__BIND", http[number].address())
                .env("SLUICE_CLUSTER__NAME", name)
                .env("SLUICE_CLUSTER__BIND", listens)
                .env("SLUICE_CLUSTER__ADVERTISE", &addresses[number])
                .env("SLUICE_CLUSTER__PEERS", &peers)
                .env("SLUICE_CLUSTER__DATA_DIR", VOLUME)
                .env("SLUICE_CLUSTER__SECRET", "only-the-nodes-know")
                .env("SLUICE_LOG", LOG);
            let set =
                |builder: NodeBuilder, (key, value): (&String, &String)| builder.env(key, value);
            self.environment.iter().fold(builder, set).try_start()
        });
        let nodes = try_join_all(nodes).await?;
        let doors = Doors::new(nodes.iter().map(Node::client).collect());
        let cluster = Cluster {
            nodes,
            network,
            doors,
            begun: Instant::now(),
            troubles: Mutex::default(),
            _ports: ports,
        };
        cluster.all_ready().await;
        Ok(cluster)
    }
}

/// What nodes log: enough to tell what they did when a test fails.
const LOG: &str = "info,sluice_node=debug,sluice_raft=debug,openraft=off";

fn name(number: usize) -> String {
    format!("sluice-{number}")
}

/// Nodes with a [`Network`] between them. Clients reach each at an address that it keeps over
/// restarts.
///
/// It remembers when which node was in trouble, for the [`oracle`](crate::oracle) to know what
/// clients may have felt of that.
#[derive(Debug)]
pub struct Cluster {
    nodes: Vec<Node>,
    network: Network,
    doors: Doors,
    begun: Instant,
    troubles: Mutex<Vec<Trouble>>,
    _ports: Vec<Port>,
}

impl Cluster {
    /// Describes a cluster of three at the Kafka of this address.
    pub fn builder(bootstrap: &str) -> ClusterBuilder {
        ClusterBuilder {
            nodes: 3,
            bootstraps: vec![bootstrap.to_owned()],
            environment: BTreeMap::new(),
        }
    }

    /// Returns the nodes, in order.
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// Returns a node.
    pub fn node(&self, number: usize) -> &Node {
        &self.nodes[number]
    }

    /// Returns the network between the nodes.
    pub fn network(&self) -> &Network {
        &self.network
    }

    /// Returns what clients know of the nodes.
    pub fn doors(&self) -> &Doors {
        &self.doors
    }

    /// Returns where the times of this cluster count from.
    pub fn begun(&self) -> Instant {
        self.begun
    }

    /// Returns where a node keeps the registry.
    pub fn volume(&self, number: usize) -> PathBuf {
        self.nodes[number].folder().join(VOLUME)
    }

    /// Returns a client of a node.
    pub fn client(&self, number: usize) -> Client {
        self.nodes[number].client()
    }

    /// Waits until a node is ready.
    ///
    /// # Panics
    /// When it does not get ready.
    pub async fn ready(&self, number: usize) {
        let client = self.client(number);
        let reason = format!("node {number} is ready");
        eventually(START, &reason, async || {
            let ready = client.call(Method::GET, "/readyz", ()).await;
            let seen = (ready.status(), ready.code().map(str::to_owned));
            (seen.0 == Some(200)).then_some(()).ok_or(seen)
        })
        .await;
    }

    /// Waits until all nodes are ready.
    ///
    /// # Panics
    /// When one does not get ready.
    pub async fn all_ready(&self) {
        join_all((0..self.nodes.len()).map(|number| self.ready(number))).await;
    }

    /// Kills a node with SIGKILL: its machine refuses connections from then on.
    pub async fn kill(&self, number: usize) {
        self.doors.close(number);
        self.begin_trouble(number, false);
        self.nodes[number].kill();
        self.network.refuse(number).await;
    }

    /// Starts a node that has ended, or ends it first; returns once it is ready.
    ///
    /// # Panics
    /// When it does not get ready.
    pub async fn restart(&self, number: usize) {
        self.revive(number).await;
        self.ready(number).await;
        self.end_trouble(number);
    }

    /// As [`restart`](Self::restart), but returns when it listens. Its trouble is not over before
    /// [`end_trouble`](Self::end_trouble).
    ///
    /// # Panics
    /// When it does not listen.
    pub async fn revive(&self, number: usize) {
        let restarted = self.nodes[number].restart().await;
        restarted.expect("a node starts again");
        self.network.accept(number).await;
        self.doors.open(number);
    }

    /// Stops all threads of a node with SIGSTOP.
    pub fn freeze(&self, number: usize) {
        self.doors.close(number);
        self.begin_trouble(number, false);
        self.nodes[number].freeze();
    }

    /// Lets a frozen node go on.
    pub fn thaw(&self, number: usize) {
        self.nodes[number].thaw();
        self.doors.open(number);
        self.end_trouble(number);
    }

    /// Asks a node to end, as an orchestrator does. Clients go on asking it; that they find nobody
    /// there any more is no fault.
    pub fn terminate(&self, number: usize) {
        self.begin_trouble(number, true);
        self.nodes[number].sigterm();
    }

    /// As [`terminate`](Self::terminate), for clients of a load balancer, which takes the node out
    /// of the rotation when that is not ready any more: they feel nothing at all.
    ///
    /// # Panics
    /// When the node stays ready.
    pub async fn retire(&self, number: usize) {
        self.nodes[number].sigterm();
        let client = self.client(number);
        eventually(START, "a node that drains is not ready", async || {
            client.call(Method::GET, "/readyz", ()).await.status() != Some(200)
        })
        .await;
        self.doors.close(number);
    }

    /// Waits for the end of a node that was asked to, after which its machine refuses
    /// connections, and returns its exit code.
    ///
    /// # Panics
    /// When it runs on.
    pub async fn ended(&self, number: usize, deadline: Duration) -> Option<i32> {
        let status = self.nodes[number].wait_exit(deadline).await;
        let now = self.begun.elapsed();
        let is_known = |trouble: &Trouble| trouble.node == number && trouble.to == Duration::MAX;
        if self.troubles().iter().any(is_known) {
            self.troubles().push(Trouble {
                node: number,
                from: now.saturating_sub(CLOSING),
                to: now,
                absent: false,
            });
        }
        self.network.refuse(number).await;
        status.expect("a node ends when it is asked to").code()
    }

    /// Says that a node, or the way of clients to it, is in trouble from now on; `absent` if the
    /// only thing that they may feel is that nobody is there.
    pub fn begin_trouble(&self, number: usize, absent: bool) {
        self.end_trouble(number);
        let now = self.begun.elapsed();
        self.troubles().push(Trouble {
            node: number,
            from: now,
            to: Duration::MAX,
            absent,
        });
    }

    /// Says that the trouble of a node is over.
    pub fn end_trouble(&self, number: usize) {
        let now = self.begun.elapsed();
        for trouble in self.troubles().iter_mut() {
            if trouble.node == number && trouble.to == Duration::MAX {
                trouble.to = now + AFTERMATH;
            }
        }
    }

    /// Returns when which node was in trouble.
    pub fn all_troubles(&self) -> Vec<Trouble> {
        self.troubles().clone()
    }

    /// Returns the number of the node that owns a session, as another one knows it.
    pub async fn owner(&self, session: &str) -> Option<usize> {
        for number in self.doors.all_open() {
            let described = self.client(number).get(session).await;
            if described.status() == Some(200) {
                return self.number(described.answer().text_at("owner"));
            }
        }
        None
    }

    /// Waits until a session has an owner other than `not`, and returns that.
    ///
    /// # Panics
    /// When it does not get one.
    pub async fn moved(&self, session: &str, not: usize) -> usize {
        let reason = format!("{session} leaves node {not}");
        eventually(START, &reason, async || {
            self.owner(session).await.filter(|owner| *owner != not)
        })
        .await
    }

    /// Returns the number of a node by its name.
    pub fn number(&self, node: &str) -> Option<usize> {
        (0..self.nodes.len()).find(|number| name(*number) == node)
    }

    /// Waits until a running node leads, and returns the one that leads in the latest term.
    ///
    /// # Panics
    /// When none does.
    pub async fn leader(&self) -> usize {
        eventually(START, "a node leads", async || {
            let leads = |number: usize| Some((leads(&self.nodes[number])?, number));
            let open = self.doors.all_open();
            let (_, leader) = open.into_iter().filter_map(leads).max()?;
            Some(leader)
        })
        .await
    }

    /// Returns the log lines of all nodes that hold a text.
    pub fn lines_with(&self, text: &str) -> Vec<String> {
        let nodes = self.nodes.iter().enumerate();
        let lines = nodes.flat_map(|(number, node)| {
            let log = node.log();
            let found = log.lines().filter(|line| line.contains(text));
            let found = found.map(|line| format!("node {number}: {line}"));
            found.collect::<Vec<_>>()
        });
        lines.collect()
    }

    fn troubles(&self) -> MutexGuard<'_, Vec<Trouble>> {
        self.troubles.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The latest term in which a node has led, if it has not said that it leads no more.
fn leads(node: &Node) -> Option<i64> {
    let mut term = None;
    for line in node.log_lines() {
        match line["message"].as_str() {
            Some("watching over the nodes") => term = line["term"].as_i64(),
            Some("watching over the nodes no more") => term = None,
            _ => {}
        }
    }
    term
}
