//! Where the sessions of a node go that hands them over.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::Ordering;

use nodes::Nodes;
use sluice_types::{ConsumerId, NodeId};

use super::*;
use crate::registry::tests::id;

fn takers(destinations: &BTreeMap<ConsumerId, NodeId>) -> BTreeSet<NodeId> {
    destinations.values().cloned().collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sessions_go_to_nodes_that_are_able_or_to_any_when_nobody_says() {
    let nodes = Nodes::of(4).await;
    let leader = nodes.leader().await;
    let [giver, unable, drains] = [1, 2, 3].map(|n| (leader + n) % 4);
    let names = ["s0", "s1", "s2", "s3"];
    for name in names {
        nodes.create(giver, name).await;
    }
    let sessions = names.map(id);
    let node = |number: usize| nodes.of_number(number).node();
    let guard = nodes.guard(giver);
    assert_eq!(guard.drain(&node(drains).name).await, Ok(()));
    let host = &nodes.of_number(unable).host;
    host.is_without_kafka.store(true, Ordering::SeqCst);
    eventually("word of who is able", || async {
        let destinations = guard.destinations(&sessions).await;
        (takers(&destinations) == BTreeSet::from([node(leader)])).then_some(())
    })
    .await;
    let report = guard.report().await;
    let is_ready = |number: usize| {
        let mut told = report.nodes.iter();
        let told = told.find(|told| told.node.id == node(number));
        told.and_then(|told| told.is_ready)
    };
    assert_eq!(is_ready(unable), Some(false));
    assert_eq!(is_ready(leader), Some(true));

    // Nobody says any more who is able: by load then.
    nodes.cut_off(&[giver]);
    let destinations = guard.destinations(&sessions).await;
    assert_eq!(takers(&destinations), [node(leader), node(unable)].into());
    assert_eq!(destinations.len(), sessions.len());
}
