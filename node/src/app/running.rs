//! A node that runs, and how it stops.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use actix_web::dev::ServerHandle;
use sluice_actors::{Deadline, Producers, Sessions};
use sluice_raft::guard::{Guard, NodeChangeError};
use sluice_types::NodeName;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, sleep_until, timeout_at};

use crate::api::Draining;
use crate::cluster::{Membership, Seat};
use crate::config::Drain;
use crate::failure::Failure;
use crate::ownership::Ownership;
use crate::peer::Peers;

/// The part of the drain's time that is kept for ending what could not be handed over.
const ENDING_SHARE: f64 = 0.3;

/// How long a node that has handed its sessions over waits for their takers before it gives its
/// leadership up: an election would keep them waiting.
const TAKEN_UP_WITHIN: Duration = Duration::from_secs(3);

/// How long a node that is to stop waits for a leader that notes it, and how long between two
/// tries: as long as one that froze takes to be replaced, and no longer, since after that the
/// majority stops, too.
const DECIDED_WITHIN: Duration = Duration::from_secs(10);
const ASK_AGAIN: Duration = Duration::from_millis(100);

/// Of what is left of the drain, this much is for closing connections after sessions have ended.
const CLOSING_SHARE: Duration = Duration::from_secs(2);

pub(super) type RunningServer = (ServerHandle, JoinHandle<io::Result<()>>);

/// A node that runs. Dropped without [`shutdown`](Self::shutdown), it goes on.
pub struct Running {
    /// Where clients connect: the addresses actually bound.
    pub http: Vec<SocketAddr>,
    /// Where operators connect.
    pub admin: SocketAddr,
    /// Where other nodes connect.
    pub internal: Option<SocketAddr>,
    /// The sessions that run here.
    pub sessions: Sessions,
    /// The sessions of the cluster.
    pub ownership: Ownership,
    pub(super) producers: Producers,
    pub(super) peers: Peers,
    pub(super) seat: Seat,
    pub(super) watching: JoinHandle<()>,
    pub(super) draining: Draining,
    /// Those for clients and operators, and those for other nodes.
    pub(super) servers: (Vec<RunningServer>, Vec<RunningServer>),
    pub(super) drain: Drain,
}

impl Running {
    /// Stops the node within `drain.timeout`.
    ///
    /// ```text
    ///   sessions handed over -> no voter any more, no leader -+
    ///   |<----- drain.linger: requests are taken and sent on ->|
    ///                        sessions left end, or stay with their positions
    ///                        client and admin port close -> internal port
    ///                        -> records that were taken are written -> volume
    /// ```
    /// A node that no other can take anything from does not linger.
    pub async fn shutdown(self) {
        let all = Deadline::after(self.drain.timeout);
        tracing::info!(timeout = ?self.drain.timeout, "draining");
        self.draining.begin();
        if let Some(Membership { guard, .. }) = self.seat.membership() {
            let until = all.instant() - self.drain.timeout.mul_f64(ENDING_SHARE);
            let linger = (Instant::now() + self.drain.linger).min(until);
            let handing_over = self.hand_over(&guard, until);
            let lingering = async {
                if self.ownership.has_takers() {
                    sleep_until(linger).await;
                }
            };
            futures::join!(handing_over, lingering);
        }
        let for_sessions = all.remaining().saturating_sub(CLOSING_SHARE);
        let sessions_end = Deadline::after(for_sessions.max(all.remaining() / 2));
        let ended = self.ownership.shutdown(sessions_end);
        if timeout_at(sessions_end.instant(), ended).await.is_err() {
            tracing::warn!("not all sessions ended before the drain timeout");
        }
        // The internal port, the last of them, is needed until clients have their answers.
        let (clients, internal) = self.servers;
        for servers in [clients, internal] {
            let closing = servers.into_iter().map(|(handle, task)| async move {
                handle.stop(true).await;
                // Stopping has been asked for; how the task ended says nothing more.
                let _ = task.await;
            });
            let closed = futures::future::join_all(closing);
            if timeout_at(all.instant(), closed).await.is_err() {
                tracing::warn!("not all connections closed before the drain timeout");
            }
        }
        // Records of an answer whose owner hears nothing of it come again.
        if timeout_at(all.instant(), self.peers.said()).await.is_err() {
            tracing::warn!("not all nodes heard what became of their answers");
        }
        // Nothing comes any more; what was taken is on its way already.
        let unwritten = self.producers.flush(all).await;
        if unwritten > 0 {
            tracing::warn!(
                records = unwritten,
                "kafka has not acknowledged all records"
            );
        }
        self.watching.abort();
        self.seat.leave().await;
        tracing::info!("stopped");
    }

    /// Gives everything to other nodes, as far as there are any.
    async fn hand_over(&self, guard: &Guard, until: Instant) {
        let name = guard.standing().node.name;
        let giving = async {
            ask_for_drain(guard, &name).await?;
            self.ownership.drained().await;
            self.ownership.taken_up(TAKEN_UP_WITHIN).await;
            Ok::<_, NodeChangeError>(())
        };
        match timeout_at(until, giving).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!(%error, "the cluster cannot be told of the drain"),
            Err(_) => tracing::warn!("not all sessions were handed over in time"),
        }
        let retired = guard.retire(until.saturating_duration_since(Instant::now()));
        tracing::info!(retired = ?retired.await, "done with the consensus");
    }

    /// Waits until the node cannot go on, or cannot even stop in good order.
    pub fn failed(&self) -> impl Future<Output = Failure> + use<> {
        self.seat.failed()
    }
}

/// Has the registry note the drain. Between two leaders it takes a while to.
async fn ask_for_drain(guard: &Guard, name: &NodeName) -> Result<(), NodeChangeError> {
    let until = Instant::now() + DECIDED_WITHIN;
    loop {
        match guard.drain(name).await {
            Err(NodeChangeError::Registry(error)) if Instant::now() < until => {
                tracing::debug!(%error, "the cluster is told of the drain again");
                sleep(ASK_AGAIN).await;
            }
            asked => return asked,
        }
    }
}
