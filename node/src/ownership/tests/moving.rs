//! Requests to a session that is being handed over.

use super::*;

#[tokio::test(start_paused = true)]
async fn a_request_waits_for_a_move_that_fails_and_is_served_where_the_session_goes_on() {
    let node = node();
    node.subscribed().await;
    node.host.hand_over(&id(), true);
    let request = node.request(Duration::ZERO, in_time());
    let resumed = async {
        tokio::time::sleep(Duration::from_secs(2)).await;
        node.host.hand_over(&id(), false);
    };
    assert_eq!(tokio::join!(request, resumed).0, Ok(1));
    node.subscribed().await;
    assert_eq!(node.host.epochs(&id(), Done::Opened), [1]);
}

#[tokio::test(start_paused = true)]
async fn a_request_goes_where_the_session_is_moved() {
    let node = node();
    node.subscribed().await;
    node.host.hand_over(&id(), true);
    let request = node.request(Duration::ZERO, in_time());
    let moved = async {
        tokio::time::sleep(Duration::from_secs(2)).await;
        node.reopen_behind_its_back().await;
    };
    assert_eq!(tokio::join!(request, moved).0, Ok(2));
}

#[tokio::test(start_paused = true)]
async fn a_request_to_a_session_that_stays_between_owners_gives_up_at_its_deadline() {
    let node = node();
    node.subscribed().await;
    node.host.hand_over(&id(), true);
    let began = Instant::now();
    let answer = node.request(Duration::ZERO, within(3_000)).await;
    assert_eq!(answer, Err(Error::OwnerUnavailable));
    assert_eq!(began.elapsed().as_secs(), 3);
    let described = node.ownership.describe(&id(), in_time(), &FIRST).await;
    assert!(described.unwrap().snapshot.is_none());
}
