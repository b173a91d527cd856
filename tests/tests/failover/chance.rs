//! Anything, in any order, by dice.
//!
//! | variable | effect |
//! |---|---|
//! | `SLUICE_FAULT_MINUTES` | for how long (1) |
//! | `SLUICE_TEST_SEED` | the same faults in the same order again |

use std::env;
use std::time::Duration;

use sluice_tests::{Cluster, Dice, Kafka, Traffic, Verdict};
use tokio::time::{Instant, timeout};

use crate::three;

/// What can befall a node of three while the others go on.
#[derive(Clone, Copy, Debug)]
enum Fault {
    Kill,
    KillForLong,
    Freeze,
    FreezeForLong,
    Isolate,
    Mute,
    Deafen,
    NoAnswers,
    Refuse,
    Slow,
}

const FAULTS: [Fault; 10] = [
    Fault::Kill,
    Fault::KillForLong,
    Fault::Freeze,
    Fault::FreezeForLong,
    Fault::Isolate,
    Fault::Mute,
    Fault::Deafen,
    Fault::NoAnswers,
    Fault::Refuse,
    Fault::Slow,
];

/// Short enough that no node is declared dead, and long enough that one is.
const SHORT: Duration = Duration::from_secs(2);
const LONG: Duration = Duration::from_secs(9);

/// Lets clients go on for a while.
async fn meanwhile(traffic: &Traffic, time: Duration) {
    let seeing = async {
        loop {
            traffic.oracle().advanced().await;
        }
    };
    let _: Result<(), _> = timeout(time, seeing).await;
}

async fn befall(fault: Fault, node: usize, cluster: &Cluster, traffic: &Traffic) {
    let network = cluster.network();
    match fault {
        Fault::Kill => {
            cluster.kill(node).await;
            cluster.restart(node).await;
        }
        Fault::KillForLong => {
            cluster.kill(node).await;
            meanwhile(traffic, LONG).await;
            cluster.restart(node).await;
        }
        Fault::Freeze | Fault::FreezeForLong => {
            let is_long = matches!(fault, Fault::FreezeForLong);
            cluster.freeze(node);
            meanwhile(traffic, if is_long { LONG } else { SHORT }).await;
            cluster.thaw(node);
        }
        Fault::Isolate => {
            network.isolate(node);
            meanwhile(traffic, LONG).await;
        }
        Fault::Mute => {
            network.mute(node);
            meanwhile(traffic, LONG).await;
        }
        Fault::Deafen => {
            network.deafen(node);
            meanwhile(traffic, SHORT).await;
        }
        Fault::NoAnswers => {
            network.cut_answers(node, (node + 1) % 3);
            meanwhile(traffic, LONG).await;
        }
        Fault::Refuse => {
            network.refuse(node).await;
            network.mute(node);
            meanwhile(traffic, SHORT).await;
            network.accept(node).await;
        }
        Fault::Slow => {
            for other in (0..3).filter(|other| *other != node) {
                network.delay(node, other, Duration::from_millis(30));
                network.delay(other, node, Duration::from_millis(30));
            }
            meanwhile(traffic, LONG).await;
        }
    }
    network.heal();
}

#[tokio::test]
async fn whatever_befalls_single_nodes_nothing_is_lost() {
    let minutes = env::var("SLUICE_FAULT_MINUTES").unwrap_or_else(|_| "1".to_owned());
    let minutes: f64 = minutes.parse().expect("SLUICE_FAULT_MINUTES is a number");
    let kafka = Kafka::shared().await;
    let cluster = three(kafka).await;
    let mut dice = Dice::cast();
    let traffic = Traffic::builder(&cluster, kafka);
    let traffic = traffic.members(3, 3).partitions(6).start(&mut dice).await;
    traffic.flows().await;
    let end = Instant::now() + Duration::from_secs_f64(minutes * 60.0);
    while Instant::now() < end {
        let fault = *dice.one_of(&FAULTS);
        let node = *dice.one_of(&[0, 1, 2]);
        eprintln!(
            "{:9.3} s  {fault:?} of node {node}",
            traffic.oracle().now().as_secs_f64()
        );
        befall(fault, node, &cluster, &traffic).await;
        // Two in a row meet the same takeover now and then.
        if dice.below(3) > 0 {
            traffic.polls(2).await;
        }
    }
    cluster.all_ready().await;
    traffic.flows().await;
    let verdict = Verdict::owners_lingered()
        .or(503, "no_quorum")
        .or(503, "owner_unavailable")
        // By what reached a frozen node before: see `frozen.rs`.
        .or(409, "superseded")
        .or(504, "outcome_unknown");
    traffic.finish(&cluster, kafka, &verdict).await;
}
