//! What holds for every answer of a node, right or wrong: ids, types, methods, deadlines.

use std::collections::BTreeSet;
use std::time::Duration;

use reqwest::Method;
use serde_json::json;
use sluice_tests::{Answer, Client, unique};
use tokio::time::Instant;

use crate::{client, node, session, topic};

const SUBSCRIBE: &str = "/api/consumers/subscribe";

/// All methods that HTTP clients know.
const METHODS: [&str; 8] = [
    "GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE",
];

async fn get(client: &Client, path: &str, header: &str, value: &str) -> Answer {
    let request = client.request(Method::GET, path).header(header, value);
    client.send(request).await.answer()
}

#[tokio::test]
async fn a_path_refuses_other_methods_and_lists_its_own() {
    let node = node().await;
    let client_paths: [(&str, &[&str]); 17] = [
        ("/", &["GET", "HEAD"]),
        ("/health", &["GET", "HEAD"]),
        ("/topics", &["GET", "HEAD"]),
        ("/messages/nowhere", &["GET", "HEAD"]),
        ("/consume", &["POST"]),
        ("/produce", &["POST"]),
        ("/api/topics/nowhere/produce", &["POST"]),
        ("/api/produce/status/nothing", &["GET", "HEAD"]),
        (SUBSCRIBE, &["POST"]),
        ("/api/consumers/nobody/consume", &["POST"]),
        ("/api/consumers/nobody/commit", &["POST"]),
        ("/api/consumers/nobody/seek", &["POST"]),
        ("/api/consumers/nobody/position", &["GET", "HEAD"]),
        ("/api/consumers/nobody/assignment", &["GET", "HEAD", "PUT"]),
        ("/api/consumers/nobody", &["DELETE", "GET", "HEAD"]),
        ("/livez", &["GET", "HEAD"]),
        ("/docs", &["GET", "HEAD"]),
    ];
    let admin_paths: [(&str, &[&str]); 2] = [
        ("/metrics", &["GET", "HEAD"]),
        ("/api/consumers", &["GET", "HEAD"]),
    ];
    let both = [
        (node.client(), &client_paths[..]),
        (node.admin(), &admin_paths[..]),
    ];
    for (client, paths) in &both {
        for (path, expected) in *paths {
            for method in METHODS.iter().filter(|method| !expected.contains(method)) {
                let method: Method = method.parse().unwrap();
                let head = method == Method::HEAD;
                let refused = client.call(method, path, ()).await;
                // The answer to a HEAD has no body to look at.
                let refused = match head {
                    true => refused.expect(405),
                    false => refused.expect_problem(405, "method_not_allowed"),
                };
                let listed = refused.header("allow").expect("a 405 says what is allowed");
                let listed: BTreeSet<&str> = listed.split(", ").collect();
                assert_eq!(listed, expected.iter().copied().collect(), "{path}");
            }
        }
    }
}

#[tokio::test]
async fn a_path_that_is_not_there_is_told_on_each_port() {
    let node = node().await;
    for path in [
        "/api",
        "/api/consumers",
        "/api/consumers/",
        "/api/consumers//consume",
        "/api/consumers/a/b",
        "/api/consumers/a/consume/",
        "/metrics",
        "/livez/",
        "/LIVEZ",
        "/docs/nothing",
        "/%00",
    ] {
        let refused = node.client().call(Method::GET, path, ()).await;
        refused.expect_problem(404, "route_not_found");
    }
    for path in ["/api/consumers/a", SUBSCRIBE, "/"] {
        let refused = node.admin().call(Method::POST, path, ()).await;
        refused.expect_problem(404, "route_not_found");
    }
}

#[tokio::test]
async fn a_client_that_takes_no_json_is_refused() {
    let client = client().await;
    for accept in [
        "text/html",
        "application/xml, text/*",
        "application/json;q=0",
    ] {
        let request = client
            .request(Method::GET, "/api/consumers/nobody")
            .header("accept", accept);
        let refused = client.send(request).await;
        refused.expect_problem(406, "not_acceptable");
    }
    for accept in ["application/json", "text/html, */*;q=0.1", "application/*"] {
        let taken = get(&client, "/livez", "accept", accept).await;
        assert_eq!(taken.status, 200, "{accept}");
        assert_eq!(taken.header("content-type"), Some("application/json"));
    }
}

#[tokio::test]
async fn every_answer_carries_a_request_id() {
    let node = node().await;
    let paths = [
        "/livez",
        "/readyz",
        "/openapi.json",
        "/docs",
        "/docs/swagger-ui.css",
        "/nowhere",
        "/livez?x=1",
        SUBSCRIBE,
        "/api/consumers/nobody",
        "/api/consumers/%20/position",
    ];
    let mut made = BTreeSet::new();
    for (client, path) in paths
        .map(|path| (node.client(), path))
        .into_iter()
        .chain([(node.admin(), "/metrics"), (node.admin(), "/api/consumers")])
    {
        let visible = "!trace/7:x~";
        let echoed = get(&client, path, "x-request-id", visible).await;
        assert_eq!(echoed.header("x-request-id"), Some(visible), "{path}");
        let longest = "x".repeat(128);
        let echoed = get(&client, path, "x-request-id", &longest).await;
        assert_eq!(echoed.header("x-request-id"), Some(&*longest), "{path}");
        for odd in ["", "two words", &"x".repeat(129)] {
            let answer = get(&client, path, "x-request-id", odd).await;
            let id = answer.header("x-request-id").expect("a new id is made");
            assert!(uuid::Uuid::parse_str(id).is_ok(), "{path}: {id}");
            assert!(made.insert(id.to_owned()), "{id} was given twice");
        }
    }
}

#[tokio::test]
async fn every_problem_has_the_members_that_it_must_have() {
    let node = node().await;
    let client = node.client();
    let html = client
        .request(Method::GET, "/livez")
        .header("accept", "text/html");
    let form = client
        .request(Method::POST, SUBSCRIBE)
        .header("content-type", "text/plain")
        .body("x");
    let answers = [
        client.call(Method::GET, "/nowhere", ()).await,
        client.call(Method::POST, SUBSCRIBE, ()).await,
        client.subscribe(json!({})).await,
        client.call(Method::PATCH, SUBSCRIBE, ()).await,
        client.get("nobody").await,
        client.delete("nobody").await,
        client.send(html).await,
        client.send(form).await,
        client
            .subscribe(json!({"group_id": "g", "topics": [unique("missing")]}))
            .await,
    ];
    for answer in answers {
        let answer = answer.answer();
        let (status, code) = (answer.status, answer.text_at("code").to_owned());
        assert_eq!(answer["status"], status, "{code}");
        assert_eq!(answer.text_at("type"), format!("urn:sluice:error:{code}"));
        assert!(!answer.text_at("title").is_empty(), "{code}");
        let detail = answer.text_at("detail");
        assert!(detail.ends_with('.') && detail.len() > 20, "{detail}");
        let kind = answer.header("content-type");
        assert_eq!(kind, Some("application/problem+json"), "{code}");
        // None of these can be mended by waiting.
        assert_eq!(answer.header("retry-after"), None, "{code}");
    }
}

#[tokio::test]
async fn an_id_that_cannot_be_one_is_no_consumer() {
    let client = client().await;
    let long = "x".repeat(65);
    let huge = "x".repeat(8000);
    for id in [
        "nobody", "a%20b", "%00", "%ff", "a%2Fb", "%C3%A9", "a+b", &long, &huge,
    ] {
        let replies = [
            client.get(id).await,
            client.position(id).await,
            client.assignment(id).await,
            client.delete(id).await,
            client.consume(id, ()).await,
            client.commit(id, ()).await,
            client.seek(id, json!({"topic": "t", "offset": 0})).await,
            client.assign(id, json!({"topics": {"t": [0]}})).await,
        ];
        for reply in replies {
            reply.expect_problem(404, "consumer_not_found");
        }
    }
}

#[tokio::test]
async fn a_timeout_header_lowers_the_deadline_of_a_poll_and_never_raises_it() {
    let client = client().await;
    let id = session(&client, &unique("g"), &topic(1).await).await;
    let poll = async |header: &str, wait: u64| {
        let begun = Instant::now();
        let request = client
            .request(Method::POST, &format!("/api/consumers/{id}/consume"))
            .header("x-request-timeout-ms", header)
            .json(&json!({"timeout_ms": wait}));
        (client.send(request).await, begun.elapsed())
    };
    // The rest of the minute would be waited for otherwise.
    let (lowered, took) = poll("600", 60_000).await;
    assert_eq!(lowered.expect(200).records().len(), 0);
    assert!(took < Duration::from_secs(10), "{took:?}");
    assert!(took > Duration::from_millis(400), "{took:?}");
    for more in ["999999", "18446744073709551615", "99999999999999999999"] {
        let (not_raised, took) = poll(more, 300).await;
        assert_eq!(not_raised.expect(200).records().len(), 0);
        assert!(took < Duration::from_secs(10), "{took:?}");
    }
    // Too short for anything, and no reason for anything else than the one or the other.
    let (shortest, took) = poll("1", 60_000).await;
    match shortest.status() {
        Some(200) => assert_eq!(shortest.expect(200).records().len(), 0),
        _ => drop(shortest.expect_problem(504, "kafka_timeout")),
    }
    assert!(took < Duration::from_secs(10), "{took:?}");
    client.delete(&id).await.expect(204);
}

#[tokio::test]
async fn a_timeout_header_that_is_no_time_is_a_fault() {
    let client = client().await;
    for odd in ["0", "-1", "1.5", "1e3", "soon", ""] {
        for (method, path) in [
            (Method::GET, "/livez"),
            (Method::POST, "/api/consumers/nobody/consume"),
            (Method::DELETE, "/api/consumers/nobody"),
        ] {
            let request = client
                .request(method, path)
                .header("x-request-timeout-ms", odd);
            let refused = client.send(request).await;
            let refused = refused.expect_problem(422, "invalid_field");
            assert_eq!(refused["errors"][0]["field"], "x-request-timeout-ms");
        }
    }
}
