//! Requests that are answered before Kafka has acknowledged, and what is told of them afterwards.

use reqwest::Method;
use serde_json::{Value, json};
use sluice_tests::ports::Port;
use sluice_tests::{Answer, Client, Kafka, Node, Reply, eventually, unique};

use crate::{DEADLINE, codes, entries, read, shared, topic};

const ASYNC: (&str, &str) = ("async", "true");

async fn status(client: &Client, id: &str) -> Reply {
    let path = format!("/api/produce/status/{id}");
    client.call(Method::GET, &path, ()).await
}

/// Waits until a request has ended.
async fn ended(client: &Client, id: &str) -> Answer {
    eventually(DEADLINE, "the request has ended", async || {
        let told = status(client, id).await.expect(200);
        assert_eq!(told["requestId"], id);
        (told["status"] != "pending").then_some(told)
    })
    .await
}

fn three() -> Value {
    json!({"records": [{"value": 1}, {"value": 2}, {"value": 3}]})
}

#[tokio::test]
async fn a_request_is_taken_at_once_and_told_of_later() {
    let (kafka, client, topic) = shared(1).await;
    let taken = client.produce(&topic, &[ASYNC], three()).await.expect(202);
    assert_eq!(taken["status"], "pending");
    let id = taken.text_at("requestId");
    assert!(id.starts_with("req_"), "{id}");
    let told = ended(&client, id).await;
    assert_eq!(told["status"], "completed");
    assert_eq!(told["error"], Value::Null);
    assert_eq!(codes(&told), [None, None, None]);
    let offsets: Vec<_> = entries(&told)
        .iter()
        .map(|e| e["offset"].as_i64())
        .collect();
    assert_eq!(offsets, [Some(0), Some(1), Some(2)]);
    assert_eq!(read(kafka, &topic).await.len(), 3);
}

#[tokio::test]
async fn what_is_not_written_is_told_of_each_record() {
    let (_, client, topic) = shared(1).await;
    let query = [ASYNC, ("value.format", "string")];
    let some = json!({"records": [{"value": 1}, {"value": "x"}]});
    let taken = client.produce(&topic, &query, some).await.expect(202);
    let told = ended(&client, taken.text_at("requestId")).await;
    assert_eq!(told["status"], "completed");
    assert_eq!(codes(&told), [Some("invalid_record"), None]);
    let none = json!({"records": [{"value": 1}, {"value": 2}]});
    let taken = client.produce(&topic, &query, none).await.expect(202);
    let told = ended(&client, taken.text_at("requestId")).await;
    assert_eq!(told["status"], "failed");
    let invalid = Some("invalid_record");
    assert_eq!(codes(&told), [invalid, invalid]);
    assert!(told.text_at("error").ends_with('.'));
}

#[tokio::test]
async fn topic_limits_and_body_are_checked_before_a_request_is_taken() {
    let (_, client, topic) = shared(1).await;
    let missing = client.produce(&unique("missing"), &[ASYNC], three()).await;
    missing.expect_problem(404, "topic_not_found");
    let empty = client
        .produce(&topic, &[ASYNC], json!({"records": []}))
        .await;
    empty.expect_problem(422, "invalid_field");
    let odd = client.produce(&topic, &[("async", "yes")], three()).await;
    let odd = odd.expect_problem(422, "invalid_field");
    assert_eq!(odd["errors"][0]["field"], "async");
}

#[tokio::test]
async fn an_id_that_nobody_was_given_is_not_found() {
    let (_, client, topic) = shared(1).await;
    let taken = client.produce(&topic, &[ASYNC], three()).await.expect(202);
    let id = taken.text_at("requestId").to_owned();
    ended(&client, &id).await;
    let typo = match id.strip_suffix('x') {
        Some(start) => format!("{start}y"),
        None => format!("{id}x"),
    };
    for unknown in [
        "req_",
        "nobody",
        "%00",
        "req_%ff",
        &typo,
        &id.to_uppercase(),
    ] {
        let refused = status(&client, unknown).await;
        let refused = refused.expect_problem(404, "request_not_found");
        assert_eq!(refused.json["requests"].as_array().map(Vec::len), Some(1));
    }
}

#[tokio::test]
async fn a_request_is_pending_while_kafka_stands_still_and_results_have_a_bound() {
    let kafka = Kafka::start().await;
    // Room for two hundred small requests or so, each with a few hundred bytes.
    let node = Node::builder()
        .kafka(&kafka)
        .env("SLUICE_LIMITS__ASYNC_RESULT_BYTES", "64KiB")
        .start()
        .await;
    let client = node.client();
    let topic = topic(&kafka, 1).await;
    client.produce(&topic, &[], three()).await.expect(200);
    kafka.freeze().unwrap();
    let mut taken = Vec::new();
    let refused = loop {
        let reply = client.produce(&topic, &[ASYNC], three()).await;
        match reply.status() {
            Some(202) => taken.push(reply.expect(202).text_at("requestId").to_owned()),
            _ => break reply.expect_problem(429, "queue_full"),
        }
        assert!(taken.len() < 1000, "there is no bound");
    };
    assert!(refused.header("retry-after").is_some());
    assert!(taken.len() > 50, "{}", taken.len());
    let told = status(&client, &taken[0]).await.expect(200);
    assert_eq!(told["status"], "pending");
    kafka.thaw().unwrap();
    for id in [&taken[0], &taken[taken.len() - 1]] {
        assert_eq!(ended(&client, id).await["status"], "completed");
    }
    // A request that is waited for needs no room among them.
    client.produce(&topic, &[], three()).await.expect(200);
}

#[tokio::test]
async fn a_request_that_was_taken_is_written_before_the_node_stops() {
    let kafka = Kafka::shared().await;
    let node = Node::builder().kafka(kafka).start().await;
    let client = node.client();
    let topic = topic(kafka, 1).await;
    let records: Vec<Value> = (0..5_000).map(|n| json!({"value": n})).collect();
    let body = json!({"records": records});
    for _ in 0..3 {
        client.produce(&topic, &[ASYNC], &body).await.expect(202);
    }
    node.sigterm();
    let status = node.wait_exit(DEADLINE).await.unwrap();
    assert_eq!(status.code(), Some(0), "{}", node.log());
    assert_eq!(read(kafka, &topic).await.len(), 15_000);
}

/// Three nodes, and the ports at which they find each other.
async fn cluster(kafka: &Kafka) -> (Vec<Node>, Vec<Port>) {
    let ports: Vec<Port> = (0..3).map(|_| Port::reserve().unwrap()).collect();
    let peers: Vec<String> = ports.iter().map(Port::address).collect();
    let start = async |number: usize| {
        let node = Node::builder().kafka(kafka);
        node.env("SLUICE_CLUSTER__NAME", format!("sluice-{number}"))
            .env("SLUICE_CLUSTER__BIND", &peers[number])
            .env("SLUICE_CLUSTER__PEERS", peers.join(","))
            .env("SLUICE_CLUSTER__DATA_DIR", "registry")
            .env("SLUICE_CLUSTER__SECRET", "only-the-nodes-know")
            .start()
            .await
    };
    let (a, b, c) = tokio::join!(start(0), start(1), start(2));
    let nodes = vec![a, b, c];
    for node in &nodes {
        eventually(DEADLINE, "the node is ready", async || {
            let ready = node.client().call(Method::GET, "/readyz", ()).await;
            ready.status() == Some(200)
        })
        .await;
    }
    (nodes, ports)
}

#[tokio::test]
async fn any_node_tells_of_a_request_and_says_so_when_its_node_is_lost() {
    let kafka = Kafka::shared().await;
    let (nodes, _ports) = cluster(kafka).await;
    let topic = topic(kafka, 1).await;
    let mut ids = Vec::new();
    for node in &nodes {
        let taken = node.client().produce(&topic, &[ASYNC], three()).await;
        ids.push(taken.expect(202).text_at("requestId").to_owned());
    }
    for id in &ids {
        for node in &nodes {
            let told = ended(&node.client(), id).await;
            assert_eq!(told["status"], "completed");
            assert_eq!(entries(&told).len(), 3);
        }
    }
    nodes[0].kill();
    for node in &nodes[1..] {
        let client = node.client();
        let told = eventually(DEADLINE, "the loss is told", async || {
            let reply = status(&client, &ids[0]).await;
            match reply.status() {
                // Until the registry knows that the node is dead.
                Some(503) => drop(reply.expect_problem(503, "owner_unavailable")),
                _ => return Some(reply.expect(200)),
            }
            None
        });
        let told = told.await;
        assert_eq!(told["status"], "failed");
        assert!(told.text_at("error").contains("unknown"), "{}", told.json);
        // The others know what they knew.
        assert_eq!(ended(&client, &ids[2]).await["status"], "completed");
    }
    nodes[0].restart().await.unwrap();
    let client = nodes[0].client();
    eventually(DEADLINE, "the node is back", async || {
        client.call(Method::GET, "/readyz", ()).await.status() == Some(200)
    })
    .await;
    for node in &nodes {
        let told = status(&node.client(), &ids[0]).await.expect(200);
        assert_eq!(told["status"], "failed");
    }
    assert_eq!(ended(&client, &ids[1]).await["status"], "completed");
}
