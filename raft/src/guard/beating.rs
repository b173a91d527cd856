//! A node's life: registered, giving signs of life, ended.

use std::sync::atomic::Ordering;
use std::time::Duration;

use futures::StreamExt;
use futures::future::{BoxFuture, OptionFuture};
use futures::stream::FuturesUnordered;
use sluice_types::NodeId;
use tokio::time::{Instant, MissedTickBehavior, interval};

use super::registering::Registered;
use super::{Guard, Phase, Standing};
use crate::Moment;
use crate::net::frame::{AskedMoveV1, HeartbeatV1, QuestionV1, ResponseV1};
use crate::rebalance::AskedMove;

/// Between two signs of life.
const BEAT_EVERY: Duration = Duration::from_millis(250);

/// How long one may take to be answered. It is no obstacle to the next.
const ANSWER_WITHIN: Duration = Duration::from_secs(1);

/// Most sessions that are told to be waited for.
const MOST_WAITING: usize = 1_000;

/// Most sessions that are told to be the idlest: more than are asked for at a time.
const MOST_IDLEST: usize = 32;

impl Guard {
    pub(super) async fn live(&self) {
        loop {
            let node = self.standing().node;
            match self.register(&node).await {
                Registered::Done => {
                    tracing::info!(%node, "registered");
                    self.enter(Phase::Registered);
                    self.beat(&node).await;
                    self.is_asked(Vec::new(), false);
                    self.tell_of_the_end(&node);
                    self.enter(Phase::Ended);
                    self.renewed().await;
                }
                // Nobody has used it.
                Registered::Ended => {
                    self.standing
                        .send_replace(Standing::begin(node.name.clone()));
                }
                Registered::TooOld => {
                    tracing::error!(%node, "the cluster uses what this release does not know");
                    self.enter(Phase::TooOld);
                    std::future::pending().await
                }
            }
        }
    }

    fn tell_of_the_end(&self, node: &NodeId) {
        let registry = self.consensus.replica.read();
        let successor = registry.node(&node.name).filter(|known| known.id != *node);
        let by_other = successor.filter(|known| known.raft_id != self.consensus.raft_id());
        match by_other {
            Some(other) => tracing::error!(
                %node,
                address = %other.address,
                "another process has taken this node's name"
            ),
            None => tracing::warn!(%node, "declared dead"),
        }
    }

    fn enter(&self, phase: Phase) {
        self.standing.send_modify(|standing| standing.phase = phase);
    }

    async fn renewed(&self) {
        let mut standing = self.watch();
        // The sender is here: it does not go before the wait does.
        let _ = standing.wait_for(|now| now.phase != Phase::Ended).await;
    }

    /// Gives signs of life until the incarnation has ended.
    async fn beat(&self, node: &NodeId) {
        let mut ticks = interval(BEAT_EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut answers = FuturesUnordered::new();
        let mut doubt: Option<BoxFuture<'_, bool>> = None;
        loop {
            let mut is_in_doubt = false;
            tokio::select! {
                _ = ticks.tick() => {
                    if self.has_surely_ended(node) {
                        return;
                    }
                    is_in_doubt = self.may_have_ended(node);
                    answers.push(self.give_sign(node));
                }
                Some((sent_at, answer)) = answers.next() => {
                    is_in_doubt = self.take(sent_at, answer);
                }
                has_ended = OptionFuture::from(doubt.as_mut()), if doubt.is_some() => {
                    doubt = None;
                    if has_ended == Some(true) {
                        return;
                    }
                }
            }
            // A leader that has just been replaced may not know who has just registered, and this
            // process's own registry may lag behind: only a linearizable read tells.
            if is_in_doubt && doubt.is_none() {
                doubt = Some(Box::pin(self.has_ended(node)));
            }
        }
    }

    /// Takes the leader's answer. True if it says that the incarnation has ended.
    fn take(&self, sent_at: Moment, answer: Option<ResponseV1>) -> bool {
        match answer {
            Some(ResponseV1::Granted {
                lease,
                moves,
                tells_idlest,
            }) => {
                self.is_asked(moves, tells_idlest);
                let lease = Duration::from_millis(lease.into());
                self.standing
                    .send_modify(|standing| standing.granted(sent_at, lease));
                false
            }
            Some(ResponseV1::Ended) => true,
            // Whoever leads has something better to do.
            Some(_) | None => {
                self.is_asked(Vec::new(), false);
                false
            }
        }
    }

    /// Takes what the leader asks for.
    fn is_asked(&self, moves: Vec<AskedMoveV1>, tells_idlest: bool) {
        self.tells_idlest.store(tells_idlest, Ordering::Relaxed);
        let moves: Vec<AskedMove> = moves.into_iter().map(Into::into).collect();
        let claims = moves.iter().map(|asked| &asked.claim);
        self.consensus.counts.asks(claims);
        self.asked.send_if_modified(|asked| {
            let is_news = *asked != moves;
            *asked = moves;
            is_news
        });
    }

    /// Tells the leader that the node lives. The answer, and when this was sent.
    async fn give_sign(&self, node: &NodeId) -> (Moment, Option<ResponseV1>) {
        let consensus = &self.consensus;
        let mut waiting = self.options.host.waiting();
        waiting.truncate(MOST_WAITING);
        let idlest = match self.tells_idlest.load(Ordering::Relaxed) {
            true => self.options.host.idlest(MOST_IDLEST),
            false => Vec::new(),
        };
        let heartbeat = HeartbeatV1 {
            node: node.clone(),
            reaches_kafka: self.options.host.reaches_kafka(),
            applied: consensus.replica.applied(),
            waiting,
            idlest,
        };
        let sent_at = self.options.moments.now();
        if consensus.leading.leads() {
            return (sent_at, Some(consensus.desk.answer(heartbeat)));
        }
        let question = QuestionV1::Heartbeat(heartbeat);
        (sent_at, self.ask_leader(question).await)
    }

    /// What the leader answers, if one is known and does within the time.
    pub(super) async fn ask_leader(&self, question: QuestionV1) -> Option<ResponseV1> {
        let (leader, member) = self.consensus.leading.leader()?;
        let deadline = Instant::now() + ANSWER_WITHIN;
        let address = &member.address;
        let asked = self
            .consensus
            .peers
            .ask(address, Some(leader), question, deadline);
        let answer = asked.await;
        if let Err(error) = &answer {
            tracing::debug!(%leader, %error, "the leader does not answer");
        }
        answer.ok()
    }
}
