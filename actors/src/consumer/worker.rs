//! The task that owns a consumer's state.

use std::collections::{BTreeMap, VecDeque};
use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use rdkafka::error::RDKafkaErrorCode as Code;
use sluice_types::{
    CreationStamp, GroupId, Mode, OffsetReset, Offsets, PartitionMap, Partitions, SeekSeq,
    TopicName,
};
use tokio::sync::{Notify, mpsc};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until};

use super::ask::{Ask, OnItsWay, Reply, WaitingPoll};
use super::ops::{Asked, CommitBy, Done, Queued, Urgent};
use crate::blocking::Blocking;
use crate::kafka::{KafkaEvent, code_failure};
use crate::session::{Intake, Link, State, leave_group};
use crate::{Error, Record};

/// How often the handle is looked after, whether or not anybody polls.
const TICK: Duration = Duration::from_secs(1);
/// How long leaving the group may take.
const LEAVE: Duration = Duration::from_secs(5);
/// How long a final commit may take that nobody waits for.
const LAST: Duration = Duration::from_secs(5);

/// What the consumer is to be.
#[derive(Clone, Debug)]
pub(super) struct Settings {
    pub(super) topics: Vec<TopicName>,
    pub(super) group: Option<GroupId>,
    pub(super) reset: OffsetReset,
    /// Shortest time between two automatic commits, if there are any.
    pub(super) auto_commit: Option<Duration>,
    pub(super) most_of_each: usize,
}

/// How the consumer ended.
pub(super) struct Finished {
    /// Whom to tell when the group is left.
    pub(super) reply: Option<Reply<()>>,
    /// What became of the final commit.
    pub(super) outcome: Result<(), Error>,
}

/// The consumer's state, and what goes on with it.
pub(super) struct Worker {
    pub(super) settings: Settings,
    pub(super) life: CreationStamp,
    pub(super) blocking: Blocking,
    pub(super) link: Arc<Link>,
    wake: Arc<Notify>,
    pub(super) state: State,
    pub(super) intake: Intake,
    /// What starts are decided by; a consumer has no points.
    pub(super) record: Record,
    /// It has the partitions that it is to have.
    pub(super) has_partitions: bool,
    /// librdkafka waits until an assignment is taken.
    pub(super) assignment_open: bool,
    /// Partitions that librdkafka waits to get back.
    pub(super) revoking: Option<Partitions>,
    /// Why there are no partitions, as far as Kafka said.
    pub(super) obstacle: Option<Error>,
    /// No broker has been heard of since.
    pub(super) brokers_down: bool,
    pub(super) polls: VecDeque<WaitingPoll>,
    pub(super) on_its_way: Option<OnItsWay>,
    /// Asks a broker for anything, to tell whether one is there.
    pub(super) probe: Option<BoxFuture<'static, bool>>,
    pub(super) urgent: VecDeque<Urgent>,
    pub(super) asked: VecDeque<Queued>,
    /// When asked ops that met a rebalance are tried again.
    pub(super) retry_at: Option<Instant>,
    pub(super) running: Option<BoxFuture<'static, Done>>,
    pub(super) repositioning: bool,
    /// Where the handle could not be moved to.
    pub(super) astray: Offsets,
    pub(super) last_auto_commit: Instant,
    pub(super) last_look: Instant,
    ready: Option<Reply<()>>,
    closing: bool,
    /// The task ends.
    pub(super) finished: Option<Finished>,
}

impl Worker {
    /// A worker whose commits are marked as those of this `life`.
    pub(super) fn new(
        settings: Settings,
        life: CreationStamp,
        blocking: Blocking,
        link: Arc<Link>,
        wake: Arc<Notify>,
        counts: BTreeMap<TopicName, i32>,
    ) -> Self {
        Self {
            state: State::subscribed(life, &settings.topics, SeekSeq::NONE),
            life,
            record: Record {
                seek_seq: SeekSeq::NONE,
                points: PartitionMap::new(),
                mode: Mode::Subscribed,
                counts_seen: counts.clone(),
                counts_at_creation: counts,
                handed_over: None,
            },
            settings,
            blocking,
            link,
            wake,
            intake: Intake::default(),
            has_partitions: false,
            assignment_open: false,
            revoking: None,
            obstacle: None,
            brokers_down: false,
            polls: VecDeque::new(),
            on_its_way: None,
            probe: None,
            urgent: VecDeque::new(),
            asked: VecDeque::new(),
            retry_at: None,
            running: None,
            repositioning: false,
            astray: Offsets::new(),
            last_auto_commit: Instant::now(),
            last_look: Instant::now(),
            ready: None,
            closing: false,
            finished: None,
        }
    }

    pub(super) fn span(&self) -> tracing::Span {
        let group = self.settings.group.as_ref().map(GroupId::as_str);
        tracing::info_span!("consumer", group)
    }

    /// Joins the group or, without one, takes `all` partitions; `ready` learns of the outcome.
    /// Returns whether there is a group.
    pub(super) fn begin(&mut self, all: Partitions, ready: Reply<()>) -> Result<bool, Error> {
        self.ready = Some(ready);
        if self.settings.group.is_some() {
            self.link.handle.subscribe(&self.settings.topics)?;
            return Ok(true);
        }
        self.urgent.push_back(Urgent::Assign(all));
        Ok(false)
    }

    /// Runs until the consumer is closed or dropped.
    pub(super) async fn run(mut self, mut asks: mpsc::Receiver<Ask>) {
        let period = self
            .settings
            .auto_commit
            .map_or(TICK, |every| every.min(TICK));
        let mut ticks = interval(period);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            self.step();
            if self.finished.is_some() {
                break;
            }
            let deadline = self.next_deadline();
            tokio::select! {
                ask = asks.recv(), if !self.closing => match ask {
                    Some(ask) => self.take(ask),
                    None => self.abandon(),
                },
                delivered = delivery(&mut self.on_its_way) => self.settle(delivered),
                done = ongoing(&mut self.running) => {
                    self.running = None;
                    self.apply(done);
                }
                reached = ongoing(&mut self.probe) => {
                    self.probe = None;
                    self.probed(reached);
                }
                () = self.wake.notified() => {}
                _ = ticks.tick() => self.move_again(),
                () = until(deadline) => {}
            }
        }
        self.leave().await;
    }

    /// Everything that can be done now.
    fn step(&mut self) {
        self.link.collect();
        self.serve();
        while let Some(event) = self.link.handle.next_event() {
            self.on_event(event);
        }
        self.end_overdue_polls();
        self.refuse_overdue();
        self.queue_auto_commit();
        self.queue_look();
        self.next_op();
        self.answer_ready();
    }

    fn next_deadline(&self) -> Option<Instant> {
        let polls = self.polls.iter().map(|poll| poll.until);
        // A poll whose time is up while a broker is being looked for waits for that.
        let polls = polls.filter(|_| self.probe.is_none());
        let asked = self.asked.iter().map(|queued| queued.until);
        polls.chain(asked).chain(self.retry_at).min()
    }

    fn take(&mut self, ask: Ask) {
        // The caller has said that it got the records before it asked for this.
        if let Some(answer) = &mut self.on_its_way
            && let Ok(()) = answer.delivered.try_recv()
        {
            self.settle(true);
        }
        match ask {
            Ask::Poll { until, reply } => {
                if self.on_its_way.is_none() {
                    self.state.acknowledge();
                }
                self.polls.push_back(WaitingPoll { until, reply });
            }
            Ask::Commit { until, reply } => {
                self.queue(Asked::commit(CommitBy::Caller(reply)), until);
            }
            Ask::Seek {
                at,
                offset,
                until,
                reply,
            } => self.queue(Asked::Seek { at, offset, reply }, until),
            Ask::Position { at, until, reply } => {
                self.queue(Asked::Position { at, reply }, until);
            }
            Ask::Close { until, reply } => {
                self.closing = true;
                let by = CommitBy::Close { reply: Some(reply) };
                self.queue(Asked::commit(by), until);
            }
        }
    }

    /// The consumer was dropped.
    fn abandon(&mut self) {
        self.closing = true;
        let by = CommitBy::Close { reply: None };
        self.queue(Asked::commit(by), Instant::now() + LAST);
    }

    fn queue(&mut self, op: Asked, until: Instant) {
        self.asked.push_back(Queued { op, until });
    }

    /// Learns whether the records on their way have been delivered.
    fn settle(&mut self, delivered: bool) {
        let Some(answer) = self.on_its_way.take() else {
            return;
        };
        let back = self.state.fate(answer.number, delivered);
        if delivered && !self.polls.is_empty() {
            self.state.acknowledge();
        }
        if !back.is_empty() {
            self.intake.discard(&back.partitions());
            self.urgent.push_back(Urgent::Reposition(back));
        }
    }

    fn on_event(&mut self, event: KafkaEvent) {
        match event {
            KafkaEvent::Assign(partitions) => {
                self.assignment_open = true;
                self.urgent.push_back(Urgent::Assign(partitions));
            }
            KafkaEvent::Revoke(partitions) => self.urgent.push_back(Urgent::Revoke(partitions)),
            KafkaEvent::Error { code, reason } => {
                tracing::debug!(?code, reason, "kafka error");
                if let Some(code) = code {
                    self.on_error(code);
                }
            }
        }
    }

    fn on_error(&mut self, code: Code) {
        let of_group = matches!(
            code,
            Code::InconsistentGroupProtocol
                | Code::GroupIdNotFound
                | Code::GroupAuthorizationFailed
        );
        match code {
            Code::AllBrokersDown => self.brokers_down = true,
            // Without a group nobody cares what its name is refused.
            _ if of_group && self.settings.group.is_none() => {}
            Code::InconsistentGroupProtocol
            | Code::GroupIdNotFound
            | Code::GroupAuthorizationFailed
            | Code::TopicAuthorizationFailed
            | Code::Authentication
            | Code::SaslAuthenticationFailed => {
                tracing::warn!(%code, "kafka refuses the consumer");
                self.obstacle = Some(code_failure(code));
            }
            _ => {}
        }
    }

    /// Tells who builds the consumer that it has its partitions, or cannot have them.
    fn answer_ready(&mut self) {
        let answer = match &self.obstacle {
            Some(obstacle) => Err(obstacle.clone()),
            None if self.has_partitions => Ok(()),
            None => return,
        };
        if let Some(ready) = self.ready.take() {
            let _ = ready.send(answer);
        }
    }

    /// Leaves the group and ends.
    async fn leave(mut self) {
        self.running = None;
        if self.assignment_open
            && let Err(error) = self.link.handle.assign(&Default::default())
        {
            tracing::debug!(%error, "cannot decline an assignment");
        }
        let queued = self.urgent.iter().filter_map(|op| match op {
            Urgent::Revoke(partitions) => Some(partitions),
            _ => None,
        });
        for partitions in self.revoking.iter().chain(queued) {
            if let Err(error) = self.link.handle.unassign(partitions) {
                tracing::debug!(%error, "cannot unassign");
            }
        }
        // What was refused is no member, and does not become one.
        let may_join = self.obstacle.is_none();
        if self.is_grouped() && !leave_group(&self.link, may_join, Instant::now() + LEAVE).await {
            tracing::warn!("the group was not left in time");
        }
        if let Some(Finished { reply, outcome }) = self.finished
            && let Some(reply) = reply
        {
            let _ = reply.send(outcome);
        }
    }
}

/// Ends with what `slot` holds; never, if it holds nothing.
async fn ongoing<T>(slot: &mut Option<BoxFuture<'static, T>>) -> T {
    match slot {
        Some(future) => future.await,
        None => pending().await,
    }
}

async fn delivery(answer: &mut Option<OnItsWay>) -> bool {
    match answer {
        Some(answer) => (&mut answer.delivered).await.is_ok(),
        None => pending().await,
    }
}

async fn until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => sleep_until(deadline).await,
        None => pending().await,
    }
}
