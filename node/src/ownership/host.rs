//! The few things that ownership asks of sessions; in tests a fake answers them.

use std::collections::BTreeMap;
use std::future::Future;
use std::time::Duration;

use sluice_actors::{
    Assignment, Deadline, Departure, Error, HandedOver, Opening, SessionHandle, Sessions, Snapshot,
};
use sluice_types::{Claim, ConsumerId, TopicName};

/// Where sessions run: [`Sessions`]. Each method is the one of that name.
pub trait Host: Clone + Send + Sync + 'static {
    /// A session that runs.
    type Session: Running;

    /// How many partitions each topic has.
    fn describe_topics(
        &self,
        topics: &[TopicName],
        deadline: Deadline,
    ) -> impl Future<Output = Result<BTreeMap<TopicName, i32>, Error>> + Send;
    /// Whether a broker answers now.
    fn kafka_reachable(&self) -> impl Future<Output = bool> + Send;
    /// For how long Kafka keeps a member of which it hears nothing.
    fn member_timeout(&self) -> Duration;
    /// Runs a session.
    fn open(&self, opening: Opening) -> Result<Self::Session, Error>;
    /// The session with this id, if it runs here.
    fn get(&self, id: &ConsumerId) -> Option<Self::Session>;
    /// All sessions that run here.
    fn claims(&self) -> Vec<Claim>;
    /// Drops every session without a word to its group, and goes on. Returns how many handles were
    /// not closed by the deadline.
    fn abandon(&self, deadline: Deadline) -> impl Future<Output = usize> + Send;
    /// Stops every session.
    fn shutdown(
        &self,
        departure: Departure,
        deadline: Deadline,
    ) -> impl Future<Output = usize> + Send;
}

/// A session that runs: [`SessionHandle`]. Each method is the one of that name.
pub trait Running: Clone + Send + Sync + 'static {
    /// The ownership under which the session runs.
    fn claim(&self) -> &Claim;
    /// Waits for partitions; renews the session.
    fn ready(&self, deadline: Deadline) -> impl Future<Output = Result<Assignment, Error>> + Send;
    /// The session as it is; does not renew it.
    fn snapshot(&self, deadline: Deadline) -> impl Future<Output = Result<Snapshot, Error>> + Send;
    /// First step of a planned move.
    fn hand_over(
        &self,
        deadline: Deadline,
    ) -> impl Future<Output = Result<Option<HandedOver>, Error>> + Send;
    /// Ends a move that has come to nothing.
    fn resume(&self);
    /// Last step of a planned move: ends here, and leaves the member in the group.
    fn stay_behind(&self, deadline: Deadline) -> impl Future<Output = bool> + Send;
    /// First step of a delete.
    fn finish(&self, deadline: Deadline) -> impl Future<Output = ()> + Send;
    /// Last step of a delete.
    fn leave(&self, deadline: Deadline) -> impl Future<Output = bool> + Send;
}

impl Host for Sessions {
    type Session = SessionHandle;

    async fn describe_topics(
        &self,
        topics: &[TopicName],
        deadline: Deadline,
    ) -> Result<BTreeMap<TopicName, i32>, Error> {
        self.describe_topics(topics, deadline).await
    }

    async fn kafka_reachable(&self) -> bool {
        self.kafka_reachable().await
    }

    fn member_timeout(&self) -> Duration {
        self.member_timeout()
    }

    fn open(&self, opening: Opening) -> Result<SessionHandle, Error> {
        self.open(opening)
    }

    fn get(&self, id: &ConsumerId) -> Option<SessionHandle> {
        self.get(id)
    }

    fn claims(&self) -> Vec<Claim> {
        self.claims()
    }

    async fn abandon(&self, deadline: Deadline) -> usize {
        self.abandon_all(deadline).await
    }

    async fn shutdown(&self, departure: Departure, deadline: Deadline) -> usize {
        self.shutdown(departure, deadline).await
    }
}

impl Running for SessionHandle {
    fn claim(&self) -> &Claim {
        self.claim()
    }

    async fn ready(&self, deadline: Deadline) -> Result<Assignment, Error> {
        self.ready(deadline).await
    }

    async fn snapshot(&self, deadline: Deadline) -> Result<Snapshot, Error> {
        self.snapshot(deadline).await
    }

    async fn hand_over(&self, deadline: Deadline) -> Result<Option<HandedOver>, Error> {
        self.hand_over(deadline).await
    }

    fn resume(&self) {
        self.resume();
    }

    async fn stay_behind(&self, deadline: Deadline) -> bool {
        self.depart(Departure::Stay, deadline).await
    }

    async fn finish(&self, deadline: Deadline) {
        self.finish(deadline).await;
    }

    async fn leave(&self, deadline: Deadline) -> bool {
        self.leave(deadline).await
    }
}
