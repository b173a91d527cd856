//! How sessions go to another node by plan.

use std::collections::BTreeMap;

use async_trait::async_trait;
use sluice_raft::{NodeState, RaftId, Registration, Version};

use super::*;
use crate::ownership::handover;

/// Everything goes to one node.
struct To(NodeId);

#[async_trait]
impl Places for To {
    async fn destinations(&self, sessions: &[ConsumerId]) -> BTreeMap<ConsumerId, NodeId> {
        sessions
            .iter()
            .map(|id| (id.clone(), self.0.clone()))
            .collect()
    }
}

impl Node {
    /// Has the registry take another process for a node, which does nothing.
    async fn other(&self) -> NodeId {
        let other = NodeId {
            name: "other".parse().unwrap(),
            incarnation: Incarnation::random(),
        };
        let registration = Registration {
            id: other.clone(),
            replaces: None,
            address: "other:7000".parse().unwrap(),
            raft_id: RaftId::from_number(1),
            version: Version::FIRST,
            release: String::new(),
            capacity: 10,
            at: Timestamp::from_millis(1_000),
        };
        let registered = Command::Register(registration);
        self.registry.propose(registered).await.unwrap();
        other
    }

    async fn change(&self, node: &NodeId, to: NodeState) {
        let revision = self.registry.node(&node.name).unwrap().revision;
        let command = Command::ChangeNode {
            node: node.clone(),
            revision,
            to,
            at: Timestamp::from_millis(1_000),
        };
        self.registry.propose(command).await.unwrap();
    }

    fn owner(&self) -> NodeId {
        self.registry.lookup(&id()).unwrap().owner.clone()
    }
}

#[tokio::test(start_paused = true)]
async fn a_node_that_drains_gives_its_sessions_away_with_what_they_have_delivered() {
    let node = node();
    let other = node.other().await;
    node.subscribe(spec(&["orders"]), in_time()).await.unwrap();
    let (_asking, asked) = watch::channel(Vec::new());
    let to = Arc::new(To(other.clone()));
    node.ownership.hand_over_to(to, asked);
    let asking = {
        let ownership = node.ownership.clone();
        let call =
            |session: fake::FakeSession| async move { session.work(Duration::from_secs(1)).await };
        tokio::spawn(async move { ownership.with(&id(), in_time(), &FIRST, call).await })
    };
    node.change(&node.id, NodeState::Draining).await;
    node.ownership.drained().await;
    let moved = node.registry.lookup(&id()).unwrap();
    assert_eq!((&moved.owner, moved.epoch.get()), (&other, 2));
    let handed_over = moved.handed_over.as_ref().unwrap();
    assert_eq!(handed_over.handover.idle, Duration::from_secs(4));
    // What was asked meanwhile goes where the session is.
    assert!(matches!(asking.await.unwrap(), Err(Error::Elsewhere(owner)) if owner.node == other));
    until("the handle is gone", || node.host.claims().is_empty()).await;
    assert_eq!(node.host.epochs(&id(), Done::StayedBehind), [1]);
    assert!(
        node.host.epochs(&id(), Done::Left).is_empty(),
        "its member stays in the group"
    );
}

#[tokio::test(start_paused = true)]
async fn a_session_whose_taker_is_gone_goes_on_where_it_is() {
    let node = node();
    let other = node.other().await;
    node.subscribe(spec(&["orders"]), in_time()).await.unwrap();
    node.change(&other, NodeState::Dead).await;
    let session = node.registry.lookup(&id()).unwrap();
    assert!(!handover::give(&node.ownership.core, session, other).await);
    assert_eq!(node.host.epochs(&id(), Done::Resumed), [1]);
    assert_eq!(node.request(Duration::ZERO, in_time()).await, Ok(1));
    assert_eq!(node.owner(), node.id);
}

#[tokio::test(start_paused = true)]
async fn without_a_quorum_nothing_moves() {
    let node = node();
    let other = node.other().await;
    node.subscribe(spec(&["orders"]), in_time()).await.unwrap();
    let session = node.registry.lookup(&id()).unwrap();
    node.registry.set_quorum_for_tests(false);
    assert!(!handover::give(&node.ownership.core, session, other).await);
    assert_eq!(node.request(Duration::ZERO, in_time()).await, Ok(1));
}

#[tokio::test(start_paused = true)]
async fn a_delete_and_a_move_of_one_session_do_not_undo_each_other() {
    for first in [0, 10, 25] {
        let node = node();
        let other = node.other().await;
        node.subscribe(spec(&["orders"]), in_time()).await.unwrap();
        let session = node.registry.lookup(&id()).unwrap();
        let (ownership, id) = (node.ownership.clone(), id());
        let delete = async {
            tokio::time::sleep(Duration::from_millis(first)).await;
            ownership.delete(&id, in_time(), &FIRST).await
        };
        let moving = handover::give(&node.ownership.core, session, other.clone());
        let (deleted, _) = tokio::join!(delete, moving);
        match deleted {
            Ok(()) => node.freed().await,
            // It moved first: the delete goes to its owner.
            Err(Error::Elsewhere(owner)) => assert_eq!(owner.node, other),
            Err(error) => panic!("{error}"),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn what_another_node_has_taken_is_let_go() {
    let node = node();
    let other = node.other().await;
    node.subscribe(spec(&["orders"]), in_time()).await.unwrap();
    let taken = sluice_raft::Move {
        epoch: node.registry.lookup(&id()).unwrap().epoch,
        to: other,
        handover: None,
    };
    let moves = [(id(), taken)].into();
    node.registry
        .propose(Command::Move { moves })
        .await
        .unwrap();
    until("it is let go", || node.host.claims().is_empty()).await;
    assert_eq!(node.host.epochs(&id(), Done::StayedBehind), [1]);
}

#[tokio::test(start_paused = true)]
async fn what_the_leader_asks_for_moves_and_nothing_else() {
    let node = node();
    let other = node.other().await;
    node.subscribed().await;
    let (asking, asked) = watch::channel(Vec::new());
    node.ownership
        .hand_over_to(Arc::new(To(other.clone())), asked);
    let claim = node.registry.lookup(&id()).unwrap().claim();
    let mut late = claim.clone();
    late.epoch = late.epoch.next();
    for claim in [late, claim] {
        assert_eq!(node.owner(), node.id);
        assert_eq!(node.ownership.idlest(9), [id()]);
        let to = other.clone();
        asking.send_replace(vec![AskedMove { claim, to }]);
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    assert_eq!(node.owner(), other);
    assert!(node.ownership.idlest(9).is_empty());
}
