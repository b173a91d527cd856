//! What holds for every answer: ids, types, compression.

use std::time::Duration;

use reqwest::Method;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::Instant;

use crate::node::{Node, problem};

#[tokio::test(flavor = "multi_thread")]
async fn every_answer_carries_a_request_id() {
    let node = Node::start(&[]).await;
    for path in ["/livez", "/nowhere", "/api/consumers/x", "/docs/nothing"] {
        let echoed = node
            .get(path)
            .header("x-request-id", "my-id")
            .send()
            .await
            .unwrap();
        assert_eq!(echoed.headers()["x-request-id"], "my-id", "{path}");
        let long = "x".repeat(129);
        let new = node
            .get(path)
            .header("x-request-id", &long)
            .send()
            .await
            .unwrap();
        assert_eq!(new.headers()["x-request-id"].len(), 36, "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_is_json_or_nothing() {
    let node = Node::start(&[]).await;
    let refused = node
        .get("/livez")
        .header("accept", "text/html")
        .send()
        .await
        .unwrap();
    problem(refused, 406, "not_acceptable").await;
    let taken = node
        .get("/livez")
        .header("accept", "text/html, */*;q=0.1")
        .send()
        .await
        .unwrap();
    assert_eq!(taken.status(), 200);
    assert_eq!(taken.headers()["content-type"], "application/json");
}

#[tokio::test(flavor = "multi_thread")]
async fn large_answers_are_compressed_if_asked_for() {
    let node = Node::start(&[]).await;
    let get = |path: &'static str, accept: &'static str| {
        node.get(path).header("accept-encoding", accept).send()
    };
    let plain = get("/openapi.json", "identity").await.unwrap();
    assert!(!plain.headers().contains_key("content-encoding"));
    assert_eq!(plain.headers()["vary"], "accept-encoding");
    let plain = plain.bytes().await.unwrap();
    for (accept, chosen) in [("gzip", "gzip"), ("br", "br"), ("gzip, br, zstd", "zstd")] {
        let answer = get("/openapi.json", accept).await.unwrap();
        assert_eq!(answer.headers()["content-encoding"], chosen);
        let length: usize = answer.headers()["content-length"]
            .to_str()
            .unwrap()
            .parse()
            .unwrap();
        assert!(length < plain.len() / 2, "{chosen}: {length}");
        assert_eq!(answer.bytes().await.unwrap().len(), length);
        let small = get("/livez", accept).await.unwrap();
        assert!(!small.headers().contains_key("content-encoding"));
    }
    let decoding = reqwest::Client::builder().no_proxy().build().unwrap();
    for accept in ["gzip", "br", "zstd"] {
        let url = format!("http://{}/openapi.json", node.running.http[0]);
        let request = decoding.get(url).header("accept-encoding", accept);
        let decoded = request.send().await.unwrap().bytes().await.unwrap();
        assert_eq!(decoded, plain, "{accept}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_head_is_a_get_without_its_body() {
    let node = Node::start(&[]).await;
    let get = node.get("/openapi.json").send().await.unwrap();
    let head = node
        .request(Method::HEAD, "/openapi.json")
        .send()
        .await
        .unwrap();
    assert_eq!(head.status(), 200);
    assert_eq!(
        head.headers()["content-length"],
        get.headers()["content-length"]
    );
    assert!(head.bytes().await.unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_description_and_its_page_come_from_the_binary() {
    let node = Node::start(&[]).await;
    let document: Value = node
        .get("/openapi.json")
        .send()
        .await
        .unwrap()
        .json()
        .await
        .unwrap();
    assert!(document["paths"]["/api/consumers/{id}/consume"]["post"].is_object());
    assert!(document["paths"]["/metrics"].is_null());
    let document: Value = node
        .admin("/openapi.json")
        .send()
        .await
        .unwrap()
        .json()
        .await
        .unwrap();
    assert!(document["paths"]["/metrics"]["get"].is_object());
    let page = node.get("/docs").send().await.unwrap();
    assert_eq!(page.headers()["content-type"], "text/html; charset=utf-8");
    let page = page.text().await.unwrap();
    assert!(page.contains("<base href=\"docs/\">"));
    for part in [
        "swagger-ui.css",
        "swagger-ui-bundle.js",
        "swagger-initializer.js",
        "",
    ] {
        assert!(page.contains(part));
        let answer = node.get(&format!("/docs/{part}")).send().await.unwrap();
        assert_eq!(answer.status(), 200, "{part}");
    }
    let start = node
        .get("/docs/swagger-initializer.js")
        .send()
        .await
        .unwrap();
    assert!(start.text().await.unwrap().contains("../openapi.json"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_goes_away_ends_its_request() {
    let node = Node::start(&[]).await;
    let body = serde_json::json!({"group_id": "g", "topics": ["t"]});
    let asking = node.post("/api/consumers/subscribe").json(&body).send();
    let impatient = tokio::time::timeout(Duration::from_millis(300), asking).await;
    assert!(impatient.is_err(), "it was answered without a broker");
    let line = "sluice_http_requests_aborted_total{method=\"POST\",\
                route=\"/api/consumers/subscribe\"} 1";
    let end = Instant::now() + Duration::from_secs(5);
    loop {
        let metrics = node
            .admin("/metrics")
            .send()
            .await
            .unwrap()
            .text()
            .await
            .unwrap();
        if metrics.contains(line) {
            break;
        }
        assert!(Instant::now() < end, "{metrics}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_does_not_come_is_not_waited_for() {
    let node = Node::start(&[]).await;
    let mut connection = TcpStream::connect(node.running.http[0]).await.unwrap();
    let head = "POST /api/consumers/subscribe HTTP/1.1\r\nhost: x\r\ncontent-length: 9\r\n\
                x-request-timeout-ms: 200\r\n\r\n{";
    connection.write_all(head.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    let reading = async {
        while !String::from_utf8_lossy(&answer).contains("request_timeout") {
            assert!(connection.read_buf(&mut answer).await.unwrap() > 0);
        }
    };
    tokio::time::timeout(Duration::from_secs(5), reading)
        .await
        .unwrap();
    assert!(answer.starts_with(b"HTTP/1.1 408 "));
}
