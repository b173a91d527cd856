//! Manually assigned sessions are served under a lease only.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

use std::time::Duration;

use sluice_actors::{Commit, Ended, Error, SessionHandle};
use sluice_tests::eventually;
use tokio::time::timeout;

use super::fixture::{DEADLINE, Fixture, Node, SHORT, from, poll, poll_of, soon};

/// A session that reads a partition assigned by hand; ten records are there.
async fn assigned(fixture: &Fixture, node: &Node) -> SessionHandle {
    fixture.fill(10).await;
    let session = fixture.open_ready(node).await;
    let wanted = [fixture.at(0)].into_iter().collect();
    session.assign(wanted, soon()).await.unwrap();
    session
}

async fn has_lost_its_lease(node: &mut Node, session: &SessionHandle) {
    let event = timeout(DEADLINE, node.events.recv()).await;
    let event = event.expect("the session ends").unwrap();
    assert_eq!(event.claim, *session.claim());
    assert_eq!(event.ended, Ended::LeaseLost);
}

#[tokio::test(flavor = "multi_thread")]
async fn at_the_leases_end_nothing_is_answered_or_committed() {
    let fixture = Fixture::start(1).await;
    let mut node = fixture.node();
    let session = assigned(&fixture, &node).await;
    let answer = session.poll(poll_of(5, DEADLINE, None), soon()).await;
    let answer = answer.unwrap();
    assert!(answer.may_begin());

    fixture.registry.grant(Duration::ZERO);
    assert!(!answer.may_begin());
    drop(answer);
    let offsets = Commit::Offsets(fixture.offsets([(0, 5)]));
    let committed = session.commit(offsets, soon()).await;
    assert!(matches!(committed, Err(Error::NotHere)), "{committed:?}");
    has_lost_its_lease(&mut node, &session).await;
    let polled = poll(&session, 5).await;
    assert!(matches!(polled, Err(Error::NotHere)), "{polled:?}");
    eventually(DEADLINE, "the handle is closed", async || {
        node.sessions.claims().is_empty() && node.sessions.closer_backlog() == 0
    })
    .await;
    let topic = fixture.topic.as_str();
    let committed = fixture.kafka.committed(&fixture.group, topic).await;
    assert_eq!(committed.unwrap(), [].into());

    // Without a lease it is not opened again, with one it is.
    fixture.moves(None);
    let session = fixture.open(&node);
    has_lost_its_lease(&mut node, &session).await;
    fixture.registry.grant(Duration::MAX);
    fixture.moves(None);
    let session = fixture.open_ready(&node).await;
    assert_eq!(poll(&session, 100).await.unwrap().places, from(0, 10));
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_nobody_asks_ends_with_the_lease() {
    let fixture = Fixture::start(1).await;
    let mut node = fixture.node();
    let session = assigned(&fixture, &node).await;
    poll(&session, 100).await.unwrap();
    let waiting = session.poll(poll_of(1, DEADLINE, None), soon());
    tokio::pin!(waiting);
    let early = timeout(SHORT, &mut waiting).await;
    assert!(early.is_err(), "{early:?}");
    fixture.registry.grant(Duration::ZERO);
    has_lost_its_lease(&mut node, &session).await;
    let answer = waiting.await;
    assert!(matches!(answer, Err(Error::NotHere)), "{answer:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_auto_commit_owes_a_manual_session_is_not_committed_without_a_lease() {
    let mut fixture = Fixture::start(1).await;
    fixture.spec.auto_commit = true;
    let node = fixture.node();
    let session = assigned(&fixture, &node).await;
    poll(&session, 5).await.unwrap();
    poll(&session, 5).await.unwrap();
    // It knows that both were delivered, so that it owes a commit.
    let positions = session.positions(soon()).await.unwrap();
    assert_eq!(positions.offsets, fixture.offsets([(0, 10)]));
    fixture.registry.grant(Duration::ZERO);
    // A delete commits before it leaves, and ends a session without a lease too.
    session.finish(soon()).await;
    assert!(session.leave(soon()).await || node.sessions.claims().is_empty());
    let topic = fixture.topic.as_str();
    let committed = fixture.kafka.committed(&fixture.group, topic).await;
    assert_eq!(committed.unwrap(), [].into());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_of_a_group_needs_no_lease_and_gets_no_assignment_without() {
    let fixture = Fixture::start(1).await;
    let node = fixture.node();
    fixture.fill(10).await;
    let session = fixture.open_ready(&node).await;
    fixture.registry.grant(Duration::ZERO);
    assert_eq!(poll(&session, 100).await.unwrap().places, from(0, 10));
    let committed = session.commit(Commit::Delivered, soon()).await.unwrap();
    assert_eq!(committed.offsets, fixture.offsets([(0, 10)]));
    let wanted = [fixture.at(0)].into_iter().collect();
    let assigned = session.assign(wanted, soon()).await;
    assert!(matches!(assigned, Err(Error::NoQuorum)), "{assigned:?}");
    assert!(poll_is_open(&session).await);
    node.stop().await;
}

/// Whether the session still serves.
async fn poll_is_open(session: &SessionHandle) -> bool {
    let polled = session.poll(poll_of(1, SHORT, None), soon()).await;
    polled.is_ok_and(|answer| answer.records == 0)
}
