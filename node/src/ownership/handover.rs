//! Giving sessions to other nodes by plan: with what they have delivered, and unnoticed by their
//! groups.
//!
//! ```text
//!   the actor stops,      Move, with              the handle is dropped,
//!   says where it is ---> the handover ---------> the member stays in the group
//!        ^                     |                           (the taker joins in its place)
//!        +---- goes on <-------+ the taker is gone, or nobody decides
//! ```
//! Requests wait meanwhile, and go to the taker as soon as the registry names it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures::StreamExt;
use futures::stream::FuturesUnordered;
use prometheus::{Histogram, HistogramOpts, Registry};
use sluice_actors::Deadline;
use sluice_raft::rebalance::AskedMove;
use sluice_raft::{Command, Handover, Move, NodeState, Outcome, SessionView};
use sluice_types::{ConsumerId, NodeId};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::backoff::Backoff;
use super::core::Core;
use super::host::{Host, Running};

/// How long a session may take to come to rest: an answer on its way and a rebalance are waited out.
const REST_WITHIN: Duration = Duration::from_secs(10);
/// How long the handle may take to be given to the closer.
const DEPART_WITHIN: Duration = Duration::from_secs(5);
/// Sessions that are handed over at once: each waits mostly for Kafka.
const AT_ONCE: usize = 64;
/// Before what could not be handed over is tried again.
const AGAIN: Duration = Duration::from_millis(500);

/// Registers how long handovers take.
///
/// # Errors
/// The name is taken.
pub(super) fn measure<H>(core: &Core<H>, registry: &Registry) -> prometheus::Result<()> {
    let seconds = Histogram::with_opts(
        HistogramOpts::new(
            "sluice_cluster_handover_seconds",
            "How long a session that this node hands over serves nobody here, until the registry has its new owner",
        )
        .buckets(vec![0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0]),
    )?;
    registry.register(Box::new(seconds.clone()))?;
    // Asked for once only: else the name was taken.
    let _ = core.handovers.set(seconds);
    Ok(())
}

/// Says where sessions can go.
#[async_trait]
pub trait Places: Send + Sync + 'static {
    /// Nodes that take these sessions of this node now, spread by load. What has no place is left
    /// out.
    async fn destinations(&self, sessions: &[ConsumerId]) -> BTreeMap<ConsumerId, NodeId>;
}

/// What became of a session that was to move.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    /// It is another's, or nobody's: this ownership has ended.
    Moved,
    /// It is being deleted, which whoever does it brings to its end.
    Deleting,
    /// Nothing has changed.
    Stays,
}

/// Hands over the sessions of this node for as long as the registry says that it drains, and those
/// that the leader asks for. Runs until the node stops.
pub(super) async fn run<H: Host>(
    core: Arc<Core<H>>,
    places: Arc<dyn Places>,
    mut asked: watch::Receiver<Vec<AskedMove>>,
) {
    let mut changes = core.registry.changes();
    loop {
        let is_draining = drains(&core);
        if is_draining {
            give_all(&core, &*places).await;
        }
        tokio::select! {
            () = changes.changed() => {}
            Ok(()) = asked.changed() => {
                let moves = asked.borrow_and_update().clone();
                begin_asked(&core, moves);
            }
            () = tokio::time::sleep(AGAIN), if is_draining => {}
            () = core.stopped() => return,
        }
    }
}

/// Begins to hand over what the leader asks for, which is little at a time. What fails is asked for
/// again. A drain does not wait for it.
fn begin_asked<H: Host>(core: &Arc<Core<H>>, moves: Vec<AskedMove>) {
    for AskedMove { claim, to } in moves {
        let session = core.registry.lookup(&claim.id);
        let is_asked = |session: &SessionView| {
            session.claim() == claim
                && core.is_ours(session)
                && !core.supervision().is_held(session.stamp)
        };
        if let Some(session) = session.filter(is_asked) {
            // It goes on when the handle is dropped.
            drop(spawn(core, session, to, Deadline::after(REST_WITHIN)));
        }
    }
}

/// Whether this process hands its sessions over and takes no more.
pub(super) fn drains<H: Host>(core: &Core<H>) -> bool {
    let node = core.identity.node();
    let known = core.registry.node(&node.name);
    known.is_some_and(|known| known.id == node && known.state == NodeState::Draining)
}

/// Gives every session of this node away for which there is a place.
async fn give_all<H: Host>(core: &Arc<Core<H>>, places: &dyn Places) {
    let ours = core.registry.owned_by(&core.identity.node());
    let mut sessions: Vec<SessionView> = ours
        .into_iter()
        .filter(|session| !core.supervision().is_held(session.stamp))
        .collect();
    if sessions.is_empty() {
        return;
    }
    let ids: Vec<ConsumerId> = sessions.iter().map(|session| session.id.clone()).collect();
    let mut destinations = places.destinations(&ids).await;
    sessions.retain(|session| destinations.contains_key(&session.id));
    if sessions.is_empty() {
        return;
    }
    tracing::info!(sessions = sessions.len(), "handing sessions over");
    let mut moving = FuturesUnordered::new();
    let mut moved = 0;
    for session in sessions {
        if moving.len() >= AT_ONCE
            && let Some(has_moved) = moving.next().await
        {
            moved += usize::from(has_moved);
        }
        if let Some(to) = destinations.remove(&session.id) {
            moving.push(give(core, session, to));
        }
    }
    while let Some(has_moved) = moving.next().await {
        moved += usize::from(has_moved);
    }
    tracing::info!(sessions = moved, "handed sessions over");
}

/// Gives one session to a node. Says whether it is that node's now. Goes on to its end when the
/// future is dropped.
pub(super) async fn give<H: Host>(core: &Arc<Core<H>>, session: SessionView, to: NodeId) -> bool {
    let giving = spawn(core, session, to, Deadline::after(REST_WITHIN));
    giving.await.unwrap_or(false)
}

/// Writes down where the sessions that run here stand, for whoever opens them next: this node, or
/// another once this one has ended. For a node that stops and finds nobody to take them.
pub(super) async fn leave_all<H: Host>(core: &Arc<Core<H>>, deadline: Deadline) {
    let node = core.identity.node();
    let ours = core.registry.owned_by(&node).into_iter();
    let running = ours.filter(|session| session.is_active() && core.running(session).is_some());
    let mut leaving: FuturesUnordered<_> = running
        .map(|session| spawn(core, session, node.clone(), deadline))
        .collect();
    while let Ok(Some(_)) = tokio::time::timeout_at(deadline.instant(), leaving.next()).await {}
}

fn spawn<H: Host>(
    core: &Arc<Core<H>>,
    session: SessionView,
    to: NodeId,
    deadline: Deadline,
) -> JoinHandle<bool> {
    let hold = core.hold(session.stamp);
    let span = tracing::info_span!(
        "handover",
        consumer_id = %session.id,
        epoch = %session.epoch,
        group = %session.spec.group_id,
        to = %to.name,
    );
    let shared = core.clone();
    core.spawn(span, async move {
        let has_moved = hand_over(&shared, &session, to, deadline).await;
        drop(hold);
        has_moved
    })
}

async fn hand_over<H: Host>(
    core: &Core<H>,
    session: &SessionView,
    to: NodeId,
    deadline: Deadline,
) -> bool {
    let Some(running) = core.running(session).filter(|_| session.is_active()) else {
        // It has no handle here, or only one to leave its group with: that, others can do too.
        return relocate(core, session, to, None).await != Fate::Stays;
    };
    let began = Instant::now();
    let handover = match running.hand_over(deadline).await {
        Ok(handed_over) => handed_over.map(|handed_over| Handover {
            points: handed_over.points,
            idle: handed_over.idle,
        }),
        Err(error) => {
            tracing::info!(%error, "the session cannot be handed over now");
            return false;
        }
    };
    match relocate(core, session, to, handover).await {
        Fate::Moved => {
            if let Some(seconds) = core.handovers.get() {
                seconds.observe(began.elapsed().as_secs_f64());
            }
            running.stay_behind(Deadline::after(DEPART_WITHIN)).await;
            true
        }
        Fate::Deleting => false,
        Fate::Stays => {
            running.resume();
            false
        }
    }
}

/// Has the registry give the session to another owner.
async fn relocate<H: Host>(
    core: &Core<H>,
    session: &SessionView,
    to: NodeId,
    handover: Option<Handover>,
) -> Fate {
    let planned = Move {
        epoch: session.epoch,
        to,
        handover,
    };
    let moves = BTreeMap::from([(session.id.clone(), planned)]);
    let mut backoff = Backoff::new(session.stamp.get());
    let mut failures = 0;
    loop {
        let command = Command::Move {
            moves: moves.clone(),
        };
        match core.registry.propose(command).await {
            Ok(Outcome::Opened(moved)) if !moved.is_empty() => return Fate::Moved,
            // The taker is gone; or the session has changed, by a try before this one for instance.
            Ok(_) => {
                if let Ok(now) = core.registry.lookup_linearizable(&session.id).await {
                    return fate(session, now);
                }
            }
            Err(sluice_raft::Error::NoQuorum) if failures == 0 => return Fate::Stays,
            // Until it is known, nobody may be served.
            Err(error) => tracing::debug!(%error, "not known whether the session has moved"),
        }
        failures += 1;
        tokio::select! {
            () = tokio::time::sleep(backoff.delay(failures)) => {}
            () = core.stopped() => return Fate::Moved,
        }
    }
}

fn fate(session: &SessionView, now: Option<SessionView>) -> Fate {
    match now {
        Some(now) if now.stamp == session.stamp && now.epoch == session.epoch => Fate::Stays,
        Some(now) if now.stamp == session.stamp && now.is_deleting() => Fate::Deleting,
        _ => Fate::Moved,
    }
}
