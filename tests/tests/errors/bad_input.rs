//! Requests that are wrong in themselves: each is refused with its code before anything is asked
//! of Kafka, which this node does not even have.

use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};
use sluice_tests::{Answer, Client, Node, Reply};
use tokio::io::AsyncWriteExt;
use tokio::sync::OnceCell;
use tokio::time::Instant;

use crate::raw;

const SUBSCRIBE: &str = "/api/consumers/subscribe";
const BODY_LIMIT: usize = 4096;

/// Returns the node of all tests here. It never sees a broker: port 1 refuses.
async fn node() -> &'static Node {
    static NODE: OnceCell<Node> = OnceCell::const_new();
    let start = async || {
        Node::builder()
            .bootstrap("127.0.0.1:1")
            .env("SLUICE_LIMITS__BODY_BYTES", BODY_LIMIT)
            .start()
            .await
    };
    NODE.get_or_init(start).await
}

async fn client() -> Client {
    node().await.client()
}

/// Sends bytes as a JSON body.
async fn post(client: &Client, path: &str, body: impl Into<Vec<u8>>) -> Reply {
    let request = client
        .request(Method::POST, path)
        .header("content-type", "application/json")
        .body(body.into());
    client.send(request).await
}

/// Returns the fields that an `invalid_field` names, in order of name.
#[track_caller]
fn faults(answer: &Answer) -> Vec<&str> {
    let errors = answer["errors"].as_array().expect("errors is a list");
    let mut fields: Vec<&str> = errors
        .iter()
        .map(|error| {
            let message = error["message"].as_str().unwrap_or_default();
            assert!(!message.is_empty(), "{error} has no message");
            error["field"].as_str().expect("a fault names its field")
        })
        .collect();
    fields.sort_unstable();
    fields
}

#[tokio::test]
async fn a_body_that_is_no_json_is_told_with_line_and_column() {
    let client = client().await;
    for (body, line, column) in [
        (&b"{\"group_id\": \"g\",\n  \"topics\": [}"[..], 2, 14),
        (b"{\"group_id\": \"g\", }", 1, 19),
        (b"{\"group_id\": NaN}", 1, 14),
        (b"{} {}", 1, 4),
        (b"{\"group_id\": \"g\"", 1, 16),
        (b"\xef\xbb\xbf{}", 1, 1),
        (b"\"\xff\"", 1, 2),
    ] {
        let refused = post(&client, SUBSCRIBE, body).await;
        let refused = refused.expect_problem(400, "malformed_json");
        let place = format!("line {line}, column {column}");
        let detail = refused.text_at("detail");
        assert!(detail.contains(&place), "{place} is not in: {detail}");
        assert_eq!(refused["line"], line);
        assert_eq!(refused["column"], column);
    }
    // Where a body is needed, none is no JSON either.
    let none = client.call(Method::POST, SUBSCRIBE, ()).await;
    none.expect_problem(400, "malformed_json");
    let deep = post(&client, SUBSCRIBE, "[".repeat(BODY_LIMIT)).await;
    deep.expect_problem(400, "malformed_json");
}

#[tokio::test]
async fn all_faults_of_a_subscribe_are_told_at_once() {
    let client = client().await;
    let body = json!({
        "topics": ["orders", "orders", "no topic", 7],
        "auto_offset_reset": "oldest",
        "session_timeout_ms": 999,
        "auto_commit": "yes",
        "auto_commit_interval_ms": 0,
        "isolation_level": 7,
        "key_format": "xml",
        "value_format": 1,
        "assignment_strategy": "sticky",
        "client_id": "",
        "consumer_id": "a/b",
        "colour": "red",
        "size": {},
    });
    let request = client
        .request(Method::POST, SUBSCRIBE)
        .query(&[("fast", "1"), ("slow", "")])
        .header("x-request-timeout-ms", "soon")
        .json(&body);
    let refused = client.send(request).await;
    let refused = refused.expect_problem(422, "invalid_field");
    let expected = [
        "assignment_strategy",
        "auto_commit",
        "auto_commit_interval_ms",
        "auto_offset_reset",
        "client_id",
        "colour",
        "consumer_id",
        "fast",
        "group_id",
        "isolation_level",
        "key_format",
        "session_timeout_ms",
        "size",
        "slow",
        "topics[1]",
        "topics[2]",
        "topics[3]",
        "value_format",
        "x-request-timeout-ms",
    ];
    assert_eq!(faults(&refused), expected);
}

#[tokio::test]
async fn all_faults_of_the_other_requests_are_told_at_once() {
    let client = client().await;
    let cases: [(&str, Value, &[&str]); 9] = [
        (
            "consume",
            json!({"timeout_ms": 300_001, "max_records": 0, "max_bytes_total": 67_108_865,
                   "headers_format": "map", "after": 7, "wait": 1}),
            &[
                "after",
                "headers_format",
                "max_bytes_total",
                "max_records",
                "timeout_ms",
                "wait",
            ],
        ),
        (
            "commit",
            json!({"offsets": {"orders": {"0": -1, "x": 1, "1": "2"}, "a b": {}, "t": []},
                   "cursor": "c", "more": 1}),
            &[
                "cursor",
                "more",
                "offsets.a b",
                "offsets.orders.0",
                "offsets.orders.1",
                "offsets.orders.x",
                "offsets.t",
            ],
        ),
        ("commit", json!({"cursor": ""}), &["cursor"]),
        (
            "seek",
            json!({"topic": "", "partition": -1, "offset": "middle", "to": 1}),
            &["offset", "partition", "to", "topic"],
        ),
        ("seek", json!({}), &["offset", "topic"]),
        (
            "seek",
            json!({"topic": "t", "offset": 1, "timestamp": 1}),
            &["timestamp"],
        ),
        (
            "seek",
            json!({"offsets": {}, "topic": "t"}),
            &["offsets", "topic"],
        ),
        (
            "assignment",
            json!({"topics": {"t": [0, -1, 2_147_483_648_i64, "1"], "u": []}, "x": 1}),
            &["topics.t[1]", "topics.t[2]", "topics.t[3]", "topics.u", "x"],
        ),
        ("assignment", json!({"topics": {}}), &["topics"]),
    ];
    for (verb, body, expected) in cases {
        let method = match verb {
            "assignment" => Method::PUT,
            _ => Method::POST,
        };
        let path = format!("/api/consumers/nobody/{verb}");
        let refused = client.call(method, &path, &body).await;
        let refused = refused.expect_problem(422, "invalid_field");
        assert_eq!(faults(&refused), expected, "{verb} {body}");
    }
}

#[tokio::test]
async fn a_body_that_is_no_object_and_a_query_where_there_is_none_are_faults() {
    let client = client().await;
    for body in ["[]", "7", "\"text\"", "null", "true"] {
        let refused = post(&client, "/api/consumers/nobody/consume", body).await;
        let refused = refused.expect_problem(422, "invalid_field");
        assert_eq!(faults(&refused), ["body"], "{body}");
    }
    for path in [
        "/livez",
        "/readyz",
        "/openapi.json",
        "/docs",
        "/docs/",
        "/docs/swagger-ui.css",
        "/api/consumers/nobody",
        "/api/consumers/nobody/position",
        "/api/consumers/nobody/assignment",
    ] {
        let refused = client
            .call(Method::GET, &format!("{path}?verbose=1"), ())
            .await;
        let refused = refused.expect_problem(422, "invalid_field");
        assert_eq!(faults(&refused), ["verbose"], "{path}");
    }
    let admin = node().await.admin();
    let refused = admin.list(&[("limit", "0"), ("cursor", "?"), ("page", "2")]);
    let refused = refused.await.expect_problem(422, "invalid_field");
    assert_eq!(faults(&refused), ["cursor", "limit", "page"]);
}

#[tokio::test]
async fn limits_are_inclusive() {
    let client = client().await;
    // Taken as right, and only then asked for a session that is not there.
    for body in [
        json!({"timeout_ms": 0, "max_records": 1, "max_bytes_total": 1}),
        json!({"timeout_ms": 300_000, "max_records": 10_000, "max_bytes_total": 67_108_864}),
    ] {
        let refused = client.consume("nobody", body).await;
        refused.expect_problem(404, "consumer_not_found");
    }
    let mut subscribe = json!({"group_id": "g".repeat(250), "topics": ["t"],
                               "consumer_id": "c".repeat(65), "session_timeout_ms": 3_600_001});
    let refused = client.subscribe(&subscribe).await;
    let refused = refused.expect_problem(422, "invalid_field");
    let expected = ["consumer_id", "group_id", "session_timeout_ms"];
    assert_eq!(faults(&refused), expected);
    // Without the three, what is left to refuse is a hundred and first topic.
    let topics: Vec<String> = (0..101).map(|number| format!("t{number}")).collect();
    subscribe["topics"] = json!(topics);
    subscribe["group_id"] = json!("g".repeat(249));
    subscribe["consumer_id"] = json!("c".repeat(64));
    subscribe["session_timeout_ms"] = json!(3_600_000);
    let refused = client.subscribe(&subscribe).await;
    assert_eq!(
        faults(&refused.expect_problem(422, "invalid_field")),
        ["topics"]
    );
}

#[tokio::test]
async fn a_body_of_another_type_is_refused() {
    let client = client().await;
    let send = async |header: &str, value: &str| {
        let request = client.request(Method::POST, SUBSCRIBE);
        client.send(request.header(header, value).body("{}")).await
    };
    for kind in [
        "application/x-www-form-urlencoded",
        "text/json",
        "application/jsonp",
        "application/merge-patch+json",
        "json",
        ";",
    ] {
        let refused = send("content-type", kind).await;
        refused.expect_problem(415, "unsupported_media_type");
    }
    let refused = send("content-encoding", "gzip").await;
    refused.expect_problem(415, "unsupported_media_type");
    for kind in [
        "application/json",
        "application/json; charset=utf-8",
        "Application/JSON",
    ] {
        let taken = send("content-type", kind).await;
        taken.expect_problem(422, "invalid_field");
    }
    let untyped = client.request(Method::POST, SUBSCRIBE).body("{}");
    let taken = client.send(untyped).await;
    taken.expect_problem(422, "invalid_field");
}

#[tokio::test]
async fn a_body_may_be_as_large_as_the_limit_and_no_larger() {
    let client = client().await;
    let padded = |length: usize| format!("{{}}{}", " ".repeat(length - 2));
    let taken = post(&client, SUBSCRIBE, padded(BODY_LIMIT)).await;
    taken.expect_problem(422, "invalid_field");
    let refused = post(&client, SUBSCRIBE, padded(BODY_LIMIT + 1)).await;
    let refused = refused.expect_problem(413, "body_too_large");
    assert_eq!(refused["limit"], BODY_LIMIT);
    // Far more than is read before the answer, and a client that must not be cut off.
    let refused = post(&client, SUBSCRIBE, padded(BODY_LIMIT * 2)).await;
    refused.expect_problem(413, "body_too_large");

    // One that does not say beforehand how long it is.
    let mut connection = raw::connect(node().await).await;
    let head =
        format!("POST {SUBSCRIBE} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n");
    connection.write_all(head.as_bytes()).await.unwrap();
    let chunk = format!("{BODY_LIMIT:x}\r\n{}\r\n", " ".repeat(BODY_LIMIT));
    for _ in 0..2 {
        connection.write_all(chunk.as_bytes()).await.unwrap();
    }
    connection.write_all(b"0\r\n\r\n").await.unwrap();
    let refused = raw::read_answer(&mut connection).await;
    refused.expect_problem(413, "body_too_large");
}

#[tokio::test]
async fn a_body_that_comes_too_slowly_is_given_up() {
    let mut connection = raw::connect(node().await).await;
    let begun = Instant::now();
    let head = format!(
        "POST {SUBSCRIBE} HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\
         x-request-timeout-ms: 300\r\nx-request-id: slow\r\n\r\n{{\"group_id\":"
    );
    connection.write_all(head.as_bytes()).await.unwrap();
    let refused = raw::read_answer(&mut connection).await;
    assert!(
        refused.head.contains("x-request-id: slow\r\n"),
        "{}",
        refused.head
    );
    refused.expect_problem(408, "request_timeout");
    assert!(begun.elapsed() >= Duration::from_millis(300));
}

#[tokio::test]
async fn a_body_whose_chunks_are_wrong_is_told() {
    let node = node().await;
    let head =
        format!("POST {SUBSCRIBE} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n");
    for chunks in ["ten\r\n{}\r\n", "2\r\n{}junk\r\n0\r\n\r\n"] {
        // Head and body reach the node apart, or in one piece.
        for pieces in [
            vec![head.clone(), chunks.to_owned()],
            vec![format!("{head}{chunks}")],
        ] {
            let mut connection = raw::connect(node).await;
            for piece in pieces {
                connection.write_all(piece.as_bytes()).await.unwrap();
            }
            let refused = raw::read_answer(&mut connection).await;
            refused.expect_problem(400, "malformed_json");
        }
    }
}

#[tokio::test]
async fn what_is_no_http_is_refused_and_harms_nobody() {
    let node = node().await;
    let flood = format!("GET /livez HTTP/1.1\r\nx: {}\r\n\r\n", "x".repeat(1 << 20));
    for bytes in [
        &b"hello\r\n\r\n"[..],
        b"GET /livez HTTP/9.9\r\n\r\n",
        b"GET /li\0vez HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /livez HTTP/1.1\r\nno colon\r\n\r\n",
        b"POST /livez HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nxx",
        b"POST /livez HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"\0\0\0\0\r\n\r\n",
        flood.as_bytes(),
    ] {
        let mut connection = raw::connect(node).await;
        // The node may hang up while this is being sent.
        let _ = connection.write_all(bytes).await;
        let _ = connection.shutdown().await;
        let head = raw::read_answer(&mut connection).await.head;
        let refused = head.is_empty() || head.starts_with("HTTP/1.1 4");
        assert!(refused, "{:?}: {head}", String::from_utf8_lossy(bytes));
    }
    assert!(node.is_running());
    node.client()
        .call(Method::GET, "/livez", ())
        .await
        .expect(200);
}
