//! `/metrics`: the format, and that the numbers are right.

use std::collections::{BTreeMap, BTreeSet};

use reqwest::Method;
use serde_json::json;
use sluice_tests::{Cluster, Kafka, Node, eventually, unique};

use crate::{DEADLINE, subscribe, topic};

/// The text format of Prometheus, read strictly.
#[derive(Debug, Default)]
struct Metrics {
    types: BTreeMap<String, String>,
    helps: BTreeSet<String>,
    /// By name with its labels, as it stands there.
    samples: BTreeMap<String, f64>,
}

impl Metrics {
    #[track_caller]
    fn parse(text: &str) -> Self {
        let mut metrics = Self::default();
        assert!(text.ends_with('\n'), "the last line ends too");
        for line in text.lines() {
            if let Some(help) = line.strip_prefix("# HELP ") {
                let (name, text) = help.split_once(' ').expect("a help has a text");
                assert!(!text.is_empty() && !text.ends_with('.'), "{line}");
                assert!(metrics.helps.insert(name.to_owned()), "twice: {line}");
            } else if let Some(kind) = line.strip_prefix("# TYPE ") {
                let (name, kind) = kind.split_once(' ').expect("a type has a name");
                let known = ["counter", "gauge", "histogram"];
                assert!(known.contains(&kind), "{line}");
                let before = metrics.types.insert(name.to_owned(), kind.to_owned());
                assert_eq!(before, None, "twice: {line}");
            } else {
                let (name, value) = line.rsplit_once(' ').expect("a sample has a value");
                let value: f64 = value.parse().expect("a value is a number");
                metrics.check_name(name);
                let before = metrics.samples.insert(name.to_owned(), value);
                assert_eq!(before, None, "twice: {line}");
            }
        }
        metrics
    }

    /// A sample belongs to what was described above it, and is called as is the custom.
    #[track_caller]
    fn check_name(&self, sample: &str) {
        let (name, labels) = sample.split_once('{').unwrap_or((sample, "}"));
        assert!(labels.ends_with('}'), "{sample}");
        assert!(
            !labels.contains("consumer_id"),
            "a label without bound: {sample}"
        );
        let family = ["_bucket", "_sum", "_count"]
            .iter()
            .filter_map(|suffix| name.strip_suffix(suffix))
            .find(|base| {
                self.types
                    .get(*base)
                    .is_some_and(|kind| kind == "histogram")
            })
            .unwrap_or(name);
        assert!(family.starts_with("sluice_"), "{sample}");
        let legal = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
        assert!(family.chars().all(legal), "{sample}");
        assert!(self.helps.contains(family), "{sample} has no help");
        let kind = self.types.get(family).expect("a type stands above");
        assert_eq!(
            kind == "counter",
            family.ends_with("_total"),
            "{sample}: {kind}"
        );
    }

    fn value(&self, name: &str) -> f64 {
        self.samples.get(name).copied().unwrap_or(0.0)
    }
}

async fn metrics(node: &Node) -> Metrics {
    let answer = node.admin().call(Method::GET, "/metrics", ()).await;
    let answer = answer.expect(200);
    let kind = answer.header("content-type");
    assert_eq!(kind, Some("text/plain; version=0.0.4; charset=utf-8"));
    Metrics::parse(&answer.text)
}

#[tokio::test]
async fn what_sessions_do_is_counted() {
    let kafka = Kafka::shared().await;
    let node = Node::builder().kafka(kafka).start().await;
    let client = node.client();
    let (topic, group) = (topic(10).await, unique("g"));
    assert_eq!(metrics(&node).await.value("sluice_sessions"), 0.0);

    let id = subscribe(&client, &group, &topic).await;
    let polled = client.consume(&id, json!({"timeout_ms": 30_000, "max_records": 4}));
    assert_eq!(polled.await.expect(200).records().len(), 4);
    client.commit(&id, ()).await.expect(200);
    let end = client.seek(&id, json!({"topic": topic, "offset": "latest"}));
    end.await.expect(200);
    client
        .consume(&id, json!({"timeout_ms": 0}))
        .await
        .expect(200);
    let back = client.seek(&id, json!({"topic": topic, "partition": 0, "offset": 3}));
    back.await.expect(200);

    let lag = format!("sluice_group_lag_records{{group=\"{group}\",topic=\"{topic}\"}}");
    let seen = eventually(DEADLINE, "the lag is told", async || {
        let seen = metrics(&node).await;
        let told = seen.value(&lag);
        (told == 7.0).then_some(seen).ok_or(told)
    })
    .await;
    for (name, expected) in [
        ("sluice_sessions", 1.0),
        ("sluice_sessions_joining", 0.0),
        ("sluice_session_polls_total{outcome=\"records\"}", 1.0),
        ("sluice_session_polls_total{outcome=\"empty\"}", 1.0),
        ("sluice_session_poll_wait_seconds_count", 2.0),
        ("sluice_session_records_total", 4.0),
        ("sluice_session_rebalances_total", 1.0),
        (
            "sluice_session_commits_total{kind=\"client\",outcome=\"ok\"}",
            1.0,
        ),
        ("sluice_closer_backlog", 0.0),
        ("sluice_closer_abandoned", 0.0),
        ("sluice_http_in_flight_requests", 1.0),
        (
            "sluice_http_requests_total{code=\"ok\",method=\"POST\",\
             route=\"/api/consumers/{id}/consume\",status=\"200\"}",
            2.0,
        ),
        (
            "sluice_http_request_duration_seconds_count{method=\"POST\",\
             route=\"/api/consumers/{id}/seek\"}",
            2.0,
        ),
    ] {
        let known = seen.samples.contains_key(name);
        assert!(known, "{name} is not among {:?}", seen.samples.keys());
        assert_eq!(seen.value(name), expected, "{name}");
    }
    let bytes = seen.value("sluice_session_record_bytes_total");
    assert!((4.0..1000.0).contains(&bytes), "{bytes}");

    client.delete(&id).await.expect(204);
    eventually(DEADLINE, "nothing is left of the session", async || {
        let seen = metrics(&node).await;
        let gone = !seen.samples.contains_key(&lag) && seen.value("sluice_sessions") == 0.0;
        let closed = seen.value("sluice_closer_backlog") == 0.0;
        (gone && closed).then_some(()).ok_or(seen)
    })
    .await;
}

#[tokio::test]
async fn errors_are_counted_by_code_and_never_by_path() {
    let node = Node::builder().bootstrap("127.0.0.1:1").start().await;
    let client = node.client();
    for number in 0..20 {
        client.get(&unique("c")).await.expect(404);
        let odd = format!("/{}?x={number}", unique("nowhere"));
        client.call(Method::GET, &odd, ()).await.expect(404);
        let method: Method = format!("M{number}").parse().unwrap();
        client.call(method, "/livez", ()).await.expect(405);
    }
    let seen = metrics(&node).await;
    for (labels, expected) in [
        (
            "code=\"consumer_not_found\",method=\"GET\",route=\"/api/consumers/{id}\",\
             status=\"404\"",
            20.0,
        ),
        (
            "code=\"route_not_found\",method=\"GET\",route=\"unmatched\",status=\"404\"",
            20.0,
        ),
        (
            "code=\"method_not_allowed\",method=\"other\",route=\"/livez\",status=\"405\"",
            20.0,
        ),
    ] {
        let name = format!("sluice_http_requests_total{{{labels}}}");
        assert_eq!(seen.value(&name), expected, "{name} in {:?}", seen.samples);
    }
}

/// Prometheus sees no increase in a series that begins with 1.
#[tokio::test]
async fn what_is_rare_and_told_by_alerts_is_there_from_the_start() {
    let node = Node::builder().bootstrap("127.0.0.1:1").start().await;
    let seen = metrics(&node).await;
    for name in [
        "sluice_http_internal_errors_total{code=\"internal\"}",
        "sluice_http_internal_errors_total{code=\"session_failed\"}",
        "sluice_session_failures_total{cause=\"failed\"}",
        "sluice_session_failures_total{cause=\"fenced\"}",
        "sluice_session_failures_total{cause=\"lease_lost\"}",
        "sluice_session_failures_total{cause=\"panicked\"}",
        "sluice_producer_replaced_total",
    ] {
        let count = seen.samples.get(name).copied();
        assert_eq!(count, Some(0.0), "{name} in {:?}", seen.samples);
    }
}

#[tokio::test]
async fn whether_a_node_reaches_kafka_is_told_though_nobody_asks_it_anything() {
    let away = "kafka cannot be reached";
    let node = Node::builder().bootstrap("127.0.0.1:1").start().await;
    eventually(DEADLINE, "it is logged", async || node.log_contains(away)).await;
    let log = node.log();
    let told: Vec<&str> = log.lines().filter(|line| line.contains(away)).collect();
    assert_eq!(told.len(), 1, "{told:?}");
    for part in [
        "WARN",
        "127.0.0.1:1",
        "cause",
        "hint",
        "kafka.bootstrap_servers",
    ] {
        assert!(told[0].contains(part), "{part} in {}", told[0]);
    }
    let seen = metrics(&node).await.samples["sluice_kafka_reached"];
    assert_eq!(seen, 0.0);

    let node = Node::builder().kafka(Kafka::shared().await).start().await;
    eventually(DEADLINE, "kafka is reached", async || {
        let seen = metrics(&node).await.samples["sluice_kafka_reached"];
        (seen == 1.0).then_some(()).ok_or(seen)
    })
    .await;
}

/// What a node of a cluster tells of that, besides what every node tells.
const OF_A_CLUSTER: [&str; 18] = [
    "sluice_raft_term",
    "sluice_raft_is_leader",
    "sluice_raft_has_leader",
    "sluice_raft_last_log_index",
    "sluice_raft_applied_index",
    "sluice_raft_snapshot_index",
    "sluice_raft_members",
    "sluice_raft_quorum_age_seconds",
    "sluice_raft_leader_changes_total",
    "sluice_raft_snapshots_total",
    "sluice_raft_proposals_failed_total",
    "sluice_cluster_nodes",
    "sluice_cluster_lease_remaining_seconds",
    "sluice_cluster_deaths_total",
    "sluice_cluster_failover_seconds",
    "sluice_cluster_handover_seconds",
    "sluice_cluster_sessions_moved_total",
    "sluice_registry_sessions",
];

#[tokio::test]
async fn every_node_tells_how_its_cluster_is() {
    let cluster = Cluster::builder("127.0.0.1:1").start().await;
    let leader = cluster.leader().await;
    for (number, node) in cluster.nodes().iter().enumerate() {
        let seen = eventually(DEADLINE, "all three decide, under leases", async || {
            let seen = metrics(node).await;
            let is_so = [
                ("sluice_raft_members{role=\"leader\"}", 1.0),
                ("sluice_raft_members{role=\"voter\"}", 2.0),
                ("sluice_cluster_nodes{state=\"alive\"}", 3.0),
                ("sluice_raft_has_leader", 1.0),
            ];
            let leased = seen.value("sluice_cluster_lease_remaining_seconds") > 0.0;
            let is_so = is_so.iter().all(|(name, value)| seen.value(name) == *value);
            (leased && is_so)
                .then_some(seen.samples.clone())
                .ok_or(seen)
        })
        .await;
        let described = metrics(node).await;
        for name in OF_A_CLUSTER {
            let (helps, types) = (&described.helps, &described.types);
            assert!(helps.contains(name) && types.contains_key(name), "{name}");
        }
        let leads = if number == leader { 1.0 } else { 0.0 };
        assert_eq!(seen["sluice_raft_is_leader"], leads);
        assert!(seen["sluice_raft_term"] >= 1.0);
        assert!(seen["sluice_raft_applied_index"] >= 1.0);
    }
    // They are read anew each time.
    let (dead, witness) = ((leader + 1) % 3, (leader + 2) % 3);
    cluster.kill(dead).await;
    for (number, deaths) in [(leader, 1.0), (witness, 0.0)] {
        eventually(DEADLINE, "the death is told", async || {
            let seen = metrics(cluster.node(number)).await;
            let is_so = seen.value("sluice_cluster_nodes{state=\"dead\"}") == 1.0
                && seen.value("sluice_cluster_nodes{state=\"alive\"}") == 2.0
                && seen.value("sluice_cluster_deaths_total") == deaths;
            is_so.then_some(()).ok_or(seen)
        })
        .await;
    }
}

#[tokio::test]
async fn what_other_nodes_serve_and_take_over_is_counted() {
    let kafka = Kafka::shared().await;
    let cluster = Cluster::builder(kafka.bootstrap()).start().await;
    let (topic, group) = (topic(1).await, unique("g"));
    let id = subscribe(&cluster.client(0), &group, &topic).await;
    let owner = cluster.owner(&id).await.expect("it has one");
    let entry = (owner + 1) % 3;
    let answered = "sluice_forward_hops_total{outcome=\"answered\"}";
    let before = metrics(cluster.node(entry)).await.value(answered);
    for _ in 0..3 {
        cluster.client(entry).position(&id).await.expect(200);
    }
    let seen = metrics(cluster.node(entry)).await;
    assert_eq!(seen.value(answered), before + 3.0);
    let added = "sluice_forward_added_seconds";
    assert_eq!(seen.value(&format!("{added}_count")), before + 3.0);
    assert!(seen.value(&format!("{added}_sum")) > 0.0);

    let handovers = "sluice_cluster_handover_seconds";
    let of_owner = metrics(cluster.node(owner)).await;
    assert_eq!(of_owner.value(&format!("{handovers}_count")), 0.0);
    let drain = format!("/api/cluster/nodes/sluice-{owner}/drain");
    let admin = cluster.node(owner).admin();
    admin.call(Method::POST, &drain, ()).await.expect(204);
    cluster.moved(&id, owner).await;
    eventually(DEADLINE, "the handover is told", async || {
        let seen = metrics(cluster.node(owner)).await;
        let count = seen.value(&format!("{handovers}_count"));
        let seconds = seen.value(&format!("{handovers}_sum"));
        (count == 1.0 && seconds > 0.0).then_some(()).ok_or(seen)
    })
    .await;
}

#[tokio::test]
async fn how_much_smaller_compression_makes_batches_is_told() {
    let kafka = Kafka::shared().await;
    let node = Node::builder().kafka(kafka).start().await;
    let topic = topic(0).await;
    let value = "sluice ".repeat(1_000);
    let records: Vec<_> = (0..50).map(|_| json!({"value": value})).collect();
    let query = [("compression", "zstd")];
    let body = json!({"records": records});
    node.client()
        .produce(&topic, &query, body)
        .await
        .expect(200);
    eventually(DEADLINE, "librdkafka has said what it sent", async || {
        let seen = metrics(&node).await;
        let of = |name: &str| {
            seen.value(&format!(
                "sluice_producer_{name}_bytes_total{{compression=\"zstd\"}}"
            ))
        };
        let (plain, sent) = (of("plain"), of("sent"));
        // A text has its quotes.
        let is_so = plain == 50.0 * 7_002.0 && sent > 0.0 && sent < plain / 10.0;
        is_so.then_some(()).ok_or((plain, sent))
    })
    .await;
}

#[tokio::test]
async fn a_node_without_a_volume_tells_nothing_of_a_cluster() {
    let node = Node::builder().bootstrap("127.0.0.1:1").start().await;
    let seen = metrics(&node).await;
    for name in OF_A_CLUSTER {
        assert!(!seen.helps.contains(name), "{name}");
    }
}
