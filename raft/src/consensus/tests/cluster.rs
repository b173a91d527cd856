//! Members in one process.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;

use tempfile::TempDir;
use tokio::task::AbortHandle;

use crate::net::links::Network;
use crate::patience::eventually;
use crate::registry::tests::{create, node, registration};
use crate::types::Member;
use crate::{Command, Consensus, Options, Outcome, RaftId, Registration, RegistryHandle, Timing};

pub(super) struct Cluster {
    pub(super) network: Network,
    members: Vec<Option<Arc<Consensus>>>,
    dirs: Vec<TempDir>,
    timing: Timing,
    attending: Vec<Option<AbortHandle>>,
}

pub(super) fn address(member: usize) -> String {
    format!("n{member}:7000")
}

impl Cluster {
    /// A cluster of so many members, with a node "a" registered.
    pub(super) async fn of(size: usize) -> Self {
        Self::with_timing(size, Timing::default()).await
    }

    pub(super) async fn with_timing(size: usize, timing: Timing) -> Self {
        let cluster = Self::unformed(size, timing).await;
        let others = cluster.members[1..].iter().flatten();
        let others = others.map(|member| (member.raft_id(), member.member.clone()));
        let others: BTreeMap<_, _> = others.collect();
        cluster.member(0).form(others).await.unwrap();
        let roomy = Registration {
            capacity: 1_000_000,
            ..registration(node("a"), None)
        };
        let registered = cluster.registry(0).propose(Command::Register(roomy)).await;
        assert_eq!(registered, Ok(Outcome::Applied));
        cluster
    }

    /// Members that belong to nothing.
    pub(super) async fn unformed(size: usize, timing: Timing) -> Self {
        let mut cluster = Self {
            network: Network::default(),
            members: vec![None; size],
            dirs: (0..size).map(|_| tempfile::tempdir().unwrap()).collect(),
            timing,
            attending: vec![None; size],
        };
        for number in 0..size {
            cluster.start(number).await;
        }
        cluster
    }

    pub(super) async fn start(&mut self, number: usize) {
        let address = address(number);
        let started = Consensus::start(Options {
            data_dir: self.dirs[number].path().to_owned(),
            cluster_name: "test".to_owned(),
            member: Member {
                name: format!("n{number}"),
                address: address.clone(),
            },
            ordinal: number as u64,
            transport: self.network.of(&address),
            timing: self.timing.clone(),
        });
        let member = Arc::new(started.await.unwrap());
        self.network.put(&address, &member);
        self.members[number] = Some(member);
    }

    pub(super) async fn stop(&mut self, number: usize) {
        self.network.remove(&address(number));
        if let Some(attending) = self.attending[number].take() {
            attending.abort();
        }
        if let Some(member) = self.members[number].take() {
            member.shutdown().await;
        }
    }

    /// Lets the member look who takes part; the first so many are the initial voters.
    pub(super) fn attend(&mut self, number: usize, initial: usize) {
        let peers: Vec<String> = (0..initial).map(address).collect();
        let member = Arc::downgrade(self.member(number));
        let attending = tokio::spawn(async move {
            if let Some(member) = member.upgrade() {
                member.attend(&peers).await;
            }
        });
        self.attending[number] = Some(attending.abort_handle());
    }

    /// The volume of a member that is stopped.
    pub(super) fn volume(&self, number: usize) -> PathBuf {
        self.dirs[number].path().to_owned()
    }

    /// Takes the volume away from a member that is stopped.
    pub(super) fn lose_volume(&mut self, number: usize) {
        self.dirs[number] = tempfile::tempdir().unwrap();
    }

    /// Waits until all running members know exactly these as the voters.
    pub(super) async fn voters(&self, members: &[usize]) {
        let ids = members.iter().map(|member| self.member(*member).raft_id());
        let ids: BTreeSet<RaftId> = ids.collect();
        eventually(&format!("the voters {members:?}"), || async {
            let running = self.running().into_iter();
            let mut statuses = running.map(|member| self.member(member).status());
            let agrees = statuses.all(|status| {
                let voters: BTreeSet<RaftId> = status.voters.into_iter().collect();
                voters == ids && status.leader.is_some()
            });
            agrees.then_some(())
        })
        .await;
    }

    pub(super) fn member(&self, number: usize) -> &Arc<Consensus> {
        self.members[number].as_ref().unwrap()
    }

    pub(super) fn registry(&self, number: usize) -> RegistryHandle {
        self.member(number).registry()
    }

    pub(super) fn running(&self) -> Vec<usize> {
        let numbers = 0..self.members.len();
        numbers
            .filter(|number| self.members[*number].is_some())
            .collect()
    }

    /// The member that these agree on as the leader, itself one of them.
    pub(super) async fn leader_among(&self, members: &[usize]) -> usize {
        eventually("a leader", || async {
            members.iter().copied().find(|member| {
                let status = self.member(*member).status();
                let id = Some(status.raft_id);
                let agree = |other: &usize| self.member(*other).status().leader == id;
                status.leads && members.iter().all(agree)
            })
        })
        .await
    }

    pub(super) async fn leader(&self) -> usize {
        self.leader_among(&self.running()).await
    }

    /// Cuts these members off from all others.
    pub(super) fn cut_off(&self, members: &[usize]) {
        let names: Vec<String> = (0..self.members.len()).map(address).collect();
        let is_cut = |number: &usize| members.contains(number);
        let (cut, rest): (Vec<usize>, Vec<usize>) = (0..names.len()).partition(is_cut);
        let named = |numbers: &[usize]| numbers.iter().map(|n| &*names[*n]).collect::<Vec<_>>();
        self.network.split(&named(&cut), &named(&rest));
    }

    /// Begins a session by asking this member.
    pub(super) async fn create(&self, member: usize, name: &str) {
        let stamp = name
            .bytes()
            .fold(0, |sum, byte| sum * 256 + u64::from(byte));
        let outcome = self.registry(member).propose(create(name, stamp)).await;
        // A repetition finds what the first attempt has made.
        let is_there = matches!(outcome, Ok(Outcome::Done(_) | Outcome::Exists(_)));
        assert!(is_there, "{name} on {member}: {outcome:?}");
    }
}

/// The names of all sessions that this member has, right now.
pub(super) fn names(registry: &RegistryHandle) -> Vec<String> {
    let sessions = registry.list(None, None, usize::MAX);
    sessions
        .iter()
        .map(|session| session.id.to_string())
        .collect()
}
