//! Who follows a leader that is gone, and when.

use std::time::Duration;

use nodes::Nodes;
use tokio::time::Instant;

use super::*;

/// Elections that take so long that it shows who did not wait for them.
fn slow() -> crate::Timing {
    crate::Timing {
        election_min: Duration::from_secs(8),
        election_max: Duration::from_secs(12),
        ..crate::Timing::default()
    }
}

/// Waits until another leads than `former`, and returns how long that took.
async fn followed(nodes: &Nodes, former: usize) -> Duration {
    let start = Instant::now();
    let others: Vec<usize> = nodes
        .running()
        .into_iter()
        .filter(|n| *n != former)
        .collect();
    nodes.leader_among(&others).await;
    start.elapsed()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_whose_process_is_gone_is_followed_before_openraft_would_have_anybody_stand() {
    let timing = slow();
    let mut nodes = Nodes::with_timing(3, timing.clone()).await;
    let leader = nodes.leader().await;
    nodes.crash(leader).await;
    let took = followed(&nodes, leader).await;
    println!("followed within {took:?}");
    assert!(took < 2 * timing.election_min, "{took:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_that_steps_down_is_followed_as_soon() {
    let timing = slow();
    let nodes = Nodes::with_timing(3, timing.clone()).await;
    let leader = nodes.leader().await;
    let consensus = nodes.of_number(leader).consensus.clone();
    let steps_down = consensus.step_down(Duration::from_secs(25));
    let (stepped_down, took) = tokio::join!(steps_down, followed(&nodes, leader));
    assert!(stepped_down);
    println!("followed within {took:?}");
    assert!(took < 2 * timing.election_min, "{took:?}");
}

/// It may live and lead, for all that is known.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_of_whom_nothing_is_known_is_given_the_whole_time() {
    let timing = crate::Timing {
        election_min: Duration::from_secs(2),
        election_max: Duration::from_secs(3),
        ..crate::Timing::default()
    };
    let nodes = Nodes::with_timing(3, timing.clone()).await;
    let leader = nodes.leader().await;
    nodes.cut_off(&[leader]);
    let took = followed(&nodes, leader).await;
    // What it had on its way may have been its last sign.
    let least = 2 * timing.election_min - Duration::from_millis(500);
    assert!(took > least, "{took:?}");
}
