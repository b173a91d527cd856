//! What requests are refused for.

use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::node::{Node, problem};

const SUBSCRIBE: &str = "/api/consumers/subscribe";

fn fields(body: &Value) -> Vec<&str> {
    let errors = body["errors"].as_array().unwrap();
    errors
        .iter()
        .map(|error| error["field"].as_str().unwrap())
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_paths_and_methods_are_problems() {
    let node = Node::start(&[]).await;
    for path in [
        "/api",
        "/api/consumers/",
        "/api/consumers/a/b/c",
        "/metrics",
        "/api/consumers",
    ] {
        problem(node.get(path).send().await.unwrap(), 404, "route_not_found").await;
    }
    for (method, path, allowed) in [
        (Method::GET, SUBSCRIBE, "POST"),
        (Method::POST, "/livez", "GET, HEAD"),
        (Method::PATCH, "/api/consumers/x", "GET, HEAD, DELETE"),
        (
            Method::OPTIONS,
            "/api/consumers/x/assignment",
            "GET, HEAD, PUT",
        ),
    ] {
        let answer = node.request(method, path).send().await.unwrap();
        assert_eq!(answer.headers()["allow"], allowed, "{path}");
        problem(answer, 405, "method_not_allowed").await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn bodies_must_be_json_of_a_limited_size() {
    let node = Node::start(&[("SLUICE_LIMITS__BODY_BYTES", "4KiB")]).await;
    let post = |kind: &'static str, body: String| {
        node.post(SUBSCRIBE)
            .header("content-type", kind)
            .body(body)
            .send()
    };
    let json = "application/json; charset=utf-8";
    let broken = post(json, "{\"a\":\n x}".to_owned()).await.unwrap();
    let broken = problem(broken, 400, "malformed_json").await;
    assert!(
        broken["detail"]
            .as_str()
            .unwrap()
            .contains("line 2, column 2")
    );
    problem(
        post(json, String::new()).await.unwrap(),
        400,
        "malformed_json",
    )
    .await;
    for kind in [
        "text/plain",
        "application/x-www-form-urlencoded",
        "application/jsonx",
        "x",
    ] {
        let refused = post(kind, "{}".to_owned()).await.unwrap();
        problem(refused, 415, "unsupported_media_type").await;
    }
    let large = post(json, format!("{{\"x\":\"{}\"}}", "x".repeat(8192)))
        .await
        .unwrap();
    let large = problem(large, 413, "body_too_large").await;
    assert_eq!(large["limit"], 4096);
    let chunks = reqwest::Body::wrap_stream(futures::stream::iter(
        (0..100).map(|_| Ok::<_, std::io::Error>("x".repeat(1000))),
    ));
    let large = node.post(SUBSCRIBE).body(chunks).send().await.unwrap();
    problem(large, 413, "body_too_large").await;
    let undeclared = node.post(SUBSCRIBE).body("{}").send().await.unwrap();
    problem(undeclared, 422, "invalid_field").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn all_faults_are_told_at_once() {
    let node = Node::start(&[]).await;
    let body = json!({"topics": [], "session_timeout_ms": 1, "colour": "red"});
    let answer = node
        .post(&format!("{SUBSCRIBE}?fast=1"))
        .header("x-request-timeout-ms", "-1")
        .json(&body)
        .send()
        .await
        .unwrap();
    let body = problem(answer, 422, "invalid_field").await;
    let expected = [
        "x-request-timeout-ms",
        "fast",
        "group_id",
        "topics",
        "session_timeout_ms",
        "colour",
    ];
    assert_eq!(fields(&body), expected);
    let answer = node.get("/livez?x=1").send().await.unwrap();
    assert_eq!(fields(&problem(answer, 422, "invalid_field").await), ["x"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn sessions_that_are_not_there_are_404() {
    let node = Node::start(&[]).await;
    let requests = [
        (Method::POST, "consume"),
        (Method::POST, "commit"),
        (Method::GET, "position"),
        (Method::GET, "assignment"),
        (Method::GET, ""),
        (Method::DELETE, ""),
    ];
    let long = "x".repeat(65);
    for id in ["nobody", "b%C3%A9", "a%2Fb", "a%20b", &long] {
        for (method, verb) in &requests {
            let path = format!("/api/consumers/{id}/{verb}");
            let answer = node
                .request(method.clone(), path.trim_end_matches('/'))
                .send();
            problem(answer.await.unwrap(), 404, "consumer_not_found").await;
        }
    }
    let seek = node
        .post("/api/consumers/nobody/seek")
        .json(&json!({"topic": "t", "offset": 1}));
    problem(seek.send().await.unwrap(), 404, "consumer_not_found").await;
    let assign = node
        .request(Method::PUT, "/api/consumers/nobody/assignment")
        .json(&json!({"topics": {"t": [0]}}));
    problem(assign.send().await.unwrap(), 404, "consumer_not_found").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deadline_is_kept_when_kafka_is_away() {
    let node = Node::start(&[]).await;
    let begun = Instant::now();
    let answer = node
        .post(SUBSCRIBE)
        .header("x-request-timeout-ms", "1500")
        .json(&json!({"group_id": "g", "topics": ["t"]}))
        .send()
        .await
        .unwrap();
    let status = answer.status().as_u16();
    assert!(matches!(status, 503 | 504), "{status}");
    assert!(begun.elapsed() < Duration::from_secs(3));
    let code = if status == 503 {
        "kafka_unavailable"
    } else {
        "kafka_timeout"
    };
    problem(answer, status, code).await;
    let list: Value = node
        .admin("/api/consumers")
        .send()
        .await
        .unwrap()
        .json()
        .await
        .unwrap();
    assert_eq!(list, json!({"consumers": [], "next_cursor": null}));
}
