//! Where sessions go.

use proptest::prelude::*;

use super::*;
use crate::registry::tests::{change_node, create_on, id, node, registration};
use crate::{Command, Outcome, Registration};

/// A node's name, its sessions, and how many it takes.
type Filled = (&'static str, u32, u32);

/// Nodes with so many sessions each, of so many that they take.
fn registry(nodes: &[Filled]) -> Registry {
    let mut registry = Registry::default();
    let mut stamp = 0;
    for (name, sessions, capacity) in nodes {
        registry.apply(Command::Register(Registration {
            capacity: *capacity,
            ..registration(node(name), None)
        }));
        for number in 0..*sessions {
            stamp += 1;
            let created =
                registry.apply(create_on(node(name), &format!("{name}{number:03}"), stamp));
            assert!(matches!(created, Outcome::Done(_)));
        }
    }
    registry
}

fn loads(registry: &Registry) -> Loads {
    Loads::of(registry, |_| true)
}

fn place_new(nodes: &[Filled]) -> Result<NodeId, NoPlace> {
    loads(&registry(nodes)).place_new()
}

/// Where the sessions of `from` go, by id, in a batch of at most `most` a node.
fn taken_over(
    registry: &Registry,
    from: &str,
    home: Option<&NodeId>,
    most: usize,
) -> Vec<(String, String)> {
    let mut batch = Batch::new(loads(registry), most);
    for session in registry.owned_by(&node(from)) {
        batch.place(session, home);
    }
    let pair = |(id, to): (ConsumerId, Move)| (id.to_string(), to.to.name.to_string());
    batch.into_moves().into_iter().map(pair).collect()
}

#[test]
fn a_new_session_goes_where_it_weighs_least() {
    let cases: [(&[Filled], &str); 4] = [
        (&[("a", 3, 10), ("b", 2, 10)], "b"),
        // Relative to what they take.
        (&[("a", 3, 100), ("b", 2, 10)], "a"),
        // The first by name of equals.
        (&[("b", 2, 10), ("a", 2, 10)], "a"),
        (&[("a", 1, 1), ("b", 9, 10)], "b"),
    ];
    for (nodes, expected) in cases {
        assert_eq!(place_new(nodes), Ok(node(expected)), "{nodes:?}");
    }
}

#[test]
fn what_is_placed_counts_at_once() {
    let registry = registry(&[("a", 0, 10), ("b", 0, 10)]);
    let mut loads = loads(&registry);
    let placed: Vec<NodeId> = (0..4).filter_map(|_| loads.place_new().ok()).collect();
    assert_eq!(placed, [node("a"), node("b"), node("a"), node("b")]);
}

#[test]
fn there_is_no_place_only_when_all_nodes_are_full() {
    assert_eq!(place_new(&[("a", 2, 2), ("b", 3, 3)]), Err(NoPlace::Full));
    assert_eq!(place_new(&[("a", 2, 2), ("b", 2, 3)]), Ok(node("b")));
    assert_eq!(place_new(&[]), Err(NoPlace::NoNode));
    assert_eq!(place_new(&[("a", 0, 0)]), Err(NoPlace::Full));
}

#[test]
fn nodes_that_drain_or_are_dead_take_nothing() {
    for state in [NodeState::Draining, NodeState::Dead] {
        let mut registry = registry(&[("a", 0, 10), ("b", 5, 10)]);
        registry.apply(change_node(node("a"), 0, state));
        assert_eq!(loads(&registry).place_new(), Ok(node("b")));
    }
}

#[test]
fn a_node_that_cannot_reach_kafka_takes_only_what_no_other_can() {
    let registry = registry(&[("a", 0, 10), ("b", 1, 2)]);
    let mut loads = Loads::of(&registry, |node| node.name.as_str() != "a");
    assert_eq!(loads.place_new(), Ok(node("b")));
    assert_eq!(loads.place_new(), Ok(node("a")));
}

#[test]
fn takeovers_may_exceed_the_limit_by_half() {
    let mut registry = registry(&[("a", 10, 10), ("b", 4, 4)]);
    registry.apply(change_node(node("a"), 0, NodeState::Dead));
    assert_eq!(loads(&registry).place_new(), Err(NoPlace::Full));
    let moved = taken_over(&registry, "a", None, 100);
    assert_eq!(moved.len(), 2);
}

#[test]
fn the_sessions_of_a_node_are_spread_by_load() {
    let mut registry = registry(&[("a", 6, 100), ("b", 3, 100), ("c", 1, 100)]);
    registry.apply(change_node(node("a"), 0, NodeState::Dead));
    let moved = taken_over(&registry, "a", None, 100);
    let to = |name: &str| moved.iter().filter(|(_, to)| to == name).count();
    assert_eq!((to("b"), to("c")), (2, 4));
}

#[test]
fn a_batch_gives_no_node_more_than_its_bound_and_a_session_once() {
    let mut registry = registry(&[("a", 6, 100), ("b", 0, 100), ("c", 50, 100)]);
    registry.apply(change_node(node("a"), 0, NodeState::Dead));
    let mut batch = Batch::new(loads(&registry), 2);
    for session in registry.owned_by(&node("a")) {
        batch.place(session, None);
        batch.place(session, None);
    }
    assert!(!batch.has_room(None));
    let moves = batch.into_moves();
    let to = |name: &str| moves.values().filter(|to| to.to == node(name)).count();
    assert_eq!((to("b"), to("c")), (2, 2));
}

#[test]
fn a_bounded_batch_does_not_overflow_to_a_node_that_cannot_reach_kafka() {
    let mut registry = registry(&[("a", 6, 100), ("b", 0, 100), ("c", 0, 100)]);
    registry.apply(change_node(node("a"), 0, NodeState::Dead));
    let loads = Loads::of(&registry, |node| node.name.as_str() == "c");
    let mut batch = Batch::new(loads, 2);
    for session in registry.owned_by(&node("a")) {
        batch.place(session, None);
    }
    assert!(!batch.has_room(None));
    let moves = batch.into_moves();
    assert_eq!(moves.len(), 2);
    assert!(moves.values().all(|to| to.to == node("c")));
}

#[test]
fn a_session_that_belongs_home_waits_for_its_turn_there() {
    let registry = registry(&[("a", 5, 100), ("b", 50, 100), ("c", 0, 100)]);
    let at_home = taken_over(&registry, "a", Some(&node("b")), 2);
    assert_eq!(at_home.len(), 2);
    assert!(at_home.iter().all(|(_, to)| to == "b"));
    // A home that takes nothing is none.
    let elsewhere = taken_over(&registry, "a", Some(&node("x")), 9);
    assert_eq!(elsewhere.len(), 5);
    assert!(elsewhere.iter().all(|(_, to)| to == "c"));
}

/// How many of these sessions of "a" go where, as long as only these nodes are ready.
fn spread_from_a(nodes: &[Filled], count: usize, ready: &[&str]) -> Vec<(String, usize)> {
    let registry = registry(nodes);
    let a = node("a");
    let sessions = registry.owned_by(&a).take(count);
    let loads = Loads::of(&registry, |node| ready.contains(&node.name.as_str()));
    let placed = spread(loads.without(&a), sessions.map(|s| s.id.clone()));
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for to in placed.values() {
        *counts.entry(to.name.to_string()).or_default() += 1;
    }
    counts.into_iter().collect()
}

#[test]
fn what_a_node_hands_over_is_spread_over_the_others_that_are_ready() {
    let nodes = [("a", 6, 100), ("b", 3, 100), ("c", 1, 100), ("d", 0, 100)];
    let told = |places: &[(&str, usize)]| -> Vec<(String, usize)> {
        let places = places.iter();
        places.map(|(name, n)| ((*name).to_owned(), *n)).collect()
    };
    let all = ["a", "b", "c", "d"];
    assert_eq!(spread_from_a(&nodes, 5, &all), told(&[("c", 2), ("d", 3)]));
    let ready = ["a", "b", "c"];
    assert_eq!(
        spread_from_a(&nodes, 6, &ready),
        told(&[("b", 2), ("c", 4)])
    );
    // Better there than nowhere.
    assert_eq!(
        spread_from_a(&nodes, 5, &["a"]),
        told(&[("c", 2), ("d", 3)])
    );
    // What no node has room for stays.
    let full = [("a", 6, 100), ("b", 2, 2)];
    assert_eq!(spread_from_a(&full, 6, &all), told(&[("b", 1)]));
    assert_eq!(spread_from_a(&nodes[..1], 6, &all), told(&[]));
}

fn shifts(nodes: &[Filled], evening: Evening) -> Vec<(String, String, usize)> {
    let shifts = even_out(&loads(&registry(nodes)), evening);
    let told = |shift: Shift| {
        (
            shift.from.name.to_string(),
            shift.to.name.to_string(),
            shift.count,
        )
    };
    shifts.into_iter().map(told).collect()
}

#[test]
fn a_node_that_joins_is_given_its_share_few_at_a_time() {
    let evening = Evening::default();
    let nodes = [("a", 20, 100), ("b", 20, 100), ("c", 0, 100)];
    let expected = [("a".into(), "c".into(), 3), ("b".into(), "c".into(), 2)];
    assert_eq!(shifts(&nodes, evening), expected);
}

#[test]
fn nodes_that_are_about_even_are_left_alone() {
    let evening = Evening::default();
    assert_eq!(shifts(&[("a", 22, 100), ("b", 18, 100)], evening), []);
    assert_eq!(shifts(&[("a", 1, 100), ("b", 0, 100)], evening), []);
    assert_eq!(shifts(&[("a", 0, 100), ("b", 0, 100)], evening), []);
    assert_eq!(shifts(&[("a", 30, 300), ("b", 10, 100)], evening), []);
    assert_eq!(shifts(&[("a", 9, 100)], evening), []);
    assert_eq!(shifts(&[], evening), []);
}

#[test]
fn a_single_idle_node_among_many_is_found_although_each_of_the_others_is_about_even() {
    let mut nodes = vec![("z", 0, 100)];
    nodes.extend(["a", "b", "c", "d", "e", "f", "g", "h", "i", "j"].map(|name| (name, 5, 100)));
    let given: usize = shifts(&nodes, Evening::default())
        .iter()
        .map(|(_, _, count)| count)
        .sum();
    assert_eq!(given, 4);
}

#[test]
fn idle_sessions_are_chosen_first_and_busy_ones_last() {
    let candidate = |name: &str, is_busy: bool, seconds: u64| Candidate {
        id: id(name),
        is_busy,
        idle: Duration::from_secs(seconds),
    };
    let candidates = vec![
        candidate("busy", true, 0),
        candidate("recent", false, 1),
        candidate("z-idle", false, 60),
        candidate("a-idle", false, 60),
    ];
    let chosen = |count| -> Vec<String> {
        let chosen = idle_first(candidates.clone(), count);
        chosen.iter().map(ConsumerId::to_string).collect()
    };
    assert_eq!(chosen(3), ["a-idle", "z-idle", "recent"]);
    assert_eq!(chosen(9).last().map(String::as_str), Some("busy"));
}

proptest! {
    /// Evening out comes to rest, soon, and near the fair shares.
    #[test]
    fn evening_out_comes_to_rest(
        nodes in prop::collection::vec((0..60_u32, 1..100_u32), 1..6),
        most in 1..8_usize,
    ) {
        let names = ["a", "b", "c", "d", "e"];
        let nodes: Vec<_> = nodes.iter().zip(names).map(|((s, c), name)| (name, *s.min(c), *c)).collect();
        let mut loads = loads(&registry(&nodes));
        let total: u64 = loads.loads.iter().map(|load| load.sessions).sum();
        let mut moved = 0;
        loop {
            let shifts = even_out(&loads, Evening { most, ..Evening::default() });
            let count: usize = shifts.iter().map(|shift| shift.count).sum();
            prop_assert!(count <= most);
            if shifts.is_empty() {
                break;
            }
            for shift in shifts {
                prop_assert_ne!(&shift.from, &shift.to);
                for load in &mut loads.loads {
                    let count = shift.count as u64;
                    if load.node == shift.from {
                        load.sessions -= count;
                    } else if load.node == shift.to {
                        load.sessions += count;
                    }
                }
            }
            moved += count as u64;
            prop_assert!(moved <= total, "more moves than sessions");
        }
        let capacity: f64 = loads.loads.iter().map(|load| f64::from(load.capacity)).sum();
        for load in &loads.loads {
            let share = total as f64 * f64::from(load.capacity) / capacity;
            let off = (load.sessions as f64 - share).abs();
            prop_assert!(off <= (share / 10.0).max(2.0) + 0.001, "{load:?} is {off} off {share}");
        }
    }
}
