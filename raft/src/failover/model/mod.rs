//! A cluster in which everything may be late, lost, repeated, frozen or dead, and what must hold
//! in it all the same.
//!
//! Consensus itself is taken for granted: there is one log, and a leader whose term has ended
//! commits nothing. All else is as it may be: replicas lag, a former leader goes on granting until
//! it learns, clocks have their own origins, and processes freeze between any two steps.

mod network;
mod process;
mod turn;
mod world;

use proptest::prelude::*;
use world::World;

/// What may happen to a cluster of three nodes with a few sessions.
#[derive(Clone, Debug)]
enum Action {
    /// Nothing for so many steps of 50 ms.
    Pass(u8),
    Crash(usize),
    Start(usize),
    Freeze(usize),
    Thaw(usize),
    /// No packet reaches the node or comes from it.
    Cut(usize),
    /// The node is cut off from consensus alone: heartbeats pass.
    Part(usize),
    /// The node's replica falls behind.
    Lag(usize),
    Heal(usize),
    /// Another leader is elected although the last one lives.
    Elect(usize),
    /// Connections to the node are refused although it lives.
    Firewall(usize),
    Create(usize),
    Assign(usize),
    Delete(usize),
    /// The owner crashes with an assignment on its way.
    CrashWhileAssigning(usize),
    /// The owner hands the session over to this node.
    HandOver(usize, usize),
    /// The owner's handle fails.
    Fail(usize),
    Drain(usize),
    Undrain(usize),
}

fn any_action() -> impl Strategy<Value = Action> {
    let node = 0..world::NODES;
    let session = 0..world::SESSIONS;
    prop_oneof![
        10 => (1..30_u8).prop_map(Action::Pass),
        // Long enough for a silence to become a death, and for what follows.
        2 => (120..180_u8).prop_map(Action::Pass),
        2 => node.clone().prop_map(Action::Crash),
        3 => node.clone().prop_map(Action::Start),
        2 => node.clone().prop_map(Action::Freeze),
        3 => node.clone().prop_map(Action::Thaw),
        2 => node.clone().prop_map(Action::Cut),
        3 => node.clone().prop_map(Action::Heal),
        2 => node.clone().prop_map(Action::Part),
        2 => node.clone().prop_map(Action::Lag),
        3 => node.clone().prop_map(Action::Elect),
        1 => node.clone().prop_map(Action::Firewall),
        4 => session.clone().prop_map(Action::Create),
        3 => session.clone().prop_map(Action::Assign),
        2 => session.clone().prop_map(Action::Delete),
        2 => session.clone().prop_map(Action::CrashWhileAssigning),
        3 => (session.clone(), node.clone()).prop_map(|(s, n)| Action::HandOver(s, n)),
        1 => session.prop_map(Action::Fail),
        1 => node.clone().prop_map(Action::Drain),
        1 => node.prop_map(Action::Undrain),
    ]
}

proptest! {
    /// An epoch is opened once and by one owner; an assigned session is never opened while a lease
    /// is left under which another process may serve it; a command that comes again changes
    /// nothing. And when the trouble is over, every session comes to run somewhere.
    #[test]
    fn no_trouble_breaks_ownership_and_none_lasts(
        actions in prop::collection::vec(any_action(), 1..60),
        seed in any::<u64>(),
        keeps_one_in_trouble in any::<bool>(),
    ) {
        let mut world = World::new(seed);
        for action in &actions {
            world.act(action);
        }
        world.recover(keeps_one_in_trouble);
        world.assert_all_sessions_run();
    }
}

/// The model would be worth nothing if its sessions never met the cases it is about.
#[test]
fn the_model_meets_what_it_is_about() {
    let mut world = World::new(7);
    world.calm();
    let begin = (0..world::SESSIONS).map(Action::Create);
    let assign = (0..world::SESSIONS).map(Action::Assign);
    let crash = [Action::Crash(1), Action::Pass(100), Action::Start(1)];
    let freeze = [Action::Freeze(0), Action::Pass(200), Action::Thaw(0)];
    let cut = [Action::Cut(2), Action::Pass(200), Action::Heal(2)];
    let mut actions: Vec<Action> = begin.chain([Action::Pass(20)]).chain(assign).collect();
    for trouble in [crash, freeze, cut] {
        actions.push(Action::Pass(100));
        actions.extend(trouble);
    }
    for action in actions {
        world.act(&action);
    }
    world.recover(false);
    world.assert_all_sessions_run();
    let met = world.met();
    assert!(met.takeovers_of_assigned >= 3, "{met:?}");
    assert!(met.deaths >= 3 && met.elections >= 2, "{met:?}");
    assert!(met.heirs >= 1, "{met:?}");
    // A crash begins one, and so does each awakening.
    assert_eq!(met.incarnations, 4, "{met:?}");
}
