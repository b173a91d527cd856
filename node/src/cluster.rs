//! This node's place in the cluster: its replica of the registry, and its life among the nodes.
//!
//! ```text
//!   data_dir -> Consensus -- attend: forms the cluster, or joins it, and keeps its members
//!                   |
//!                 Guard   -- registers this process, keeps its lease, looks after the others
//!                   |
//!               Identity  -- who this process is now; ownership and the internal port ask it
//! ```
//! Without a `data_dir` there is a registry of this process alone, which ends with it.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::Arc;

use async_trait::async_trait;
use sluice_raft::guard::{BootClock, Guard, GuardOptions, Phase, TcpProber};
use sluice_raft::{
    Consensus, Member, NodeAddress, Options, RaftId, Registration, RegistryHandle, Timing, Version,
    failover, liveness, placement,
};
use sluice_types::{Clock, ConsumerId, Incarnation, NodeId, NodeName};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::config;
use crate::failure::Failure;
use crate::identity::Identity;
use crate::ownership::Places;
use crate::sight::Sight;

/// What a node says of itself.
#[derive(Clone, Debug)]
pub(crate) struct Introduction {
    /// Its name.
    pub(crate) name: NodeName,
    /// Where its internal port is reached.
    pub(crate) address: NodeAddress,
    /// How many sessions it takes.
    pub(crate) capacity: u32,
}

impl Introduction {
    /// What a registry of one process holds of its node.
    fn registration(&self, id: NodeId, clock: &dyn Clock) -> Registration {
        Registration {
            id,
            replaces: None,
            address: self.address.clone(),
            // No member of any consensus has it.
            raft_id: RaftId::from_number(0),
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
    identity: Identity,
    membership: Option<Membership>,
    joined: watch::Sender<bool>,
    tasks: Vec<JoinHandle<()>>,
}

/// What a node has that keeps its registry on a volume, with others or alone.
#[derive(Clone)]
pub(crate) struct Membership {
    /// The member of the consensus, which answers others.
    pub(crate) consensus: Arc<Consensus>,
    /// The node's life among the nodes.
    pub(crate) guard: Arc<Guard>,
}

impl Seat {
    /// A registry of this process alone, its only node.
    pub(crate) fn alone(me: &Introduction, clock: &dyn Clock) -> Self {
        let node = NodeId {
            name: me.name.clone(),
            incarnation: Incarnation::random(),
        };
        Self {
            registry: RegistryHandle::in_memory_of(me.registration(node.clone(), clock)),
            identity: Identity::alone(node),
            membership: None,
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
        me: Introduction,
        transport: Arc<dyn sluice_raft::Transport>,
        sight: Arc<Sight>,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, sluice_raft::StartError> {
        let consensus = Consensus::start(Options {
            data_dir: data_dir.to_owned(),
            cluster_name: cluster.id.clone(),
            member: Member {
                name: me.name.to_string(),
                address: me.address.to_string(),
            },
            ordinal: ordinal(&me, cluster),
            transport,
            timing: Timing {
                forget_after: cluster.forget_after,
                ..Timing::default()
            },
        })
        .await?;
        let consensus = Arc::new(consensus);
        let guard = Guard::new(
            consensus.clone(),
            GuardOptions {
                name: me.name,
                address: me.address,
                version: Version::FIRST,
                release: env!("CARGO_PKG_VERSION").to_owned(),
                capacity: me.capacity,
                host: sight,
                moments: Arc::new(BootClock),
                clock,
                prober: Arc::new(TcpProber),
                timing: liveness::Timing {
                    lease: cluster.lease,
                    death_after: cluster.death_after,
                    ..liveness::Timing::default()
                },
                pace: failover::Pace::default(),
                evening: placement::Evening::default(),
            },
        );
        Ok(Self {
            registry: consensus.registry(),
            identity: Identity::new(guard.watch(), Arc::new(BootClock)),
            membership: Some(Membership {
                consensus,
                guard: Arc::new(guard),
            }),
            joined: watch::Sender::new(false),
            tasks: Vec::new(),
        })
    }

    /// Takes part in the cluster from now on, and becomes known to it. The internal port has to be
    /// served by now. `abandon` drops all that an incarnation runs, once it has ended.
    pub(crate) fn attend<F, Fut>(&mut self, peers: Vec<String>, abandon: F)
    where
        F: Fn() -> Fut + Send + 'static,
        Fut: Future<Output = ()> + Send,
    {
        let Some(Membership { consensus, guard }) = self.membership.clone() else {
            return;
        };
        self.tasks.push(tokio::spawn(async move {
            consensus.attend(&peers).await;
        }));
        let (identity, living) = (self.identity.clone(), guard.clone());
        self.tasks.push(tokio::spawn(async move {
            living.run().await;
        }));
        let (mut standing, joined) = (guard.watch(), self.joined.clone());
        self.tasks.push(tokio::spawn(async move {
            let registered = standing.wait_for(|now| now.phase == Phase::Registered);
            if registered.await.is_ok() {
                joined.send_replace(true);
            }
        }));
        self.tasks.push(tokio::spawn(async move {
            loop {
                identity.enters(Phase::Ended).await;
                abandon().await;
                guard.renew();
            }
        }));
    }

    /// The registry.
    pub(crate) fn registry(&self) -> RegistryHandle {
        self.registry.clone()
    }

    /// Who this process is.
    pub(crate) fn identity(&self) -> Identity {
        self.identity.clone()
    }

    /// Its part in the cluster, if it keeps its registry on a volume.
    pub(crate) fn membership(&self) -> Option<Membership> {
        self.membership.clone()
    }

    /// Whether the registry has caught up since the start and has known this node.
    pub(crate) fn joined(&self) -> watch::Receiver<bool> {
        self.joined.subscribe()
    }

    /// Waits until this process can take no part any more. Pends for ever without a volume.
    pub(crate) fn failed(&self) -> impl Future<Output = Failure> + use<> {
        let membership = self.membership.as_ref();
        let volume = membership.map(|membership| membership.consensus.failure());
        let identity = self.identity.clone();
        async move {
            let Some(mut volume) = volume else {
                return std::future::pending().await;
            };
            tokio::select! {
                failed = volume.failed() => Failure::Volume(failed),
                () = identity.enters(Phase::TooOld) => Failure::TooOld,
            }
        }
    }

    /// Takes no further part, and lets the volume go.
    pub(crate) async fn leave(self) {
        for task in &self.tasks {
            task.abort();
        }
        if let Some(membership) = &self.membership {
            membership.consensus.shutdown().await;
        }
    }
}

#[async_trait]
impl Places for Guard {
    async fn destinations(&self, sessions: &[ConsumerId]) -> BTreeMap<ConsumerId, NodeId> {
        Self::destinations(self, sessions).await
    }
}

/// The place of this node among those that stand for election, each in a time of its own: that
/// among the peers, or of one that has come later the number its name ends with, as those of a
/// StatefulSet do.
fn ordinal(me: &Introduction, cluster: &config::Cluster) -> u64 {
    let peers = cluster.peers.iter().map(ToString::to_string);
    let own = peers
        .into_iter()
        .position(|peer| peer == me.address.as_str());
    let by_name = || {
        let name = me.name.as_str();
        let number = &name[name.trim_end_matches(|c: char| c.is_ascii_digit()).len()..];
        number.parse().ok()
    };
    let own = own.and_then(|at| u64::try_from(at).ok());
    own.or_else(by_name).unwrap_or(0)
}

#[cfg(test)]
impl Introduction {
    /// A registry of one process, in which this node is registered.
    pub(crate) fn registry_of(node: &NodeId, clock: &dyn Clock) -> RegistryHandle {
        let me = Self {
            name: node.name.clone(),
            address: "localhost:1".parse().unwrap(),
            capacity: u32::MAX,
        };
        RegistryHandle::in_memory_of(me.registration(node.clone(), clock))
    }
}
