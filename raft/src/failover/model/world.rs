//! The cluster of the model: its log, its network, its processes, and the truth about them.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use sluice_types::{ConsumerId, Epoch, Mode, NodeId, NodeName, Timestamp};

use super::Action;
use super::process::{Process, node};
use crate::liveness::{Answer, Probe};
use crate::placement::Loads;
use crate::registry::tests::{
    change_node, claim, create_on, id, make_assigned, move_to, registry_of, run,
};
use crate::{Command, Handover, Moment, NodeState, Registry};

pub(super) const NODES: usize = 3;
pub(super) const SESSIONS: usize = 4;
const STEP: u64 = 50;

/// What is on its way.
#[derive(Clone)]
enum Message {
    Heartbeat {
        from: NodeId,
        to: usize,
        sent_at: Moment,
    },
    Answer {
        to: NodeId,
        sent_at: Moment,
        answer: Answer,
    },
    /// A quorum was there when the leader of this term asked.
    Confirmed {
        to: usize,
        term: u64,
        asked_at: Moment,
        index: usize,
    },
    /// With the term of the leader that decided it; what nodes ask for, any leader takes.
    Proposal { command: Command, term: Option<u64> },
}

/// How often the model met what it is about.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Met {
    pub(super) deaths: usize,
    pub(super) elections: usize,
    pub(super) incarnations: u64,
    pub(super) takeovers_of_assigned: usize,
}

pub(super) struct World {
    now: u64,
    random: u64,
    is_calm: bool,
    log: Vec<Command>,
    truth: Registry,
    processes: Vec<Option<Process>>,
    /// Processes that crashed: nobody can know that they serve no more.
    ghosts: Vec<Process>,
    /// What a node finds on its disk when it starts.
    disks: Vec<(usize, Registry)>,
    is_cut: [bool; NODES],
    is_parted: [bool; NODES],
    is_walled: [bool; NODES],
    is_lagging: [bool; NODES],
    leader: usize,
    term: u64,
    leaderless: u64,
    network: Vec<(u64, Message)>,
    owners: BTreeMap<(ConsumerId, Epoch), NodeId>,
    openings: BTreeMap<(ConsumerId, Epoch), NodeId>,
    assigned: BTreeSet<(ConsumerId, Epoch)>,
    stamps: u64,
    met: Met,
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

    // What happens by itself.

    fn step(&mut self) {
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

    fn begin_anew(&mut self, node: usize) {
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

    // The network.

    fn send(&mut self, message: Message) {
        let slowest = match (self.is_calm, self.chance(10)) {
            (true, _) => STEP,
            (false, 0) => 4_000,
            (false, 1..4) => 800,
            (false, _) => 100,
        };
        if !self.is_calm && self.chance(12) == 0 {
            return;
        }
        let due = self.now + self.chance(slowest + 1);
        if !self.is_calm && self.chance(6) == 0 {
            let again = due + self.chance(6_000);
            self.network.push((again, message.clone()));
        }
        self.network.push((due, message));
    }

    fn deliver(&mut self) {
        let (due, later) = std::mem::take(&mut self.network)
            .into_iter()
            .partition(|(due, _)| *due <= self.now);
        self.network = later;
        let due: Vec<(u64, Message)> = due;
        for (at, message) in due {
            match message {
                Message::Heartbeat {
                    ref from,
                    to,
                    sent_at,
                } => {
                    let is_lost = self.is_cut[to] || self.is_cut_off(from);
                    let Some(process) = &mut self.processes[to] else {
                        continue;
                    };
                    if process.is_frozen {
                        self.network.push((at, message));
                        continue;
                    }
                    let clock = process.clock(self.now);
                    let Some(lead) = process.lead.as_mut().filter(|_| !is_lost) else {
                        continue;
                    };
                    let answer = lead
                        .liveness
                        .heartbeat(&process.registry, from, true, clock);
                    let to = from.clone();
                    self.send(Message::Answer {
                        to,
                        sent_at,
                        answer,
                    });
                }
                Message::Answer {
                    ref to,
                    sent_at,
                    answer,
                } => {
                    let is_lost = self.is_cut_off(to);
                    let is_ended = self.is_led() && self.truth.state_of(to) == NodeState::Dead;
                    let Some(node) = self.running(to) else {
                        continue;
                    };
                    let Some(process) = self.processes[node].as_mut().filter(|_| !is_lost) else {
                        continue;
                    };
                    match answer {
                        _ if process.is_frozen => self.network.push((at, message)),
                        Answer::Granted(lease) => process.lease.granted(sent_at, lease),
                        // It asks the registry itself before it believes that.
                        Answer::Ended if is_ended => self.begin_anew(node),
                        Answer::Ended | Answer::NoQuorum => {}
                    }
                }
                Message::Confirmed {
                    to,
                    term,
                    asked_at,
                    index,
                } => {
                    let Some(process) = &mut self.processes[to] else {
                        continue;
                    };
                    if process.is_frozen {
                        self.network.push((at, message));
                        continue;
                    }
                    let clock = process.clock(self.now);
                    if process.lead.as_ref().is_some_and(|lead| lead.term == term) {
                        process.apply(&self.log, index);
                    }
                    if let Some(lead) = process.lead.as_mut().filter(|lead| lead.term == term) {
                        lead.liveness.confirmed(asked_at, clock);
                    }
                }
                Message::Proposal { command, term } => {
                    if self.is_led() && term.is_none_or(|term| term == self.term) {
                        self.commit(command);
                    }
                }
            }
        }
    }

    /// Appends to the log. What must hold of the registry, must hold here.
    fn commit(&mut self, command: Command) {
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

    fn start(&mut self, node: usize) {
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

    fn freeze(&mut self, node: usize, is_frozen: bool) {
        if let Some(process) = &mut self.processes[node] {
            process.is_frozen = is_frozen;
        }
    }

    fn elect(&mut self, node: usize) {
        if !self.takes_part(node) || !self.has_majority() {
            return;
        }
        self.met.elections += 1;
        (self.leader, self.term) = (node, self.term + 1);
        let (term, now) = (self.term, self.now);
        if let Some(process) = &mut self.processes[node] {
            process.lead(term, now);
        }
    }

    /// The owner closes its handle, then has the session moved.
    fn hand_over(&mut self, session: usize, to: usize) {
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

    fn change(&mut self, node: usize, to: NodeState) {
        let Some(known) = self.truth.node(&node_name(node)) else {
            return;
        };
        if known.state != NodeState::Dead && known.state != to {
            self.ask(change_node(known.id.clone(), known.revision, to));
        }
    }

    fn ask(&mut self, command: Command) {
        self.send(Message::Proposal {
            command,
            term: None,
        });
    }

    fn ask_sometimes(&mut self, command: Command) {
        if self.chance(4) == 0 {
            self.ask(command);
        }
    }

    // What is the case.

    /// The node that has a handle of the session open under its present epoch.
    fn runs(&self, session: usize) -> Option<(usize, Epoch)> {
        let id = id(&session_name(session));
        let epoch = self.truth.session(&id)?.epoch;
        let holds = |process: &Process| process.handles.get(&id) == Some(&epoch);
        let node = self
            .processes
            .iter()
            .position(|p| p.as_ref().is_some_and(holds))?;
        Some((node, epoch))
    }

    fn running(&self, id: &NodeId) -> Option<usize> {
        let is_it = |process: &Option<Process>| process.as_ref().is_some_and(|p| p.id == *id);
        self.processes.iter().position(is_it)
    }

    fn is_cut_off(&self, id: &NodeId) -> bool {
        self.running(id).is_none_or(|node| self.is_cut[node])
    }

    fn takes_part(&self, node: usize) -> bool {
        let is_apart = self.is_cut[node] || self.is_parted[node];
        !is_apart && self.processes[node].as_ref().is_some_and(|p| !p.is_frozen)
    }

    fn has_majority(&self) -> bool {
        (0..NODES).filter(|node| self.takes_part(*node)).count() > NODES / 2
    }

    /// Whether commands are committed: the leader knows that it leads, and is followed.
    fn is_led(&self) -> bool {
        let process = self.processes[self.leader].as_ref();
        let leads = process
            .and_then(|p| p.lead.as_ref())
            .is_some_and(|lead| lead.term == self.term);
        leads && self.takes_part(self.leader) && self.has_majority()
    }

    /// A number below `limit`.
    fn chance(&mut self, limit: u64) -> u64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        (self.random >> 16) % limit
    }
}

fn node_name(index: usize) -> NodeName {
    node(index).name
}

fn session_name(index: usize) -> String {
    format!("s{index}")
}
