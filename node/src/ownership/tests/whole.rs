//! Lists, descriptions, lost quorums, shutdowns.

use super::*;

#[tokio::test(start_paused = true)]
async fn without_a_quorum_nothing_changes_and_nothing_is_denied() {
    let node = node();
    node.subscribed().await;
    node.registry.set_quorum_for_tests(false);
    let delete = node.ownership.delete(&id(), in_time(), &FIRST).await;
    assert_eq!(delete, Err(Error::NoQuorum));
    assert_eq!(node.request(Duration::ZERO, in_time()).await, Ok(1));
    let unknown = "unknown".parse().unwrap();
    let described = node.ownership.describe(&unknown, in_time(), &FIRST).await;
    assert_eq!(described.unwrap_err(), Error::NoQuorum);
    let new = node
        .ownership
        .subscribe(ConsumerId::random(), spec(&["orders"]), in_time(), &FIRST)
        .await;
    assert_eq!(new.unwrap_err(), Error::NoQuorum);
    assert_eq!(node.host.openings(), 1);
    assert!(node.host.epochs(&id(), Done::Finished).is_empty());
}

#[tokio::test(start_paused = true)]
async fn an_expiry_without_a_quorum_reaches_the_registry_later() {
    let node = node();
    node.subscribed().await;
    node.registry.set_quorum_for_tests(false);
    node.host.expire(&id()).await;
    until("it is finished", || {
        !node.host.epochs(&id(), Done::Finished).is_empty()
    })
    .await;
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(node.epoch(), Some(1));
    node.registry.set_quorum_for_tests(true);
    node.freed().await;
}

#[tokio::test(start_paused = true)]
async fn a_description_shows_a_session_that_does_not_run() {
    let node = node();
    node.subscribed().await;
    let described = node
        .ownership
        .describe(&id(), in_time(), &FIRST)
        .await
        .unwrap();
    assert_eq!(
        described.snapshot.map(|s| s.claim),
        Some(described.view.claim())
    );
    node.host.vanish(&id(), sluice_actors::Error::NotHere);
    let described = node
        .ownership
        .describe(&id(), in_time(), &FIRST)
        .await
        .unwrap();
    assert!(described.snapshot.is_none());
    assert!(described.view.is_active());
}

#[tokio::test(start_paused = true)]
async fn the_list_comes_in_pages() {
    let node = node();
    for name in ["a", "b", "c"] {
        let id = name.parse().unwrap();
        node.ownership
            .subscribe(id, spec(&["orders"]), in_time(), &FIRST)
            .await
            .unwrap();
    }
    let ids = |page: &Page| -> Vec<String> {
        page.consumers
            .iter()
            .map(|session| session.id.to_string())
            .collect()
    };
    let first = node.ownership.list(None, None, 2).await;
    assert_eq!(ids(&first), ["a", "b"]);
    let second = node.ownership.list(None, first.next.as_ref(), 2).await;
    assert_eq!((ids(&second), second.next), (vec!["c".to_owned()], None));
    let whole = node
        .ownership
        .list(Some(&"g".parse().unwrap()), None, 3)
        .await;
    assert_eq!(whole.next, None);
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_ends_the_sessions_and_takes_no_more() {
    let node = node();
    node.subscribed().await;
    let (ownership, id) = (node.ownership.clone(), id());
    let poll = node.request(Duration::from_secs(20), in_time());
    let shutdown = async {
        tokio::time::sleep(Duration::from_millis(1)).await;
        ownership.shutdown(within(10_000)).await;
    };
    let (poll, ()) = tokio::join!(poll, shutdown);
    assert_eq!(
        poll,
        Err(Error::Session(sluice_actors::Error::ShuttingDown))
    );
    assert!(node.host.claims().is_empty());
    let late = node.subscribe(spec(&["orders"]), in_time()).await;
    assert_eq!(late.unwrap_err(), Error::ShuttingDown);
    let late = node.request(Duration::ZERO, in_time()).await;
    assert_eq!(late, Err(Error::ShuttingDown));
    assert_eq!(
        ownership.delete(&id, in_time(), &FIRST).await,
        Err(Error::ShuttingDown)
    );
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(node.host.openings(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_lets_a_delete_leave_the_group() {
    let node = node_with(Manner {
        leaves_after: Duration::from_secs(1),
        ..Manner::default()
    });
    node.subscribed().await;
    node.ownership
        .delete(&id(), in_time(), &FIRST)
        .await
        .unwrap();
    node.ownership.shutdown(within(10_000)).await;
    assert_eq!(node.host.epochs(&id(), Done::Left), [1]);
    assert!(node.is_free());
}

#[tokio::test(start_paused = true)]
async fn the_embedded_broker_is_spared_other_strategies() {
    let node = node();
    let ownership = node.ownership.clone().with_embedded_broker(true);
    let range = SessionSpec {
        assignment_strategy: AssignmentStrategy::Range,
        ..spec(&["orders"])
    };
    let refused = ownership
        .subscribe(ConsumerId::random(), range, in_time(), &FIRST)
        .await;
    assert!(matches!(
        refused,
        Err(Error::Session(sluice_actors::Error::Unsupported(_)))
    ));
    assert_eq!(node.host.openings(), 0);
}
