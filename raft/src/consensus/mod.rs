//! The replicated registry: one member of the consensus.
//!
//! ```text
//!    RegistryHandle                       Transport        Consensus::handle
//!    propose, lookup_linearizable              ▲                   │
//!           │                                  │ net               │ net
//!           ▼                                  │                   ▼
//!   asking.rs  Asking ── not the leader ───▶ Peers               Server
//!           │ the leader                                           │
//!           ▼                                                      │
//!   leading.rs  Leading  ◀─────────── a member asks the leader ────┘
//!           │ quorum.rs: confirmed by a majority, then
//!           │ proposing.rs: what waits goes into one entry
//!           ▼
//!        openraft ──▶ store ──▶ Replica ──▶ lookup, watch, changes, list
//! ```
//!
//! A cluster of one is the same, with nobody to ask.
//!
//! `succession.rs` has a member stand early for a leader that is surely gone.
//!
//! `attending.rs` looks who takes part, now and then: who is in no cluster does what
//! `formation.rs` says, the leader what `membership.rs` says. Both are pure.

mod asking;
mod attending;
mod formation;
mod identity;
mod leading;
mod membership;
mod options;
mod proposing;
mod quorum;
mod recovery;
mod succession;
#[cfg(test)]
mod tests;
mod transfer;

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use openraft::error::{InitializeError, RaftError};
use openraft::storage::RaftLogStorage;
use tokio::sync::Mutex;
use tokio::task;
use tokio::time::Instant;

pub(crate) use asking::Asking;
pub(crate) use identity::Identity;
pub(crate) use leading::{Leading, not_leader};
pub use options::{Options, Timing};
pub(crate) use proposing::Proposed;
pub(crate) use quorum::ReadIndex;
pub use recovery::{Recovered, recover};
pub(crate) use succession::{Heard, Missed};
pub use transfer::{Exported, export, import};

use crate::guard::Desk;
use crate::metrics::Counts;
use crate::net::Peers;
use crate::net::server::Server;
use crate::replica::Replica;
use crate::store::{Closed, LogStore, Machine, Volume};
use crate::types::{Member, Raft, StorageError, Vote};
use crate::{Failure, RaftId, RegistryHandle, Space, StoreFailed, VolumeError};

/// Why a member cannot start, or a cluster cannot be formed.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The volume cannot be used.
    #[error(transparent)]
    Volume(#[from] VolumeError),
    /// The volume fails.
    #[error(transparent)]
    Store(#[from] StoreFailed),
    /// The timing makes no sense.
    #[error("the timing makes no sense: {0}")]
    Timing(String),
    /// The consensus does not start, or has stopped.
    #[error("the consensus has stopped: {0}")]
    Stopped(String),
    /// This member is in a cluster already.
    #[error("this member is in a cluster already")]
    Formed,
    /// The directory is not the volume of a member, or of one that never took part in a cluster.
    #[error("{} holds no registry", .0.display())]
    NoRegistry(PathBuf),
    /// The directory holds something, where it must hold nothing.
    #[error("{} is not empty", .0.display())]
    NotEmpty(PathBuf),
    /// A metric cannot be made.
    #[error("metrics cannot be counted")]
    Metrics(#[from] prometheus::Error),
}

/// What a member knows of the consensus, which may lag behind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConsensusStatus {
    /// This member.
    pub raft_id: RaftId,
    /// The leader, if one is known.
    pub leader: Option<RaftId>,
    /// Whether this member leads, or thinks so.
    pub leads: bool,
    /// Counts the elections.
    pub term: u64,
    /// How many entries of the log have been applied here.
    pub applied: u64,
    /// The entry that the snapshot of this member is after, by index.
    pub snapshot: Option<u64>,
    /// Everyone who takes part.
    pub members: BTreeMap<RaftId, Member>,
    /// Those whose majority decides.
    pub voters: Vec<RaftId>,
}

/// This process's member of the consensus.
pub struct Consensus {
    raft: Raft,
    pub(crate) identity: Arc<Identity>,
    pub(crate) leading: Leading,
    pub(crate) peers: Peers,
    server: Server,
    pub(crate) desk: Arc<Desk>,
    pub(crate) asking: Asking,
    pub(crate) heard: Arc<Heard>,
    /// How long a leader is silent before it can be missed.
    succession: Duration,
    pub(crate) cluster_name: String,
    pub(crate) timing: Timing,
    registry: RegistryHandle,
    pub(crate) replica: Arc<Replica>,
    pub(crate) counts: Arc<Counts>,
    data_dir: PathBuf,
    member: Member,
    failure: Failure,
    closed: Mutex<Option<Closed>>,
}

impl Consensus {
    /// Opens the volume and takes part in what it takes part in; a new volume in nothing, until
    /// it [forms](Self::form) a cluster or is taken into one.
    ///
    /// Has to be called within a tokio runtime, which the member then lives on.
    ///
    /// # Errors
    /// [`StartError`]; nothing runs then.
    pub async fn start(options: Options) -> Result<Self, StartError> {
        let config = options.timing.config(options.ordinal)?;
        let counts = Arc::new(Counts::new()?);
        let replica = Arc::new(Replica::new());
        let data_dir = options.data_dir.clone();
        let (volume, machine) = open(options.data_dir, replica.clone()).await?;
        let identity = Arc::new(Identity::of(volume.log.clone()).await?);
        let peers = Peers::new(options.transport, identity.clone());
        let raft_id = identity.raft_id();
        let mut log = volume.log;
        let has_led = resign(&mut log, raft_id).await?;
        let raft = Raft::new(raft_id, Arc::new(config), peers.clone(), log, machine).await;
        let raft = raft.map_err(|error| StartError::Stopped(error.to_string()))?;
        if has_led {
            // It is missed already. Where others have not missed it yet, they refuse.
            let stands = raft.trigger().elect().await;
            stands.map_err(|error| StartError::Stopped(error.to_string()))?;
        }
        let cluster = identity.cluster().map(|cluster| cluster.to_string());
        tracing::info!(%raft_id, cluster, "consensus started");
        let leading = Leading::new(raft.clone(), &options.timing);
        let asking = Asking::new(
            leading.clone(),
            peers.clone(),
            replica.clone(),
            &options.timing,
            counts.clone(),
        );
        let name = options.cluster_name.clone();
        let member = options.member.clone();
        let desk = Arc::new(Desk::new(leading.clone(), replica.clone()));
        let heard = Arc::new(Heard::default());
        let server = Server::new(
            identity.clone(),
            name,
            member,
            leading.clone(),
            desk.clone(),
            heard.clone(),
        );
        Ok(Self {
            raft,
            server,
            desk,
            asking: asking.clone(),
            heard,
            succession: options.timing.succession(options.ordinal),
            identity,
            leading,
            peers,
            cluster_name: options.cluster_name,
            timing: options.timing,
            registry: RegistryHandle::replicated(replica.clone(), asking),
            replica,
            counts,
            data_dir,
            member: options.member,
            failure: volume.failure,
            closed: Mutex::new(Some(volume.closed)),
        })
    }

    /// The registry, as nodes use it.
    pub fn registry(&self) -> RegistryHandle {
        self.registry.clone()
    }

    /// This member's name in the consensus.
    pub fn raft_id(&self) -> RaftId {
        self.identity.raft_id()
    }

    /// Answers a frame of another member, as [`Transport`](crate::Transport) brings it.
    ///
    /// A dropped future leaves open what the frame does.
    pub async fn handle(&self, frame: &[u8]) -> Vec<u8> {
        self.server.handle(frame).await
    }

    /// Tells that the volume has failed: this process has to end.
    pub fn failure(&self) -> Failure {
        self.failure.clone()
    }

    /// How much room the volume has. Asked now and then, not with each request: it asks the disk.
    ///
    /// # Errors
    /// What the system says.
    pub async fn space(&self) -> io::Result<Space> {
        let dir = self.data_dir.clone();
        let looked = task::spawn_blocking(move || Space::of(&dir)).await;
        looked.unwrap_or_else(|error| Err(io::Error::other(error)))
    }

    /// Whether this member is in a cluster, or has formed one.
    ///
    /// # Errors
    /// [`StartError::Stopped`].
    pub async fn is_formed(&self) -> Result<bool, StartError> {
        let formed = self.raft.is_initialized().await;
        formed.map_err(|error| StartError::Stopped(error.to_string()))
    }

    /// Forms a cluster of this member and `others`, all of them with new volumes. Only one of them
    /// may do that, or there are several clusters.
    ///
    /// # Errors
    /// [`StartError::Formed`] if this member is in a cluster; nothing has changed then.
    pub async fn form(&self, others: BTreeMap<RaftId, Member>) -> Result<(), StartError> {
        if self.is_formed().await? {
            return Err(StartError::Formed);
        }
        let cluster = self.identity.found().await?;
        let mut members = others;
        members.insert(self.raft_id(), self.member.clone());
        tracing::info!(%cluster, members = members.len(), "forming a cluster");
        match self.raft.initialize(members).await {
            Ok(()) => Ok(()),
            Err(RaftError::APIError(InitializeError::NotAllowed(_))) => Err(StartError::Formed),
            Err(error) => Err(StartError::Stopped(error.to_string())),
        }
    }

    /// Whether this member leads, by the word that a majority gives after the call: at the time of
    /// the call no other led, and none had begun to since.
    ///
    /// Says no when no majority answers within the time, and while leadership is given up.
    pub async fn confirm(&self, within: Duration) -> bool {
        let confirmed = self.leading.read_index(Instant::now() + within);
        self.leading.leads() && matches!(confirmed.await, ReadIndex::Next(_))
    }

    /// Gives the leadership up, if this member leads: true when it does not lead any more, false
    /// when no other member has taken over within the time, and this one goes on.
    ///
    /// Meanwhile, about an election, nobody gets anything from the registry; callers try again.
    /// When the future is dropped, this member goes on as it then can.
    pub async fn step_down(&self, within: Duration) -> bool {
        !self.leading.leads() || self.leading.step_down(Instant::now() + within).await
    }

    /// What this member knows of the consensus.
    pub fn status(&self) -> ConsensusStatus {
        let metrics = self.raft.metrics();
        let metrics = metrics.borrow();
        let membership = metrics.membership_config.membership();
        let members = membership.nodes();
        ConsensusStatus {
            raft_id: metrics.id,
            leader: metrics.current_leader,
            leads: metrics.state.is_leader(),
            term: metrics.current_term,
            applied: self.replica.applied(),
            snapshot: metrics.snapshot.map(|id| id.index),
            members: members.map(|(id, member)| (*id, member.clone())).collect(),
            voters: membership.voter_ids().collect(),
        }
    }

    /// The last entry of this member's log, by index; 0 without any.
    pub(crate) fn last_log(&self) -> u64 {
        let metrics = self.raft.metrics();
        metrics.borrow().last_log_index.unwrap_or(0)
    }

    /// Counts the leaders and the snapshots that come, until the consensus has stopped.
    pub(crate) async fn keep_counting(&self) {
        let mut metrics = self.raft.metrics();
        let (mut leader, mut snapshot) = (None, metrics.borrow().snapshot);
        loop {
            {
                let now = metrics.borrow_and_update();
                let led = now.current_leader.map(|id| (now.current_term, id));
                if led.is_some() && led != leader {
                    leader = led;
                    self.counts.leader_changes.inc();
                }
                if now.snapshot > snapshot {
                    snapshot = now.snapshot;
                    self.counts.snapshots.inc();
                }
            }
            if metrics.changed().await.is_err() {
                return std::future::pending().await;
            }
        }
    }

    /// Takes no further part, and waits until nothing of this member uses the volume. Others are
    /// not told. A second call does nothing.
    pub async fn shutdown(&self) {
        if let Err(error) = self.raft.shutdown().await {
            tracing::warn!(%error, "the consensus did not end in good order");
        }
        self.identity.let_go().await;
        if let Some(closed) = self.closed.lock().await.take() {
            closed.wait().await;
        }
    }
}

impl fmt::Debug for Consensus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.status().fmt(f)
    }
}

/// Makes a member that led when its process ended a follower; returns whether it did.
///
/// openraft would have it lead on, in the same term. It does not know how far that term's entries
/// were committed, for the mark of that is written later than they are, and it has no entry of its
/// own life from which to tell: it would take an old state for the present one and call sessions
/// unknown that were made since. A new term begins with such an entry.
async fn resign(log: &mut LogStore, raft_id: RaftId) -> Result<bool, StartError> {
    let stopped = |error: StorageError| StartError::Stopped(error.to_string());
    let Some(vote) = log.read_vote().await.map_err(stopped)? else {
        return Ok(false);
    };
    let leader = vote.leader_id();
    if !vote.is_committed() || leader.voted_for() != Some(raft_id) {
        return Ok(false);
    }
    // Still its own vote of that term: it gives no other one in it.
    let candidate = Vote::new(leader.term, raft_id);
    log.save_vote(&candidate).await.map_err(stopped)?;
    Ok(true)
}

/// Opens the volume where it may block.
async fn open(dir: PathBuf, replica: Arc<Replica>) -> Result<(Volume, Machine), StartError> {
    let opened = task::spawn_blocking(move || -> Result<_, StartError> {
        let volume = Volume::open(&dir)?;
        let machine = Machine::restore(replica, volume.snapshots.clone())?;
        Ok((volume, machine))
    });
    match opened.await {
        Ok(opened) => opened,
        Err(error) => Err(StartError::Stopped(error.to_string())),
    }
}
