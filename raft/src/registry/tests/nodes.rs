//! Nodes, their incarnations and states, and the version that they have in common.

use super::*;

fn state(registry: &Registry, name: &str) -> (NodeId, NodeState) {
    let node = registry.node(&name.parse().unwrap()).expect("it is known");
    (node.id.clone(), node.state)
}

#[track_caller]
fn applied(registry: &mut Registry, command: Command) {
    assert_eq!(
        registry.apply(command.clone()),
        Outcome::Applied,
        "{command:?}"
    );
}

/// The command must answer this and change nothing.
#[track_caller]
fn refused(registry: &mut Registry, command: Command, with: Outcome) {
    let before = registry.clone();
    assert_eq!(registry.apply(command.clone()), with, "{command:?}");
    assert_eq!(*registry, before, "{command:?} changed something");
}

fn remove(node: NodeId) -> Command {
    Command::RemoveNode { node, at: time(2) }
}

#[test]
fn a_node_that_registers_is_alive() {
    let registry = registry_of(&["a"]);
    assert_eq!(state(&registry, "a"), (node("a"), NodeState::Alive));
    assert_eq!(registry.state_of(&node("a")), NodeState::Alive);
    assert_eq!(registry.state_of(&node("b")), NodeState::Dead);
}

#[test]
fn a_registration_that_comes_again_changes_nothing() {
    let mut registry = registry_of(&["a"]);
    applied(
        &mut registry,
        change_node(node("a"), 0, NodeState::Draining),
    );
    let before = registry.clone();
    applied(&mut registry, register("a", 1));
    assert_eq!(registry, before);
}

#[test]
fn a_new_incarnation_ends_the_old_one_and_leaves_its_sessions_to_be_found() {
    let mut registry = after([create("c", 1)]);
    assert_eq!(registry.ended_owners().count(), 0);
    applied(&mut registry, register("a", 2));
    assert_eq!(state(&registry, "a"), (run("a", 2), NodeState::Alive));
    let orphaned: Vec<&NodeId> = registry.ended_owners().collect();
    assert_eq!(orphaned, [&node("a")]);
    assert_eq!(registry.owned_by(&node("a")).count(), 1);
    refused(
        &mut registry,
        open("a", &[claim("c", 1)]),
        Outcome::NotAlive,
    );
}

#[test]
fn a_late_registration_does_not_end_a_younger_incarnation() {
    let mut registry = registry_of(&["a"]);
    applied(&mut registry, register("a", 2));
    // Decided on when the first incarnation was still the one known, and never applied before.
    let late = Command::Register(registration(run("a", 9), Some(1)));
    refused(&mut registry, late, Outcome::Stale);
    // Applied before, and long ended.
    refused(&mut registry, register("a", 1), Outcome::NotAlive);
}

#[test]
fn dead_is_final_for_an_incarnation() {
    let mut registry = registry_of(&["a"]);
    applied(&mut registry, change_node(node("a"), 0, NodeState::Dead));
    refused(
        &mut registry,
        change_node(node("a"), 1, NodeState::Alive),
        Outcome::Stale,
    );
    refused(&mut registry, register("a", 1), Outcome::NotAlive);
    applied(&mut registry, register("a", 2));
    applied(&mut registry, change_node(run("a", 2), 0, NodeState::Dead));
    applied(&mut registry, remove(run("a", 2)));
    refused(&mut registry, register("a", 2), Outcome::NotAlive);
    refused(&mut registry, register("a", 1), Outcome::NotAlive);
    let again = Command::Register(registration(run("a", 3), None));
    applied(&mut registry, again);
}

#[test]
fn a_change_that_was_decided_on_an_older_state_changes_nothing() {
    let mut registry = registry_of(&["a"]);
    let drain = change_node(node("a"), 0, NodeState::Draining);
    applied(&mut registry, drain.clone());
    applied(&mut registry, drain.clone());
    applied(&mut registry, change_node(node("a"), 1, NodeState::Alive));
    refused(&mut registry, drain, Outcome::Stale);
    refused(
        &mut registry,
        change_node(run("a", 7), 2, NodeState::Dead),
        Outcome::Stale,
    );
}

#[test]
fn only_a_dead_node_is_removed() {
    let mut registry = registry_of(&["a"]);
    refused(&mut registry, remove(node("a")), Outcome::Stale);
    applied(&mut registry, change_node(node("a"), 0, NodeState::Dead));
    applied(&mut registry, remove(node("a")));
    assert_eq!(registry.nodes().count(), 0);
    applied(&mut registry, remove(node("a")));
}

#[test]
fn ended_incarnations_are_forgotten_in_the_end() {
    let mut registry = registry_of(&["a"]);
    applied(&mut registry, register("a", 2));
    let late = Command::Register(Registration {
        at: time(600),
        ..registration(run("b", 1), None)
    });
    applied(&mut registry, late);
    let written = serde_json::to_string(&registry.nodes).unwrap();
    assert!(written.contains(r#""ended":{}"#), "{written}");
}

#[test]
fn a_session_begins_only_on_a_node_that_is_alive_and_does_not_drain() {
    let mut registry = registry_of(&["b"]);
    refused(&mut registry, create("c", 1), Outcome::NotAlive);
    applied(&mut registry, register("a", 1));
    applied(
        &mut registry,
        change_node(node("a"), 0, NodeState::Draining),
    );
    refused(&mut registry, create("c", 1), Outcome::NotAlive);
    applied(&mut registry, change_node(node("a"), 1, NodeState::Alive));
    done(&mut registry, create("c", 1));
}

#[test]
fn a_node_begins_no_more_sessions_than_it_may_have_and_may_be_given_more() {
    let mut registry = registry_of(&["b"]);
    let small = Registration {
        capacity: 1,
        ..registration(node("a"), None)
    };
    applied(&mut registry, Command::Register(small));
    done(&mut registry, create("c", 1));
    refused(&mut registry, create("d", 2), Outcome::Full);
    let found = registry.apply(create("c", 3));
    assert!(matches!(found, Outcome::Exists(_)), "{found:?}");
    done(&mut registry, move_to(node("b"), &[claim("c", 1)], None));
    done(&mut registry, create("d", 2));
    done(&mut registry, move_to(node("a"), &[claim("c", 2)], None));
    refused(&mut registry, create("e", 4), Outcome::Full);
}

#[test]
fn a_node_that_drains_may_still_open_and_a_dead_one_may_not() {
    let mut registry = after([create("c", 1)]);
    applied(
        &mut registry,
        change_node(node("a"), 0, NodeState::Draining),
    );
    done(&mut registry, open("a", &[claim("c", 1)]));
    applied(&mut registry, change_node(node("a"), 1, NodeState::Dead));
    refused(
        &mut registry,
        open("a", &[claim("c", 2)]),
        Outcome::NotAlive,
    );
}

#[test]
fn a_session_of_an_ended_owner_does_not_become_an_assigned_one() {
    let mut registry = after([create("c", 1)]);
    applied(&mut registry, change_node(node("a"), 0, NodeState::Dead));
    let assign = assign(1, 1, partitions([0]));
    refused(&mut registry, assign.clone(), Outcome::NotAlive);
    // A move that was decided before is then one of a session of the group.
    done(&mut registry, move_to(node("b"), &[claim("c", 1)], None));
    refused(&mut registry, assign, Outcome::Stale);
}

#[test]
fn what_exists_is_told_whatever_has_become_of_its_node() {
    let mut registry = after([create("c", 1)]);
    applied(&mut registry, change_node(node("a"), 0, NodeState::Dead));
    assert!(matches!(registry.apply(create("c", 1)), Outcome::Exists(_)));
}

#[test]
fn a_new_generation_ends_every_ownership_and_forgets_every_node() {
    let mut registry = after([create("c", 1), create("d", 2)]);
    let recover = |generation| Command::Recover {
        generation,
        at: time(3),
    };
    applied(&mut registry, recover(1));
    assert_eq!((registry.nodes().count(), registry.generation()), (0, 1));
    assert_eq!(session(&registry).epoch, epoch(2));
    let orphaned: Vec<&NodeId> = registry.ended_owners().collect();
    assert_eq!(orphaned, [&node("a")]);
    refused(&mut registry, observed(1, 9), Outcome::Stale);
    refused(&mut registry, register("a", 1), Outcome::NotAlive);
    refused(&mut registry, recover(1), Outcome::Applied);
    refused(&mut registry, recover(0), Outcome::Stale);
    applied(
        &mut registry,
        Command::Register(registration(run("a", 2), None)),
    );
    done(&mut registry, move_to(run("a", 2), &[claim("c", 2)], None));
}

#[test]
fn the_active_version_is_never_above_what_some_node_knows() {
    let knows = |name: &str, version: u32| {
        Command::Register(Registration {
            version: Version::from_number(version),
            ..registration(node(name), None)
        })
    };
    let raise = |to: u32| Command::RaiseVersion {
        to: Version::from_number(to),
    };
    let mut registry = Registry::default();
    refused(&mut registry, raise(2), Outcome::Stale);
    applied(&mut registry, knows("a", 3));
    applied(&mut registry, knows("b", 2));
    assert_eq!(registry.next_version(), Some(Version::from_number(2)));
    refused(&mut registry, raise(3), Outcome::Stale);
    applied(&mut registry, raise(2));
    assert_eq!(registry.active_version(), Version::from_number(2));
    assert_eq!(registry.next_version(), None);
    // Late, and not back.
    refused(&mut registry, raise(1), Outcome::Applied);
    refused(&mut registry, knows("c", 1), Outcome::TooOld);
    // A dead node may come back and read the log.
    applied(&mut registry, change_node(node("b"), 0, NodeState::Dead));
    refused(&mut registry, raise(3), Outcome::Stale);
    applied(&mut registry, remove(node("b")));
    applied(&mut registry, raise(3));
}
