//! Sessions without Kafka, for tests.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use sluice_actors::{
    Assignment, Deadline, Departure, Ended, Error, HandedOver, Opening, SessionEvent, Snapshot,
    SnapshotState,
};
use sluice_types::{
    Claim, ConsumerId, Mode, Offsets, PartitionMap, Partitions, SessionSpec, Timestamp, TopicName,
};
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

use crate::ownership::host::{Host, Running};

/// What was done to a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Done {
    Opened,
    Finished,
    Left,
    Abandoned,
    HandedOver,
    Resumed,
    StayedBehind,
}

/// How sessions behave from when they are opened on.
#[derive(Clone, Debug)]
pub(super) struct Manner {
    pub(super) ready_after: Duration,
    pub(super) ready: Result<(), Error>,
    pub(super) panics_after: Option<Duration>,
    pub(super) leaves_after: Duration,
    pub(super) ends_after: Duration,
    pub(super) hands_over_after: Duration,
    pub(super) limit: usize,
    pub(super) reaches_kafka: bool,
}

impl Default for Manner {
    fn default() -> Self {
        Self {
            ready_after: Duration::from_millis(60),
            ready: Ok(()),
            panics_after: None,
            leaves_after: Duration::from_millis(5),
            ends_after: Duration::ZERO,
            hands_over_after: Duration::from_millis(20),
            limit: 100,
            reaches_kafka: true,
        }
    }
}

#[derive(Clone)]
pub(super) struct Fake {
    state: Arc<Mutex<State>>,
    events: mpsc::Sender<SessionEvent>,
}

struct State {
    manner: Manner,
    topics: BTreeMap<TopicName, i32>,
    running: BTreeMap<ConsumerId, FakeSession>,
    log: Vec<(Instant, Done, Claim)>,
}

#[derive(Clone)]
pub(super) struct FakeSession {
    host: Fake,
    claim: Claim,
    spec: SessionSpec,
    created_at: Timestamp,
    manner: Manner,
    /// Why requests are answered no more, once they are not.
    ended: watch::Sender<Option<Error>>,
}

impl Fake {
    pub(super) fn new(events: mpsc::Sender<SessionEvent>) -> Self {
        let topics = [("orders", 3), ("events", 2)];
        Self {
            state: Arc::new(Mutex::new(State {
                manner: Manner::default(),
                topics: topics.map(|(t, n)| (t.parse().unwrap(), n)).into(),
                running: BTreeMap::new(),
                log: Vec::new(),
            })),
            events,
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    /// Sets how sessions behave that are opened from now on.
    pub(super) fn behave(&self, manner: Manner) {
        self.state().manner = manner;
    }

    /// The epochs at which this was done to the session, and when.
    pub(super) fn times(&self, id: &ConsumerId, what: Done) -> Vec<(u64, Instant)> {
        let state = self.state();
        let entries = state.log.iter();
        entries
            .filter(|(_, done, claim)| *done == what && claim.id == *id)
            .map(|(when, _, claim)| (claim.epoch.get(), *when))
            .collect()
    }

    /// The epochs at which this was done to the session.
    pub(super) fn epochs(&self, id: &ConsumerId, what: Done) -> Vec<u64> {
        let times = self.times(id, what);
        times.into_iter().map(|(epoch, _)| epoch).collect()
    }

    /// How many sessions were opened, whatever their ids.
    pub(super) fn openings(&self) -> usize {
        let state = self.state();
        let entries = state.log.iter();
        entries.filter(|(_, done, _)| *done == Done::Opened).count()
    }

    /// Ends the actor, and tells of it.
    pub(super) async fn end(&self, id: &ConsumerId, ended: Ended) {
        let failed = match ended {
            Ended::Panicked => Error::SessionFailed,
            _ => Error::NotHere,
        };
        if let Some(claim) = self.vanish(id, failed) {
            let _ = self.events.send(SessionEvent { claim, ended }).await;
        }
    }

    /// Tells of an expiry; the actor waits to be finished.
    pub(super) async fn expire(&self, id: &ConsumerId) {
        let claim = self.get(id).unwrap().claim;
        let ended = Ended::Expired;
        self.events
            .send(SessionEvent { claim, ended })
            .await
            .unwrap();
    }

    /// Ends the actor, and tells nobody.
    pub(super) fn vanish(&self, id: &ConsumerId, failed: Error) -> Option<Claim> {
        let session = self.state().running.remove(id)?;
        session.ended.send_replace(Some(failed));
        Some(session.claim)
    }

    /// Hands the session over from now on, or has it serve again.
    pub(super) fn hand_over(&self, id: &ConsumerId, is_moving: bool) {
        let session = self.get(id).unwrap();
        session
            .ended
            .send_replace(is_moving.then_some(Error::Moving));
    }

    fn log(&self, done: Done, claim: &Claim) {
        self.state().log.push((Instant::now(), done, claim.clone()));
    }
}

impl Host for Fake {
    type Session = FakeSession;

    async fn describe_topics(
        &self,
        topics: &[TopicName],
        _deadline: Deadline,
    ) -> Result<BTreeMap<TopicName, i32>, Error> {
        tokio::time::sleep(Duration::from_millis(5)).await;
        let mut known = self.state().topics.clone();
        known.retain(|topic, _| topics.contains(topic));
        Ok(known)
    }

    async fn kafka_reachable(&self) -> bool {
        self.state().manner.reaches_kafka
    }

    fn member_timeout(&self) -> Duration {
        Duration::from_secs(30)
    }

    fn open(&self, opening: Opening) -> Result<FakeSession, Error> {
        let manner = self.state().manner.clone();
        let limit = manner.limit;
        if self.state().running.len() >= limit {
            return Err(Error::TooManySessions { limit });
        }
        let session = FakeSession {
            host: self.clone(),
            claim: opening.claim.clone(),
            spec: opening.spec,
            created_at: opening.created_at,
            manner,
            ended: watch::Sender::new(None),
        };
        let former = self
            .state()
            .running
            .insert(opening.claim.id.clone(), session.clone());
        if let Some(former) = former {
            // Its handle is fenced by the new one.
            assert!(
                former.claim.epoch < opening.claim.epoch,
                "{} runs twice",
                opening.claim
            );
            former.ended.send_replace(Some(Error::NotHere));
        }
        self.log(Done::Opened, &opening.claim);
        if let Some(after) = session.manner.panics_after {
            let (host, id) = (self.clone(), opening.claim.id);
            tokio::spawn(async move {
                tokio::time::sleep(after).await;
                host.end(&id, Ended::Panicked).await;
            });
        }
        Ok(session)
    }

    fn get(&self, id: &ConsumerId) -> Option<FakeSession> {
        self.state().running.get(id).cloned()
    }

    fn claims(&self) -> Vec<Claim> {
        let state = self.state();
        state
            .running
            .values()
            .map(|session| session.claim.clone())
            .collect()
    }

    async fn abandon(&self, _deadline: Deadline) -> usize {
        let running = std::mem::take(&mut self.state().running);
        for session in running.into_values() {
            session.ended.send_replace(Some(Error::NotHere));
            self.log(Done::Abandoned, &session.claim);
        }
        0
    }

    async fn shutdown(&self, _: Departure, _deadline: Deadline) -> usize {
        let running = std::mem::take(&mut self.state().running);
        for session in running.into_values() {
            session.ended.send_replace(Some(Error::ShuttingDown));
        }
        0
    }
}

impl FakeSession {
    /// Does what the caller says for this long, unless the session ends.
    pub(super) async fn work(&self, how_long: Duration) -> Result<u64, Error> {
        let mut ended = self.ended.subscribe();
        let has_ended = async { ended.wait_for(Option::is_some).await.unwrap().clone() };
        tokio::select! {
            biased;
            error = has_ended => Err(error.unwrap()),
            () = tokio::time::sleep(how_long) => Ok(self.claim.epoch.get()),
        }
    }

    fn assignment(&self) -> Assignment {
        Assignment {
            assignment: Partitions::new(),
            generation: 1,
        }
    }
}

impl Running for FakeSession {
    fn claim(&self) -> &Claim {
        &self.claim
    }

    async fn ready(&self, deadline: Deadline) -> Result<Assignment, Error> {
        self.work(self.manner.ready_after.min(deadline.remaining()))
            .await?;
        self.manner.ready.clone().map(|()| self.assignment())
    }

    async fn snapshot(&self, _deadline: Deadline) -> Result<Snapshot, Error> {
        self.work(Duration::ZERO).await?;
        Ok(Snapshot {
            claim: self.claim.clone(),
            spec: self.spec.clone(),
            mode: Mode::Subscribed,
            state: SnapshotState::Running,
            assignment: self.assignment(),
            positions: Offsets::new(),
            committed: Offsets::new(),
            lag: PartitionMap::new(),
            idle: Duration::ZERO,
            created_at: self.created_at,
        })
    }

    async fn hand_over(&self, _deadline: Deadline) -> Result<Option<HandedOver>, Error> {
        self.ended.send_replace(Some(Error::Moving));
        tokio::time::sleep(self.manner.hands_over_after).await;
        self.host.log(Done::HandedOver, &self.claim);
        Ok(Some(HandedOver {
            points: PartitionMap::new(),
            idle: Duration::from_secs(4),
        }))
    }

    fn resume(&self) {
        self.ended.send_replace(None);
        self.host.log(Done::Resumed, &self.claim);
    }

    async fn stay_behind(&self, _deadline: Deadline) -> bool {
        self.host.log(Done::StayedBehind, &self.claim);
        self.host.vanish(&self.claim.id, Error::NotHere).is_some()
    }

    async fn finish(&self, _deadline: Deadline) {
        tokio::time::sleep(Duration::from_millis(2)).await;
        self.ended.send_replace(Some(Error::NotHere));
        self.host.log(Done::Finished, &self.claim);
    }

    async fn leave(&self, deadline: Deadline) -> bool {
        let takes = self.manner.leaves_after;
        let is_in_time = takes <= deadline.remaining();
        tokio::time::sleep(takes.min(deadline.remaining())).await;
        self.host.log(Done::Left, &self.claim);
        let (host, id) = (self.host.clone(), self.claim.id.clone());
        let ends_after = self.manner.ends_after;
        tokio::spawn(async move {
            tokio::time::sleep(ends_after).await;
            host.vanish(&id, Error::NotHere);
        });
        is_in_time
    }
}
