//! Which node gets a session: new ones, those of nodes that end, and evening out. Pure.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::time::Duration;

use sluice_types::{ConsumerId, NodeId};

use super::{NodeState, Registry, SessionView};
use crate::Move;

/// Why a session has no place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoPlace {
    /// No node takes sessions.
    NoNode,
    /// Every node that takes sessions has as many as it may.
    Full,
}

/// How full one node is.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Load {
    node: NodeId,
    sessions: u64,
    capacity: u32,
    is_ready: bool,
    /// How many it was given since the count began.
    given: usize,
}

impl Load {
    /// Takeovers may exceed the limit by half: a session without an owner is worse than a full node.
    fn may_take_over(&self, though_unready: bool) -> bool {
        (self.is_ready || though_unready) && self.sessions < u64::from(self.capacity) * 3 / 2
    }

    fn take(&mut self) -> NodeId {
        self.sessions += 1;
        self.given += 1;
        self.node.clone()
    }
}

/// How full the nodes are that take sessions. What is placed counts from then on.
#[derive(Clone, Debug)]
pub struct Loads {
    loads: Vec<Load>,
}

impl Loads {
    /// The nodes that are alive and do not drain. One that is not ready, since it cannot reach
    /// Kafka, gets a session only if no node that is ready has room.
    pub fn of(registry: &Registry, is_ready: impl Fn(&NodeId) -> bool) -> Self {
        let alive = registry
            .nodes()
            .filter(|node| node.state == NodeState::Alive);
        let load = |node: &super::Node| Load {
            node: node.id.clone(),
            sessions: u64::try_from(registry.count_of(&node.id)).unwrap_or(u64::MAX),
            capacity: node.capacity,
            is_ready: is_ready(&node.id),
            given: 0,
        };
        Self {
            loads: alive.map(load).collect(),
        }
    }

    /// The same as if a session had moved.
    pub(crate) fn shift(&mut self, from: &NodeId, to: &NodeId) {
        for load in &mut self.loads {
            if load.node == *from {
                load.sessions = load.sessions.saturating_sub(1);
            } else if load.node == *to {
                load.sessions += 1;
            }
        }
    }

    /// Counts one more session on this node. Only to choose by: it makes no node full.
    pub(crate) fn weigh_down(&mut self, node: &NodeId) {
        let load = self.loads.iter_mut().find(|load| load.node == *node);
        if let Some(load) = load.filter(|load| load.sessions + 1 < u64::from(load.capacity)) {
            load.sessions += 1;
        }
    }

    /// The same, with nothing to be placed on this node.
    #[must_use]
    pub fn without(mut self, node: &NodeId) -> Self {
        self.loads.retain(|load| load.node != *node);
        self
    }

    /// Places a new session where it weighs least.
    ///
    /// # Errors
    /// [`NoPlace::Full`] only when all nodes are full.
    pub fn place_new(&mut self) -> Result<NodeId, NoPlace> {
        if self.loads.is_empty() {
            return Err(NoPlace::NoNode);
        }
        let has_room = |load: &Load| load.sessions < u64::from(load.capacity);
        let load = self.lightest(has_room).ok_or(NoPlace::Full)?;
        Ok(load.take())
    }

    /// Places a session whose owner ends or drains, if [`can_take`](Self::can_take).
    fn place_takeover(&mut self, home: Option<&NodeId>, most: usize) -> Option<NodeId> {
        let load = match self.at_home(home) {
            // It is better served there a moment later than elsewhere now.
            Some(at) => self.loads.get_mut(at).filter(|load| load.given < most),
            None => {
                let any = !self.has_ready_taker();
                self.lightest(|load| load.may_take_over(any) && load.given < most)
            }
        };
        Some(load?.take())
    }

    /// Whether there is room for a session that belongs to `home`: there, if that is ready and has
    /// room, else anywhere. No node is given more than `most`.
    fn can_take(&self, home: Option<&NodeId>, most: usize) -> bool {
        match self.at_home(home) {
            Some(at) => self.loads[at].given < most,
            None => {
                let any = !self.has_ready_taker();
                let may = |load: &Load| load.may_take_over(any) && load.given < most;
                self.loads.iter().any(may)
            }
        }
    }

    /// Whether a node that is ready has room, now or in a later batch: no other is needed then.
    fn has_ready_taker(&self) -> bool {
        self.loads.iter().any(|load| load.may_take_over(false))
    }

    fn at_home(&self, home: Option<&NodeId>) -> Option<usize> {
        let is_home = |load: &Load| Some(&load.node) == home && load.may_take_over(false);
        self.loads.iter().position(is_home)
    }

    /// The node with the least relative load once it had one more, of those that `may`; the first
    /// by name of several.
    fn lightest(&mut self, may: impl Fn(&Load) -> bool) -> Option<&mut Load> {
        let candidates = self.loads.iter_mut().filter(|load| may(load));
        candidates.min_by(|one, other| {
            let unready = (!one.is_ready).cmp(&!other.is_ready);
            let one_weighs = u128::from(one.sessions + 1) * u128::from(other.capacity);
            let other_weighs = u128::from(other.sessions + 1) * u128::from(one.capacity);
            unready
                .then(one_weighs.cmp(&other_weighs))
                .then_with(|| one.node.cmp(&other.node))
        })
    }
}

/// Sessions on their way from owners that end or drain, with a bound on how many one node is given.
#[derive(Clone, Debug)]
pub struct Batch {
    loads: Loads,
    most: usize,
    moves: BTreeMap<ConsumerId, Move>,
}

impl Batch {
    /// Nothing is placed yet; one node is given at most `most` sessions.
    pub fn new(loads: Loads, most: usize) -> Self {
        Self {
            loads,
            most,
            moves: BTreeMap::new(),
        }
    }

    /// Whether a session that belongs to `home`, if that takes sessions, can be placed.
    pub fn has_room(&self, home: Option<&NodeId>) -> bool {
        self.loads.can_take(home, self.most)
    }

    /// Places a session: at its home, if that takes sessions, else where it weighs least. One that
    /// finds no room is for the next batch.
    pub fn place(&mut self, session: &SessionView, home: Option<&NodeId>) {
        if self.moves.contains_key(&session.id) {
            return;
        }
        if let Some(to) = self.loads.place_takeover(home, self.most) {
            let to = Move {
                epoch: session.epoch,
                to,
                handover: None,
            };
            self.moves.insert(session.id.clone(), to);
        }
    }

    /// What has been placed.
    pub fn into_moves(self) -> BTreeMap<ConsumerId, Move> {
        self.moves
    }
}

/// Where a node hands its sessions over to: each where it weighs least when the ones before it are
/// placed. To a node that is not ready only what no other has room for; what finds no room at all
/// is left out.
pub fn spread(
    mut loads: Loads,
    sessions: impl IntoIterator<Item = ConsumerId>,
) -> BTreeMap<ConsumerId, NodeId> {
    let mut placed = BTreeMap::new();
    for session in sessions {
        if placed.contains_key(&session) {
            continue;
        }
        let Some(to) = loads.place_takeover(None, usize::MAX) else {
            break;
        };
        placed.insert(session, to);
    }
    placed
}

/// How eagerly sessions are evened out.
#[derive(Clone, Copy, Debug)]
pub struct Evening {
    /// Most sessions that move at a time, in the whole cluster.
    pub most: usize,
    /// How far off its fair share a node must be, in percent of that, before any moves. At least
    /// one session.
    pub band: u8,
    /// Between two times that more are asked to move.
    pub every: Duration,
    /// How long a leader leads before it evens anything out.
    pub settle: Duration,
    /// How long an owner may take for a session before it is left alone for a while.
    pub give_up: Duration,
}

impl Default for Evening {
    /// At most five a second: each costs its client a pause, and none of them is urgent.
    fn default() -> Self {
        Self {
            most: 5,
            band: 10,
            every: Duration::from_secs(1),
            settle: Duration::from_secs(5),
            give_up: Duration::from_secs(30),
        }
    }
}

/// Some sessions that one node is to hand over to another; it chooses them with [`idle_first`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shift {
    /// Who hands over.
    pub from: NodeId,
    /// Who takes.
    pub to: NodeId,
    /// How many.
    pub count: usize,
}

/// Moves that bring the nodes closer to their fair shares, few at a time. None while every node is
/// about there, and a node that gave does not have to take: it comes to rest.
pub fn even_out(loads: &Loads, evening: Evening) -> Vec<Shift> {
    let mut ready: Vec<Load> = loads.loads.iter().filter(|l| l.is_ready).cloned().collect();
    let capacity: i128 = ready.iter().map(|load| i128::from(load.capacity)).sum();
    let sessions: i128 = ready.iter().map(|load| i128::from(load.sessions)).sum();
    // What a node has beyond its share of all sessions, times the capacity of all nodes.
    let surplus =
        |load: &Load| i128::from(load.sessions) * capacity - sessions * i128::from(load.capacity);
    let band = |load: &Load| {
        let share = sessions * i128::from(load.capacity);
        capacity.max(share * i128::from(evening.band) / 100)
    };
    let mut shifts: Vec<Shift> = Vec::new();
    for _ in 0..evening.most {
        let is_off = ready.iter().any(|load| surplus(load).abs() > band(load));
        let order = |load: &Load| (surplus(load), Reverse(load.node.clone()));
        let places = 0..ready.len();
        let giver = places.clone().max_by_key(|at| order(&ready[*at]));
        let taker = places.min_by_key(|at| order(&ready[*at]));
        let (Some(giver), Some(taker)) = (giver, taker) else {
            break;
        };
        // Whoever gives has at least what the taker has then, relative to their shares.
        if !is_off || surplus(&ready[giver]) - surplus(&ready[taker]) < 2 * capacity {
            break;
        }
        ready[giver].sessions -= 1;
        ready[taker].sessions += 1;
        let (from, to) = (ready[giver].node.clone(), ready[taker].node.clone());
        match shifts.iter_mut().find(|s| s.from == from && s.to == to) {
            Some(shift) => shift.count += 1,
            None => shifts.push(Shift { from, to, count: 1 }),
        }
    }
    shifts
}

/// A session that its owner may hand over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// The session.
    pub id: ConsumerId,
    /// Whether a request is at it.
    pub is_busy: bool,
    /// How long its client has been silent.
    pub idle: Duration,
}

/// Chooses the sessions whose move is noticed least: the longest idle, the busy ones last.
pub fn idle_first(mut candidates: Vec<Candidate>, count: usize) -> Vec<ConsumerId> {
    candidates.sort_by(|one, other| {
        let key = |c: &Candidate| (c.is_busy, Reverse(c.idle));
        key(one)
            .cmp(&key(other))
            .then_with(|| one.id.cmp(&other.id))
    });
    candidates.truncate(count);
    candidates.into_iter().map(|c| c.id).collect()
}

#[cfg(test)]
mod tests;
