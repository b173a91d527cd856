//! How sessions begin, and begin only once.

use super::*;

#[tokio::test(start_paused = true)]
async fn a_subscribe_makes_a_session_of_the_first_epoch() {
    let node = node();
    let subscribed = node.subscribed().await;
    assert_eq!(subscribed.consumer_id, id());
    assert_eq!(subscribed.assignment.generation, 1);
    assert_eq!(node.host.epochs(&id(), Done::Opened), [1]);
    assert_eq!(node.request(Duration::ZERO, in_time()).await, Ok(1));
}

#[tokio::test(start_paused = true)]
async fn a_subscribe_without_an_id_gets_one() {
    let node = node();
    for _ in 0..2 {
        let subscribed = node
            .ownership
            .subscribe(ConsumerId::random(), spec(&["orders"]), in_time(), &FIRST)
            .await;
        assert!(
            node.registry
                .lookup(&subscribed.unwrap().consumer_id)
                .is_some()
        );
    }
    assert_eq!(node.host.openings(), 2);
}

#[tokio::test(start_paused = true)]
async fn concurrent_subscribes_of_an_id_make_one_session() {
    let node = node();
    let calls: Vec<_> = (0..10).map(|_| node.spawn_subscribe()).collect();
    for call in calls {
        assert_eq!(call.await.unwrap().unwrap().consumer_id, id());
    }
    assert_eq!(node.host.epochs(&id(), Done::Opened), [1]);
    assert_eq!(node.epoch(), Some(1));
}

#[tokio::test(start_paused = true)]
async fn the_same_subscribe_finds_the_living_session() {
    let node = node();
    node.subscribe(spec(&["orders", "events"]), in_time())
        .await
        .unwrap();
    let again = node
        .subscribe(spec(&["events", "orders"]), in_time())
        .await
        .unwrap();
    assert_eq!(again.spec.topics, spec(&["orders", "events"]).topics);
    assert_eq!(node.host.openings(), 1);
}

#[tokio::test(start_paused = true)]
async fn another_specification_is_refused_and_harms_nothing() {
    let node = node();
    node.subscribed().await;
    let other = node.subscribe(spec(&["events"]), in_time()).await;
    assert_eq!(other.unwrap_err(), Error::ConsumerExists);
    assert_eq!(node.request(Duration::ZERO, in_time()).await, Ok(1));
}

#[tokio::test(start_paused = true)]
async fn missing_topics_are_named_and_nothing_is_made() {
    let node = node();
    let refused = node.subscribe(spec(&["orders", "none"]), in_time()).await;
    let missing = vec!["none".parse().unwrap()];
    assert_eq!(
        refused.unwrap_err(),
        Error::Session(sluice_actors::Error::TopicNotFound(missing))
    );
    assert!(node.is_free());
    assert_eq!(node.host.openings(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_full_node_keeps_nothing_of_the_session_it_refuses() {
    let node = node_with(Manner {
        limit: 0,
        ..Manner::default()
    });
    let refused = node.subscribe(spec(&["orders"]), in_time()).await;
    let full = sluice_actors::Error::TooManySessions { limit: 0 };
    assert_eq!(refused.unwrap_err(), Error::Session(full));
    assert!(node.is_free());
    node.freed().await;
}

#[tokio::test(start_paused = true)]
async fn a_session_that_gets_no_partitions_is_gone_before_the_answer() {
    let error = sluice_actors::Error::InconsistentProtocol;
    let node = node_with(Manner {
        ready: Err(error.clone()),
        ..Manner::default()
    });
    let refused = node.subscribe(spec(&["orders"]), in_time()).await;
    assert_eq!(refused.unwrap_err(), Error::Session(error));
    assert!(node.is_free());
    assert_eq!(node.host.epochs(&id(), Done::Left), [1]);
    node.host.behave(Manner::default());
    node.subscribed().await;
    assert_eq!(node.epoch(), Some(3));
}

#[tokio::test(start_paused = true)]
async fn a_new_session_that_panics_is_taken_over_to_leave() {
    let node = node_with(Manner {
        panics_after: Some(Duration::from_millis(10)),
        ..Manner::default()
    });
    let call = node.spawn_subscribe();
    until("it is opened", || node.host.openings() == 1).await;
    node.host.behave(Manner::default());
    let failed = sluice_actors::Error::SessionFailed;
    assert_eq!(call.await.unwrap().unwrap_err(), Error::Session(failed));
    assert!(node.is_free());
    assert_eq!(node.host.epochs(&id(), Done::Opened), [1, 2]);
    assert_eq!(node.host.epochs(&id(), Done::Left), [2]);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_hangs_up_leaves_a_whole_session() {
    for after in [0, 2, 6, 30] {
        let node = node();
        let subscribe = node.subscribe(spec(&["orders"]), in_time());
        let after = Duration::from_millis(after);
        assert!(tokio::time::timeout(after, subscribe).await.is_err());
        until("it runs", || !node.host.claims().is_empty()).await;
        node.subscribed().await;
        assert_eq!(node.host.epochs(&id(), Done::Opened), [1]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_that_hangs_up_on_a_failing_subscribe_leaves_nothing() {
    let node = node_with(Manner {
        ready: Err(sluice_actors::Error::InconsistentProtocol),
        ..Manner::default()
    });
    let call = node.spawn_subscribe();
    until("it is opened", || node.host.openings() == 1).await;
    call.abort();
    node.freed().await;
    assert_eq!(node.host.epochs(&id(), Done::Left), [1]);
}

#[tokio::test(start_paused = true)]
async fn a_subscribe_answers_within_a_short_deadline() {
    let node = node_with(Manner {
        ready_after: Duration::from_secs(60),
        ..Manner::default()
    });
    let began = Instant::now();
    let subscribed = node.subscribe(spec(&["orders"]), within(2_000)).await;
    assert!(subscribed.is_ok(), "{subscribed:?}");
    assert!(began.elapsed() < Duration::from_secs(2));
}

#[tokio::test(start_paused = true)]
async fn a_subscribe_waits_for_the_end_of_the_last_life() {
    let node = node_with(Manner {
        leaves_after: Duration::from_secs(5),
        ..Manner::default()
    });
    node.subscribed().await;
    node.ownership
        .delete(&id(), in_time(), &FIRST)
        .await
        .unwrap();
    let early = node.subscribe(spec(&["orders"]), within(2_000)).await;
    assert_eq!(early.unwrap_err(), Error::OwnerUnavailable);
    assert_eq!(node.epoch(), Some(2));
    // Another specification is no conflict any more.
    let late = node.subscribe(spec(&["events"]), in_time()).await;
    assert_eq!(late.unwrap().spec, spec(&["events"]));
    assert_eq!(node.host.epochs(&id(), Done::Opened), [1, 3]);
}
