//! Whatever happens to links and processes, and however long all sleep: an assigned session, which no broker fences,
//! is served by one process at most.
//!
//! A process serves a session if its own registry says that it owns it and its lease holds. One
//! that has crashed is held to that as well: nobody can know that it serves no more. A red run
//! names its seed: the faults are the same for it, the timing is the machine's.

use std::sync::Arc;
use std::time::Duration;

use nodes::{Nodes, Process};
use sluice_types::Epoch;

use super::*;
use crate::registry::tests::id;
use crate::store::tests::disk::Dice;

const NODES: usize = 3;
const SESSIONS: [&str; 3] = ["m0", "m1", "m2"];

/// A process as it serves, running or not.
struct Server {
    consensus: Arc<Consensus>,
    guard: Arc<Guard>,
}

impl Server {
    fn of(process: &Process) -> Self {
        Self {
            consensus: process.consensus.clone(),
            guard: process.guard.clone(),
        }
    }

    fn serves(&self, name: &str) -> Option<Epoch> {
        let session = self.consensus.registry().lookup(&id(name))?;
        let is_own = session.owner == self.guard.standing().node;
        (is_own && !self.guard.lease().is_zero()).then_some(session.epoch)
    }
}

#[track_caller]
fn assert_served_once(servers: &[Server], seed: u64) {
    for name in SESSIONS {
        let look = |at: usize| servers[at].serves(name).map(|epoch| (at, epoch));
        let first: Vec<_> = (0..servers.len()).filter_map(look).collect();
        if first.len() < 2 {
            continue;
        }
        // One may have ended before the other began: the first look was not at one moment. Whoever
        // serves still has done so at the time of the last of them.
        let (last, rest) = first.split_last().unwrap();
        let still: Vec<_> = rest
            .iter()
            .filter(|seen| look(seen.0) == Some(**seen))
            .collect();
        assert!(
            still.is_empty(),
            "seed {seed}: {name} is served by {still:?} and {last:?}"
        );
    }
}

/// Serves, and begins anew, as a process does.
fn renew_all(nodes: &Nodes) {
    for number in nodes.running() {
        if nodes.guard(number).standing().phase == Phase::Ended {
            nodes.guard(number).renew();
        }
    }
}

async fn do_harm(nodes: &mut Nodes, servers: &mut Vec<Server>, dice: &mut Dice) {
    let one = dice.below(NODES);
    let is_running = nodes.running().contains(&one);
    match dice.below(8) {
        0 | 1 => nodes.cut_off(&[one]),
        2 | 3 => nodes.network.heal(),
        4 => nodes.all_sleep(Duration::from_millis(500 * dice.below(14) as u64)),
        5 if is_running => {
            nodes.restart(one);
            servers.push(Server::of(nodes.of_number(one)));
        }
        _ if !is_running => {
            nodes.start(one).await;
            servers.push(Server::of(nodes.of_number(one)));
        }
        _ if nodes.running().len() == NODES => {
            nodes.crash(one).await;
        }
        _ => {}
    }
}

async fn live_through(seed: u64) {
    let mut nodes = Nodes::of(NODES).await;
    for (number, name) in SESSIONS.into_iter().enumerate() {
        nodes.create_assigned(number, name).await;
    }
    let mut servers: Vec<Server> = (0..NODES).map(|n| Server::of(nodes.of_number(n))).collect();
    let mut dice = Dice(seed);
    for _ in 0..14 {
        do_harm(&mut nodes, &mut servers, &mut dice).await;
        // Time for the harm to show: nothing is waited for.
        let time = Duration::from_millis(200 + dice.below(2_500) as u64);
        always(time, || {
            assert_served_once(&servers, seed);
            renew_all(&nodes);
        })
        .await;
    }
    nodes.network.heal();
    for number in 0..NODES {
        if !nodes.running().contains(&number) {
            nodes.start(number).await;
            servers.push(Server::of(nodes.of_number(number)));
        }
    }
    eventually(&format!("seed {seed}: an owner for all"), || async {
        assert_served_once(&servers, seed);
        renew_all(&nodes);
        let is_served = |name: &str| servers.iter().any(|server| server.serves(name).is_some());
        SESSIONS.iter().all(|name| is_served(name)).then_some(())
    })
    .await;
    let epochs: Vec<u64> = SESSIONS
        .iter()
        .filter_map(|name| nodes.registry(0).lookup(&id(name)))
        .map(|session| session.epoch.get())
        .collect();
    println!(
        "seed {seed}: {} processes, epochs {epochs:?}",
        servers.len()
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_assigned_session_is_served_by_one_process_whatever_happens() {
    // Another seed by hand: the one that a red run names, or a new one.
    let seed = std::env::var("SLUICE_SEED")
        .ok()
        .and_then(|seed| seed.parse().ok());
    let first = seed.unwrap_or(1);
    tokio::join!(live_through(first), live_through(first + 1));
}
