//! Three nodes that share their sessions: any of them serves every request.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};
use sluice_tests::ports::Port;
use sluice_tests::reader::assigned;
use sluice_tests::{Client, Dice, Kafka, Node, eventually, unique};
use tokio::time::Instant;

/// Far more than anything here takes, also on a machine that is busy with other tests.
const DEADLINE: Duration = Duration::from_secs(60);

/// Three nodes, and the ports at which they find each other.
struct Cluster {
    nodes: Vec<Node>,
    _ports: Vec<Port>,
}

impl Cluster {
    async fn start(kafka: &Kafka) -> Self {
        let ports: Vec<Port> = (0..3).map(|_| Port::reserve().unwrap()).collect();
        let peers: Vec<String> = ports.iter().map(Port::address).collect();
        let start = async |number: usize| {
            let node = Node::builder().kafka(kafka);
            node.env("SLUICE_CLUSTER__NAME", format!("sluice-{number}"))
                .env("SLUICE_CLUSTER__BIND", &peers[number])
                .env("SLUICE_CLUSTER__PEERS", peers.join(","))
                .env("SLUICE_CLUSTER__DATA_DIR", "registry")
                .env("SLUICE_CLUSTER__SECRET", "only-the-nodes-know")
                .env("SLUICE_DRAIN__LINGER", "1s")
                .env("SLUICE_LOG", "info,sluice_node=debug,openraft=off")
                .start()
                .await
        };
        let (a, b, c) = tokio::join!(start(0), start(1), start(2));
        let cluster = Self {
            nodes: vec![a, b, c],
            _ports: ports,
        };
        for node in &cluster.nodes {
            is_ready(node).await;
        }
        cluster
    }

    fn clients(&self) -> Vec<Client> {
        self.nodes.iter().map(Node::client).collect()
    }
}

async fn is_ready(node: &Node) {
    let client = node.client();
    eventually(DEADLINE, "the node is ready", async || {
        let ready = client.call(Method::GET, "/readyz", ()).await;
        ready.status() == Some(200)
    })
    .await;
}

async fn topic_with(kafka: &Kafka, partitions: i32, records: u64) -> String {
    let topic = unique("orders");
    kafka.create_topic(&topic, partitions).await.unwrap();
    kafka.fill(&topic, records, 0).await.unwrap();
    topic
}

fn spec(topic: &str) -> Value {
    json!({"group_id": unique("group"), "topics": [topic], "auto_offset_reset": "earliest"})
}

/// Subscribes until a session is on the node with this number, as it soon is: they are spread.
async fn session_on(cluster: &Cluster, number: usize, topic: &str) -> String {
    let client = cluster.nodes[0].client();
    for _ in 0..9 {
        let session = client.subscribe(spec(topic)).await.expect(200);
        let id = session.text_at("consumer_id").to_owned();
        let described = client.get(&id).await.expect(200);
        if described["owner"] == format!("sluice-{number}") {
            return id;
        }
    }
    panic!("no session came to node {number}");
}

#[tokio::test]
async fn every_node_serves_every_request_of_every_session() {
    let kafka = Kafka::shared().await;
    let cluster = Cluster::start(kafka).await;
    let clients = cluster.clients();
    let topic = topic_with(kafka, 2, 20).await;

    let mut owners = BTreeMap::<String, usize>::new();
    for _ in 0..6 {
        // Through one node all of them.
        let body = spec(&topic);
        let session = clients[0].subscribe(&body).await.expect(200);
        let id = session.text_at("consumer_id").to_owned();
        assert_eq!(assigned(&session, &topic), [0, 1].into());
        for client in &clients {
            let described = client.get(&id).await.expect(200);
            assert_eq!(described["state"], "running");
            let mut again = body.clone();
            again["consumer_id"] = json!(id);
            let again = client.subscribe(again).await.expect(200);
            assert_eq!(again["assignment"], session["assignment"]);
            let polled = client.consume(&id, json!({"max_records": 5, "timeout_ms": 10_000}));
            assert!(!polled.await.expect(200).records().is_empty());
            client.commit(&id, ()).await.expect(200);
            client.position(&id).await.expect(200);
            let seek = json!({"topic": topic, "partition": 1, "offset": 3});
            client.seek(&id, seek).await.expect(200);
            let position = client.position(&id).await.expect(200);
            assert_eq!(position["offsets"][&topic]["1"], 3);
        }
        let described = clients[1].get(&id).await.expect(200);
        *owners
            .entry(described.text_at("owner").to_owned())
            .or_default() += 1;
        let last = clients.len() - 1;
        if owners.values().sum::<usize>() % 2 == 0 {
            clients[last].delete(&id).await.expect(204);
            for client in &clients {
                client
                    .delete(&id)
                    .await
                    .expect_problem(404, "consumer_not_found");
            }
        }
    }
    assert_eq!(
        owners.len(),
        3,
        "sessions spread over the nodes: {owners:?}"
    );
}

#[tokio::test]
async fn no_record_is_lost_or_repeated_on_the_way_over_other_nodes() {
    let kafka = Kafka::shared().await;
    let cluster = Cluster::start(kafka).await;
    let clients = cluster.clients();
    let topic = topic_with(kafka, 3, 600).await;
    let mut dice = Dice::cast();
    for with_after in [true, false] {
        let session = clients[0].subscribe(spec(&topic)).await.expect(200);
        let id = session.text_at("consumer_id").to_owned();
        let (mut seen, mut cursor) = (Vec::new(), None::<String>);
        while seen.len() < 600 {
            let mut body = json!({"max_records": dice.below(40) + 1, "timeout_ms": 10_000});
            if let Some(cursor) = cursor.filter(|_| with_after) {
                body["after"] = json!(cursor);
            }
            let polled = clients[usize::try_from(dice.below(3)).unwrap()]
                .consume(&id, body)
                .await
                .expect(200);
            let places = polled.records().iter().map(|record| {
                let number = |member: &str| record[member].as_i64().unwrap();
                (number("partition"), number("offset"))
            });
            seen.extend(places);
            cursor = Some(polled.text_at("cursor").to_owned());
        }
        let distinct: BTreeSet<_> = seen.iter().collect();
        assert_eq!((seen.len(), distinct.len()), (600, 600), "{dice:?}");
        clients[1].delete(&id).await.expect(204);
    }
}

#[tokio::test]
async fn an_unknown_consumer_is_404_on_every_node() {
    let kafka = Kafka::shared().await;
    let cluster = Cluster::start(kafka).await;
    for client in cluster.clients() {
        let unknown = client.position(&unique("c")).await;
        unknown.expect_problem(404, "consumer_not_found");
    }
}

#[tokio::test]
async fn sessions_go_on_when_all_nodes_were_killed_at_once() {
    let kafka = Kafka::shared().await;
    let cluster = Cluster::start(kafka).await;
    let topic = topic_with(kafka, 1, 30).await;
    let mut ids = Vec::new();
    for _ in 0..3 {
        let session = cluster.clients()[0].subscribe(spec(&topic)).await;
        ids.push(session.expect(200).text_at("consumer_id").to_owned());
    }
    for id in &ids {
        let polled = cluster.clients()[1]
            .consume(id, json!({"max_records": 10}))
            .await;
        assert_eq!(polled.expect(200).records().len(), 10);
        cluster.clients()[2].commit(id, ()).await.expect(200);
    }
    for node in &cluster.nodes {
        node.kill();
    }
    for node in &cluster.nodes {
        node.restart().await.unwrap();
    }
    for node in &cluster.nodes {
        is_ready(node).await;
    }
    for (id, client) in ids.iter().zip(cluster.clients()) {
        let polled = client.consume(id, json!({"max_records": 10, "timeout_ms": 20_000}));
        let polled = polled.await.expect(200);
        assert_eq!(polled.records()[0]["offset"], 10, "{}", polled.json);
        client.delete(id).await.expect(204);
    }
}

#[tokio::test]
async fn a_session_goes_on_at_another_node_when_its_owner_is_killed() {
    let kafka = Kafka::shared().await;
    let cluster = Cluster::start(kafka).await;
    let topic = topic_with(kafka, 1, 30).await;
    let (client, id) = (
        cluster.nodes[0].client(),
        session_on(&cluster, 2, &topic).await,
    );
    let first = client.consume(&id, json!({"max_records": 10, "timeout_ms": 10_000}));
    let first = first.await.expect(200);
    assert_eq!(first.records().len(), 10);
    client.commit(&id, ()).await.expect(200);
    cluster.nodes[2].kill();
    let killed = Instant::now();
    // The request waits for the next owner, and is answered by it.
    let second = client.consume(&id, json!({"max_records": 10, "timeout_ms": 20_000}));
    let second = second.await.expect(200);
    assert_eq!(second.records()[0]["offset"], 10, "{}", second.json);
    assert_eq!(
        second["generation"], first["generation"],
        "others have noticed nothing"
    );
    println!("answered {:?} after the kill", killed.elapsed());
    let described = client.get(&id).await.expect(200);
    assert_ne!(described["owner"], "sluice-2");
    client.delete(&id).await.expect(204);
}

#[tokio::test]
async fn a_node_that_stops_hands_its_sessions_over_with_exact_positions() {
    let kafka = Kafka::shared().await;
    let cluster = Cluster::start(kafka).await;
    let topic = topic_with(kafka, 2, 60).await;
    let client = cluster.nodes[0].client();
    let id = session_on(&cluster, 2, &topic).await;
    let first = client.consume(&id, json!({"max_records": 10, "timeout_ms": 10_000}));
    let first = first.await.expect(200);
    let before = client.position(&id).await.expect(200);
    cluster.nodes[2].sigterm();
    let began = Instant::now();
    eventually(DEADLINE, "the session has moved", async || {
        client.get(&id).await.expect(200)["owner"] != "sluice-2"
    })
    .await;
    let after = client.position(&id).await.expect(200);
    println!("moved in {:?}", began.elapsed());
    assert_eq!(after["offsets"], before["offsets"], "nothing was committed");
    assert_eq!(
        after["generation"], first["generation"],
        "the group has noticed nothing"
    );
    // It is there for others a while yet, then it ends.
    let late = cluster.nodes[2].client().position(&id).await.expect(200);
    assert_eq!(late["offsets"], after["offsets"]);
    let status = cluster.nodes[2].wait_exit(DEADLINE).await.unwrap();
    assert!(status.success(), "{status}");
    println!("stopped in {:?}", began.elapsed());
    client.delete(&id).await.expect(204);
}

#[tokio::test]
async fn a_request_has_one_id_on_both_nodes() {
    let kafka = Kafka::shared().await;
    let cluster = Cluster::start(kafka).await;
    let topic = topic_with(kafka, 1, 1).await;
    let session = cluster.nodes[0].client().subscribe(spec(&topic)).await;
    let session = session.expect(200);
    let id = session.text_at("consumer_id");
    let described = cluster.nodes[0].client().get(id).await.expect(200);
    let owner = described.text_at("owner").trim_start_matches("sluice-");
    let owner: usize = owner.parse().unwrap();
    let entry = cluster.nodes[(owner + 1) % 3].client();
    let request_id = unique("request");
    let request = entry.request(Method::POST, &format!("/api/consumers/{id}/commit"));
    let request = request.header("x-request-id", &request_id);
    let not_held = json!({"offsets": {&topic: {"7": 1}}});
    let refused = entry.send(request.json(&not_held)).await;
    let refused = refused.expect_problem(409, "partition_not_assigned");
    assert_eq!(refused.header("x-request-id"), Some(&*request_id));
    eventually(DEADLINE, "the owner has logged it", async || {
        cluster.nodes[owner].log_contains(&request_id)
    })
    .await;
    // The entry node counts it under its code.
    let metrics = cluster.nodes[(owner + 1) % 3].admin();
    let metrics = metrics
        .call(Method::GET, "/metrics", ())
        .await
        .expect(200)
        .text;
    assert!(
        metrics.contains("code=\"partition_not_assigned\""),
        "{metrics}"
    );
}

#[tokio::test]
async fn a_stranger_is_refused_on_the_internal_port() {
    let kafka = Kafka::shared().await;
    let cluster = Cluster::start(kafka).await;
    let internal = cluster.nodes[0].log_lines();
    let internal = internal
        .iter()
        .find(|line| line["message"] == "listening")
        .unwrap();
    let stranger = Client::new(format!("http://{}", internal["internal"].as_str().unwrap()));
    for path in ["/raft", "/api/consumers/subscribe", "/raft"] {
        let refused = stranger.call(Method::POST, path, json!({})).await;
        assert_eq!(refused.status(), Some(401), "{path}");
    }
    let log = cluster.nodes[0].log();
    let told = log.matches("refused a request on the internal port");
    assert_eq!(told.count(), 1, "it is said once");
}

#[tokio::test]
async fn without_a_majority_sessions_go_on_and_nothing_is_decided() {
    let kafka = Kafka::shared().await;
    let cluster = Cluster::start(kafka).await;
    let topic = topic_with(kafka, 1, 30).await;
    let client = cluster.nodes[0].client();
    let id = session_on(&cluster, 0, &topic).await;
    cluster.nodes[1].kill();
    cluster.nodes[2].kill();
    // Nobody can say that there is no such session.
    let unknown = client.position(&unique("c")).await;
    unknown.expect_problem(503, "no_quorum");
    let polled = client.consume(&id, json!({"max_records": 10, "timeout_ms": 10_000}));
    assert_eq!(polled.await.expect(200).records().len(), 10);
    client.commit(&id, ()).await.expect(200);
    let seek = json!({"topic": topic, "partition": 0, "offset": 3});
    client
        .seek(&id, seek.clone())
        .await
        .expect_problem(503, "no_quorum");
    let position = client.position(&id).await.expect(200);
    assert_eq!(position["offsets"][&topic]["0"], 10, "nothing has changed");
    client.delete(&id).await.expect_problem(503, "no_quorum");
    let refused = client.subscribe(spec(&topic)).await;
    refused.expect_problem(503, "no_quorum");
    cluster.nodes[1].restart().await.unwrap();
    eventually(DEADLINE, "two nodes decide again", async || {
        client.seek(&id, seek.clone()).await.status() == Some(200)
    })
    .await;
    let position = client.position(&id).await.expect(200);
    assert_eq!(position["offsets"][&topic]["0"], 3);
    client.delete(&id).await.expect(204);
}
