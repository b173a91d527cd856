//! Subscribe, delete, restart and their races, over sessions without Kafka and in paused time.

mod beginning;
mod ending;
mod failing;
mod fake;
mod giving;
mod moving;
mod standing;
mod whole;

use std::time::Duration;

use sluice_actors::{Deadline, Ended};
use sluice_raft::guard::{BootClock, Standing};
use sluice_raft::{Command, Creation, Outcome};
use sluice_types::{
    AssignmentStrategy, CreationStamp, Format, Incarnation, IsolationLevel, NodeId, OffsetReset,
    Timestamp,
};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::*;
use crate::cluster::Introduction;
use fake::{Done, Fake, Manner};

/// A request as a client sends it.
static FIRST: Hop = Hop::first();

struct Fixed;

impl Clock for Fixed {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(1_000)
    }
}

/// A node with a registry and sessions of its own.
struct Node {
    id: NodeId,
    standing: watch::Sender<Standing>,
    registry: RegistryHandle,
    host: Fake,
    ownership: Ownership<Fake>,
}

fn node() -> Node {
    node_with(Manner::default())
}

fn node_with(manner: Manner) -> Node {
    let id = NodeId {
        name: "n".parse().unwrap(),
        incarnation: Incarnation::random(),
    };
    let registry = Introduction::registry_of(&id, &Fixed);
    let (sender, events) = mpsc::channel(8);
    let host = Fake::new(sender);
    host.behave(manner);
    let clock = Arc::new(Fixed);
    let (standing, receiver) = watch::channel(Standing::alone(id.clone()));
    let identity = Identity::new(receiver, Arc::new(BootClock));
    let ownership = Ownership::start(identity, registry.clone(), host.clone(), events, clock);
    Node {
        id,
        standing,
        registry,
        host,
        ownership,
    }
}

pub(super) fn spec(topics: &[&str]) -> SessionSpec {
    SessionSpec {
        group_id: "g".parse().unwrap(),
        topics: topics.iter().map(|t| t.parse().unwrap()).collect(),
        auto_offset_reset: OffsetReset::Latest,
        session_timeout: Duration::from_secs(30),
        auto_commit: false,
        auto_commit_interval: Duration::from_secs(5),
        isolation_level: IsolationLevel::ReadCommitted,
        key_format: Format::String,
        value_format: Format::String,
        assignment_strategy: AssignmentStrategy::CooperativeSticky,
        client_id: "sluice".to_owned(),
    }
}

fn id() -> ConsumerId {
    "c".parse().unwrap()
}

fn in_time() -> Deadline {
    within(30_000)
}

fn within(millis: u64) -> Deadline {
    Deadline::after(Duration::from_millis(millis))
}

/// Waits for something that must come, in paused time.
#[track_caller]
fn until(what: &'static str, mut is_so: impl FnMut() -> bool) -> impl Future<Output = ()> {
    let place = std::panic::Location::caller();
    async move {
        let give_up = Instant::now() + Duration::from_secs(300);
        while !is_so() {
            assert!(Instant::now() < give_up, "{place}: never came: {what}");
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
}

impl Node {
    async fn subscribe(&self, spec: SessionSpec, deadline: Deadline) -> Result<Subscribed, Error> {
        self.ownership.subscribe(id(), spec, deadline, &FIRST).await
    }

    async fn subscribed(&self) -> Subscribed {
        self.subscribe(spec(&["orders"]), in_time()).await.unwrap()
    }

    fn spawn_subscribe(&self) -> JoinHandle<Result<Subscribed, Error>> {
        let ownership = self.ownership.clone();
        tokio::spawn(async move {
            let spec = spec(&["orders"]);
            ownership.subscribe(id(), spec, in_time(), &FIRST).await
        })
    }

    /// A request that takes this long; answers the epoch that served it.
    async fn request(&self, takes: Duration, deadline: Deadline) -> Result<u64, Error> {
        let call = |session: fake::FakeSession| async move { session.work(takes).await };
        self.ownership.with(&id(), deadline, &FIRST, call).await
    }

    /// Gives the session a new epoch that its node did not ask for.
    async fn reopen_behind_its_back(&self) {
        let session = self.registry.lookup(&id()).unwrap();
        let command = Command::Open {
            owner: self.id.clone(),
            claims: [(id(), session.epoch)].into(),
        };
        self.registry.propose(command).await.unwrap();
    }

    fn epoch(&self) -> Option<u64> {
        self.registry
            .lookup(&id())
            .map(|session| session.epoch.get())
    }

    fn is_free(&self) -> bool {
        self.registry.lookup(&id()).is_none() && self.host.claims().is_empty()
    }

    async fn freed(&self) {
        until("the id is free", || self.is_free()).await;
        // And stays so: nothing brings it back behind our back.
        tokio::time::sleep(Duration::from_secs(20)).await;
        assert!(self.is_free());
    }
}
