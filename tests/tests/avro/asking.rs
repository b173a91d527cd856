//! What a node shows the registry, how often it asks, and that every node does.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::future::join_all;
use serde_json::json;
use sluice_tests::fault::{Direction, Proxy};
use sluice_tests::{Cluster, Kafka, Node, NodeBuilder, SchemaRegistry, unique};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::{Topic, URL, metric, node_of, note};

/// A guard before the shared registry: only requests with the credentials come through.
struct Guard {
    address: SocketAddr,
    /// The `authorization` of each request.
    shown: Arc<Mutex<Vec<Option<String>>>>,
}

impl Guard {
    async fn before(registry: &SchemaRegistry, expected: &'static str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let shown = Arc::<Mutex<Vec<_>>>::default();
        let (behind, seen) = (registry.address(), Arc::clone(&shown));
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let seen = Arc::clone(&seen);
                tokio::spawn(async move { guard(client, behind, expected, &seen).await });
            }
        });
        Self { address, shown }
    }

    fn url(&self) -> String {
        SchemaRegistry::url_at(self.address)
    }
}

/// Serves one request of one connection.
async fn guard(
    mut client: TcpStream,
    behind: SocketAddr,
    expected: &str,
    shown: &Mutex<Vec<Option<String>>>,
) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        match client.read_u8().await {
            Ok(byte) => head.push(byte),
            Err(_) => return,
        }
    }
    let head = String::from_utf8(head).unwrap();
    let authorization = head.lines().find_map(|line| {
        let (name, value) = line.split_once(": ")?;
        name.eq_ignore_ascii_case("authorization")
            .then(|| value.to_owned())
    });
    let is_right = authorization.as_deref() == Some(expected);
    shown.lock().unwrap().push(authorization);
    if !is_right {
        let refusal = "HTTP/1.1 401 Unauthorized\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
        client.write_all(refusal.as_bytes()).await.unwrap();
        return;
    }
    let mut registry = TcpStream::connect(behind).await.unwrap();
    let head = head.replacen("\r\n", "\r\nconnection: close\r\n", 1);
    registry.write_all(head.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    registry.read_to_end(&mut answer).await.unwrap();
    client.write_all(&answer).await.unwrap();
}

/// Writes a note by way of this node.
async fn writes(node: NodeBuilder) -> (Node, sluice_tests::Reply) {
    let node = node.start().await;
    let topic = Topic::of(node.client()).await;
    topic.values_are(&note()).await;
    let written = topic.write("", &json!([{"value": {"text": "a"}}])).await;
    (node, written)
}

#[tokio::test]
async fn a_user_or_a_token_is_shown_to_the_registry_and_to_nobody_else() {
    let registry = SchemaRegistry::shared().await;
    // Of `reader:open sesame`.
    let basic = Guard::before(registry, "Basic cmVhZGVyOm9wZW4gc2VzYW1l").await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("password");
    std::fs::write(&file, "open sesame\n").unwrap();
    let node = node_of(&basic.url())
        .await
        .env("SLUICE_SCHEMA_REGISTRY__USERNAME", "reader")
        .env("SLUICE_SCHEMA_REGISTRY__PASSWORD_FILE", file.display())
        .env("SLUICE_LOG", "trace");
    let (node, written) = writes(node).await;
    written.expect(200);
    assert!(!node.log().contains("open sesame") && !node.log().contains("cmVhZGVyOm9w"));
    assert!(!basic.shown.lock().unwrap().is_empty());

    let bearer = Guard::before(registry, "Bearer wrapped-token").await;
    let with_token = async |token: &str| {
        let node = node_of(&bearer.url()).await;
        let node = node.env("SLUICE_SCHEMA_REGISTRY__TOKEN", token);
        writes(node.env("SLUICE_LOG", "trace")).await
    };
    let (node, written) = with_token("wrapped-token").await;
    written.expect(200);
    assert!(!node.log().contains("wrapped-token"));
    let (node, refused) = with_token("forged-token").await;
    refused.expect_problem(503, "schema_registry_unavailable");
    assert!(node.log_contains("401"), "the log says why");
    let (_, refused) = writes(node_of(&bearer.url()).await).await;
    refused.expect_problem(503, "schema_registry_unavailable");
    assert_eq!(bearer.shown.lock().unwrap().last(), Some(&None));
}

#[tokio::test]
async fn a_registry_with_tls_has_to_be_who_it_says() {
    let registry = SchemaRegistry::start_with_tls().await;
    let node = async |node: NodeBuilder| {
        let node = node.start().await;
        let topic = Topic::of(node.client()).await;
        let subject = format!("{}-value", topic.name);
        registry.register(&subject, &note()).await;
        let written = topic.write("", &json!([{"value": {"text": "a"}}])).await;
        (node, written)
    };
    let trusting = node_of(&registry.url()).await.env(
        "SLUICE_SCHEMA_REGISTRY__CA_FILE",
        registry.certificate().display(),
    );
    let (_node, written) = node(trusting).await;
    written.expect(200);
    // Nobody whom the machine trusts has signed it.
    let (node, refused) = node(node_of(&registry.url()).await).await;
    refused.expect_problem(503, "schema_registry_unavailable");
    assert!(node.log_contains("certificate"), "the log says why");
}

#[tokio::test]
async fn another_address_is_asked_when_one_does_not_answer() {
    let registry = SchemaRegistry::shared().await;
    let proxy = Proxy::to(&registry.address().to_string()).await.unwrap();
    proxy.refuse().await;
    let both = [SchemaRegistry::url_at(proxy.address()), registry.url()].join(",");
    let (node, written) = writes(node_of(&both).await).await;
    written.expect(200);
    let requests = "sluice_schema_registry_requests_total";
    assert_eq!(
        metric(&node, &format!("{requests}{{outcome=\"failed\"}}")).await,
        1.0
    );
    assert_eq!(
        metric(&node, &format!("{requests}{{outcome=\"ok\"}}")).await,
        1.0
    );
}

#[tokio::test]
async fn who_misses_the_same_schema_shares_one_request() {
    let registry = SchemaRegistry::shared().await;
    let proxy = Proxy::to(&registry.address().to_string()).await.unwrap();
    let node = node_of(&SchemaRegistry::url_at(proxy.address())).await;
    let node = node
        .env("SLUICE_SCHEMA_REGISTRY__LATEST_TTL", "1h")
        .start()
        .await;
    let topic = Topic::of(node.client()).await;
    let id = topic.values_are(&note()).await;
    proxy.delay(Direction::ToClient, Duration::from_millis(500));
    let records = json!([{"value": {"text": "a"}}]);
    let writing = (0..20).map(|_| topic.write("", &records));
    for written in join_all(writing).await {
        written.expect(200);
    }
    // Its id is known by now, to sessions too.
    let by_id = format!("&value.schema={id}");
    topic.write(&by_id, &records).await.expect(200);
    let session = topic.subscribe(json!({})).await;
    session.read(21).await;
    let asked = metric(
        &node,
        "sluice_schema_registry_requests_total{outcome=\"ok\"}",
    )
    .await;
    assert_eq!(asked, 1.0);
}

#[tokio::test]
async fn every_node_writes_and_reads_avro() {
    let (kafka, registry) = (Kafka::shared().await, SchemaRegistry::shared().await);
    let cluster = Cluster::builder(kafka.bootstrap())
        .env(URL, registry.url())
        .start()
        .await;
    let topic = Topic::of(cluster.client(0)).await;
    topic.values_are(&note()).await;
    for number in 0..3 {
        let topic = Topic {
            client: cluster.client(number),
            name: topic.name.clone(),
            ..topic
        };
        let records = json!([{"value": {"text": number.to_string()}}, {"value": 7}]);
        let written = topic.write("", &records).await.expect(200);
        assert_eq!(crate::codes(&written), [None, Some("schema_mismatch")]);
        let nobody = format!("&value.schema={}", unique("nobody"));
        let missing = topic.write(&nobody, &records).await;
        missing.expect_problem(422, "schema_not_found");
    }
    let expected: Vec<_> = (0..3).map(|n| json!({"text": n.to_string()})).collect();
    let session = topic.subscribe(json!({})).await;
    for number in 0..3 {
        let from_start = json!({"topic": topic.name, "partition": 0, "offset": 0});
        let client = cluster.client(number);
        client.seek(&session.id, from_start).await.expect(200);
        let session = crate::Session {
            client,
            id: session.id.clone(),
        };
        assert_eq!(session.values(3).await, expected);
    }
}
