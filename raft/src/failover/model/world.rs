//! The cluster of the model: its log, its network, its processes, and the truth about them.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use sluice_types::{ConsumerId, Epoch, Mode, NodeId, NodeName, Timestamp};

use super::Action;
use super::network::Message;
use super::process::{Process, node};
use crate::placement::Loads;
use crate::registry::tests::{
    change_node, claim, create_on, id, make_assigned, move_to, registry_of, run,
};
use crate::{Command, Handover, NodeState, Registry};

pub(super) const NODES: usize = 3;
pub(super) const SESSIONS: usize = 4;
pub(super) const STEP: u64 = 50;

/// How often the model met what it is about.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Met {
    pub(super) deaths: usize,
    pub(super) elections: usize,
    /// Elections of one that had followed the leader before.
    pub(super) heirs: usize,
    pub(super) incarnations: u64,
    pub(super) takeovers_of_assigned: usize,
}

pub(super) struct World {
    pub(super) now: u64,
    pub(super) random: u64,
    pub(super) is_calm: bool,
    pub(super) log: Vec<Command>,
    pub(super) truth: Registry,
    pub(super) processes: Vec<Option<Process>>,
    /// Processes that crashed: nobody can know that they serve no more.
    pub(super) ghosts: Vec<Process>,
    /// What a node finds on its disk when it starts.
    pub(super) disks: Vec<(usize, Registry)>,
    pub(super) is_cut: [bool; NODES],
    pub(super) is_parted: [bool; NODES],
    pub(super) is_walled: [bool; NODES],
    pub(super) is_lagging: [bool; NODES],
    pub(super) leader: usize,
    pub(super) term: u64,
    pub(super) leaderless: u64,
    pub(super) network: Vec<(u64, Message)>,
    pub(super) owners: BTreeMap<(ConsumerId, Epoch), NodeId>,
    pub(super) openings: BTreeMap<(ConsumerId, Epoch), NodeId>,
    pub(super) assigned: BTreeSet<(ConsumerId, Epoch)>,
    pub(super) stamps: u64,
    pub(super) met: Met,
}

impl World {
    pub(super) fn new(seed: u64) -> Self {
        let truth = registry_of(&["a", "b", "c"]);
        let process = |index: usize| {
            let origin = 1_000_000 * (index as u64 + 1);
            Process::new(node(index), origin, 0, truth.clone())
        };
        let mut world = Self {
            now: 0,
            random: seed | 1,
            is_calm: false,
            log: Vec::new(),
            processes: (0..NODES).map(|index| Some(process(index))).collect(),
            ghosts: Vec::new(),
            disks: vec![(0, truth.clone()); NODES],
            truth,
            is_cut: [false; NODES],
            is_parted: [false; NODES],
            is_walled: [false; NODES],
            is_lagging: [false; NODES],
            leader: 0,
            term: 0,
            leaderless: 0,
            network: Vec::new(),
            owners: BTreeMap::new(),
            openings: BTreeMap::new(),
            assigned: BTreeSet::new(),
            stamps: 0,
            met: Met {
                incarnations: 1,
                ..Met::default()
            },
        };
        world.elect(0);
        // Half of the sessions are there, and assigned ones at that: they are the harder ones.
        for session in 0..SESSIONS / 2 {
            world.stamps += 1;
            let name = session_name(session);
            world.commit(create_on(node(session + 1), &name, world.stamps));
            world.commit(make_assigned(&name, 1));
        }
        world
    }

    pub(super) fn met(&self) -> Met {
        self.met
    }

    pub(super) fn act(&mut self, action: &Action) {
        match *action {
            Action::Pass(steps) => (0..steps).for_each(|_| self.step()),
            Action::Crash(node) => {
                if let Some(process) = self.processes[node].take() {
                    self.disks[node] = (process.applied, process.registry.clone());
                    self.ghosts.push(process);
                }
            }
            Action::Start(node) => self.start(node),
            Action::Freeze(node) => self.freeze(node, true),
            Action::Thaw(node) => self.freeze(node, false),
            Action::Cut(node) => self.is_cut[node] = true,
            Action::Part(node) => self.is_parted[node] = true,
            Action::Lag(node) => self.is_lagging[node] = true,
            Action::Heal(node) => {
                self.is_cut[node] = false;
                self.is_parted[node] = false;
                self.is_walled[node] = false;
                self.is_lagging[node] = false;
            }
            Action::Elect(node) => self.elect(node),
            Action::Firewall(node) => self.is_walled[node] = true,
            Action::Create(session) => {
                let Ok(owner) = Loads::of(&self.truth, |_| true).place_new() else {
                    return;
                };
                self.stamps += 1;
                self.ask(create_on(owner, &session_name(session), self.stamps));
            }
            Action::Assign(session) => {
                if let Some((_, epoch)) = self.runs(session) {
                    self.ask(make_assigned(&session_name(session), epoch.get()));
                }
            }
            Action::Delete(session) => {
                if let Some((_, epoch)) = self.runs(session) {
                    self.ask(Command::Delete {
                        claim: claim(&session_name(session), epoch.get()),
                        at: Timestamp::from_millis(0),
                    });
                }
            }
            Action::CrashWhileAssigning(session) => {
                (0..3).for_each(|_| self.act(&Action::Assign(session)));
                if let Some((owner, _)) = self.runs(session) {
                    self.act(&Action::Crash(owner));
                }
            }
            Action::HandOver(session, to) => self.hand_over(session, to),
            Action::Fail(session) => {
                if let Some((owner, _)) = self.runs(session)
                    && let Some(process) = &mut self.processes[owner]
                {
                    process.handles.remove(&id(&session_name(session)));
                }
            }
            Action::Drain(node) => self.change(node, NodeState::Draining),
            Action::Undrain(node) => self.change(node, NodeState::Alive),
        }
    }

    /// From now on nothing is lost or repeated, and hardly late.
    pub(super) fn calm(&mut self) {
        self.is_calm = true;
    }

    /// Ends the trouble, except that one node may stay dead, frozen or cut off, and lets the cluster
    /// settle.
    pub(super) fn recover(&mut self, keeps_one_in_trouble: bool) {
        self.calm();
        self.is_parted = [false; NODES];
        self.is_walled = [false; NODES];
        self.is_lagging = [false; NODES];
        let kept = (0..NODES).find(|node| keeps_one_in_trouble && !self.takes_part(*node));
        for node in (0..NODES).filter(|node| Some(*node) != kept) {
            self.act(&Action::Heal(node));
            self.act(&Action::Thaw(node));
            self.start(node);
        }
        for step in 0..400 {
            if step % 20 == 0 {
                (0..NODES).for_each(|node| self.change(node, NodeState::Alive));
            }
            self.step();
        }
    }

    #[track_caller]
    pub(super) fn assert_all_sessions_run(&self) {
        for session in self.truth.sessions_after(None) {
            assert!(session.is_active(), "it never went: {session:?}");
            let runs = self.processes.iter().flatten().any(|process| {
                process.id == session.owner
                    && process.handles.get(&session.id) == Some(&session.epoch)
            });
            assert!(
                runs,
                "nobody runs {session:?} of {:?}",
                self.truth.nodes().collect::<Vec<_>>()
            );
        }
    }

    /// Appends to the log. What must hold of the registry, must hold here.
    pub(super) fn commit(&mut self, command: Command) {
        let before = self.truth.clone();
        self.truth.apply(command.clone());
        let once = self.truth.clone();
        self.truth.apply(command.clone());
        assert_eq!(self.truth, once, "{command:?} came twice");
        let is_death = matches!(
            &command,
            Command::ChangeNode {
                to: NodeState::Dead,
                ..
            }
        );
        self.met.deaths += usize::from(is_death && once != before);
        self.log.push(command);
        for session in self.truth.sessions_after(None) {
            let key = (session.id.clone(), session.epoch);
            if session.mode != Mode::Subscribed {
                self.assigned.insert(key.clone());
            }
            let owner = self
                .owners
                .entry(key)
                .or_insert_with(|| session.owner.clone());
            assert_eq!(*owner, session.owner, "two owners of one epoch");
        }
    }

    // What nodes and people do.

    pub(super) fn start(&mut self, node: usize) {
        if self.processes[node].is_some() {
            return;
        }
        self.met.incarnations += 1;
        let id = run(node_name(node).as_str(), self.met.incarnations);
        let (applied, registry) = self.disks[node].clone();
        // A machine that starts anew has a new clock.
        let origin = self.chance(1_000_000);
        self.processes[node] = Some(Process::new(id, origin, applied, registry));
    }

    pub(super) fn freeze(&mut self, node: usize, is_frozen: bool) {
        if let Some(process) = &mut self.processes[node] {
            process.is_frozen = is_frozen;
        }
    }

    pub(super) fn elect(&mut self, node: usize) {
        if !self.takes_part(node) || !self.has_majority() {
            return;
        }
        self.met.elections += 1;
        (self.leader, self.term) = (node, self.term + 1);
        let (term, now) = (self.term, self.now);
        if let Some(process) = &mut self.processes[node] {
            self.met.heirs += usize::from(process.lead(term, now));
        }
    }

    /// The owner closes its handle, then has the session moved.
    pub(super) fn hand_over(&mut self, session: usize, to: usize) {
        let Some((owner, epoch)) = self.runs(session) else {
            return;
        };
        let Some(process) = self.processes[owner].as_mut().filter(|p| !p.is_frozen) else {
            return;
        };
        let Some(taker) = process.registry.node(&node_name(to)) else {
            return;
        };
        process.handles.remove(&id(&session_name(session)));
        let handover = Handover {
            points: Default::default(),
            idle: Duration::ZERO,
        };
        let claim = claim(&session_name(session), epoch.get());
        let command = move_to(taker.id.clone(), &[claim], Some(&handover));
        self.ask(command);
    }

    pub(super) fn change(&mut self, node: usize, to: NodeState) {
        let Some(known) = self.truth.node(&node_name(node)) else {
            return;
        };
        if known.state != NodeState::Dead && known.state != to {
            self.ask(change_node(known.id.clone(), known.revision, to));
        }
    }

    pub(super) fn ask(&mut self, command: Command) {
        self.send(Message::Proposal {
            command,
            term: None,
        });
    }

    pub(super) fn ask_sometimes(&mut self, command: Command) {
        if self.chance(4) == 0 {
            self.ask(command);
        }
    }

    // What is the case.

    /// The node that has a handle of the session open under its present epoch.
    pub(super) fn runs(&self, session: usize) -> Option<(usize, Epoch)> {
        let id = id(&session_name(session));
        let epoch = self.truth.session(&id)?.epoch;
        let holds = |process: &Process| process.handles.get(&id) == Some(&epoch);
        let node = self
            .processes
            .iter()
            .position(|p| p.as_ref().is_some_and(holds))?;
        Some((node, epoch))
    }

    pub(super) fn running(&self, id: &NodeId) -> Option<usize> {
        let is_it = |process: &Option<Process>| process.as_ref().is_some_and(|p| p.id == *id);
        self.processes.iter().position(is_it)
    }

    pub(super) fn is_cut_off(&self, id: &NodeId) -> bool {
        self.running(id).is_none_or(|node| self.is_cut[node])
    }

    pub(super) fn takes_part(&self, node: usize) -> bool {
        let is_apart = self.is_cut[node] || self.is_parted[node];
        !is_apart && self.processes[node].as_ref().is_some_and(|p| !p.is_frozen)
    }

    pub(super) fn has_majority(&self) -> bool {
        (0..NODES).filter(|node| self.takes_part(*node)).count() > NODES / 2
    }

    /// Whether commands are committed: the leader knows that it leads, and is followed.
    pub(super) fn is_led(&self) -> bool {
        let process = self.processes[self.leader].as_ref();
        let leads = process
            .and_then(|p| p.lead.as_ref())
            .is_some_and(|lead| lead.term == self.term);
        leads && self.takes_part(self.leader) && self.has_majority()
    }

    /// A number below `limit`.
    pub(super) fn chance(&mut self, limit: u64) -> u64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        (self.random >> 16) % limit
    }
}

pub(super) fn node_name(index: usize) -> NodeName {
    node(index).name
}

pub(super) fn session_name(index: usize) -> String {
    format!("s{index}")
}
