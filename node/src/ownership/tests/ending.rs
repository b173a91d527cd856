//! How sessions end, and end wholly.

use super::*;

#[tokio::test(start_paused = true)]
async fn a_delete_leaves_the_group_and_frees_the_id() {
    let node = node();
    node.subscribed().await;
    assert_eq!(
        node.ownership.delete(&id(), in_time(), &FIRST).await,
        Ok(())
    );
    assert_eq!(node.host.epochs(&id(), Done::Finished), [1]);
    let second = node.ownership.delete(&id(), in_time(), &FIRST).await;
    assert_eq!(second, Err(Error::ConsumerNotFound));
    let late = node.request(Duration::ZERO, in_time()).await;
    assert_eq!(late, Err(Error::ConsumerNotFound));
    node.freed().await;
    assert_eq!(node.host.epochs(&id(), Done::Left), [1]);
}

#[tokio::test(start_paused = true)]
async fn of_concurrent_deletes_one_finds_the_session() {
    let node = node();
    node.subscribed().await;
    let (id, other) = (id(), id());
    let (one, two) = tokio::join!(
        node.ownership.delete(&id, in_time(), &FIRST),
        node.ownership.delete(&other, in_time(), &FIRST),
    );
    assert!(one.is_ok() != two.is_ok(), "{one:?} {two:?}");
    assert_eq!(one.and(two), Err(Error::ConsumerNotFound));
    node.freed().await;
    assert_eq!(node.host.epochs(&id, Done::Left), [1]);
}

#[tokio::test(start_paused = true)]
async fn a_delete_goes_on_when_its_client_hangs_up() {
    let node = node();
    node.subscribed().await;
    let (ownership, id) = (node.ownership.clone(), id());
    let delete = ownership.delete(&id, in_time(), &FIRST);
    let hangs_up = Duration::from_millis(1);
    assert!(tokio::time::timeout(hangs_up, delete).await.is_err());
    node.freed().await;
    assert_eq!(node.host.epochs(&id, Done::Left), [1]);
}

#[tokio::test(start_paused = true)]
async fn a_waiting_request_learns_of_a_delete() {
    let node = node();
    node.subscribed().await;
    let (ownership, id) = (node.ownership.clone(), id());
    let poll = node.request(Duration::from_secs(20), in_time());
    let delete = async {
        tokio::time::sleep(Duration::from_millis(50)).await;
        ownership.delete(&id, in_time(), &FIRST).await
    };
    let (poll, delete) = tokio::join!(poll, delete);
    assert_eq!((poll, delete), (Err(Error::ConsumerNotFound), Ok(())));
}

#[tokio::test(start_paused = true)]
async fn a_delete_during_the_subscribe_wins() {
    let node = node_with(Manner {
        ready_after: Duration::from_secs(5),
        ..Manner::default()
    });
    let call = node.spawn_subscribe();
    until("it is opened", || node.host.openings() == 1).await;
    assert_eq!(
        node.ownership.delete(&id(), in_time(), &FIRST).await,
        Ok(())
    );
    assert_eq!(call.await.unwrap().unwrap_err(), Error::OwnerUnavailable);
    node.freed().await;
    assert_eq!(node.host.epochs(&id(), Done::Left), [1]);
}

#[tokio::test(start_paused = true)]
async fn a_delete_at_any_moment_ends_what_the_subscribe_before_it_makes() {
    for delay in 1..80 {
        let node = node();
        let subscribe = node.spawn_subscribe();
        tokio::time::sleep(Duration::from_millis(delay)).await;
        let deleted = node.ownership.delete(&id(), in_time(), &FIRST).await;
        let found = matches!(deleted, Ok(()) | Err(Error::ConsumerNotFound));
        assert!(found, "after {delay} ms: {deleted:?}");
        let session = node.registry.lookup(&id());
        assert!(session.is_none_or(|session| session.is_deleting()));
        let subscribed = subscribe.await.unwrap();
        assert!(
            matches!(subscribed, Ok(_) | Err(Error::OwnerUnavailable)),
            "after {delay} ms: {subscribed:?}"
        );
        node.freed().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_repeated_subscribe_does_not_bring_back_what_a_later_delete_has_ended() {
    let node = node_with(Manner {
        ready_after: Duration::from_secs(5),
        ..Manner::default()
    });
    let calls = [node.spawn_subscribe(), node.spawn_subscribe()];
    until("it is opened", || node.host.openings() == 1).await;
    assert_eq!(
        node.ownership.delete(&id(), in_time(), &FIRST).await,
        Ok(())
    );
    for call in calls {
        assert_eq!(call.await.unwrap().unwrap_err(), Error::OwnerUnavailable);
    }
    node.freed().await;
    assert_eq!(node.host.openings(), 1);
}

#[tokio::test(start_paused = true)]
async fn deletes_and_subscribes_at_any_moment_leave_one_session_or_none() {
    for delay in 0..80 {
        let node = node();
        let one = node.spawn_subscribe();
        tokio::time::sleep(Duration::from_millis(delay)).await;
        let deleted = node.ownership.delete(&id(), in_time(), &FIRST).await;
        let two = node.spawn_subscribe();
        let (one, two) = (one.await.unwrap(), two.await.unwrap());
        assert!(two.is_ok(), "after {delay} ms: {deleted:?} {one:?} {two:?}");
        let session = node.registry.lookup(&id()).unwrap();
        assert!(session.is_active());
        assert_eq!(node.host.claims(), [session.claim()]);
    }
}

#[tokio::test(start_paused = true)]
async fn what_the_registry_does_not_know_is_ended() {
    let node = node();
    node.subscribed().await;
    let claim = node.registry.lookup(&id()).unwrap().claim();
    let at = Fixed.now();
    node.host.behave(Manner {
        leaves_after: Duration::from_secs(3_600),
        ..Manner::default()
    });
    // Deleted and gone behind the node's back, before its loop comes to look.
    let deleted = node
        .registry
        .propose(Command::Delete { claim, at })
        .await
        .unwrap();
    let Outcome::Done(deleting) = deleted else {
        panic!("{deleted:?}")
    };
    let claim = deleting.claim();
    node.registry
        .propose(Command::Gone { claim, at })
        .await
        .unwrap();
    node.freed().await;
    assert_eq!(node.host.epochs(&id(), Done::Left), [1]);
}

#[tokio::test(start_paused = true)]
async fn a_delete_that_nobody_finishes_is_finished_by_the_loop() {
    let node = node();
    node.subscribed().await;
    let claim = node.registry.lookup(&id()).unwrap().claim();
    let at = Fixed.now();
    node.registry
        .propose(Command::Delete { claim, at })
        .await
        .unwrap();
    node.freed().await;
    assert_eq!(node.host.epochs(&id(), Done::Left), [1]);
}

#[tokio::test(start_paused = true)]
async fn a_delete_while_the_session_restarts_takes_its_member_over() {
    let node = node();
    node.subscribed().await;
    node.host.end(&id(), Ended::Panicked).await;
    tokio::time::sleep(Duration::from_millis(10)).await;
    assert!(node.host.claims().is_empty());
    assert_eq!(
        node.ownership.delete(&id(), in_time(), &FIRST).await,
        Ok(())
    );
    node.freed().await;
    assert_eq!(node.host.epochs(&id(), Done::Opened), [1, 2]);
    assert_eq!(node.host.epochs(&id(), Done::Left), [2]);
}

#[tokio::test(start_paused = true)]
async fn a_delete_at_any_moment_of_a_restart_ends_the_session() {
    for delay in 0..130 {
        let node = node();
        node.subscribed().await;
        node.host.end(&id(), Ended::Panicked).await;
        tokio::time::sleep(Duration::from_millis(delay)).await;
        assert_eq!(
            node.ownership.delete(&id(), in_time(), &FIRST).await,
            Ok(()),
            "{delay}"
        );
        node.freed().await;
        assert_eq!(node.host.epochs(&id(), Done::Left).len(), 1, "{delay}");
    }
}

/// As on a node that was frozen beyond the timeout while another took the session over, whose
/// clients it knows nothing of.
#[tokio::test(start_paused = true)]
async fn a_session_that_was_opened_anew_does_not_end_by_the_silence_of_before() {
    let node = node();
    node.subscribed().await;
    node.host.expire(&id()).await;
    // It is being finished already.
    tokio::time::sleep(Duration::from_millis(1)).await;
    node.reopen_behind_its_back().await;
    tokio::time::sleep(Duration::from_secs(20)).await;
    let served = node.request(Duration::ZERO, in_time()).await;
    assert_eq!(served.ok(), node.epoch());
    assert!(node.epoch() > Some(1));
}

#[tokio::test(start_paused = true)]
async fn an_expired_session_ends_as_by_delete() {
    let node = node();
    node.subscribed().await;
    node.host.expire(&id()).await;
    node.freed().await;
    assert_eq!(node.host.epochs(&id(), Done::Finished), [1]);
    assert_eq!(node.host.epochs(&id(), Done::Left), [1]);
}

#[tokio::test(start_paused = true)]
async fn a_delete_that_meets_a_reopening_ends_the_reopened_session() {
    let node = node();
    node.subscribed().await;
    let (ownership, id) = (node.ownership.clone(), id());
    let delete = ownership.delete(&id, in_time(), &FIRST);
    let reopened = async {
        // While the actor makes its final commit.
        tokio::time::sleep(Duration::from_millis(1)).await;
        node.reopen_behind_its_back().await;
    };
    assert_eq!(tokio::join!(delete, reopened).0, Ok(()));
    node.freed().await;
}

#[tokio::test(start_paused = true)]
async fn an_actor_that_takes_its_time_to_end_is_not_asked_again() {
    let node = node_with(Manner {
        ends_after: Duration::from_secs(1),
        ..Manner::default()
    });
    node.subscribed().await;
    node.ownership
        .delete(&id(), in_time(), &FIRST)
        .await
        .unwrap();
    until("it is gone", || node.registry.lookup(&id()).is_none()).await;
    assert!(!node.host.claims().is_empty());
    node.freed().await;
    assert_eq!(node.host.epochs(&id(), Done::Left), [1]);
}

#[tokio::test(start_paused = true)]
async fn an_id_whose_group_could_not_be_left_is_free_when_its_member_has_timed_out() {
    let node = node_with(Manner {
        leaves_after: Duration::from_secs(3_600),
        ..Manner::default()
    });
    node.subscribed().await;
    let began = Instant::now();
    node.ownership
        .delete(&id(), in_time(), &FIRST)
        .await
        .unwrap();
    assert!(began.elapsed() < Duration::from_secs(1));
    let early = node.subscribe(spec(&["events"]), within(65_000)).await;
    assert_eq!(early.unwrap_err(), Error::OwnerUnavailable);
    node.host.behave(Manner::default());
    let late = node.subscribe(spec(&["events"]), in_time()).await;
    assert_eq!(late.unwrap().spec, spec(&["events"]));
    assert!(began.elapsed() >= Duration::from_secs(70));
}

#[tokio::test(start_paused = true)]
async fn a_member_does_not_time_out_while_kafka_is_away() {
    let away = Manner {
        leaves_after: Duration::from_secs(3_600),
        reaches_kafka: false,
        ..Manner::default()
    };
    let node = node_with(away);
    node.subscribed().await;
    node.ownership
        .delete(&id(), in_time(), &FIRST)
        .await
        .unwrap();
    let early = node.subscribe(spec(&["events"]), within(300_000)).await;
    assert_eq!(early.unwrap_err(), Error::OwnerUnavailable);
    node.host.behave(Manner::default());
    let back = Instant::now();
    let late = node.subscribe(spec(&["events"]), within(90_000)).await;
    assert_eq!(late.unwrap().spec, spec(&["events"]));
    assert!(back.elapsed() >= Duration::from_secs(59));
}
