//! What is counted and read of nodes.

use std::collections::BTreeMap;

use nodes::Nodes;
use prometheus::Registry;
use prometheus::proto::{MetricFamily, MetricType};

use super::*;
use crate::registry::tests::id;
use crate::{Command, Handover, Move, Outcome};

fn metrics_of(nodes: &Nodes, number: usize) -> Registry {
    let registry = Registry::new();
    Gauges::register(&registry, nodes.guard(number)).unwrap();
    registry
}

/// The value of a counter or gauge, the count of a histogram; with this label value, if any.
pub(super) fn value(metrics: &Registry, name: &str, label: Option<&str>) -> f64 {
    let families = metrics.gather();
    let family = families.iter().find(|family| family.name() == name);
    let family = family.unwrap_or_else(|| panic!("no {name}"));
    let is_asked = |metric: &&prometheus::proto::Metric| {
        label.is_none_or(|label| metric.get_label().iter().any(|pair| pair.value() == label))
    };
    let metrics = family.get_metric().iter().filter(is_asked);
    let values = metrics.map(|metric| match family.get_field_type() {
        MetricType::COUNTER => metric.get_counter().get_value(),
        MetricType::GAUGE => metric.get_gauge().get_value(),
        MetricType::HISTOGRAM => metric.get_histogram().get_sample_count() as f64,
        other => panic!("{name} is a {other:?}"),
    });
    values.sum()
}

fn assert_well_named(family: &MetricFamily) {
    let name = family.name();
    assert!(family.help().len() > 10, "{name} has no help");
    let begins = ["sluice_raft_", "sluice_registry_", "sluice_cluster_"];
    assert!(begins.iter().any(|begin| name.starts_with(begin)), "{name}");
    let units: &[&str] = match family.get_field_type() {
        MetricType::COUNTER => &["_total"],
        MetricType::HISTOGRAM => &["_seconds"],
        // Seconds, positions in the log, counts of what they name, and yes or no.
        _ => &[
            "_seconds",
            "_index",
            "_term",
            "_members",
            "_nodes",
            "_sessions",
            "_is_leader",
            "_has_leader",
        ],
    };
    assert!(units.iter().any(|unit| name.ends_with(unit)), "{name}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_nodes_are_and_do_is_measured() {
    let mut nodes = Nodes::of(3).await;
    let leader = nodes.leader().await;
    let (owner, witness) = ((leader + 1) % 3, (leader + 2) % 3);
    for name in ["a", "b", "c"] {
        nodes.create(owner, name).await;
    }
    let all: Vec<Registry> = (0..3).map(|n| metrics_of(&nodes, n)).collect();
    let families = all[0].gather();
    assert!(families.len() >= 16, "{}", families.len());
    families.iter().for_each(assert_well_named);
    let twice = Gauges::register(&all[0], nodes.guard(0));
    assert!(twice.is_err(), "registered twice");

    let [at_leader, at_owner, at_witness] = [leader, owner, witness].map(|n| &all[n]);
    assert_eq!(value(at_leader, "sluice_raft_is_leader", None), 1.0);
    assert_eq!(value(at_owner, "sluice_raft_is_leader", None), 0.0);
    for metrics in &all {
        assert_eq!(value(metrics, "sluice_raft_has_leader", None), 1.0);
        assert!(value(metrics, "sluice_raft_term", None) >= 1.0);
        assert!(value(metrics, "sluice_raft_leader_changes_total", None) >= 1.0);
        let role = |role| value(metrics, "sluice_raft_members", Some(role));
        assert_eq!(
            (role("leader"), role("voter"), role("learner")),
            (1.0, 2.0, 0.0)
        );
        let state = |state| value(metrics, "sluice_cluster_nodes", Some(state));
        assert_eq!((state("alive"), state("dead")), (3.0, 0.0));
        let lease = value(metrics, "sluice_cluster_lease_remaining_seconds", None);
        assert!(lease > 0.0 && lease <= 3.0, "{lease}");
        assert!(value(metrics, "sluice_raft_last_log_index", None) > 3.0);
    }
    assert_eq!(value(at_owner, "sluice_registry_sessions", None), 3.0);
    let age = value(at_leader, "sluice_raft_quorum_age_seconds", None);
    assert!(age > 0.0 && age < 3.0, "{age}");

    // Handed over by its owner.
    let session = nodes.registry(owner).lookup(&id("a")).unwrap();
    let to = Move {
        epoch: session.epoch,
        to: nodes.of_number(witness).node(),
        handover: Some(Handover {
            points: Default::default(),
            idle: Default::default(),
        }),
    };
    let moves = BTreeMap::from([(id("a"), to)]);
    let moved = nodes.registry(owner).propose(Command::Move { moves }).await;
    assert!(matches!(moved, Ok(Outcome::Opened(_))), "{moved:?}");
    let handed_over = |metrics| {
        let name = "sluice_cluster_sessions_moved_total";
        value(metrics, name, Some("handover"))
    };
    assert_eq!((handed_over(at_owner), handed_over(at_leader)), (1.0, 0.0));

    // The others are given to somebody else when it is gone.
    let dead = nodes.crash(owner).await.node();
    eventually("the failover to be counted", || async {
        let name = "sluice_cluster_sessions_moved_total";
        (value(at_leader, name, Some("failover")) == 2.0).then_some(())
    })
    .await;
    nodes.moved(witness, "b", &dead).await;
    nodes.moved(witness, "c", &dead).await;
    assert_eq!(value(at_leader, "sluice_cluster_deaths_total", None), 1.0);
    assert_eq!(value(at_witness, "sluice_cluster_deaths_total", None), 0.0);
    let failovers = "sluice_cluster_failover_seconds";
    assert_eq!(value(at_leader, failovers, None), 2.0);
    let state = value(at_witness, "sluice_cluster_nodes", Some("dead"));
    assert_eq!(state, 1.0);

    // Nobody is left to decide.
    nodes.crash(leader).await;
    let failed = nodes.delete(witness, "a").await;
    assert!(failed.is_err());
    assert!(value(at_witness, "sluice_raft_proposals_failed_total", None) >= 1.0);
    eventually("no leader to be told", || async {
        (value(at_witness, "sluice_raft_has_leader", None) == 0.0).then_some(())
    })
    .await;
    assert_eq!(nodes.guard(witness).report().await.leader, None);
}

/// It takes itself for the leader as long as no other is heard.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_that_nobody_follows_is_none() {
    let mut nodes = Nodes::of(3).await;
    let leader = nodes.leader().await;
    let metrics = metrics_of(&nodes, leader);
    for other in [1, 2] {
        nodes.crash((leader + other) % 3).await;
    }
    eventually("no leader to be told", || async {
        (value(&metrics, "sluice_raft_has_leader", None) == 0.0).then_some(())
    })
    .await;
    assert_eq!(value(&metrics, "sluice_raft_is_leader", None), 1.0);
    let report = nodes.guard(leader).report().await;
    assert_eq!(report.leader, None);
    let roles = report.nodes.iter().map(|told| told.role);
    assert!(roles.into_iter().all(|role| role == Some(Role::Voter)));
}
