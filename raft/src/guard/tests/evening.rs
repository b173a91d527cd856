//! Sessions that are evened out over nodes that all live.

use std::collections::BTreeMap;
use std::time::Duration;

use nodes::Nodes;

use super::*;
use crate::registry::tests::id;
use crate::{Command, Handover, Move, RegistryHandle};

/// Hands over what it is asked to, as a node does.
async fn obey(guard: Arc<Guard>, registry: RegistryHandle) {
    let mut asked = guard.asked_moves();
    while asked.changed().await.is_ok() {
        let moves = asked.borrow_and_update().clone();
        let moves = moves.into_iter().map(|asked| {
            let to = Move {
                epoch: asked.claim.epoch,
                to: asked.to,
                handover: Some(Handover {
                    points: Default::default(),
                    idle: Duration::ZERO,
                }),
            };
            (asked.claim.id, to)
        });
        let moves: BTreeMap<_, _> = moves.collect();
        if !moves.is_empty() {
            // Done again if it fails.
            let _ = registry.propose(Command::Move { moves }).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_has_less_than_its_share_is_given_some_and_then_they_rest() {
    let nodes = Nodes::of(3).await;
    let leader = nodes.leader().await;
    // The leader gives too, and asks itself.
    let (full, other) = (leader, (leader + 1) % 3);
    let names: Vec<String> = (0..18).map(|n| format!("s{n:02}")).collect();
    for (number, name) in names.iter().enumerate() {
        let owner = if number < 10 { full } else { other };
        nodes.create(owner, name).await;
        let mut idlest = nodes.of_number(owner).host.idlest.lock().unwrap();
        idlest.push(id(name));
    }
    let obedient = [full, other].map(|number| {
        let guard = nodes.guard(number).clone();
        tokio::spawn(obey(guard, nodes.registry(number)))
    });
    let counts = || {
        let registry = nodes.of_number(other).consensus.replica.read();
        (0..3)
            .map(|n| registry.count_of(&nodes.of_number(n).node()))
            .collect::<Vec<_>>()
    };
    let even = eventually("an even load", || async {
        let counts = counts();
        let is_even = counts.iter().all(|count| (5..=7).contains(count));
        is_even.then_some(counts)
    })
    .await;
    eventually("nothing more to be asked for", || async {
        let is_asked = |n: &usize| !nodes.guard(*n).asked_moves().borrow().is_empty();
        (![0, 1, 2].iter().any(is_asked)).then_some(())
    })
    .await;
    assert_eq!(even.iter().sum::<usize>(), names.len());
    let rest = counts();
    always(Duration::from_secs(3), || assert_eq!(counts(), rest)).await;
    // Each moved once at most.
    for name in &names {
        let session = nodes.registry(other).lookup(&id(name));
        let epoch = session.map(|session| session.epoch);
        assert!(epoch <= Some(sluice_types::Epoch::FIRST.next()), "{name}");
    }
    let counted = [full, other].map(|n| nodes.of_number(n).consensus.counts.moved("rebalance"));
    let third = 3 - full - other;
    assert_eq!(counted.iter().sum::<u64>(), rest[third] as u64);
    for task in obedient {
        task.abort();
    }
}
