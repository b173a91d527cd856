//! Starting, health, metrics and stopping.

use std::time::Duration;

use serde_json::Value;
use tokio::time::Instant;

use crate::node::Node;

#[tokio::test(flavor = "multi_thread")]
async fn a_node_is_ready_without_kafka_and_says_that_it_is_away() {
    let node = Node::start(&[]).await;
    let live = node.get("/livez").send().await.unwrap();
    assert_eq!(live.status(), 200);
    for request in [node.get("/readyz"), node.admin("/readyz")] {
        let ready = request.send().await.unwrap();
        assert_eq!(ready.status(), 200);
        let ready: Value = ready.json().await.unwrap();
        assert_eq!(ready["kafka"], "degraded");
        assert_eq!(ready["node"], "test-0");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_are_counted_by_template() {
    let node = Node::start(&[]).await;
    for id in ["a", "b", "c"] {
        node.get(&format!("/api/consumers/{id}"))
            .send()
            .await
            .unwrap();
    }
    node.get("/nowhere").send().await.unwrap();
    let answer = node.admin("/metrics").send().await.unwrap();
    let kind = answer.headers()["content-type"]
        .to_str()
        .unwrap()
        .to_owned();
    assert!(kind.starts_with("text/plain; version=0.0.4"), "{kind}");
    let text = answer.text().await.unwrap();
    let line = "sluice_http_requests_total{code=\"consumer_not_found\",method=\"GET\",\
                route=\"/api/consumers/{id}\",status=\"404\"} 3";
    assert!(text.contains(line), "{text}");
    assert!(text.contains("route=\"unmatched\""), "{text}");
    assert!(text.contains("sluice_http_request_duration_seconds_bucket"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_stops_in_time_with_idle_connections_open() {
    let node = Node::start(&[]).await;
    // Leaves a connection open in the client's pool.
    node.get("/livez")
        .send()
        .await
        .unwrap()
        .bytes()
        .await
        .unwrap();
    let address = node.running.http[0];
    let begun = Instant::now();
    node.running.shutdown().await;
    assert!(
        begun.elapsed() < Duration::from_secs(6),
        "{:?}",
        begun.elapsed()
    );
    assert!(tokio::net::TcpStream::connect(address).await.is_err());
}
