//! Cursors of answers that the former owner has given.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

use sluice_actors::{Departure, Seek, SeekTarget, SessionHandle};

use super::fixture::{Fixture, Node, from, offset, poll, poll_after, soon};

/// Moves the session on from its node to another; unplanned, with nothing handed over.
async fn moved(
    fixture: &Fixture,
    session: &SessionHandle,
    to: &Node,
    is_planned: bool,
) -> SessionHandle {
    let handed_over = session.hand_over(soon()).await.unwrap();
    fixture.moves(handed_over.filter(|_| is_planned));
    assert!(session.depart(Departure::Stay, soon()).await);
    fixture.open_ready(to).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cursor_counts_under_the_next_owner_as_under_the_one_it_came_from() {
    for is_planned in [true, false] {
        let fixture = Fixture::start(1).await;
        fixture.fill(20).await;
        let (one, other) = (fixture.node(), fixture.node());
        let session = fixture.open_ready(&one).await;
        let first = poll(&session, 5).await.unwrap();
        let lost = poll_after(&session, 5, Some(&first.cursor)).await.unwrap();
        assert_eq!(lost.places, from(5, 5));
        let session = moved(&fixture, &session, &other, is_planned).await;
        let again = poll_after(&session, 5, Some(&first.cursor)).await.unwrap();
        assert_eq!(again.places, from(5, 5), "planned: {is_planned}");
        let next = poll_after(&session, 5, Some(&again.cursor)).await.unwrap();
        assert_eq!(next.places, from(10, 5), "planned: {is_planned}");
        other.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cursor_of_before_a_seek_counts_under_no_later_owner() {
    for is_planned in [true, false] {
        let fixture = Fixture::start(1).await;
        fixture.fill(20).await;
        let (one, other) = (fixture.node(), fixture.node());
        let session = fixture.open_ready(&one).await;
        let first = poll(&session, 5).await.unwrap();
        let target = SeekTarget::Offset(offset(15));
        let seek = Seek::Partitions(vec![(fixture.at(0), target)]);
        session.seek(seek, soon()).await.unwrap();
        let session = moved(&fixture, &session, &other, is_planned).await;
        let sought = poll_after(&session, 5, Some(&first.cursor)).await.unwrap();
        assert_eq!(sought.places, from(15, 5), "planned: {is_planned}");
        other.stop().await;
    }
}
