//! Sessions that go from one owner to another.

use super::*;

#[test]
fn a_move_gives_a_new_owner_a_new_epoch() {
    let mut registry = after([create("c", 1)]);
    let moved = done(&mut registry, move_to(node("b"), &[claim("c", 1)], None));
    assert_eq!((&moved.owner, moved.epoch), (&node("b"), epoch(2)));
    assert_eq!(registry.count_of(&node("a")), 0);
    let owned: Vec<&SessionView> = registry.owned_by(&node("b")).collect();
    assert_eq!(owned, [&moved]);
}

#[test]
fn the_old_owner_opens_no_more_and_the_new_one_does() {
    let mut registry = after([create("c", 1), move_to(node("b"), &[claim("c", 1)], None)]);
    let nothing = Outcome::Opened(Vec::new());
    assert_eq!(registry.apply(open("a", &[claim("c", 1)])), nothing);
    assert_eq!(registry.apply(open("a", &[claim("c", 2)])), nothing);
    stale(&mut registry, observed(1, 9));
    done(&mut registry, open("b", &[claim("c", 2)]));
}

#[test]
fn of_two_moves_of_one_ownership_the_first_counts() {
    let mut registry = after([create("c", 1), move_to(node("b"), &[claim("c", 1)], None)]);
    let second = move_to(node("a"), &[claim("c", 1)], None);
    assert_eq!(registry.apply(second), Outcome::Opened(Vec::new()));
    assert_eq!(session(&registry).owner, node("b"));
}

#[test]
fn a_session_goes_only_to_a_node_that_is_alive_and_does_not_drain() {
    for state in [NodeState::Draining, NodeState::Dead] {
        let mut registry = after([create("c", 1)]);
        registry.apply(change_node(node("b"), 0, state));
        let moving = move_to(node("b"), &[claim("c", 1)], None);
        assert_eq!(registry.apply(moving), Outcome::NotAlive);
        assert_eq!(session(&registry).owner, node("a"));
    }
    let mut registry = after([create("c", 1)]);
    let to_an_ended_run = move_to(run("b", 9), &[claim("c", 1)], None);
    assert_eq!(registry.apply(to_an_ended_run), Outcome::NotAlive);
}

#[test]
fn a_batch_moves_what_it_can() {
    let mut registry = after([create("c", 1), create("d", 2), create("e", 3)]);
    let Command::Move { mut moves } = move_to(node("b"), &[claim("c", 1), claim("d", 7)], None)
    else {
        panic!("a move")
    };
    let Command::Move { moves: refused } = move_to(run("a", 9), &[claim("e", 1)], None) else {
        panic!("a move")
    };
    moves.extend(refused);
    assert_eq!(done(&mut registry, Command::Move { moves }).id, id("c"));
    assert_eq!(registry.count_of(&node("a")), 2);
}

#[test]
fn a_session_being_deleted_moves_too_so_that_another_node_leaves_its_group() {
    let mut registry = after([create("c", 1), delete(1)]);
    let handover = Handover {
        points: points([(0, handed_over(5))]),
        idle: Duration::ZERO,
    };
    let moving = move_to(node("b"), &[claim("c", 2)], Some(&handover));
    let moved = done(&mut registry, moving);
    assert!(moved.is_deleting());
    assert_eq!(moved.handed_over, None);
    stale(&mut registry, gone(2));
    done(&mut registry, gone(3));
    assert_eq!(registry.owners().count(), 0);
}
