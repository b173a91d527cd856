//! Looking who takes part, now and then, and doing what follows from it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use futures::future::join_all;
use openraft::ChangeMembers;
use sluice_types::NodeId;
use tokio::time::{Instant, sleep, timeout_at};

use super::formation::{self, Contact, Step};
use super::membership::{self, Change, Seen, View};
use super::{Consensus, StartError};
use crate::net::Unanswered;
use crate::net::frame::{QuestionV1, ResponseV1};
use crate::types::Member;
use crate::{NodeState, RaftId};

/// How long one may take to say who it is.
const ANSWER: Duration = Duration::from_millis(400);

/// How long the leader may take to take a member in.
const ADMISSION: Duration = Duration::from_secs(6);

/// How often a member asks the leader whether it takes part: it may have been forgotten while it
/// was away, and what its own volume says of leader and members may be long past.
const WELCOME: Duration = Duration::from_secs(3);

/// Entries that a member may lack and be one that has caught up.
const NEARLY: u64 = 100;

/// What has been seen over time.
#[derive(Debug, Default)]
struct Memory {
    /// Since when members have not answered.
    away: BTreeMap<RaftId, Instant>,
    /// Since when their nodes have been draining.
    draining: BTreeMap<RaftId, Instant>,
    /// When the leader last said that this member takes part.
    welcomed: Option<Instant>,
    /// Contacts whose silence has been told of while this member waits for them.
    silent: BTreeSet<String>,
}

/// What a contact has answered.
struct Answered {
    contact: Contact,
    /// Whom it takes for the leader.
    leader: Option<(RaftId, Member)>,
    /// Why it has not answered.
    silence: Option<String>,
}

impl Consensus {
    /// Keeps this member in the cluster, and the cluster in order while this member leads it.
    ///
    /// `peers` are the addresses of the initial voters, this one's among them, the same list for
    /// all: from them one cluster is formed, or one that is there is joined by way of them. None,
    /// or this one alone, is a cluster of one.
    ///
    /// Runs until the consensus has stopped. A dropped future stops looking; the member takes part
    /// as before.
    pub async fn attend(&self, peers: &[String]) {
        let mut memory = Memory::default();
        while self.raft.metrics().borrow().running_state.is_ok() {
            if self.leading.leads() {
                self.keep_members(&mut memory).await;
            } else if !self.is_in(&mut memory).await
                && let Err(error) = self.come_in(peers, &mut memory).await
            {
                tracing::warn!(%error, "not in a cluster");
            }
            sleep(self.timing.attendance).await;
        }
    }

    /// Whether this member takes part, by the word of the leader.
    async fn is_in(&self, memory: &mut Memory) -> bool {
        // A leader that was looks afresh when it leads again.
        memory.away.clear();
        memory.draining.clear();
        let is_recent = |at: Instant| at.elapsed() < WELCOME;
        if memory.welcomed.is_some_and(is_recent) {
            return true;
        }
        let Some((leader, member)) = self.leading.leader() else {
            return false;
        };
        let asked = Instant::now();
        let is_in = self.asks_to_join(leader, &member).await;
        if is_in {
            memory.welcomed = Some(asked);
        }
        is_in
    }

    async fn come_in(&self, peers: &[String], memory: &mut Memory) -> Result<(), StartError> {
        let is_formed = self.is_formed().await?;
        let own = |address: &&String| **address == self.member.address;
        let is_first = peers.first().as_ref().is_none_or(own);
        let mut contacts: Vec<String> = peers.iter().filter(|peer| !own(peer)).cloned().collect();
        if is_formed {
            // Those who have joined since know of the leader too.
            let members = self.status().members.into_values();
            contacts.extend(members.map(|member| member.address));
            contacts.retain(|address| *address != self.member.address);
        }
        let asked = contacts.iter().map(|address| self.ask_contact(address));
        let answers = join_all(asked).await;
        let others = answers.iter().map(|answered| answered.contact.clone());
        let others: Vec<Contact> = others.collect();
        match formation::next(is_first && !is_formed, &others) {
            Step::Wait => {
                memory.tell_silence(contacts.iter().zip(&answers));
                Ok(())
            }
            Step::Form(members) => self.form(members).await,
            Step::Join(_) => {
                self.join(answers.into_iter().filter_map(|answered| answered.leader))
                    .await;
                Ok(())
            }
        }
    }

    /// Who is there, and whom it takes for the leader.
    async fn ask_contact(&self, address: &str) -> Answered {
        let silent = |why| Answered {
            contact: Contact::Silent,
            leader: None,
            silence: Some(why),
        };
        let (raft_id, member, cluster, is_formed, leader) = match self.who(address).await {
            Ok(ResponseV1::Here {
                raft_id,
                member,
                cluster,
                is_formed,
                leader,
            }) => (raft_id, member, cluster, is_formed, leader),
            Ok(other) => return silent(format!("answered {other:?}")),
            Err(error) => return silent(error.to_string()),
        };
        let member = Member::from(member);
        let leader = leader.map(|(id, member)| (id, member.into()));
        let contact = match (is_formed, cluster) {
            (true, _) => Contact::Formed,
            (false, Some(_)) => Contact::Taken,
            (false, None) => Contact::Alone { raft_id, member },
        };
        Answered {
            contact,
            leader,
            silence: None,
        }
    }

    async fn who(&self, address: &str) -> Result<ResponseV1, Unanswered> {
        let name = self.cluster_name.clone();
        let deadline = Instant::now() + ANSWER;
        let question = QuestionV1::Who { name };
        self.peers.ask(address, None, question, deadline).await
    }

    /// Asks the leader to be taken in, by what others know of it.
    async fn join(&self, leaders: impl Iterator<Item = (RaftId, Member)>) {
        let leaders: BTreeMap<RaftId, Member> = leaders.collect();
        for (leader, member) in leaders {
            if self.asks_to_join(leader, &member).await {
                return;
            }
        }
    }

    /// Whether the leader takes this member in, or has done so before.
    async fn asks_to_join(&self, leader: RaftId, member: &Member) -> bool {
        let question = QuestionV1::Join {
            name: self.cluster_name.clone(),
            member: self.member.clone().into(),
        };
        let deadline = Instant::now() + ADMISSION;
        let asked = self
            .peers
            .ask(&member.address, Some(leader), question, deadline);
        match asked.await {
            Ok(ResponseV1::Welcome) => return true,
            Ok(other) => tracing::debug!(%leader, answer = ?other, "not taken in"),
            Err(error) => tracing::debug!(%leader, %error, "not taken in"),
        }
        false
    }

    /// Changes the members, if they are not as they should be.
    async fn keep_members(&self, memory: &mut Memory) {
        let view = self.look(memory).await;
        let Some(change) = membership::next(&view) else {
            return;
        };
        tracing::info!(?change, "changing the members");
        let change = match change {
            Change::Voters(voters) => ChangeMembers::ReplaceAllVoters(voters),
            Change::Forget(id) => ChangeMembers::RemoveNodes(BTreeSet::from([id])),
        };
        if let Err(error) = self.leading.change(change).await {
            tracing::warn!(error, "the members did not change");
        }
    }

    async fn look(&self, memory: &mut Memory) -> View {
        let status = self.status();
        let answers = status.members.iter().map(|(id, member)| async {
            let answers = *id == status.raft_id || self.answers(*id, &member.address).await;
            (*id, answers)
        });
        let answers: BTreeMap<RaftId, bool> = join_all(answers).await.into_iter().collect();
        let now = Instant::now();
        note(
            &mut memory.away,
            now,
            |id| answers.get(&id) == Some(&false),
            &status.members,
        );
        let drains = self.draining(&memory.away);
        note(
            &mut memory.draining,
            now,
            |id| drains.contains(&id),
            &status.members,
        );
        let since = |times: &BTreeMap<RaftId, Instant>, id: &RaftId| {
            times.get(id).map(|since| now.duration_since(*since))
        };
        let caught_up = self.caught_up();
        let seen = |(id, member): (&RaftId, &Member)| {
            let seen = Seen {
                name: member.name.clone(),
                away: since(&memory.away, id),
                is_caught_up: caught_up.contains(id),
                draining: since(&memory.draining, id),
            };
            (*id, seen)
        };
        let metrics = self.raft.metrics();
        let configs = metrics
            .borrow()
            .membership_config
            .membership()
            .get_joint_config()
            .clone();
        View {
            leader: status.raft_id,
            voters: configs,
            members: status.members.iter().map(seen).collect(),
            forget_after: self.timing.forget_after,
        }
    }

    /// Whether the member is where it is said to be.
    async fn answers(&self, id: RaftId, address: &str) -> bool {
        let deadline = Instant::now() + ANSWER;
        match timeout_at(deadline, self.who(address)).await {
            Ok(Ok(ResponseV1::Here { raft_id, .. })) => raft_id == id,
            Ok(Ok(_) | Err(_)) | Err(_) => false,
        }
    }

    /// Members whose nodes drain. One that answers while its draining incarnation gives no sign of
    /// life has begun anew and is about to register: after all were stopped at once, those who are
    /// slower to come back are no drainers any more.
    fn draining(&self, away: &BTreeMap<RaftId, Instant>) -> BTreeSet<RaftId> {
        let drains: Vec<(NodeId, RaftId)> = {
            let registry = self.replica.read();
            let nodes = registry.nodes();
            let draining = nodes.filter(|node| node.state == NodeState::Draining);
            draining
                .map(|node| (node.id.clone(), node.raft_id))
                .collect()
        };
        let is_running = |node: &NodeId, id: &RaftId| {
            away.contains_key(id) || self.desk.hears(node) != Some(false)
        };
        let draining = drains.into_iter().filter(|(node, id)| is_running(node, id));
        draining.map(|(_, id)| id).collect()
    }

    /// Members that have nearly all of the log, this one among them.
    fn caught_up(&self) -> BTreeSet<RaftId> {
        let metrics = self.raft.metrics();
        let metrics = metrics.borrow();
        let last = metrics.last_log_index.unwrap_or_default();
        let replication = metrics.replication.iter().flatten();
        let near = replication
            .filter(|(_, matched)| matched.is_some_and(|matched| matched.index + NEARLY >= last));
        near.map(|(id, _)| *id).chain([metrics.id]).collect()
    }
}

impl Memory {
    /// Tells of contacts without which this member can do nothing: once, until others are silent.
    fn tell_silence<'a>(&mut self, contacts: impl Iterator<Item = (&'a String, &'a Answered)>) {
        let why = |(address, answered): (&String, &Answered)| {
            let why = answered.silence.as_ref()?;
            Some((address.clone(), format!("{address}: {why}")))
        };
        let (silent, reasons): (BTreeSet<String>, Vec<String>) = contacts.filter_map(why).unzip();
        if !silent.is_empty() && silent != self.silent {
            tracing::info!(silent = reasons.join("; "), "waiting for other nodes");
        }
        self.silent = silent;
    }
}

/// Keeps since when something has been so of the members of which it is so.
fn note(
    times: &mut BTreeMap<RaftId, Instant>,
    now: Instant,
    is_so: impl Fn(RaftId) -> bool,
    members: &BTreeMap<RaftId, Member>,
) {
    times.retain(|id, _| members.contains_key(id) && is_so(*id));
    for id in members.keys().filter(|id| is_so(**id)) {
        times.entry(*id).or_insert(now);
    }
}
