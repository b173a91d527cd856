//! Sessions of a process that has lost its right to run them.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

use sluice_actors::{Commit, Error};
use sluice_tests::eventually;

use super::fixture::{DEADLINE, Fixture, SHORT, from, poll, poll_of, soon};

#[tokio::test(flavor = "multi_thread")]
async fn abandoned_sessions_keep_their_members_and_send_who_waits_away() {
    let fixture = Fixture::start(1).await;
    fixture.fill(10).await;
    let node = fixture.node();
    let session = fixture.open_ready(&node).await;
    let first = poll(&session, 100).await.unwrap();
    assert_eq!(first.places, from(0, 10));
    let waiting = session.poll(poll_of(1, DEADLINE, None), soon());
    tokio::pin!(waiting);
    let early = tokio::time::timeout(SHORT, &mut waiting).await;
    assert!(early.is_err(), "{early:?}");

    assert_eq!(node.sessions.abandon_all(soon()).await, 0);
    assert!(node.sessions.claims().is_empty());
    let answer = waiting.await;
    assert!(matches!(answer, Err(Error::NotHere)), "{answer:?}");
    let late = session.commit(Commit::Delivered, soon()).await;
    assert!(matches!(late, Err(Error::NotHere)), "{late:?}");
    let members = fixture.kafka.members(&fixture.group).await.unwrap();
    assert_eq!(members.len(), 1, "{members:?}");

    fixture.moves(None);
    let session = fixture.open_ready(&node).await;
    let again = poll(&session, 100).await.unwrap();
    assert_eq!(again.places, from(0, 10), "nothing was committed");
    assert_eq!(again.generation, first.generation);
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_auto_commit_owes_is_not_committed_without_the_right_to() {
    let mut fixture = Fixture::start(1).await;
    fixture.spec.auto_commit = true;
    fixture.fill(10).await;
    let node = fixture.node();
    let session = fixture.open_ready(&node).await;
    poll(&session, 5).await.unwrap();
    poll(&session, 5).await.unwrap();
    assert_eq!(node.sessions.abandon_all(soon()).await, 0);
    eventually(DEADLINE, "the handle is closed", async || {
        node.sessions.closer_backlog() == 0
    })
    .await;
    let topic = fixture.topic.as_str();
    let committed = fixture.kafka.committed(&fixture.group, topic).await;
    assert_eq!(committed.unwrap(), [].into());
}
