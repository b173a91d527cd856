//! How sessions whose actors fail go on, and how requests wait for them.

use super::*;

#[tokio::test(start_paused = true)]
async fn a_panicking_session_is_reopened_under_new_epochs_ever_more_slowly() {
    let node = node();
    node.subscribed().await;
    node.host.behave(Manner {
        panics_after: Some(Duration::ZERO),
        ..Manner::default()
    });
    let began = Instant::now();
    node.host.end(&id(), Ended::Panicked).await;
    until("six openings", || node.host.openings() == 7).await;
    let openings = node.host.times(&id(), Done::Opened);
    assert!(openings.iter().map(|(epoch, _)| *epoch).eq(1..=7));
    let mut last = began;
    for ((epoch, when), whole) in openings[1..].iter().zip([100, 200, 400, 800, 1600, 3200]) {
        let waited = when.duration_since(last).as_millis();
        assert!(
            waited >= whole / 2 && waited <= whole + 10,
            "{waited} ms before epoch {epoch}"
        );
        last = *when;
    }
}

#[tokio::test(start_paused = true)]
async fn a_session_that_ran_well_for_a_minute_is_reopened_at_once_again() {
    let node = node();
    node.subscribed().await;
    let manner = Manner {
        panics_after: Some(Duration::ZERO),
        ..Manner::default()
    };
    node.host.behave(manner);
    node.host.end(&id(), Ended::Panicked).await;
    until("it has failed often", || node.host.openings() == 6).await;
    node.host.behave(Manner::default());
    until("it runs again", || node.host.openings() == 7).await;
    let healthy = node.request(Duration::from_secs(65), within(100_000)).await;
    assert_eq!(healthy, Ok(7));
    node.host.end(&id(), Ended::Fenced).await;
    let failed = Instant::now();
    until("it is reopened", || node.host.openings() == 8).await;
    assert!(failed.elapsed() <= Duration::from_millis(110));
}

#[tokio::test(start_paused = true)]
async fn a_session_that_keeps_failing_expires_when_its_client_is_silent() {
    let node = node();
    node.subscribed().await;
    node.host.behave(Manner {
        panics_after: Some(Duration::ZERO),
        ..Manner::default()
    });
    node.host.end(&id(), Ended::Panicked).await;
    let failing = Instant::now();
    // Its client insists, and every request is told that it hit the failing actor or no one.
    while failing.elapsed() < Duration::from_secs(45) {
        let answer = node.request(Duration::from_secs(1), within(10_000)).await;
        let failed = Error::Session(sluice_actors::Error::SessionFailed);
        assert!(
            answer == Err(failed) || answer == Err(Error::OwnerUnavailable),
            "{answer:?}"
        );
    }
    let silent = Instant::now();
    until("it expires", || node.registry.lookup(&id()).is_none()).await;
    let took = silent.elapsed().as_secs();
    assert!((29..=33).contains(&took), "{took} s");
    node.freed().await;
}

#[tokio::test(start_paused = true)]
async fn a_long_request_is_no_silence() {
    let node = node();
    node.subscribed().await;
    let poll = node.request(Duration::from_secs(300), within(305_000));
    let fails = async {
        tokio::time::sleep(Duration::from_secs(100)).await;
        node.host.end(&id(), Ended::Panicked).await;
    };
    let (poll, ()) = tokio::join!(poll, fails);
    assert_eq!(
        poll,
        Err(Error::Session(sluice_actors::Error::SessionFailed))
    );
    assert_eq!(node.request(Duration::ZERO, in_time()).await, Ok(2));
}

#[tokio::test(start_paused = true)]
async fn a_request_waits_for_the_reopened_session() {
    let node = node();
    node.subscribed().await;
    node.host.end(&id(), Ended::Fenced).await;
    assert_eq!(node.request(Duration::ZERO, in_time()).await, Ok(2));
}

#[tokio::test(start_paused = true)]
async fn a_request_whose_session_ends_under_it_finds_the_next() {
    let node = node();
    node.subscribed().await;
    let request = node.request(Duration::from_secs(2), in_time());
    let fenced = async {
        tokio::time::sleep(Duration::from_secs(1)).await;
        node.host.end(&id(), Ended::Fenced).await;
    };
    assert_eq!(tokio::join!(request, fenced).0, Ok(2));
}

#[tokio::test(start_paused = true)]
async fn a_request_gives_up_at_its_deadline() {
    let node = node();
    node.subscribed().await;
    node.registry.set_quorum_for_tests(false);
    node.host.end(&id(), Ended::Fenced).await;
    let began = Instant::now();
    let answer = node.request(Duration::ZERO, within(3_000)).await;
    assert_eq!(answer, Err(Error::OwnerUnavailable));
    assert_eq!(began.elapsed().as_secs(), 3);
    node.registry.set_quorum_for_tests(true);
    assert_eq!(node.request(Duration::ZERO, in_time()).await, Ok(2));
}

#[tokio::test(start_paused = true)]
async fn a_session_that_vanishes_without_a_word_is_noticed() {
    let node = node();
    node.subscribed().await;
    node.host.vanish(&id(), sluice_actors::Error::NotHere);
    assert_eq!(node.request(Duration::ZERO, in_time()).await, Ok(2));
}

#[tokio::test(start_paused = true)]
async fn what_the_registry_gives_to_this_node_is_opened_under_its_epoch() {
    let node = node();
    let creation = Creation {
        id: id(),
        stamp: CreationStamp::random(),
        spec: spec(&["orders"]),
        owner: node.id.clone(),
        created_at: Fixed.now(),
        counts: Default::default(),
    };
    let created = node.registry.propose(Command::Create(creation)).await;
    assert!(matches!(created, Ok(Outcome::Done(_))));
    assert_eq!(node.request(Duration::ZERO, in_time()).await, Ok(1));
    assert_eq!(node.host.epochs(&id(), Done::Opened), [1]);
}

#[tokio::test(start_paused = true)]
async fn an_actor_of_an_earlier_epoch_serves_nobody() {
    let node = node();
    node.subscribed().await;
    node.reopen_behind_its_back().await;
    assert_eq!(node.request(Duration::ZERO, in_time()).await, Ok(2));
    assert_eq!(node.host.epochs(&id(), Done::Opened), [1, 2]);
}

#[tokio::test(start_paused = true)]
async fn a_request_does_not_insist_on_an_actor_that_serves_no_more() {
    let node = node();
    node.subscribed().await;
    let running = node.host.get(&id()).unwrap();
    running.finish(in_time()).await;
    let began = Instant::now();
    let answer = node.request(Duration::ZERO, within(3_000)).await;
    assert_eq!(answer, Err(Error::OwnerUnavailable));
    assert_eq!(began.elapsed().as_secs(), 3);
}
