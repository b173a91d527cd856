//! Joins the registry, which says who owns a session, and the sessions that run here.
//!
//! ```text
//!   requests --> subscribe, end, locate        reconcile <-- events of sessions,
//!                     |        |     \            |           changes of the registry, time
//!                     v        v      \           v plan (pure)
//!                 registry <---+       +--> core: open, running, supervision (pure)
//!                                                 |
//!                                                 v
//!                                         host: the sessions here
//! ```
//!
//! A session runs here because the registry says so, never the other way round: it is in the
//! registry before it is opened, and out of it only after the group has been left.

mod authority;
mod backoff;
mod core;
mod end;
mod error;
mod handover;
mod hop;
mod host;
mod locate;
mod pending;
mod placed;
mod plan;
mod reconcile;
mod runs;
mod subscribe;
mod supervision;
#[cfg(test)]
mod tests;
mod waiting;

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use sluice_actors::{Assignment, Deadline, Departure, SessionEvent, Sessions, Snapshot};
use sluice_raft::rebalance::AskedMove;
use sluice_raft::{NodeState, RegistryHandle, SessionView};
use sluice_types::{Clock, ConsumerId, CreationStamp, Epoch, GroupId, NodeId, SessionSpec};
use tokio::sync::{mpsc, watch};

use self::core::Core;
use self::host::{Host, Running};
pub use authority::RegistryAuthority;
pub use error::Error;
pub use handover::Places;
pub use hop::{Hop, Owner};
pub use runs::Run;

use crate::identity::Identity;

/// How long a shutdown waits for sessions that are ending.
const SETTLE_WITHIN: Duration = Duration::from_secs(2);

/// A session that a client has subscribed.
#[derive(Clone, Debug)]
pub struct Subscribed {
    /// Its name.
    pub consumer_id: ConsumerId,
    /// What the living session was made with: topics stand in the order of the first subscribe.
    pub spec: SessionSpec,
    /// Its partitions.
    pub assignment: Assignment,
}

/// A session seen from outside.
#[derive(Clone, Debug)]
pub struct Described {
    /// What the registry holds of it: spec, owner, epoch, mode, creation.
    pub view: SessionView,
    /// The running session; `None` while it is being restarted or moved.
    pub snapshot: Option<Snapshot>,
}

/// Some sessions of the cluster.
#[derive(Clone, Debug)]
pub struct Page {
    /// The sessions, by id.
    pub consumers: Vec<SessionView>,
    /// The last id here, to go on behind; `None` on the last page.
    pub next: Option<ConsumerId>,
}

/// The sessions of the cluster, as a request of this node reaches them. Clones are the same.
#[derive(Clone)]
pub struct Ownership<H: Host = Sessions> {
    core: Arc<Core<H>>,
    embedded_broker: bool,
}

impl<H: Host> Ownership<H> {
    /// Starts the loop that makes the sessions here match the registry. Must be called in a tokio
    /// runtime; the loop ends with [`shutdown`](Self::shutdown).
    pub fn start(
        identity: Identity,
        registry: RegistryHandle,
        sessions: H,
        events: mpsc::Receiver<SessionEvent>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        let seed = uuid::Uuid::new_v4().as_u64_pair().0;
        let core = Arc::new(Core::new(identity, registry, sessions, clock, seed));
        let span = tracing::info_span!("ownership", node = %core.identity.name());
        core.spawn(span, reconcile::run(core.clone(), events));
        Self {
            core,
            embedded_broker: false,
        }
    }

    /// Says whether the broker is the embedded one: it cannot do everything, and what would make
    /// it abort the process is refused.
    #[must_use]
    pub fn with_embedded_broker(mut self, embedded: bool) -> Self {
        self.embedded_broker = embedded;
        self
    }

    /// Registers the metrics of what happens here.
    ///
    /// # Errors
    /// One of the names is taken.
    pub fn register(&self, metrics: &prometheus::Registry) -> prometheus::Result<()> {
        handover::measure(&self.core, metrics)
    }

    /// Makes a session, or finds the one with this id and specification and renews it. Answers
    /// when the group has given the session its partitions, after 10 s with what it has.
    ///
    /// Of a new session that could not be given to its client nothing is left, neither here nor in
    /// the group. A dropped future leaves a whole session or none; one whose id nobody has learnt
    /// expires.
    ///
    /// # Errors
    /// [`Error::ConsumerExists`]; [`Error::OwnerUnavailable`] when the id is still being deleted
    /// at the deadline; [`Error::NoQuorum`]; [`Error::ShuttingDown`]; what the session itself
    /// says, [`TopicNotFound`](sluice_actors::Error::TopicNotFound) before anything is made.
    pub async fn subscribe(
        &self,
        id: ConsumerId,
        spec: SessionSpec,
        deadline: Deadline,
        hop: &Hop,
    ) -> Result<Subscribed, Error> {
        if self.embedded_broker && !spec.assignment_strategy.is_cooperative() {
            return Err(Error::Session(sluice_actors::Error::Unsupported(
                "use an assignment_strategy other than cooperative-sticky",
            )));
        }
        subscribe::subscribe(&self.core, id, spec, deadline, hop.clone()).await
    }

    /// Asks the running session, and asks its successor if it turns out to have ended meanwhile.
    /// Waits while the session is being restarted. For as long as the future lives, the session's
    /// client does not count as silent.
    ///
    /// A dropped future drops the call.
    ///
    /// # Errors
    /// [`Error::ConsumerNotFound`], never on this node's word alone; [`Error::OwnerUnavailable`]
    /// when no session was there by the deadline; [`Error::NoQuorum`]; [`Error::ShuttingDown`];
    /// what the session itself says.
    pub async fn with<T, F, Fut>(
        &self,
        id: &ConsumerId,
        deadline: Deadline,
        hop: &Hop,
        call: F,
    ) -> Result<T, Error>
    where
        F: Fn(H::Session) -> Fut,
        Fut: Future<Output = Result<T, sluice_actors::Error>>,
    {
        locate::with(&self.core, id, deadline, hop, call).await
    }

    /// Ends a session. Answers when it is no more for clients; the group is left behind that.
    ///
    /// It goes on when the future is dropped, and past the deadline.
    ///
    /// # Errors
    /// [`Error::ConsumerNotFound`], for a second delete too; [`Error::NoQuorum`];
    /// [`OutcomeUnknown`](sluice_actors::Error::OutcomeUnknown) when it takes longer.
    pub async fn delete(
        &self,
        id: &ConsumerId,
        deadline: Deadline,
        hop: &Hop,
    ) -> Result<(), Error> {
        end::delete(&self.core, id, deadline, hop).await
    }

    /// The session as it is, at once, running or not. Does not renew it.
    ///
    /// # Errors
    /// [`Error::ConsumerNotFound`], [`Error::NoQuorum`], and what keeps a running session from
    /// showing itself.
    pub async fn describe(
        &self,
        id: &ConsumerId,
        deadline: Deadline,
        hop: &Hop,
    ) -> Result<Described, Error> {
        let view = locate::living(&self.core, id, hop).await?;
        locate::check_here(&self.core, &view, hop)?;
        let snapshot = match self.core.running(&view) {
            Some(running) => running.snapshot(deadline).await.map(Some),
            None => Ok(None),
        };
        match snapshot {
            Err(
                sluice_actors::Error::NotHere
                | sluice_actors::Error::SessionFailed
                | sluice_actors::Error::Moving,
            ) => Ok(Described {
                view,
                snapshot: None,
            }),
            other => Ok(Described {
                view,
                snapshot: other?,
            }),
        }
    }

    /// Tells this life of the id from others, as far as this node knows.
    pub fn life(&self, id: &ConsumerId) -> Option<CreationStamp> {
        let session = self.core.registry.lookup(id)?;
        Some(session.stamp)
    }

    /// Some sessions that requests wait for at this node, whoever owns them; `most` at most.
    pub fn waiting(&self, most: usize) -> Vec<ConsumerId> {
        self.core.waiting.some(most)
    }

    /// Hands the sessions of this node over to others: all whenever the registry says that it
    /// drains, and those that the leader asks for. Goes on until the node stops.
    pub fn hand_over_to(&self, places: Arc<dyn Places>, asked: watch::Receiver<Vec<AskedMove>>) {
        let span = tracing::info_span!("handovers", node = %self.core.identity.name());
        let handing_over = handover::run(self.core.clone(), places, asked);
        self.core.spawn(span, handing_over);
    }

    /// Waits until this node, which drains, owns nothing any more, or no other node takes anything.
    pub async fn drained(&self) {
        let mut changes = self.core.registry.changes();
        while self.has_takers() && !self.owns_nothing() {
            changes.changed().await;
        }
    }

    /// Waits until the takers have taken up what was handed over to them, for which they need a
    /// leader; no longer than this.
    pub async fn taken_up(&self, within: Duration) {
        let node = self.core.identity.node();
        let mut changes = self.core.registry.changes();
        let taken_up = async {
            while self.core.registry.on_their_way_from(&node) > 0 {
                changes.changed().await;
            }
        };
        if tokio::time::timeout(within, taken_up).await.is_err() {
            tracing::info!("not all sessions that were handed over have been taken up yet");
        }
    }

    /// Whether there is another node that takes sessions.
    pub fn has_takers(&self) -> bool {
        let nodes = self.core.registry.nodes();
        nodes
            .iter()
            .any(|node| node.state == NodeState::Alive && !self.core.identity.is(&node.id))
    }

    fn owns_nothing(&self) -> bool {
        let node = self.core.identity.node();
        self.core.registry.owned_by(&node).is_empty()
    }

    /// At most so many sessions of this node, those first that have been idle the longest.
    pub fn idlest(&self, most: usize) -> Vec<ConsumerId> {
        self.core.supervision().idlest(most)
    }

    /// Drops all that runs here, without a word to the groups: the incarnation that owned it has
    /// ended. Requests wait for the next owners.
    pub async fn abandon(&self, deadline: Deadline) {
        self.core.abandon(deadline).await;
    }

    /// Whether the registry can decide now, as far as this node reaches it. Knows what it has decided
    /// then.
    pub async fn has_quorum(&self) -> bool {
        self.core.registry.catch_up().await.is_ok()
    }

    /// Waits until this node knows of the session's ownership `epoch`, or of a later one; no longer
    /// than until the deadline.
    pub async fn catch_up(&self, id: &ConsumerId, epoch: Epoch, deadline: Deadline) {
        let mut changes = self.core.registry.watch(id);
        while changes.current().is_none_or(|seen| seen.epoch < epoch) {
            let changed = tokio::time::timeout_at(deadline.instant(), changes.changed());
            if changed.await.is_err() {
                return;
            }
        }
    }

    /// Waits until this node serves no more requests.
    pub async fn stopped(&self) {
        self.core.stopped().await;
    }

    /// Waits until this run of a node has ended, as far as this node knows.
    pub async fn dead(&self, node: &NodeId) {
        let mut changes = self.core.registry.changes();
        loop {
            let known = self.core.registry.node(&node.name);
            if !known.is_some_and(|known| known.id == *node && known.state != NodeState::Dead) {
                return;
            }
            changes.changed().await;
        }
    }

    /// At most `limit` sessions behind `after`, by id, as this node knows them; with a group,
    /// those of that group.
    pub async fn list(
        &self,
        group: Option<&GroupId>,
        after: Option<&ConsumerId>,
        limit: usize,
    ) -> Page {
        let one_more = limit.saturating_add(1);
        let mut consumers = self.core.registry.list(group, after, one_more);
        let has_more = consumers.len() > limit;
        consumers.truncate(limit);
        let last = consumers.last().filter(|_| has_more);
        Page {
            next: last.map(|session| session.id.clone()),
            consumers,
        }
    }

    /// Takes no more requests, lets ends that are under way come to theirs, and ends the sessions
    /// here: for good, if the registry ends with this process. Returns at the deadline at the latest.
    pub async fn shutdown(&self, deadline: Deadline) {
        self.core.stop();
        let while_ending = SETTLE_WITHIN.min(deadline.remaining() / 4);
        // Past that the ends go on beside the shutdown, as far as they get.
        let _ = tokio::time::timeout(while_ending, self.core.settled()).await;
        // Sessions that outlive this process keep their members, for whoever opens them next.
        let departure = match self.core.registry.is_durable() {
            true => {
                let half = Deadline::after(deadline.remaining() / 2);
                handover::leave_all(&self.core, half).await;
                Departure::Stay
            }
            false => Departure::Leave,
        };
        let open = self.core.host.shutdown(departure, deadline).await;
        if open > 0 {
            tracing::warn!(sessions = open, "handles were not closed in time");
        }
    }
}
