//! What handlers work with.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use sluice_actors::{Newest, Producers, Sessions};
use sluice_types::{AssignmentStrategy, Clock, NodeName};
use tokio::sync::watch;

use super::health::Readiness;
use crate::cluster::Membership;
use crate::identity::Identity;
use crate::metrics::HttpMetrics;
use crate::nodes::Nodes;
use crate::ownership::Ownership;
use crate::peer::{Badge, Fates, Peers, Strangers};
use crate::receipts::Ledger;

/// What handlers work with; one for the process.
pub(crate) struct State {
    /// The sessions of the cluster.
    pub(crate) ownership: Ownership,
    /// The sessions that run here.
    pub(crate) sessions: Sessions,
    /// Reads the newest records of topics.
    pub(crate) newest: Newest,
    /// What writes to Kafka.
    pub(crate) producers: Producers,
    /// What became of requests that were answered before that was known.
    pub(crate) ledger: Ledger,
    /// The other nodes.
    pub(crate) peers: Peers,
    /// What this node shows them, and asks of them.
    pub(crate) badge: Badge,
    /// Answers that they are handing to their clients.
    pub(crate) fates: Fates,
    /// Those who are none of them.
    pub(crate) strangers: Strangers,
    /// This node's part in its cluster, if it keeps its registry on a volume.
    pub(crate) membership: Option<Membership>,
    /// The cluster's nodes.
    pub(crate) nodes: Nodes,
    /// Who this process is.
    pub(crate) identity: Identity,
    /// Whether the registry has known this node since it started.
    pub(crate) joined: watch::Receiver<bool>,
    /// This node's name.
    pub(crate) node: NodeName,
    /// The assignment strategy of sessions that name none.
    pub(crate) assignment_strategy: AssignmentStrategy,
    /// What the volume has to have free, in bytes.
    pub(crate) reserve_bytes: u64,
    /// Largest body of a request, in bytes.
    pub(crate) body_bytes: usize,
    /// Most records of a request to write.
    pub(crate) produce_records: usize,
    /// Reads wall time.
    pub(crate) clock: Arc<dyn Clock>,
    /// Counts requests.
    pub(crate) http_metrics: HttpMetrics,
    /// All metrics of the process.
    pub(crate) metrics: prometheus::Registry,
    /// Whether the node is stopping.
    pub(crate) draining: Draining,
    /// What was last said of it.
    pub(crate) readiness: Readiness,
}

/// Whether the node is stopping. Clones are the same.
#[derive(Clone, Debug, Default)]
pub(crate) struct Draining(Arc<AtomicBool>);

impl Draining {
    /// From now on the node is stopping.
    pub(crate) fn begin(&self) {
        self.0.store(true, Ordering::Release);
    }

    /// Whether it is.
    pub(crate) fn is_on(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}

#[cfg(test)]
impl State {
    /// What handlers work with where no broker can be reached.
    pub(crate) fn for_tests() -> Arc<Self> {
        use sluice_types::{Incarnation, NodeId, SystemClock};

        use crate::cluster::Introduction;
        use crate::config::{Config, Env, Flags};
        use crate::ownership::RegistryAuthority;
        use crate::peer::Credentials;

        let name = "KAFKA_BOOTSTRAP_SERVERS".to_owned();
        let env = Env::from([(name, "127.0.0.1:1".to_owned())]);
        let config = Config::parse("", &env, &Flags::default()).unwrap();
        let node = NodeId {
            name: config.cluster.name.clone(),
            incarnation: Incarnation::random(),
        };
        let identity = Identity::alone(node.clone());
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let metrics = prometheus::Registry::new();
        let registry = Introduction::registry_of(&node, &*clock);
        let (sessions, events) = Sessions::start(
            crate::app::sessions_config(&config, &crate::app::Options::default()),
            Arc::new(RegistryAuthority::new(registry.clone(), identity.clone())),
            Arc::clone(&clock),
            &metrics,
        )
        .unwrap();
        let producers =
            Producers::start(&sessions, crate::app::producer_config(&config), &metrics).unwrap();
        let ownership = Ownership::start(
            identity.clone(),
            registry.clone(),
            sessions.clone(),
            events,
            Arc::clone(&clock),
        );
        let credentials = Credentials::new(config.cluster.id, node.name.clone(), Vec::new());
        let badge = Badge::new(credentials, identity.clone());
        Arc::new(Self {
            ownership,
            peers: Peers::new(badge.clone(), sessions.answers()).unwrap(),
            newest: Newest::new(&sessions),
            sessions,
            producers,
            ledger: Ledger::new(config.limits.async_result_bytes),
            badge,
            fates: Fates::default(),
            strangers: Strangers::default(),
            membership: None,
            nodes: Nodes::new(registry.clone(), None),
            identity,
            joined: watch::channel(true).1,
            node: node.name,
            assignment_strategy: config.kafka.assignment_strategy,
            reserve_bytes: config.cluster.reserve_bytes,
            body_bytes: config.limits.body_bytes,
            produce_records: config.limits.produce_records,
            clock,
            http_metrics: HttpMetrics::register(&metrics).unwrap(),
            metrics,
            draining: Draining::default(),
            readiness: Readiness::default(),
        })
    }
}
