//! This node's place in the cluster: its replica of the registry, and its name there.
//!
//! ```text
//!   data_dir -> Consensus -- attend: forms the cluster, or joins it, and keeps its members
//!                   |
//!               registry <-- register: this process, in the place of the one before it
//!                   |    <-- adopt: the sessions of that one
//!               ownership
//! ```
//! Without a `data_dir` there is a registry of this process alone, which ends with it.

use std::sync::Arc;
use std::time::Duration;

use sluice_raft::{
    Command, Consensus, Member, Move, NodeAddress, Options, Outcome, RaftId, Registration,
    RegistryHandle, StoreFailed, Timing, Version,
};
use sluice_types::{Clock, Incarnation, NodeId};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::sleep;

use crate::config;
use crate::peer::Peers;

/// Between two tries to be known to the registry.
const AGAIN: Duration = Duration::from_millis(250);
/// Most sessions that are adopted by one command.
const BATCH: usize = 100;

/// What a node says of itself.
#[derive(Clone, Debug)]
pub(crate) struct Introduction {
    /// Its name and this run of it.
    pub(crate) node: NodeId,
    /// Where its internal port is reached.
    pub(crate) address: NodeAddress,
    /// How many sessions it takes.
    pub(crate) capacity: u32,
}

impl Introduction {
    /// What the registry is told, in place of what it holds of an earlier run.
    pub(crate) fn registration(
        &self,
        raft_id: RaftId,
        replaces: Option<Incarnation>,
        clock: &dyn Clock,
    ) -> Registration {
        Registration {
            id: self.node.clone(),
            replaces: replaces.filter(|replaced| *replaced != self.node.incarnation),
            address: self.address.clone(),
            raft_id,
            version: Version::FIRST,
            release: env!("CARGO_PKG_VERSION").to_owned(),
            capacity: self.capacity,
            at: clock.now(),
        }
    }
}

/// A node's place in the cluster. Dropped, it takes part no more.
pub(crate) struct Seat {
    registry: RegistryHandle,
    consensus: Option<Arc<Consensus>>,
    joined: watch::Sender<bool>,
    tasks: Vec<JoinHandle<()>>,
}

impl Seat {
    /// A registry of this process alone, its only node.
    pub(crate) fn alone(me: &Introduction, clock: &dyn Clock) -> Self {
        // No member of any consensus has it.
        let raft_id = RaftId::from_number(0);
        Self {
            registry: RegistryHandle::in_memory_of(me.registration(raft_id, None, clock)),
            consensus: None,
            joined: watch::Sender::new(true),
            tasks: Vec::new(),
        }
    }

    /// Opens the volume. The node takes part from [`attend`](Self::attend) on.
    ///
    /// # Errors
    /// The volume cannot be used.
    pub(crate) async fn open(
        cluster: &config::Cluster,
        data_dir: &std::path::Path,
        me: &Introduction,
        peers: Peers,
    ) -> Result<Self, sluice_raft::StartError> {
        let consensus = Consensus::start(Options {
            data_dir: data_dir.to_owned(),
            cluster_name: cluster.id.clone(),
            member: Member {
                name: me.node.name.to_string(),
                address: me.address.to_string(),
            },
            ordinal: ordinal(&me.address, cluster),
            transport: Arc::new(peers),
            timing: Timing {
                forget_after: cluster.forget_after,
                ..Timing::default()
            },
        })
        .await?;
        Ok(Self {
            registry: consensus.registry(),
            consensus: Some(Arc::new(consensus)),
            joined: watch::Sender::new(false),
            tasks: Vec::new(),
        })
    }

    /// Takes part in the cluster from now on, and becomes known to it. The internal port has to be
    /// served by now.
    pub(crate) fn attend(&mut self, peers: Vec<String>, me: Introduction, clock: Arc<dyn Clock>) {
        let Some(consensus) = self.consensus.clone() else {
            return;
        };
        let raft_id = consensus.raft_id();
        self.tasks.push(tokio::spawn(async move {
            consensus.attend(&peers).await;
        }));
        let (registry, joined) = (self.registry.clone(), self.joined.clone());
        self.tasks.push(tokio::spawn(async move {
            register(&registry, &me, raft_id, &*clock).await;
            adopt(&registry, &me.node).await;
            tracing::info!(node = %me.node, "registered");
            joined.send_replace(true);
        }));
    }

    /// The registry.
    pub(crate) fn registry(&self) -> RegistryHandle {
        self.registry.clone()
    }

    /// The member of the consensus, which answers others.
    pub(crate) fn consensus(&self) -> Option<Arc<Consensus>> {
        self.consensus.clone()
    }

    /// Whether the registry has caught up since the start and knows this node.
    pub(crate) fn joined(&self) -> watch::Receiver<bool> {
        self.joined.subscribe()
    }

    /// Waits until the volume has failed, after which this process can take no part any more.
    /// Pends for ever without a volume.
    pub(crate) async fn failed(&self) -> StoreFailed {
        match &self.consensus {
            Some(consensus) => consensus.failure().failed().await,
            None => std::future::pending().await,
        }
    }

    /// Takes no further part, and lets the volume go.
    pub(crate) async fn leave(self) {
        for task in &self.tasks {
            task.abort();
        }
        if let Some(consensus) = &self.consensus {
            consensus.shutdown().await;
        }
    }
}

/// The number of this node among the peers: of the first ones each stands for election in a time
/// of its own.
fn ordinal(address: &NodeAddress, cluster: &config::Cluster) -> u64 {
    let peers = cluster.peers.iter().map(ToString::to_string);
    let own = peers.into_iter().position(|peer| peer == address.as_str());
    own.and_then(|at| u64::try_from(at).ok()).unwrap_or(0)
}

/// Makes this process known as the node of its name. That ends the run before it, whose process is
/// gone: this one has the lock of its volume, or the volume is lost.
async fn register(
    registry: &RegistryHandle,
    me: &Introduction,
    raft_id: RaftId,
    clock: &dyn Clock,
) {
    loop {
        let replaces = registry.node(&me.node.name).map(|node| node.id.incarnation);
        let registered = registry
            .propose(Command::Register(me.registration(raft_id, replaces, clock)))
            .await;
        match registered {
            Ok(Outcome::Applied) => return,
            // The copy here was behind: it shows by now whom to replace.
            Ok(Outcome::Stale) | Err(_) => tracing::debug!(?registered, "not registered yet"),
            Ok(outcome) => tracing::warn!(?outcome, "the cluster does not take this node"),
        }
        sleep(AGAIN).await;
    }
}

/// Makes the sessions of earlier runs of this node its own, each under a new epoch. The loop of
/// `ownership` opens them.
async fn adopt(registry: &RegistryHandle, me: &NodeId) {
    loop {
        let orphans = registry.owned_by_earlier(me);
        if orphans.is_empty() {
            return;
        }
        let moves = orphans.iter().take(BATCH).map(|session| {
            let to = Move {
                epoch: session.epoch,
                to: me.clone(),
                handover: None,
            };
            (session.id.clone(), to)
        });
        let moves = moves.collect();
        match registry.propose(Command::Move { moves }).await {
            Ok(Outcome::Opened(moved)) if !moved.is_empty() => {
                let sessions = moved.len();
                tracing::info!(sessions, "adopted the sessions of an earlier run");
            }
            // What is left has changed meanwhile, or this process has been replaced: the registry
            // shows that.
            told => {
                tracing::debug!(?told, "sessions of an earlier run not adopted yet");
                sleep(AGAIN).await;
            }
        }
    }
}

#[cfg(test)]
impl Introduction {
    /// A registry in which this node is alone, and takes any number of sessions.
    pub(crate) fn registry_of(node: &NodeId, clock: &dyn Clock) -> RegistryHandle {
        let me = Self {
            node: node.clone(),
            address: "n:7000".parse().unwrap(),
            capacity: u32::MAX,
        };
        Seat::alone(&me, clock).registry()
    }
}
