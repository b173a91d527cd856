//! Evening out, with owners that are quick, slow, or never do what they are asked.

use proptest::prelude::*;

use super::*;
use crate::liveness::Timing;
use crate::registry::tests::{change_node, create_on, id, node, register, registration};
use crate::{Command, Move, Outcome, Registration};

const NAMES: [&str; 5] = ["a", "b", "c", "d", "e"];
const STEP: Duration = Duration::from_millis(250);

/// A leader "a", and nodes that are heard.
struct World {
    registry: Registry,
    liveness: Liveness,
    rebalance: Rebalance,
    waiting: BTreeSet<ConsumerId>,
    silent: BTreeSet<NodeId>,
    now: Moment,
}

impl World {
    /// Nodes with so many sessions each, of so many that they take, long after the election.
    fn of(nodes: &[(u32, u32)]) -> Self {
        let mut registry = Registry::default();
        let mut stamp = 0;
        for (name, (sessions, capacity)) in NAMES.iter().zip(nodes) {
            registry.apply(Command::Register(Registration {
                capacity: *capacity,
                ..registration(node(name), None)
            }));
            for number in 0..*sessions {
                stamp += 1;
                let create = create_on(node(name), &format!("{name}{number:03}"), stamp);
                assert!(matches!(registry.apply(create), Outcome::Done(_)));
            }
        }
        let begun = Moment::from_origin(Duration::from_secs(100));
        let mut world = Self {
            registry,
            liveness: Liveness::new("a".parse().unwrap(), Timing::default(), None, begun),
            rebalance: Rebalance::new(Evening::default(), begun),
            waiting: BTreeSet::new(),
            silent: BTreeSet::new(),
            now: begun,
        };
        world.now = world.now + Evening::default().settle;
        world
    }

    /// A step of time passes, and the leader looks.
    fn step(&mut self) {
        self.now = self.now + STEP;
        self.liveness.confirmed(self.now, self.now);
        self.liveness.look(&self.registry, self.now);
        for node in self.registry.nodes() {
            if self.silent.contains(&node.id) {
                self.liveness.disconnected(&node.id);
            } else {
                self.liveness
                    .heartbeat(&self.registry, &node.id, true, self.now);
            }
        }
        let mut owned: BTreeMap<NodeId, Vec<ConsumerId>> = BTreeMap::new();
        for session in self.registry.sessions_after(None) {
            let owner = session.owner.clone();
            owned.entry(owner).or_default().push(session.id.clone());
        }
        let idlest = |node: &NodeId| owned.get(node).map_or(&[][..], |ids| ids);
        self.rebalance.look(
            &self.registry,
            &self.liveness,
            &self.waiting,
            idlest,
            self.now,
        );
    }

    fn steps(&mut self, count: u32) {
        for _ in 0..count {
            self.step();
        }
    }

    fn asked(&self) -> Vec<AskedMove> {
        let nodes = self.registry.nodes();
        nodes.flat_map(|n| self.rebalance.asked_of(&n.id)).collect()
    }

    /// The owner does as it was asked.
    fn hand_over(&mut self, asked: &AskedMove) {
        let to = Move {
            epoch: asked.claim.epoch,
            to: asked.to.clone(),
            handover: None,
        };
        let moves = BTreeMap::from([(asked.claim.id.clone(), to)]);
        let outcome = self.registry.apply(Command::Move { moves });
        assert!(matches!(outcome, Outcome::Opened(moved) if moved.len() == 1));
    }

    fn off_most(&self) -> f64 {
        let nodes: Vec<_> = self.registry.nodes().collect();
        let capacity: f64 = nodes.iter().map(|n| f64::from(n.capacity)).sum();
        let total = self.registry.sessions_after(None).count() as f64;
        let off = |node: &&crate::Node| {
            let share = total * f64::from(node.capacity) / capacity;
            let off = (self.registry.count_of(&node.id) as f64 - share).abs();
            off - (share / 10.0).max(2.0)
        };
        nodes.iter().map(off).fold(f64::MIN, f64::max)
    }
}

#[test]
fn what_is_asked_stays_asked_until_it_is_done() {
    let mut world = World::of(&[(12, 100), (0, 100)]);
    world.step();
    let asked = world.asked();
    assert_eq!(asked.len(), 5);
    for _ in 0..20 {
        world.step();
        assert_eq!(world.asked(), asked);
    }
    world.hand_over(&asked[0]);
    world.step();
    let then = world.asked();
    assert!(!then.contains(&asked[0]));
    assert!(asked[1..].iter().all(|still| then.contains(still)));
    // Six of twelve are about even: one more is asked for at most.
    assert!(then.len() <= 5);
}

#[test]
fn nothing_is_asked_while_there_is_something_better_to_do() {
    let off = [(12, 100), (0, 100), (2, 100)];
    type Trouble = fn(&mut World);
    let troubles: [(&str, Trouble); 5] = [
        ("an owner has ended", |world| {
            world.registry.apply(register("c", 2));
        }),
        ("an owner drains", |world| {
            let drain = change_node(node("c"), 0, NodeState::Draining);
            world.registry.apply(drain);
        }),
        ("a request waits", |world| {
            world.waiting.insert(id("a000"));
        }),
        ("a node is not heard", |world| {
            world.silent.insert(node("c"));
        }),
        ("the leader is new", |world| {
            world.rebalance = Rebalance::new(Evening::default(), world.now);
        }),
    ];
    for (name, trouble) in troubles {
        let mut world = World::of(&off);
        world.step();
        assert!(!world.asked().is_empty(), "{name}");
        trouble(&mut world);
        world.steps(10);
        assert_eq!(world.asked(), [], "{name}");
        assert!(!world.rebalance.is_giver(&node("a")), "{name}");
    }
}

#[test]
fn a_request_that_waits_for_ever_holds_nothing_up() {
    let mut world = World::of(&[(12, 100), (0, 100)]);
    world.waiting.insert(id("a000"));
    world.steps(4 * 29);
    assert_eq!(world.asked(), []);
    world.steps(4 * 2);
    assert!(!world.asked().is_empty());
}

#[test]
fn what_is_not_handed_over_is_left_alone_and_others_are_asked() {
    let mut world = World::of(&[(12, 100), (0, 100)]);
    world.step();
    let first = world.asked();
    world.steps(4 * 31);
    let second = world.asked();
    assert_eq!(second.len(), 5);
    assert!(second.iter().all(|asked| !first.contains(asked)));
}

#[test]
fn nobody_is_asked_to_hand_over_to_a_node_that_ends_or_drains() {
    for state in [NodeState::Draining, NodeState::Dead] {
        let mut world = World::of(&[(12, 100), (0, 100), (12, 100)]);
        world.step();
        assert!(world.asked().iter().all(|asked| asked.to == node("b")));
        assert_eq!(world.asked().len(), 5);
        world.registry.apply(change_node(node("b"), 0, state));
        world.steps(10);
        assert_eq!(world.asked(), []);
    }
}

proptest! {
    /// However long owners take, and though some sessions are never handed over, few move at a
    /// time, none moves twice, and it comes to rest; about even, if all do as they are asked.
    #[test]
    fn evening_out_is_slow_and_comes_to_rest(
        nodes in prop::collection::vec((0..40_u32, 20..100_u32), 1..6),
        takes in prop::collection::vec(1..12_u32, 1..20),
        stubborn in prop::option::of(2..7_usize),
    ) {
        let nodes: Vec<_> = nodes.iter().map(|(s, c)| (*s.min(c), *c)).collect();
        let mut world = World::of(&nodes);
        let mut asked_for: BTreeMap<ConsumerId, u32> = BTreeMap::new();
        let mut moved = BTreeSet::new();
        let mut quiet = 0;
        for step in 0.. {
            prop_assert!(step < 4 * 600, "it never rests");
            world.step();
            let asked = world.asked();
            prop_assert!(asked.len() <= Evening::default().most);
            prop_assert!(world.rebalance.asked().count() <= Evening::default().most);
            quiet = if asked.is_empty() { quiet + 1 } else { 0 };
            if quiet > 40 {
                break;
            }
            for asked in asked {
                let name: usize = asked.claim.id.as_str().bytes().map(usize::from).sum();
                if stubborn.is_some_and(|one_in| name.is_multiple_of(one_in)) {
                    continue;
                }
                let steps = asked_for.entry(asked.claim.id.clone()).or_default();
                *steps += 1;
                if *steps >= takes[name % takes.len()] {
                    world.hand_over(&asked);
                    prop_assert!(moved.insert(asked.claim.id.clone()), "moved twice");
                }
            }
        }
        if stubborn.is_none() {
            prop_assert!(world.off_most() < 0.001, "{} off", world.off_most());
        }
    }
}
