//! Whatever happens to links and members: what was said to be so, is so.
//!
//! Clients begin sessions and read them wherever they can, while links are cut and members are
//! stopped and started. Each write is noted as done, as surely not done, or as unknown; each read
//! is held against what was done before it began. A red run names its seed: the faults are the
//! same for it, the timing is the machine's.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use tokio::time::sleep;

use super::cluster::Cluster;
use super::*;
use crate::RegistryHandle;
use crate::store::tests::disk::Dice;

const MEMBERS: usize = 3;

/// What clients share.
#[derive(Default)]
struct World {
    registries: Mutex<Vec<Option<RegistryHandle>>>,
    done: Mutex<BTreeSet<String>>,
    refused: Mutex<BTreeSet<String>>,
    unknown: AtomicU64,
    reads: AtomicU64,
    next: AtomicU64,
    is_over: AtomicBool,
}

impl World {
    fn registry(&self, number: usize) -> Option<RegistryHandle> {
        self.registries.lock().unwrap().get(number).cloned()?
    }

    fn set(&self, cluster: &Cluster) {
        let running = cluster.running();
        let registry = |n: usize| running.contains(&n).then(|| cluster.registry(n));
        *self.registries.lock().unwrap() = (0..MEMBERS).map(registry).collect();
    }

    async fn write(&self, registry: &RegistryHandle) {
        let stamp = self.next.fetch_add(1, Ordering::SeqCst);
        let name = format!("s{stamp}");
        match registry.propose(create(&name, stamp)).await {
            Ok(Outcome::Done(_) | Outcome::Exists(_)) => {
                self.done.lock().unwrap().insert(name);
            }
            Err(Error::NoQuorum) => {
                self.refused.lock().unwrap().insert(name);
            }
            Err(Error::OutcomeUnknown) => {
                self.unknown.fetch_add(1, Ordering::SeqCst);
            }
            Ok(other) => panic!("{name}: {other:?}"),
        }
    }

    async fn read(&self, registry: &RegistryHandle, dice: &mut Dice) {
        let known: Vec<String> = self.done.lock().unwrap().iter().cloned().collect();
        if known.is_empty() {
            return;
        }
        let name = &known[dice.below(known.len())];
        if let Ok(found) = registry.lookup_linearizable(&id(name)).await {
            assert!(found.is_some(), "{name} was done, and is not read");
            self.reads.fetch_add(1, Ordering::SeqCst);
        }
    }

    async fn client(self: Arc<Self>, mut dice: Dice) {
        while !self.is_over.load(Ordering::SeqCst) {
            match self.registry(dice.below(MEMBERS)) {
                Some(registry) if dice.below(2) == 0 => self.write(&registry).await,
                Some(registry) => self.read(&registry, &mut dice).await,
                None => tokio::task::yield_now().await,
            }
        }
    }
}

async fn do_harm(cluster: &mut Cluster, world: &World, dice: &mut Dice) {
    let one = dice.below(MEMBERS);
    let other = (one + 1 + dice.below(MEMBERS - 1)) % MEMBERS;
    match dice.below(6) {
        0 => cluster.cut_off(&[one]),
        1 => cluster.network.cut_one_way(&address(one), &address(other)),
        2 | 3 => cluster.network.heal(),
        _ if cluster.running().contains(&one) => {
            // Never all at once: there would be nothing to see.
            if cluster.running().len() > 1 {
                cluster.stop(one).await;
            }
        }
        _ => cluster.start(one).await,
    }
    world.set(cluster);
}

async fn live_through(seed: u64) {
    let timing = Timing {
        snapshot_every: 50,
        patience: Duration::from_millis(1500),
        ..Timing::default()
    };
    let mut cluster = Cluster::with_timing(MEMBERS, timing).await;
    let world = Arc::new(World::default());
    world.set(&cluster);
    let clients = (0..4).map(|n| tokio::spawn(world.clone().client(Dice(seed * 100 + n))));
    let clients: Vec<_> = clients.collect();
    let mut dice = Dice(seed);
    for _ in 0..12 {
        do_harm(&mut cluster, &world, &mut dice).await;
        // Time for the harm to show: nothing is waited for.
        sleep(Duration::from_millis(100 + dice.below(700) as u64)).await;
    }
    cluster.network.heal();
    for member in 0..MEMBERS {
        if !cluster.running().contains(&member) {
            cluster.start(member).await;
        }
    }
    world.set(&cluster);
    world.is_over.store(true, Ordering::SeqCst);
    for client in clients {
        client.await.unwrap();
    }

    cluster.leader().await;
    cluster.create(0, "last").await;
    let done = world.done.lock().unwrap().clone();
    let refused = world.refused.lock().unwrap().clone();
    for member in 0..MEMBERS {
        let last = eventually("the last session", || async {
            read(&cluster, member, "last").await.ok()?
        });
        last.await;
        let held: BTreeSet<String> = names(&cluster.registry(member)).into_iter().collect();
        let lost: Vec<_> = done.difference(&held).collect();
        assert!(
            lost.is_empty(),
            "seed {seed}: done, and lost on {member}: {lost:?}"
        );
        let undead: Vec<_> = refused.intersection(&held).collect();
        assert!(
            undead.is_empty(),
            "seed {seed}: refused, and there on {member}: {undead:?}"
        );
    }
    let reads = world.reads.load(Ordering::SeqCst);
    let unknown = world.unknown.load(Ordering::SeqCst);
    let summary = format!(
        "seed {seed}: {} done, {} refused, {unknown} unknown, {reads} read",
        done.len(),
        refused.len()
    );
    println!("{summary}");
    assert!(done.len() > 20 && reads > 20, "{summary}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_said_to_be_so_is_so_whatever_happens() {
    tokio::join!(live_through(1), live_through(2));
}
