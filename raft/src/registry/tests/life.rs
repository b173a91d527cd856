//! How a session begins and ends.

use super::*;

#[test]
fn a_new_session_is_active_under_the_first_epoch() {
    let registry = after([create("c", 1)]);
    let session = session(&registry);
    assert_eq!(session.epoch, Epoch::FIRST);
    assert!(session.is_active());
    assert_eq!(session.mode, Mode::Subscribed);
    assert_eq!(session.counts_at_creation, session.counts_seen);
}

#[test]
fn an_id_has_one_session() {
    let mut registry = after([create("c", 1)]);
    let first = registry.session(&id("c")).cloned().unwrap();
    let second = registry.apply(create("c", 2));
    assert_eq!(second, Outcome::Exists(first.clone()));
    // Its own create again is told by the stamp.
    assert_eq!(registry.apply(create("c", 1)), Outcome::Exists(first));
}

#[test]
fn a_session_being_deleted_can_only_go() {
    let mut registry = after([create("c", 1), delete(1)]);
    assert_eq!(
        session(&registry).state,
        SessionState::Deleting { since: time(1) }
    );
    assert_eq!(session(&registry).epoch, epoch(2));
    let nothing = Outcome::Opened(Vec::new());
    assert_eq!(registry.apply(open("a", &[claim("c", 2)])), nothing);
    stale(&mut registry, seek(2, 1, points([(0, point(5, 1))])));
    stale(&mut registry, assign(2, 1, partitions([0])));
    stale(&mut registry, observed(2, 9));
    stale(&mut registry, delete(2));
    assert!(matches!(registry.apply(create("c", 2)), Outcome::Exists(_)));
    done(&mut registry, gone(2));
    assert!(registry.session(&id("c")).is_none());
}

#[test]
fn a_living_session_does_not_go_undeleted() {
    let mut registry = after([create("c", 1)]);
    stale(&mut registry, gone(1));
}

#[test]
fn what_is_gone_does_not_come_back() {
    let mut registry = after([create("c", 1), delete(1), gone(2)]);
    stale(&mut registry, create("c", 1));
    stale(&mut registry, gone(2));
    stale(&mut registry, delete(1));
}

#[test]
fn the_next_life_of_an_id_begins_above_the_last() {
    let mut registry = after([create("c", 1), delete(1), gone(2), create("c", 2)]);
    assert_eq!(session(&registry).epoch, epoch(3));
    stale(&mut registry, delete(1));
    stale(&mut registry, gone(2));
    done(&mut registry, delete(3));
    stale(&mut registry, gone(2));
}

#[test]
fn a_forgotten_grave_leaves_its_epoch_as_a_floor() {
    let much_later = 2 + 600;
    let mut registry = after([create("c", 1), delete(1), gone(2)]);
    let other = done(&mut registry, create_at("d", 2, much_later - 1));
    assert_eq!(other.epoch, Epoch::FIRST);
    let reborn = done(&mut registry, create_at("c", 3, much_later));
    assert_eq!(reborn.epoch, epoch(3));
    let new = done(&mut registry, create_at("e", 4, much_later));
    assert_eq!(new.epoch, epoch(3));
    assert_eq!(format!("{:?}", registry.graves).matches("\"c\"").count(), 0);
}

#[test]
fn sessions_are_listed_behind_an_id() {
    let registry = after([create("b", 1), create("a", 2), create("c", 3)]);
    let names = |after: Option<&str>| -> Vec<String> {
        let after = after.map(id);
        let sessions = registry.sessions_after(after.as_ref());
        sessions.map(|session| session.id.to_string()).collect()
    };
    assert_eq!(names(None), ["a", "b", "c"]);
    assert_eq!(names(Some("b")), ["c"]);
    assert_eq!(names(Some("bb")), ["c"]);
}
