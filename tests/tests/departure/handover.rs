//! Planned moves: where the next owner goes on.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

use std::time::Duration;

use sluice_actors::{Commit, Departure, Error, HandedOver, SessionHandle};
use sluice_tests::{NativeMember, eventually};
use sluice_types::{AssignmentStrategy, Offsets, PointBy, SeekSeq};

use super::fixture::{DEADLINE, Fixture, Node, SHORT, from, offset, poll, poll_of, seen, soon};

fn offsets(handed_over: &HandedOver) -> Offsets {
    let points = handed_over.points.iter();
    points.map(|(at, point)| (at, point.offset)).collect()
}

async fn hand_over(session: &SessionHandle) -> HandedOver {
    session.hand_over(soon()).await.unwrap().unwrap()
}

/// Moves the session on from its node to another.
async fn moved(fixture: &Fixture, session: &SessionHandle, to: &Node) -> SessionHandle {
    let handed_over = hand_over(session).await;
    fixture.moves(Some(handed_over));
    assert!(session.depart(Departure::Stay, soon()).await);
    fixture.open_ready(to).await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_next_owner_goes_on_behind_what_was_delivered() {
    let fixture = Fixture::start(1).await;
    fixture.fill(20).await;
    let (one, other) = (fixture.node(), fixture.node());
    let session = fixture.open_ready(&one).await;
    let first = poll(&session, 5).await.unwrap();
    assert_eq!(first.places, from(0, 5));
    session
        .commit(Commit::Offsets(fixture.offsets([(0, 2)])), soon())
        .await
        .unwrap();
    let handed_over = hand_over(&session).await;
    assert_eq!(offsets(&handed_over), fixture.offsets([(0, 5)]));
    let point = handed_over.points.get(&fixture.at(0)).unwrap();
    assert_eq!(point.seen.as_ref().unwrap().offset, offset(2));
    assert_eq!(point.by, PointBy::Handover(SeekSeq::NONE));
    let refused = poll(&session, 5).await;
    assert!(matches!(refused, Err(Error::Moving)), "{refused:?}");
    fixture.moves(Some(handed_over));
    assert!(session.depart(Departure::Stay, soon()).await);
    assert!(one.sessions.claims().is_empty());

    let session = fixture.open_ready(&other).await;
    let positions = session.positions(soon()).await.unwrap();
    assert_eq!(positions.offsets, fixture.offsets([(0, 5)]));
    assert_eq!(i64::from(positions.generation), first.generation);
    let committed = session.commit(Commit::Delivered, soon()).await.unwrap();
    assert_eq!(committed.offsets, fixture.offsets([(0, 5)]));
    let next = poll(&session, 100).await.unwrap();
    assert_eq!(next.places, from(5, 15));
    other.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rebalance_after_the_first_assignment_does_not_bring_it_back() {
    let fixture = Fixture::start(2).await;
    fixture.fill(20).await;
    let (one, other) = (fixture.node(), fixture.node());
    let session = fixture.open_ready(&one).await;
    let mut read = 0;
    while read < 20 {
        read += poll(&session, 20).await.unwrap().places.len();
    }
    let session = moved(&fixture, &session, &other).await;
    let everything = session.positions(soon()).await.unwrap().offsets;
    assert_eq!(everything, fixture.offsets([(0, 10), (1, 10)]));

    let strategy = AssignmentStrategy::CooperativeSticky.as_str();
    let rival = NativeMember::join(
        fixture.kafka,
        &fixture.group,
        fixture.topic.as_str(),
        strategy,
    );
    eventually(DEADLINE, "the rival has a partition", async || {
        rival.assigned().len() == 1
    })
    .await;
    drop(rival);
    let back = eventually(DEADLINE, "the partition is back", async || {
        let now = session.positions(soon()).await.unwrap().offsets;
        (now.len() == 2).then_some(now)
    })
    .await;
    let mut starts: Vec<_> = back.iter().map(|(_, offset)| offset.get()).collect();
    starts.sort_unstable();
    assert_eq!(
        starts,
        [0, 10],
        "nothing is committed for the one that went"
    );
    other.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_move_that_failed_the_session_serves_as_before() {
    let fixture = Fixture::start(1).await;
    fixture.fill(10).await;
    let node = fixture.node();
    let session = fixture.open_ready(&node).await;
    let before = poll(&session, 4).await.unwrap();
    assert_eq!(
        offsets(&hand_over(&session).await),
        fixture.offsets([(0, 4)])
    );
    session.resume();
    let after = poll(&session, 100).await.unwrap();
    assert_eq!(after.places, from(4, 6));
    assert_eq!(after.generation, before.generation);

    // Nobody waits for it any more: it serves again by itself.
    let mut unwaited = Box::pin(session.hand_over(soon()));
    assert!(futures::poll!(&mut unwaited).is_pending());
    drop(unwaited);
    fixture.fill(10).await;
    let next = eventually(DEADLINE, "the session serves", async || {
        poll(&session, 100).await
    })
    .await;
    assert_eq!(next.places, from(10, 10));
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_fate_of_the_answer_on_its_way_is_awaited() {
    let fixture = Fixture::start(1).await;
    fixture.fill(10).await;
    let node = fixture.node();
    let session = fixture.open_ready(&node).await;
    for (is_delivered, expected) in [(false, 0), (true, 3)] {
        let answer = session.poll(poll_of(3, DEADLINE, None), soon()).await;
        let answer = answer.unwrap();
        let handing = hand_over(&session);
        tokio::pin!(handing);
        let early = tokio::time::timeout(SHORT, &mut handing).await;
        assert!(early.is_err(), "{early:?}");
        if is_delivered {
            answer.fate.delivered();
        } else {
            drop(answer);
        }
        assert_eq!(
            offsets(&handing.await),
            fixture.offsets([(0, expected)]),
            "delivered: {is_delivered}"
        );
        session.resume();
    }
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_whose_fate_stays_open_does_not_keep_the_session_for_ever() {
    let fixture = Fixture::start(1).await;
    fixture.fill(10).await;
    let node = fixture.node();
    let session = fixture.open_ready(&node).await;
    let answer = session.poll(poll_of(3, DEADLINE, None), soon()).await;
    let within = sluice_actors::Deadline::after(Duration::from_secs(4));
    let handed_over = session.hand_over(within).await.unwrap().unwrap();
    assert_eq!(offsets(&handed_over), fixture.offsets([(0, 0)]));
    drop(answer);
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_waiting_poll_is_answered() {
    let fixture = Fixture::start(1).await;
    let node = fixture.node();
    let session = fixture.open_ready(&node).await;
    let polling = session.poll(poll_of(3, DEADLINE, None), soon());
    tokio::pin!(polling);
    let early = tokio::time::timeout(SHORT, &mut polling).await;
    assert!(early.is_err(), "{early:?}");
    hand_over(&session).await;
    let answer = tokio::time::timeout(SHORT, polling).await;
    let answer = answer.expect("it is answered by then").unwrap();
    assert_eq!(seen(&answer).places, []);
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_acknowledged_is_committed_before_the_position_is_given() {
    let mut fixture = Fixture::start(1).await;
    fixture.spec.auto_commit = true;
    fixture.fill(20).await;
    let (one, other) = (fixture.node(), fixture.node());
    let session = fixture.open_ready(&one).await;
    poll(&session, 5).await.unwrap();
    poll(&session, 5).await.unwrap();
    let handed_over = hand_over(&session).await;
    assert_eq!(offsets(&handed_over), fixture.offsets([(0, 10)]));
    let point = handed_over.points.get(&fixture.at(0)).unwrap();
    assert_eq!(point.seen.as_ref().unwrap().offset, offset(5));
    fixture.moves(Some(handed_over));
    assert!(session.depart(Departure::Stay, soon()).await);
    let session = fixture.open_ready(&other).await;
    assert_eq!(poll(&session, 5).await.unwrap().places, from(10, 5));
    // The client has acknowledged, on the new owner, what the former one has delivered.
    other.stop().await;
    let committed = fixture
        .kafka
        .committed(&fixture.group, fixture.topic.as_str())
        .await;
    assert_eq!(committed.unwrap(), [(0, 10)].into());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_manually_assigned_session_goes_on_too() {
    let fixture = Fixture::start(2).await;
    fixture.fill(20).await;
    let (one, other) = (fixture.node(), fixture.node());
    let session = fixture.open_ready(&one).await;
    let wanted = [fixture.at(0)].into_iter().collect();
    session.assign(wanted, soon()).await.unwrap();
    assert_eq!(poll(&session, 4).await.unwrap().places, from(0, 4));
    let session = moved(&fixture, &session, &other).await;
    assert_eq!(poll(&session, 100).await.unwrap().places, from(4, 6));
    other.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_never_had_partitions_hands_nothing_over() {
    let fixture = Fixture::start(1).await;
    // Nobody listens there.
    let node = fixture.node_at("127.0.0.1:9");
    let session = fixture.open(&node);
    let within = sluice_actors::Deadline::after(Duration::from_secs(2));
    let handed_over = session.hand_over(within).await.unwrap();
    assert_eq!(handed_over, None);
    assert!(session.depart(Departure::Stay, soon()).await);
    assert!(node.sessions.claims().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_clients_silence_goes_on() {
    let fixture = Fixture::start(1).await;
    let (one, other) = (fixture.node(), fixture.node());
    let session = fixture.open_ready(&one).await;
    let mut handed_over = hand_over(&session).await;
    handed_over.idle += Duration::from_secs(100);
    fixture.moves(Some(handed_over));
    assert!(session.depart(Departure::Stay, soon()).await);
    let session = fixture.open(&other);
    let described = session.snapshot(soon()).await.unwrap();
    assert!(described.idle >= Duration::from_secs(100), "{described:?}");
    session.ready(soon()).await.unwrap();
    let described = session.snapshot(soon()).await.unwrap();
    assert!(described.idle < Duration::from_secs(100), "{described:?}");
    other.stop().await;
}
