//! What becomes of sessions when their process has no lease, or its incarnation has ended.

use sluice_raft::guard::Phase;
use sluice_raft::{Moment, Move, RaftId, Registration, Version};

use super::*;

impl Node {
    /// Has the process begin anew under another incarnation, without a lease, as the guard does.
    fn begin_anew(&mut self) {
        self.standing
            .send_replace(Standing::begin(self.id.name.clone()));
        let former = std::mem::replace(&mut self.id, self.standing.borrow().node.clone());
        let registration = Command::Register(Registration {
            id: self.id.clone(),
            replaces: Some(former.incarnation),
            address: "n:7000".parse().unwrap(),
            raft_id: RaftId::from_number(0),
            version: Version::FIRST,
            release: String::new(),
            capacity: 10,
            at: Timestamp::from_millis(1_000),
        });
        futures::FutureExt::now_or_never(self.registry.propose(registration))
            .unwrap()
            .unwrap();
    }

    fn get_lease(&self) {
        self.standing.send_modify(|standing| {
            standing.phase = Phase::Registered;
            standing.granted(Moment::from_origin(Duration::ZERO), Duration::MAX);
        });
    }

    /// Gives the session to this process, as the leader does.
    async fn be_given_the_session(&self) {
        let session = self.registry.lookup(&id()).unwrap();
        let to = Move {
            epoch: session.epoch,
            to: self.id.clone(),
            handover: None,
        };
        let moves = [(id(), to)].into();
        self.registry
            .propose(Command::Move { moves })
            .await
            .unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn an_ended_incarnation_drops_what_it_runs_and_the_next_opens_what_it_is_given() {
    let mut node = node();
    node.subscribed().await;
    node.standing
        .send_modify(|standing| standing.phase = Phase::Ended);
    node.ownership.abandon(in_time()).await;
    assert_eq!(node.host.epochs(&id(), Done::Abandoned), [1]);
    node.begin_anew();
    let asking = {
        let ownership = node.ownership.clone();
        let call = |session: fake::FakeSession| async move { session.work(Duration::ZERO).await };
        tokio::spawn(async move { ownership.with(&id(), in_time(), &FIRST, call).await })
    };
    until("the request waits", || node.ownership.waiting(9) == [id()]).await;
    node.be_given_the_session().await;
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert_eq!(
        node.host.epochs(&id(), Done::Opened),
        [1],
        "opened without a lease"
    );
    node.get_lease();
    assert_eq!(asking.await.unwrap(), Ok(2));
    assert_eq!(node.host.epochs(&id(), Done::Opened), [1, 2]);
    assert!(node.ownership.waiting(9).is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_subscribe_waits_for_the_lease_and_leaves_nothing_without_one() {
    let mut node = node();
    node.begin_anew();
    let refused = node.subscribe(spec(&["orders"]), within(2_000)).await;
    assert!(refused.is_err(), "{refused:?}");
    assert_eq!(node.host.openings(), 0);
    node.get_lease();
    node.freed().await;
    node.subscribed().await;
    assert_eq!(node.host.openings(), 1);
}
