//! What the procedures share: the registry, the sessions that run here, and the memory of them.

use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use prometheus::Histogram;
use sluice_actors::{Deadline, Opening};
use sluice_raft::{RegistryHandle, Session, SessionView};
use sluice_types::{Clock, ConsumerId, CreationStamp};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tracing::{Instrument, Span};

use super::authority::record;
use super::host::{Host, Running};
use super::pending::Pending;
use super::placed::Placed;
use super::supervision::Supervision;
use super::waiting::Waiting;
use crate::identity::Identity;

/// Shared by all requests, procedures and the loop of a node.
pub(super) struct Core<H> {
    pub(super) identity: Identity,
    pub(super) registry: RegistryHandle,
    pub(super) host: H,
    pub(super) clock: Arc<dyn Clock>,
    supervision: Mutex<Supervision>,
    pending: Pending,
    pub(super) waiting: Waiting,
    pub(super) placed: Placed,
    /// How long handovers take, once somebody gathers it.
    pub(super) handovers: OnceLock<Histogram>,
    /// Counts what happens here without a change of the registry: openings, ends, releases.
    turns: watch::Sender<u64>,
    stopping: watch::Sender<bool>,
    runtime: tokio::runtime::Handle,
}

impl<H: Host> Core<H> {
    /// Must be called in the runtime of the node.
    pub(super) fn new(
        identity: Identity,
        registry: RegistryHandle,
        host: H,
        clock: Arc<dyn Clock>,
        seed: u64,
    ) -> Self {
        Self {
            identity,
            registry,
            host,
            clock,
            supervision: Mutex::new(Supervision::new(seed)),
            pending: Pending::default(),
            waiting: Waiting::default(),
            placed: Placed::default(),
            handovers: OnceLock::new(),
            turns: watch::Sender::new(0),
            stopping: watch::Sender::new(false),
            runtime: tokio::runtime::Handle::current(),
        }
    }

    /// Runs a procedure to its end, whatever becomes of the request that began it: on the runtime
    /// of the node, not on that of the HTTP worker, which may stop earlier.
    pub(super) fn spawn<T: Send + 'static>(
        &self,
        span: Span,
        procedure: impl Future<Output = T> + Send + 'static,
    ) -> JoinHandle<T> {
        self.runtime.spawn(procedure.instrument(span))
    }

    pub(super) fn supervision(&self) -> MutexGuard<'_, Supervision> {
        self.supervision
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs the session under its epoch, unless that has been used or is this process's no more:
    /// then `None`.
    ///
    /// This is the one place that opens. It is done under the lock that also guards the use of
    /// epochs, so that an older opening cannot overtake a later one, and none the end of the
    /// incarnation that it is of.
    ///
    /// # Errors
    /// [`NoQuorum`](sluice_actors::Error::NoQuorum) without a lease: a process that was frozen, or
    /// is cut off, may not know that the session has another owner. What the host says.
    pub(super) fn open(
        &self,
        session: &SessionView,
    ) -> Result<Option<H::Session>, sluice_actors::Error> {
        let mut supervision = self.supervision();
        if self.is_stopping() {
            return Err(sluice_actors::Error::ShuttingDown);
        }
        if !self.is_ours(session) {
            return Ok(None);
        }
        if !self.identity.may_open(&session.owner) {
            return Err(sluice_actors::Error::NoQuorum);
        }
        let is_takeover = supervision.may_have_opened(session);
        if !supervision.take(session, Instant::now()) {
            return Ok(None);
        }
        let opened = self.host.open(Opening {
            claim: session.claim(),
            stamp: session.stamp,
            spec: session.spec.clone(),
            record: record(session),
            created_at: session.created_at,
            is_takeover,
        });
        drop(supervision);
        self.turn();
        opened.map(Some)
    }

    /// The session, if it runs here under its present epoch.
    pub(super) fn running(&self, session: &Session) -> Option<H::Session> {
        let running = self.host.get(&session.id)?;
        let is_present = running.claim().epoch == session.epoch
            && !self.supervision().has_ended(&session.id, session.epoch);
        is_present.then_some(running)
    }

    pub(super) fn is_ours(&self, session: &Session) -> bool {
        self.identity.is(&session.owner)
    }

    /// Keeps the loop's hands off this life of a session while a procedure is at it.
    pub(super) fn hold(self: &Arc<Self>, stamp: CreationStamp) -> Hold<H> {
        self.supervision().hold(stamp);
        Hold {
            core: self.clone(),
            stamp,
        }
    }

    /// Counts a request as the client's sign of life for as long as the guard lives.
    pub(super) fn visit(self: &Arc<Self>, session: SessionView) -> Visit<H> {
        self.supervision().request_begins(&session, Instant::now());
        Visit {
            core: self.clone(),
            session,
        }
    }

    /// Counts a subscribe that has made nothing yet, for as long as the guard lives.
    pub(super) fn begin_subscribe(self: &Arc<Self>, id: ConsumerId) -> Subscribing<H> {
        Subscribing {
            overtaken: self.pending.begin(&id),
            core: self.clone(),
            id,
        }
    }

    /// Has the subscribes of this id that have made nothing yet give up. Returns whether there
    /// are any: each ends with a [turn](Self::turns).
    pub(super) fn overtake(&self, id: &ConsumerId) -> bool {
        self.pending.overtake(id)
    }

    /// Wakes whoever waits for something to happen here.
    pub(super) fn turn(&self) {
        self.turns.send_modify(|count| *count += 1);
    }

    pub(super) fn turns(&self) -> watch::Receiver<u64> {
        self.turns.subscribe()
    }

    pub(super) fn stop(&self) {
        self.stopping.send_replace(true);
        // Whoever opens now has seen that; whoever began before has ended.
        drop(self.supervision());
        self.turn();
    }

    /// Drops all that runs here, without a word to the groups: the incarnation that owned it has
    /// ended, and others own it by now, or will. Nothing of it is opened any more.
    pub(super) async fn abandon(&self, deadline: Deadline) {
        // Whoever opens now has seen the end; whoever began before has ended.
        drop(self.supervision());
        let open = self.host.abandon(deadline).await;
        if open > 0 {
            tracing::warn!(sessions = open, "handles were not closed in time");
        }
        self.supervision().keep(|_, _| false);
        self.turn();
    }

    pub(super) fn is_stopping(&self) -> bool {
        *self.stopping.borrow()
    }

    /// Waits until no procedure is at any session.
    pub(super) async fn settled(&self) {
        let mut turns = self.turns();
        while self.supervision().holds_any() {
            // The sender lives as long as `self`: this ends only with a change.
            let _ = turns.changed().await;
        }
    }

    /// Waits until the node stops.
    pub(super) async fn stopped(&self) {
        // The sender lives as long as `self`: this ends only when it has been told.
        let _ = self.stopping.subscribe().wait_for(|stops| *stops).await;
    }
}

/// While it lives, the loop leaves a session alone.
pub(super) struct Hold<H: Host> {
    core: Arc<Core<H>>,
    stamp: CreationStamp,
}

impl<H: Host> Drop for Hold<H> {
    fn drop(&mut self) {
        self.core.supervision().release(self.stamp);
        self.core.turn();
    }
}

/// While it lives, a session's client is not silent.
pub(super) struct Visit<H: Host> {
    core: Arc<Core<H>>,
    session: SessionView,
}

impl<H: Host> Drop for Visit<H> {
    fn drop(&mut self) {
        self.core
            .supervision()
            .request_ends(&self.session, Instant::now());
    }
}

/// While it lives, a delete knows that a subscribe may make a session yet.
pub(super) struct Subscribing<H: Host> {
    core: Arc<Core<H>>,
    id: ConsumerId,
    overtaken: watch::Receiver<u64>,
}

impl<H: Host> Subscribing<H> {
    /// Waits for a delete of the id.
    pub(super) async fn overtaken(&mut self) {
        // The sender lives until the guard is dropped: this ends only with a delete.
        let _ = self.overtaken.changed().await;
    }
}

impl<H: Host> Drop for Subscribing<H> {
    fn drop(&mut self) {
        self.core.pending.end(&self.id);
        self.core.turn();
    }
}
