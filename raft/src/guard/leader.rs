//! What a member does for all nodes while it leads.
//!
//! ```text
//!   every 250 ms                            every 50 ms
//!   ask the quorum ──▶ Liveness::confirmed    Liveness::look ──▶ Failover::plan
//!                           │                                        │
//!   a heartbeat ──▶ Desk ───┴──▶ grant                probes, deaths, moves: one batch at a time
//! ```
//!
//! With the leadership everything goes that was known and planned. What the next leader knows of it
//! is when it heard this one last.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use futures::future::{BoxFuture, OptionFuture, join_all};
use futures::stream::FuturesUnordered;
use futures::{FutureExt, StreamExt};
use sluice_types::{Clock, ConsumerId, NodeId, NodeName};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, timeout_at};

use super::clock::Moments;
use super::desk::{Desk, Office};
use super::probe::Prober;
use super::term::Term;
use super::upkeep;
use crate::consensus::{Heard, Leading, Proposed, ReadIndex};
use crate::failover::{Pace, Plan};
use crate::liveness::{Former, Probe, Timing};
use crate::metrics::Counts;
use crate::placement::Evening;
use crate::replica::Replica;
use crate::{Command, Moment, Node, NodeAddress, NodeState, Outcome, RaftId};

/// Between two confirmations of the leadership.
const CONFIRM_EVERY: Duration = Duration::from_millis(250);

/// How long a confirmation may take. What is older is hardly worth a lease.
const CONFIRM_WITHIN: Duration = Duration::from_secs(1);

/// Between two looks at the nodes.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// How long a proposal may take before it is decided anew.
const PROPOSE_WITHIN: Duration = Duration::from_secs(2);

/// How long nothing is proposed after a proposal that failed.
const PAUSE: Duration = Duration::from_millis(250);

/// Runs while its process does, and acts while it leads.
pub(super) struct Leader {
    pub(super) name: NodeName,
    pub(super) leading: Leading,
    pub(super) heard: Arc<Heard>,
    pub(super) replica: Arc<Replica>,
    pub(super) desk: Arc<Desk>,
    pub(super) moments: Arc<dyn Moments>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) prober: Arc<dyn Prober>,
    pub(super) timing: Timing,
    pub(super) pace: Pace,
    pub(super) evening: Evening,
    /// How long a dead node is remembered.
    pub(super) forget_after: Duration,
    pub(super) counts: Arc<Counts>,
}

impl Leader {
    /// Until the consensus has stopped.
    pub(super) async fn run(&self) {
        let mut last_led = 0;
        while let Some(number) = self.elected().await {
            tracing::info!(term = number, "watching over the nodes");
            let term = self.term(last_led, number);
            last_led = number;
            let office = self.desk.open(term, self.moments.clone());
            tokio::select! {
                () = self.keep_confirming(&office) => {}
                () = self.keep_deciding(&office) => {}
                () = self.over(number) => {}
            }
            tracing::info!(term = number, "watching over the nodes no more");
        }
    }

    /// What is known as the term begins.
    fn term(&self, last_led: u64, number: u64) -> Term {
        let former = self.former(last_led, number);
        let (name, now) = (self.name.clone(), self.moments.now());
        let (timing, pace, evening) = (self.timing, self.pace, self.evening);
        Term::new(number, name, timing, pace, evening, former, now)
    }

    /// Whom this member has followed since it led last, if that is a node still.
    fn former(&self, last_led: u64, number: u64) -> Option<Former> {
        let sign = self.heard.between(last_led, number)?;
        // The clock is read after the silence: however long this takes, the leader before is not
        // taken to be silent for longer than it is.
        let silence = sign.silence();
        let heard_at = self.moments.now() - silence;
        let registry = self.replica.read();
        let is_it = |node: &&Node| node.raft_id == sign.leader && node.state != NodeState::Dead;
        let node = registry.nodes().find(is_it)?.id.clone();
        tracing::debug!(%node, ?silence, "the leader before");
        Some(Former { node, heard_at })
    }

    /// The term, once this member leads in one.
    async fn elected(&self) -> Option<u64> {
        let mut metrics = self.leading.raft().metrics();
        let elected = metrics.wait_for(|now| now.running_state.is_err() || now.state.is_leader());
        let metrics = elected.await.ok()?;
        metrics
            .running_state
            .is_ok()
            .then_some(metrics.current_term)
    }

    /// Waits until this member leads in this term no more.
    async fn over(&self, number: u64) {
        let mut metrics = self.leading.raft().metrics();
        let is_over = metrics.wait_for(|now| {
            let leads = now.state.is_leader() && now.current_term == number;
            !leads || now.running_state.is_err()
        });
        let _ = is_over.await;
    }

    async fn keep_confirming(&self, office: &Office<'_>) {
        let mut ticks = interval(CONFIRM_EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            self.confirm(office).await;
        }
    }

    /// Has the quorum confirm the term, and the registry caught up with what it confirms.
    async fn confirm(&self, office: &Office<'_>) {
        let deadline = Instant::now() + CONFIRM_WITHIN;
        let asked_at = self.moments.now();
        let ReadIndex::Next(next) = self.leading.read_index(deadline).await else {
            return;
        };
        let applied = timeout_at(deadline, self.replica.wait_applied(next)).await;
        // The word is about the leadership of now; one in between would have granted leases too.
        let is_of_term = self.leading.leads() && self.leading.term() == office.number();
        if applied.is_ok() && is_of_term {
            office.with(|term, _, now| term.confirmed(asked_at, now));
        }
    }

    async fn keep_deciding(&self, office: &Office<'_>) {
        let mut probes = FuturesUnordered::new();
        let mut proposals: Option<BoxFuture<'_, ()>> = None;
        loop {
            // Who gives the leadership up leaves the rest to the next.
            let may_plan = proposals.is_none() && !self.leading.yields();
            let plan = self.next(office, may_plan);
            for (node, address) in plan.probes {
                probes.push(self.probe(node, address));
            }
            if !plan.proposals.is_empty() {
                proposals = Some(self.propose_all(plan.proposals, plan.lost).boxed());
            }
            tokio::select! {
                () = sleep(LOOK_EVERY) => {}
                Some((node, told)) = probes.next() => {
                    office.with(|term, _, now| term.probed(&node, told, now));
                }
                _ = OptionFuture::from(proposals.as_mut()), if proposals.is_some() => {
                    proposals = None;
                }
            }
        }
    }

    /// Looks, and plans if it is time.
    fn next(&self, office: &Office<'_>, may_plan: bool) -> Steps {
        let at = self.clock.now();
        let members = self.members();
        let steps = office.with(|term, registry, now| {
            term.look(registry, now);
            if !may_plan {
                return Steps::default();
            }
            let plan = term.plan(registry, now, at);
            let address = |id: &NodeId| {
                let node = registry.node(&id.name)?;
                Some((id.clone(), node.address.clone()))
            };
            let probes = plan.probe.iter().filter_map(address).collect();
            let lost = plan.moves.keys().filter_map(|id| {
                let session = registry.session(id)?;
                Some((id.clone(), term.ended_at(&session.owner)?))
            });
            let lost = lost.collect();
            let mut proposals = proposals(plan);
            if proposals.is_empty() && term.has_quorum(now) {
                proposals = upkeep::due(registry, &members, self.forget_after, at);
            }
            Steps {
                probes,
                proposals,
                lost,
            }
        });
        let steps = steps.unwrap_or_default();
        steps.proposals.iter().for_each(|next| self.log(next));
        steps
    }

    /// Everyone who takes part in the consensus.
    fn members(&self) -> BTreeSet<RaftId> {
        let metrics = self.leading.raft().metrics();
        let metrics = metrics.borrow();
        let members = metrics.membership_config.membership().nodes();
        members.map(|(id, _)| *id).collect()
    }

    async fn probe(&self, node: NodeId, address: NodeAddress) -> (NodeId, Probe) {
        let told = self.prober.probe(&address).await;
        tracing::debug!(%node, %address, ?told, "probed");
        (node, told)
    }

    /// All at once, each within its time. Whatever becomes of them: what is to be done next is
    /// decided from what the registry holds then, and after a failure not at once.
    async fn propose_all(&self, commands: Vec<Command>, lost: BTreeMap<ConsumerId, Moment>) {
        let deadline = Instant::now() + PROPOSE_WITHIN;
        let proposals = commands.iter();
        let proposals = proposals.map(|command| self.leading.propose(command.clone(), deadline));
        let mut all_applied = true;
        for (command, proposed) in commands.iter().zip(join_all(proposals).await) {
            match proposed {
                Proposed::Applied { outcome, .. } => self.count(command, &outcome, &lost),
                Proposed::NotLeader(_) | Proposed::NoQuorum | Proposed::Unknown => {
                    tracing::warn!(?proposed, "not carried out");
                    self.counts.proposals_failed.inc();
                    all_applied = false;
                }
            }
        }
        if !all_applied {
            sleep(PAUSE).await;
        }
    }
}

impl Leader {
    fn count(&self, command: &Command, outcome: &Outcome, lost: &BTreeMap<ConsumerId, Moment>) {
        let is_death = matches!(command, Command::ChangeNode { to, .. } if *to == NodeState::Dead);
        if is_death && *outcome == Outcome::Applied {
            self.counts.deaths.inc();
        }
        self.counts.note_moves(command, outcome);
        if let Outcome::Opened(moved) = outcome {
            let now = self.moments.now();
            for since in moved.iter().filter_map(|session| lost.get(&session.id)) {
                self.counts.note_failover(now.since(*since));
            }
        }
    }
}

/// What is to be done next.
#[derive(Default)]
struct Steps {
    probes: Vec<(NodeId, NodeAddress)>,
    proposals: Vec<Command>,
    /// Since when the sessions that are moved have been without an owner.
    lost: BTreeMap<ConsumerId, Moment>,
}

fn proposals(plan: Plan) -> Vec<Command> {
    let moves = plan.moves;
    let moves = (!moves.is_empty()).then_some(Command::Move { moves });
    plan.deaths.into_iter().chain(moves).collect()
}

impl Leader {
    fn log(&self, proposal: &Command) {
        match proposal {
            Command::ChangeNode { node, .. } if self.is_spared(node) => {
                tracing::info!(%node, "a node has left");
            }
            Command::ChangeNode { node, to, .. } => {
                tracing::warn!(%node, ?to, "declaring a node dead");
            }
            Command::Move { moves } => {
                tracing::info!(sessions = moves.len(), "giving sessions new owners");
            }
            Command::RemoveNode { node, .. } => tracing::info!(%node, "forgetting a dead node"),
            Command::RaiseVersion { to } => tracing::info!(version = %to, "raising the version"),
            other => tracing::debug!(?other, "proposing"),
        }
    }

    /// Whether the node drains and votes no more: if it dies it has [left](super::status::has_left).
    fn is_spared(&self, id: &NodeId) -> bool {
        let metrics = self.leading.raft().metrics();
        let metrics = metrics.borrow();
        let mut voters = metrics.membership_config.membership().voter_ids();
        let registry = self.replica.read();
        let node = registry.node(&id.name).filter(|node| node.id == *id);
        node.is_some_and(|node| {
            node.state == NodeState::Draining && voters.all(|voter| voter != node.raft_id)
        })
    }
}
