//! Nodes in one process, over links that can be cut and with clocks that can leap.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use sluice_types::{ConsumerId, NodeId, SystemClock};
use tempfile::TempDir;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::failover::Pace;
use crate::guard::*;
use crate::liveness::{Probe, Timing};
use crate::net::links::Network;
use crate::patience::eventually;
use crate::placement::Evening;
use crate::registry::tests::{claim, create_on, id, make_assigned};
use crate::types::Member;
use crate::{
    Command, Consensus, Moment, NodeAddress, NodeState, Options, Outcome, RegistryHandle, Version,
};

/// The machine's clock from an origin of its own, which can leap forward, in milliseconds.
pub(super) struct Leaping {
    own: AtomicU64,
    all: Arc<AtomicU64>,
}

impl Leaping {
    /// This clock alone is ahead from now on: to its owner it is as if everybody had been silent.
    pub(super) fn leap(&self, time: Duration) {
        let millis = time.as_millis() as u64;
        self.own.fetch_add(millis, Ordering::SeqCst);
    }
}

impl Moments for Leaping {
    fn now(&self) -> Moment {
        let ahead = self.own.load(Ordering::SeqCst) + self.all.load(Ordering::SeqCst);
        BootClock.now() + Duration::from_millis(ahead)
    }
}

#[derive(Default)]
pub(super) struct TestHost {
    pub(super) waiting: Mutex<Vec<ConsumerId>>,
    /// Kafka is away for this node alone.
    pub(super) is_without_kafka: AtomicBool,
    /// In the order in which they may go.
    pub(super) idlest: Mutex<Vec<ConsumerId>>,
}

impl Host for TestHost {
    fn reaches_kafka(&self) -> bool {
        !self.is_without_kafka.load(Ordering::SeqCst)
    }

    fn waiting(&self) -> Vec<ConsumerId> {
        self.waiting.lock().unwrap().clone()
    }

    fn idlest(&self, most: usize) -> Vec<ConsumerId> {
        let idlest = self.idlest.lock().unwrap();
        idlest.iter().take(most).cloned().collect()
    }
}

struct LinkProber {
    network: Network,
    from: String,
    walled: Arc<Mutex<HashSet<String>>>,
}

#[async_trait]
impl Prober for LinkProber {
    async fn probe(&self, address: &NodeAddress) -> Probe {
        if self.walled.lock().unwrap().contains(address.as_str()) {
            return Probe::Refused;
        }
        self.network.probe(&self.from, address.as_str())
    }
}

/// A process.
pub(super) struct Process {
    pub(super) consensus: Arc<Consensus>,
    pub(super) guard: Arc<Guard>,
    pub(super) clock: Arc<Leaping>,
    pub(super) host: Arc<TestHost>,
    life: JoinHandle<()>,
    attendance: Option<JoinHandle<()>>,
}

impl Process {
    pub(super) fn node(&self) -> NodeId {
        self.guard.standing().node
    }
}

pub(super) struct Nodes {
    pub(super) network: Network,
    processes: Vec<Option<Process>>,
    dirs: Vec<TempDir>,
    pub(super) version: Version,
    slept: Arc<AtomicU64>,
    walled: Arc<Mutex<HashSet<String>>>,
    attends: bool,
    timing: crate::Timing,
}

pub(super) fn address(number: usize) -> String {
    format!("n{number}:7000")
}

impl Nodes {
    /// A cluster of so many nodes, all registered and with leases.
    pub(super) async fn of(size: usize) -> Self {
        Self::with_timing(size, crate::Timing::default()).await
    }

    pub(super) async fn with_timing(size: usize, timing: crate::Timing) -> Self {
        let mut nodes = Self {
            network: Network::default(),
            processes: (0..size).map(|_| None).collect(),
            dirs: (0..size).map(|_| tempfile::tempdir().unwrap()).collect(),
            version: Version::FIRST,
            slept: Arc::default(),
            walled: Arc::default(),
            attends: false,
            timing,
        };
        for number in 0..size {
            nodes.start(number).await;
        }
        let others = nodes.processes[1..].iter().flatten().enumerate();
        let others: BTreeMap<_, _> = others
            .map(|(n, process)| (process.consensus.raft_id(), member(n + 1)))
            .collect();
        nodes.of_number(0).consensus.form(others).await.unwrap();
        nodes.all_live().await;
        nodes
    }

    pub(super) fn of_number(&self, number: usize) -> &Process {
        self.processes[number].as_ref().unwrap()
    }

    pub(super) fn guard(&self, number: usize) -> &Arc<Guard> {
        &self.of_number(number).guard
    }

    pub(super) fn registry(&self, number: usize) -> RegistryHandle {
        self.of_number(number).consensus.registry()
    }

    pub(super) fn running(&self) -> Vec<usize> {
        let numbers = 0..self.processes.len();
        numbers.filter(|n| self.processes[*n].is_some()).collect()
    }

    /// Waits until every running node is registered and has a lease.
    pub(super) async fn all_live(&self) {
        eventually("a lease for all", || async {
            let running = self.running();
            let lives = |n: &usize| !self.guard(*n).lease().is_zero();
            running.iter().all(lives).then_some(())
        })
        .await;
    }

    /// Starts a process on the volume.
    pub(super) async fn start(&mut self, number: usize) {
        let address = address(number);
        let started = Consensus::start(Options {
            data_dir: self.dirs[number].path().to_owned(),
            cluster_name: "test".to_owned(),
            member: member(number),
            ordinal: number as u64,
            transport: self.network.of(&address),
            timing: self.timing.clone(),
        });
        let consensus = Arc::new(started.await.unwrap());
        self.network.put(&address, &consensus);
        self.watch_over(number, consensus);
    }

    fn watch_over(&mut self, number: usize, consensus: Arc<Consensus>) {
        let clock = Arc::new(Leaping {
            own: AtomicU64::new(1_000_000 * (number as u64 + 1)),
            all: self.slept.clone(),
        });
        let host = Arc::new(TestHost::default());
        let options = GuardOptions {
            name: format!("n{number}").parse().unwrap(),
            address: address(number).parse().unwrap(),
            version: self.version,
            release: "0.1.0".to_owned(),
            capacity: 100,
            host: host.clone(),
            moments: clock.clone(),
            clock: Arc::new(SystemClock),
            prober: Arc::new(LinkProber {
                network: self.network.clone(),
                from: address(number),
                walled: self.walled.clone(),
            }),
            timing: Timing::default(),
            pace: Pace::default(),
            evening: Evening::default(),
        };
        let guard = Arc::new(Guard::new(consensus.clone(), options));
        let lives = guard.clone();
        let life = tokio::spawn(async move { lives.run().await });
        let process = Process {
            consensus,
            guard,
            clock,
            host,
            life,
            attendance: None,
        };
        self.processes[number] = Some(process);
        if self.attends {
            self.attend(number);
        }
    }

    /// From now on the members look who takes part, as they do in production.
    pub(super) fn attend_all(&mut self) {
        self.attends = true;
        for number in self.running() {
            self.attend(number);
        }
    }

    fn attend(&mut self, number: usize) {
        let peers: Vec<String> = (0..self.processes.len()).map(address).collect();
        if let Some(process) = &mut self.processes[number] {
            let consensus = process.consensus.clone();
            let attendance = tokio::spawn(async move { consensus.attend(&peers).await });
            process.attendance = Some(attendance);
        }
    }

    /// The process is gone. What it last knew of itself is left.
    pub(super) async fn crash(&mut self, number: usize) -> Process {
        let process = self.processes[number].take().unwrap();
        self.network.remove(&address(number));
        process.life.abort();
        if let Some(attendance) = &process.attendance {
            attendance.abort();
        }
        process.consensus.shutdown().await;
        process
    }

    /// The process is gone and another begins in its place, on the same volume and at once. Leaves
    /// what the first last knew of itself.
    pub(super) fn restart(&mut self, number: usize) -> Arc<Guard> {
        let process = self.processes[number].take().unwrap();
        process.life.abort();
        if let Some(attendance) = &process.attendance {
            attendance.abort();
        }
        self.watch_over(number, process.consensus);
        process.guard
    }

    /// The process gives no signs of life any more, though it answers.
    pub(super) fn silence(&self, number: usize) {
        self.of_number(number).life.abort();
    }

    /// From now on a firewall refuses those who try whether the node is there.
    pub(super) fn wall(&self, number: usize) {
        self.walled.lock().unwrap().insert(address(number));
    }

    /// Time passes in which nobody does anything.
    pub(super) fn all_sleep(&self, time: Duration) {
        let millis = time.as_millis() as u64;
        self.slept.fetch_add(millis, Ordering::SeqCst);
    }

    /// Cuts these nodes off from all others.
    pub(super) fn cut_off(&self, numbers: &[usize]) {
        let (cut, rest): (Vec<usize>, Vec<usize>) =
            (0..self.processes.len()).partition(|n| numbers.contains(n));
        for one in &cut {
            for other in &rest {
                let (one, other) = (address(*one), address(*other));
                self.network.split(&[&one], &[&other]);
            }
        }
    }

    /// The one of these that they all take for the leader.
    pub(super) async fn leader_among(&self, numbers: &[usize]) -> usize {
        eventually("a leader", || async {
            numbers.iter().copied().find(|n| {
                let status = self.of_number(*n).consensus.status();
                let own = Some(status.raft_id);
                let agrees =
                    |other: &usize| self.of_number(*other).consensus.status().leader == own;
                status.leads && numbers.iter().all(agrees)
            })
        })
        .await
    }

    pub(super) async fn leader(&self) -> usize {
        self.leader_among(&self.running()).await
    }

    /// Waits until all running nodes know exactly these as the voters.
    pub(super) async fn voters(&self, numbers: &[usize]) {
        let all = numbers.iter();
        let ids = all.map(|n| format!("n{n}")).collect::<BTreeSet<_>>();
        eventually(&format!("the voters {numbers:?}"), || async {
            let running = self.running();
            let mut statuses = running
                .iter()
                .map(|n| self.of_number(*n).consensus.status());
            let agrees = statuses.all(|status| {
                let voters = status.voters.iter().filter_map(|id| status.members.get(id));
                let voters: BTreeSet<String> = voters.map(|member| member.name.clone()).collect();
                voters == ids && status.leader.is_some()
            });
            agrees.then_some(())
        })
        .await;
    }

    /// Begins a session of a group on the node.
    pub(super) async fn create(&self, number: usize, name: &str) {
        let stamp = name.bytes().fold(0, |sum, b| sum * 256 + u64::from(b));
        let command = create_on(self.of_number(number).node(), name, stamp);
        let outcome = self.registry(number).propose(command).await;
        let is_there = matches!(outcome, Ok(Outcome::Done(_) | Outcome::Exists(_)));
        assert!(is_there, "{name}: {outcome:?}");
    }

    /// Begins a session with partitions of its own on the node.
    pub(super) async fn create_assigned(&self, number: usize, name: &str) {
        self.create(number, name).await;
        let outcome = self.registry(number).propose(make_assigned(name, 1)).await;
        assert!(matches!(outcome, Ok(Outcome::Done(_))), "{outcome:?}");
    }

    /// The owner of the session, as the node knows it.
    pub(super) fn owner(&self, number: usize, name: &str) -> NodeId {
        let session = self.registry(number).lookup(&id(name));
        session.expect("it is there").owner.clone()
    }

    pub(super) fn state(&self, number: usize, node: &NodeId) -> NodeState {
        let consensus = &self.of_number(number).consensus;
        consensus.replica.read().state_of(node)
    }

    /// Waits until the session has another owner, and says who and how long it took.
    pub(super) async fn moved(
        &self,
        number: usize,
        name: &str,
        from: &NodeId,
    ) -> (NodeId, Duration) {
        let start = Instant::now();
        let to = eventually(&format!("another owner of {name}"), || async {
            Some(self.owner(number, name)).filter(|owner| owner != from)
        })
        .await;
        (to, start.elapsed())
    }

    pub(super) async fn is_dead(&self, number: usize, node: &NodeId) -> Duration {
        let start = Instant::now();
        eventually(&format!("the death of {node}"), || async {
            (self.state(number, node) == NodeState::Dead).then_some(())
        })
        .await;
        start.elapsed()
    }

    pub(super) async fn phase(&self, number: usize, phase: Phase) {
        eventually(&format!("{phase:?}"), || async {
            (self.guard(number).standing().phase == phase).then_some(())
        })
        .await;
    }

    /// Deletes the session, so that the registry is written to.
    pub(super) async fn delete(&self, number: usize, name: &str) -> Result<Outcome, crate::Error> {
        let at = sluice_types::Timestamp::from_millis(1);
        let claim = claim(name, 1);
        let command = Command::Delete { claim, at };
        self.registry(number).propose(command).await
    }
}

fn member(number: usize) -> Member {
    Member {
        name: format!("n{number}"),
        address: address(number),
    }
}
