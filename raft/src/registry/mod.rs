//! The registry's state: pure, the same after the same commands on every node.
//!
//! ```text
//!            Create                 Delete                 Gone
//!   (free) ---------> Active e ---------------> Deleting -------> (free; the grave keeps the
//!                      |    ^                   e+1 |  ^           last epoch and the stamp)
//!                      +----+                       +--+
//!        Open, Move: e+1     Seek, Assign,          Move: +1
//!                            Observed, Joined: e stays
//!
//!            Register              ChangeNode             RemoveNode
//!   (free) ---------> Alive <---> Draining ---> Dead ---------------> (free; the incarnation is
//!               ^      |                         ^ |                   remembered for a while)
//!               |      +-------------------------+ |
//!               +----------------------------------+  by a new incarnation, from each state
//! ```
//!
//! Nothing here reads a clock or waits.

mod counts;
mod graves;
mod node;
mod nodes;
pub mod placement;
mod session;
mod sessions;

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use sluice_types::{Claim, ConsumerId, Epoch, NodeId, NodeName, Timestamp};

use crate::{Command, Creation, Move};
pub use counts::PartitionCounts;
use graves::Graves;
pub use node::{InvalidAddress, Node, NodeAddress, NodeState, RaftId, Version};
use nodes::{NodeChange, Nodes};
pub use session::{HandedOver, Session, SessionState, SessionView};
use sessions::Sessions;

/// What became of a command. Append-only, as the commands are.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Outcome {
    /// It took effect, or had taken effect already; the session as it is now. After
    /// [`Command::Gone`]: as it last was.
    Done(SessionView),
    /// [`Command::Open`], [`Command::Move`]: the sessions that were given a new epoch; the others
    /// stay as they were.
    Opened(Vec<SessionView>),
    /// [`Command::Create`]: the id has a session. If it bears the stamp of the command, then the
    /// command had taken effect before.
    Exists(SessionView),
    /// The claim does not hold (any more), or the command is older than what the registry has.
    /// Nothing changed.
    Stale,
    /// The node that is to own the sessions, that owns one, or that registers, is not one that can:
    /// its incarnation has ended, or it drains and would begin a session. Nothing changed.
    NotAlive,
    /// A change of the nodes or of the version took effect, or had already.
    Applied,
    /// [`Command::Register`]: the node does not know the active version. Nothing changed.
    TooOld,
    /// [`Command::Create`]: the node has as many sessions as it may. Nothing changed.
    Full,
}

impl From<NodeChange> for Outcome {
    fn from(change: NodeChange) -> Self {
        match change {
            NodeChange::Done => Self::Applied,
            NodeChange::Stale => Self::Stale,
            NodeChange::Ended => Self::NotAlive,
            NodeChange::TooOld => Self::TooOld,
        }
    }
}

/// Every session and every node of the cluster.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Registry {
    sessions: Sessions,
    graves: Graves,
    nodes: Nodes,
    generation: u32,
}

impl Registry {
    /// What a new cluster begins with when it gets the sessions of another one: no node is there,
    /// so none of them has an owner, and what earlier owners claim holds no longer.
    pub(crate) fn begun_with(sessions: impl IntoIterator<Item = Session>) -> Self {
        let mut registry = Self::default();
        for mut session in sessions {
            session.disown();
            registry.sessions.insert(Arc::new(session));
        }
        registry
    }

    /// Makes the change, if it is still the time for it.
    pub fn apply(&mut self, command: Command) -> Outcome {
        match command {
            Command::Create(creation) => self.create(creation),
            Command::Open { owner, claims } => self.open(&owner, claims),
            Command::Seek { claim, seq, points } => {
                self.change(&claim, |session| session.seek(seq, points))
            }
            Command::Assign {
                claim,
                partitions,
                revision,
                points,
            } => self.assign(&claim, |session| {
                session.assign(partitions, revision, points)
            }),
            Command::Observed { claim, counts } => {
                self.change(&claim, |session| session.observe(counts))
            }
            Command::Delete { claim, at } => self.change(&claim, |session| session.delete(at)),
            Command::Gone { claim, at } => self.gone(&claim, at),
            Command::Move { moves } => self.move_all(moves),
            Command::Joined { claim } => self.change(&claim, Session::join),
            Command::Register(registration) => self.nodes.register(registration).into(),
            Command::ChangeNode {
                node,
                revision,
                to,
                at,
            } => self.nodes.change(&node, revision, to, at).into(),
            Command::RemoveNode { node, at } => self.nodes.remove(&node, at).into(),
            Command::RaiseVersion { to } => self.nodes.raise(to).into(),
            Command::Recover { generation, at } => self.recover(generation, at),
        }
    }

    fn create(&mut self, creation: Creation) -> Outcome {
        self.graves.forget_before(creation.created_at);
        if let Some(session) = self.sessions.get(&creation.id) {
            return Outcome::Exists(session.clone());
        }
        if self.graves.holds(creation.stamp) {
            return Outcome::Stale;
        }
        if self.nodes.state(&creation.owner) != NodeState::Alive {
            return Outcome::NotAlive;
        }
        if !self.has_room(&creation.owner) {
            return Outcome::Full;
        }
        let epoch = self.graves.next_epoch(&creation.id);
        let session = Arc::new(Session::new(creation, epoch));
        self.sessions.insert(session.clone());
        Outcome::Done(session)
    }

    /// Whether a node may have one more session. Decided here, so that subscribes that come at once
    /// do not overfill one node while others have room.
    fn has_room(&self, node: &NodeId) -> bool {
        let capacity = self.node(&node.name).map_or(0, |known| known.capacity);
        u64::try_from(self.count_of(node)).unwrap_or(u64::MAX) < u64::from(capacity)
    }

    fn open(&mut self, owner: &NodeId, claims: BTreeMap<ConsumerId, Epoch>) -> Outcome {
        if self.nodes.state(owner) == NodeState::Dead {
            return Outcome::NotAlive;
        }
        let opened = claims.into_iter().filter_map(|(id, epoch)| {
            self.sessions
                .change(&Claim { id, epoch }, |session| session.open(owner))
        });
        Outcome::Opened(opened.collect())
    }

    fn move_all(&mut self, moves: BTreeMap<ConsumerId, Move>) -> Outcome {
        let is_asked = !moves.is_empty();
        let mut is_any_alive = false;
        let mut moved = Vec::new();
        for (
            id,
            Move {
                epoch,
                to,
                handover,
            },
        ) in moves
        {
            let owner = self.sessions.get(&id).map(|session| &session.owner);
            let may_have_it = match self.nodes.state(&to) {
                NodeState::Alive => true,
                // An owner that stops and finds no taker leaves what it would hand over.
                NodeState::Draining => owner == Some(&to) && handover.is_some(),
                NodeState::Dead => false,
            };
            if !may_have_it {
                continue;
            }
            is_any_alive = true;
            let claim = Claim { id, epoch };
            let change = |session: &mut Session| session.move_to(to, handover);
            moved.extend(self.sessions.change(&claim, change));
        }
        if is_asked && !is_any_alive {
            return Outcome::NotAlive;
        }
        Outcome::Opened(moved)
    }

    /// Makes a session an assigned one, but not once its owner has ended: such a session moves at
    /// once while it is of the group, and only after its owner's lease when it is assigned. Whoever
    /// decides that it may move must not be overtaken.
    fn assign(&mut self, claim: &Claim, assign: impl FnOnce(&mut Session) -> bool) -> Outcome {
        let owner = self.sessions.get(&claim.id).map(|session| &session.owner);
        if owner.is_some_and(|owner| self.nodes.state(owner) == NodeState::Dead) {
            return Outcome::NotAlive;
        }
        self.change(claim, assign)
    }

    /// Changes one session; `change` says whether it is as asked now.
    fn change(&mut self, claim: &Claim, change: impl FnOnce(&mut Session) -> bool) -> Outcome {
        self.sessions
            .change(claim, change)
            .map_or(Outcome::Stale, Outcome::Done)
    }

    fn gone(&mut self, claim: &Claim, at: Timestamp) -> Outcome {
        self.graves.forget_before(at);
        match self.sessions.get(&claim.id) {
            Some(session) if session.epoch == claim.epoch && session.is_deleting() => {}
            _ => return Outcome::Stale,
        }
        match self.sessions.remove(&claim.id) {
            Some(session) => {
                self.graves.bury(&session, at);
                Outcome::Done(session)
            }
            None => Outcome::Stale,
        }
    }

    fn recover(&mut self, generation: u32, at: Timestamp) -> Outcome {
        if generation <= self.generation {
            return match generation == self.generation {
                true => Outcome::Applied,
                false => Outcome::Stale,
            };
        }
        self.generation = generation;
        self.nodes.clear(at);
        let claims: Vec<Claim> = self.sessions.after(None).map(|s| s.claim()).collect();
        for claim in claims {
            self.sessions.change(&claim, Session::disown);
        }
        Outcome::Applied
    }

    /// The session with this id, being deleted or not.
    pub fn session(&self, id: &ConsumerId) -> Option<&SessionView> {
        self.sessions.get(id)
    }

    /// The sessions behind `after`, by id.
    pub fn sessions_after(&self, after: Option<&ConsumerId>) -> impl Iterator<Item = &SessionView> {
        self.sessions.after(after)
    }

    /// The sessions of a node, by id, those being deleted too. Costs what the node owns.
    pub fn owned_by(&self, owner: &NodeId) -> impl Iterator<Item = &SessionView> {
        self.sessions.owned_by(owner)
    }

    /// How many sessions a node owns, those being deleted too.
    pub fn count_of(&self, owner: &NodeId) -> usize {
        self.sessions.count(owner)
    }

    /// How many sessions there are, those being deleted too.
    pub fn session_count(&self) -> usize {
        self.sessions.len()
    }

    /// Whoever owns a session, nodes that have ended too.
    pub fn owners(&self) -> impl Iterator<Item = &NodeId> {
        self.sessions.owners()
    }

    /// Those who own sessions and have ended: dead, removed, or replaced by a new incarnation.
    pub fn ended_owners(&self) -> impl Iterator<Item = &NodeId> {
        self.owners()
            .filter(|owner| self.nodes.state(owner) == NodeState::Dead)
    }

    /// The node with this name, in its latest incarnation.
    pub fn node(&self, name: &NodeName) -> Option<&Node> {
        self.nodes.get(name)
    }

    /// All nodes, by name.
    pub fn nodes(&self) -> impl Iterator<Item = &Node> {
        self.nodes.iter()
    }

    /// The state of one incarnation; of one that the registry does not hold: dead.
    pub fn state_of(&self, node: &NodeId) -> NodeState {
        self.nodes.state(node)
    }

    /// How often the cluster was begun anew after the loss of a majority.
    pub fn generation(&self) -> u32 {
        self.generation
    }

    /// The version of commands and formats in use.
    pub fn active_version(&self) -> Version {
        self.nodes.active()
    }

    /// The version that [`Command::RaiseVersion`] may raise the active one to: the highest that
    /// every node knows. `None` if it is no later one.
    pub fn next_version(&self) -> Option<Version> {
        self.nodes
            .common()
            .filter(|common| *common > self.nodes.active())
    }
}

#[cfg(test)]
pub(crate) mod tests;
