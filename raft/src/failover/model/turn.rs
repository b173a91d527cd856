//! What happens by itself in the model: a turn of each process every 50 ms, and what must hold.

use std::collections::BTreeSet;

use sluice_types::{ConsumerId, Epoch, NodeId, Timestamp};

use super::network::Message;
use super::process::Process;
use super::world::{NODES, SESSIONS, STEP, World, node_name, session_name};
use crate::liveness::Probe;
use crate::registry::tests::id;
use crate::{Command, NodeState};

impl World {
    pub(super) fn step(&mut self) {
        self.now += STEP;
        self.deliver();
        if self.is_led() {
            self.leaderless = 0;
        } else {
            self.leaderless += STEP;
            if self.leaderless > 500 {
                let node = self.chance(NODES as u64) as usize;
                self.elect(node);
            }
        }
        for node in 0..NODES {
            if self.processes[node].as_ref().is_some_and(|p| !p.is_frozen) {
                self.live(node);
            }
        }
        (0..SESSIONS).for_each(|session| self.assert_served_once(&id(&session_name(session))));
    }

    /// One turn of a process.
    fn live(&mut self, node: usize) {
        self.follow(node);
        self.catch_up(node);
        self.reconcile(node);
        if self.now.is_multiple_of(250) {
            self.beat(node);
            self.ask_quorum(node);
        }
        if self.now.is_multiple_of(100) {
            self.plan(node);
        }
        // A leadership that is over is noticed at some time.
        let (term, is_noticed) = (self.term, self.is_calm || self.chance(60) == 0);
        if let Some(process) = &mut self.processes[node] {
            process.lead.take_if(|lead| lead.term != term && is_noticed);
        }
    }

    /// Hears the leader, mostly.
    fn follow(&mut self, node: usize) {
        let is_led = self.is_led() && self.leader != node && self.takes_part(node);
        if is_led && (self.is_calm || self.chance(4) > 0) {
            let (leader, term, now) = (node_name(self.leader), self.term, self.now);
            if let Some(process) = &mut self.processes[node] {
                process.hear(leader, term, now);
            }
        }
    }

    fn catch_up(&mut self, node: usize) {
        if self.is_cut[node] || self.is_parted[node] {
            return;
        }
        let more = match self.is_lagging[node] {
            true => usize::from(self.chance(20) == 0),
            false => usize::MAX,
        };
        if let Some(process) = &mut self.processes[node] {
            let up_to = process.applied.saturating_add(more).min(self.log.len());
            process.apply(&self.log, up_to);
        }
    }

    /// Makes what runs there match what its replica says.
    fn reconcile(&mut self, node: usize) {
        let Some(process) = self.processes[node].clone() else {
            return;
        };
        if process.registry.state_of(&process.id) == NodeState::Dead {
            let known = process.registry.node(&process.id.name);
            if known.is_some_and(|known| known.id == process.id) {
                self.begin_anew(node);
            } else if self.chance(4) == 0 {
                self.ask(process.register());
            }
            return;
        }
        let registry = &process.registry;
        let stale = |handle: &ConsumerId, epoch: Epoch| {
            let session = registry.session(handle);
            session.is_none_or(|s| s.owner != process.id || s.epoch != epoch)
        };
        if let Some(own) = &mut self.processes[node] {
            own.handles.retain(|handle, epoch| !stale(handle, *epoch));
        }
        for session in registry.owned_by(&process.id) {
            let key = (session.id.clone(), session.epoch);
            if session.is_deleting() {
                let at = Timestamp::from_millis(0);
                let claim = session.claim();
                if self.chance(5) == 0 {
                    self.ask_sometimes(Command::Gone { claim, at });
                }
            } else if process.used.contains(&key) {
                if !process.handles.contains_key(&session.id) {
                    let owner = process.id.clone();
                    let claims = [key].into();
                    self.ask_sometimes(Command::Open { owner, claims });
                }
            } else if process.lease.is_valid(process.clock(self.now)) {
                self.open(node, key);
            }
        }
    }

    /// A process opens a handle. What must hold, must hold here.
    fn open(&mut self, node: usize, key: (ConsumerId, Epoch)) {
        let Some(process) = &mut self.processes[node] else {
            return;
        };
        let opener = process.id.clone();
        process.used.insert(key.clone());
        process.handles.insert(key.0.clone(), key.1);
        let earlier = self.openings.insert(key.clone(), opener.clone());
        assert_eq!(earlier, None, "{key:?} is opened a second time");
        if !self.assigned.contains(&key) {
            return;
        }
        let before = self
            .openings
            .iter()
            .filter(|(opened, by)| opened.0 == key.0 && **by != opener);
        self.assert_served_once(&key.0);
        self.met.takeovers_of_assigned += usize::from(before.count() > 0);
    }

    /// Of all processes, crashed ones included since nobody can know, one at most may serve an
    /// assigned session.
    fn assert_served_once(&self, id: &ConsumerId) {
        let all = self.processes.iter().flatten().chain(&self.ghosts);
        let servers: Vec<(&NodeId, Epoch)> = all
            .filter_map(|process| Some((&process.id, process.may_serve(id, self.now)?)))
            .filter(|(_, epoch)| self.assigned.contains(&(id.clone(), *epoch)))
            .collect();
        assert!(servers.len() < 2, "{id:?} is served by {servers:?}");
    }

    pub(super) fn begin_anew(&mut self, node: usize) {
        self.met.incarnations += 1;
        if let Some(process) = &mut self.processes[node] {
            process.begin_anew(self.met.incarnations);
        }
    }

    fn beat(&mut self, node: usize) {
        let (leader, learns) = (self.leader, self.is_calm || self.chance(12) == 0);
        if let Some(process) = self.processes[node].as_mut().filter(|_| learns) {
            process.believes = leader;
        }
        let is_registered =
            |process: &&Process| process.registry.state_of(&process.id) != NodeState::Dead;
        if let Some(process) = self.processes[node].as_ref().filter(is_registered) {
            let (from, to) = (process.id.clone(), process.believes);
            let sent_at = process.clock(self.now);
            self.send(Message::Heartbeat { from, to, sent_at });
        }
    }

    fn ask_quorum(&mut self, node: usize) {
        let is_led = self.is_led();
        let Some(process) = &self.processes[node] else {
            return;
        };
        let Some(lead) = &process.lead else {
            return;
        };
        if is_led && self.leader == node && lead.term == self.term {
            let confirmed = Message::Confirmed {
                to: node,
                term: lead.term,
                asked_at: process.clock(self.now),
                index: self.log.len(),
            };
            self.send(confirmed);
        }
    }

    fn plan(&mut self, node: usize) {
        let Some(mut process) = self.processes[node].take() else {
            return;
        };
        let clock = process.clock(self.now);
        if let Some(lead) = &mut process.lead {
            let stamp = Timestamp::from_millis(0);
            lead.liveness.look(&process.registry, clock);
            for other in process.registry.nodes() {
                let runs = self.processes.iter().flatten().any(|p| p.id == other.id);
                if !runs && other.id != process.id || !self.is_calm && self.chance(20) == 0 {
                    lead.liveness.disconnected(&other.id);
                }
            }
            let waiting = BTreeSet::new();
            let plan =
                lead.failover
                    .plan(&process.registry, &lead.liveness, &waiting, clock, stamp);
            for probed in plan.probe {
                lead.liveness.probed(&probed, None, clock);
                let told = self.probe(&probed);
                lead.liveness.probed(&probed, Some(told), clock);
            }
            let term = Some(lead.term);
            for command in plan.deaths {
                self.send(Message::Proposal { command, term });
            }
            if !plan.moves.is_empty() {
                let command = Command::Move { moves: plan.moves };
                self.send(Message::Proposal { command, term });
            }
        }
        self.processes[node] = Some(process);
    }

    fn probe(&self, probed: &NodeId) -> Probe {
        let node = (0..NODES).find(|node| node_name(*node) == probed.name);
        match node {
            Some(node) if self.is_walled[node] => Probe::Refused,
            Some(node) if self.is_cut[node] => Probe::Unknown,
            Some(node) if self.processes[node].is_none() => Probe::Refused,
            _ => Probe::Reached,
        }
    }
}
