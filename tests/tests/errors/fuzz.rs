//! Odd requests by the thousand: whatever comes, the answer is not 500, and the process lives.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::fmt::Write;

use futures::future::join_all;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use proptest::test_runner::{Config, TestRunner};
use serde_json::{Map, Value, json};
use sluice_node::api::error::Code;
use sluice_tests::{Client, Kafka, Node, eventually, unique};
use tokio::io::AsyncWriteExt;
use tokio::runtime::Runtime;

use crate::{DEADLINE, raw};

/// Requests that are under way at once, and how often so many are sent.
const AT_ONCE: usize = 8;
const TIMES: u32 = 300;

/// Names that a body, a query or a header of the API can have.
const FIELDS: [&str; 34] = [
    "group_id",
    "topics",
    "auto_offset_reset",
    "session_timeout_ms",
    "auto_commit",
    "auto_commit_interval_ms",
    "isolation_level",
    "key_format",
    "value_format",
    "assignment_strategy",
    "client_id",
    "consumer_id",
    "timeout_ms",
    "timeout",
    "message",
    "max_messages",
    "max_records",
    "max_bytes_total",
    "headers_format",
    "after",
    "offsets",
    "cursor",
    "topic",
    "partition",
    "offset",
    "timestamp",
    "limit",
    "records",
    "headers",
    "key",
    "value",
    "0",
    "1",
    "2147483648",
];

/// Values that some field takes.
const WORDS: [&str; 12] = [
    "earliest",
    "latest",
    "none",
    "string",
    "json",
    "avro",
    "range",
    "roundrobin",
    "read_committed",
    "list",
    "subscribe",
    "..",
];

/// One request, as the session's id and topic are not known while it is made up.
#[derive(Debug, Clone)]
struct Odd {
    method: String,
    path: String,
    query: String,
    headers: Vec<(&'static str, String)>,
    body: Vec<u8>,
}

/// Where the id of the session and the name of the topic go.
const ID: &str = "<id>";
const TOPIC: &str = "<topic>";

fn number() -> impl Strategy<Value = Value> {
    prop_oneof![
        (-2_i64..12).prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        select(vec![i64::MAX, i64::MIN, 1 << 31, 300_001, 1 << 53]).prop_map(Value::from),
    ]
}

fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        3 => select(&WORDS[..]).prop_map(str::to_owned),
        3 => Just(TOPIC.to_owned()),
        1 => Just(ID.to_owned()),
        2 => any::<String>(),
        1 => "[a-zA-Z0-9._-]{1,70}",
    ]
}

fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        number(),
        text().prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        let name = prop_oneof![select(&FIELDS[..]).prop_map(str::to_owned), text()];
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::vec((name, inner), 0..5)
                .prop_map(|members| Value::Object(Map::from_iter(members))),
        ]
    })
}

/// A right body of some request with some of its fields made odd: most get past the first check.
fn nearly_right() -> impl Strategy<Value = Value> {
    let right = select(vec![
        json!({"group_id": "fuzz", "topics": [TOPIC], "session_timeout_ms": 1000}),
        json!({"timeout_ms": 5, "max_records": 3}),
        json!({"offsets": {TOPIC: {"0": 3}}}),
        json!({"topic": TOPIC, "partition": 0, "offset": 2}),
        json!({"topic": TOPIC, "timestamp": 1}),
        json!({"topics": {TOPIC: [0]}}),
        json!({"topic": TOPIC, "group_id": "fuzz", "max_messages": 2, "timeout": 0.01}),
        json!({"topic": TOPIC, "message": {"n": 1}, "key": "k"}),
        json!({"records": [{"key": "k", "value": {"n": 1}, "headers": {"a": "b"}}]}),
        json!({"records": [{"value": null, "partition": 7}, {"key": 1, "timestamp": 5}]}),
        json!({}),
    ]);
    let changes = prop::collection::vec((select(&FIELDS[..]), value()), 0..3);
    (right, changes).prop_map(|(mut body, changes)| {
        for (name, value) in changes {
            body[name] = value;
        }
        body
    })
}

fn body() -> impl Strategy<Value = Vec<u8>> {
    let json = |value: Value| value.to_string().into_bytes();
    let cut = (nearly_right(), any::<Index>()).prop_map(move |(value, at)| {
        let whole = json(value);
        let length = at.index(whole.len() + 1);
        whole[..length].to_vec()
    });
    prop_oneof![
        6 => nearly_right().prop_map(json),
        2 => value().prop_map(json),
        1 => cut,
        1 => prop::collection::vec(any::<u8>(), 0..200),
    ]
}

/// Any text, written as a path or a query has to write it.
fn escaped(text: &str) -> String {
    text.bytes().fold(String::new(), |mut all, byte| {
        let _ = match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'.' | b'_' | b'-' => {
                write!(all, "{}", char::from(byte))
            }
            _ => write!(all, "%{byte:02x}"),
        };
        all
    })
}

fn path() -> impl Strategy<Value = String> {
    let id = prop_oneof![
        6 => Just(ID.to_owned()),
        1 => any::<String>().prop_map(|id| escaped(&id)),
        1 => "[!-~&&[^ ]]{0,80}",
    ];
    let session = (
        id,
        select(vec![
            "",
            "/consume",
            "/commit",
            "/seek",
            "/position",
            "/assignment",
        ]),
    )
        .prop_map(|(id, verb)| format!("/api/consumers/{id}{verb}"));
    let fixed = select(vec![
        "/api/consumers/subscribe",
        "/livez",
        "/readyz",
        "/openapi.json",
        "/docs/",
        "*",
    ]);
    let writing = select(vec![
        "/api/topics/<topic>/produce",
        "/api/topics/<topic>/produce?value.format=string&compression=zstd",
        "/api/topics/<topic>/produce?async=true&key.format=binary",
        "/api/topics/nowhere/produce",
        "/consume",
        "/produce",
        "/messages/<topic>",
        "/messages/<topic>?limit=3",
        "/topics",
        "/health",
        "/",
        "/api/produce/status/req_0",
    ]);
    prop_oneof![
        8 => session,
        4 => writing.prop_map(str::to_owned),
        3 => fixed.prop_map(str::to_owned),
        1 => "/[!-~&&[^ ?#]]{0,60}",
    ]
}

fn header() -> impl Strategy<Value = (&'static str, String)> {
    let visible = "[ -~]{0,60}";
    prop_oneof![
        select(vec![
            "application/json",
            "text/plain",
            "application/json;charset=x"
        ])
        .prop_map(|kind| ("content-type", kind.to_owned())),
        select(vec!["*/*", "text/html", "application/json;q=0.1"])
            .prop_map(|kind| ("accept", kind.to_owned())),
        select(vec!["gzip", "br;q=1, zstd;q=0.5", "identity;q=0", "*"])
            .prop_map(|kind| ("accept-encoding", kind.to_owned())),
        visible.prop_map(|text| ("x-request-id", text)),
        visible.prop_map(|text| ("traceparent", text)),
        visible.prop_map(|text| ("accept-encoding", text)),
        visible.prop_map(|text| ("content-type", text)),
        visible.prop_map(|text| ("authorization", text)),
    ]
}

fn odd() -> impl Strategy<Value = Odd> {
    let method = prop_oneof![
        8 => Just("POST".to_owned()),
        3 => Just("GET".to_owned()),
        2 => Just("PUT".to_owned()),
        1 => "[A-Z]{1,9}",
    ];
    let query = prop_oneof![
        5 => Just(String::new()),
        1 => any::<String>().prop_map(|text| format!("?{}", escaped(&text))),
        1 => "[?][!-~&&[^ #]]{0,40}",
    ];
    // Short enough that a poll or a join is no wait, and sometimes odd.
    let patience = prop_oneof![
        6 => (1_u32..60).prop_map(|time| time.to_string()),
        1 => "[ -~]{0,20}".prop_filter("a poll must not last", |text| text.trim().len() > 5
            || text.trim().parse::<u64>().is_err()),
    ];
    let headers = prop::collection::vec(header(), 0..4);
    (method, path(), query, headers, patience, body()).prop_map(
        |(method, path, query, mut headers, patience, body)| {
            headers.push(("x-request-timeout-ms", patience));
            Odd {
                method,
                path,
                query,
                headers,
                body,
            }
        },
    )
}

impl Odd {
    fn bytes(&self, id: &str, topic: &str) -> Vec<u8> {
        let body = String::from_utf8_lossy(&self.body);
        let body = match body.contains(['\u{fffd}']) {
            true => self.body.clone(),
            false => body.replace(TOPIC, topic).replace(ID, id).into_bytes(),
        };
        // A session that is deleted gives nothing more to do.
        let path = match self.method.as_str() {
            "DELETE" => self.path.replace(ID, "nobody"),
            _ => self.path.replace(ID, id),
        }
        .replace(TOPIC, topic);
        let mut head = format!(
            "{} {path}{} HTTP/1.1\r\nhost: x\r\n",
            self.method, self.query
        );
        for (name, value) in &self.headers {
            let _ = write!(head, "{name}: {value}\r\n");
        }
        let _ = write!(head, "content-length: {}\r\n\r\n", body.len());
        [head.into_bytes(), body].concat()
    }
}

/// Sends a request and returns the status of the answer, or what is wrong with it.
async fn judge(node: &Node, request: &[u8]) -> Result<u16, String> {
    let mut connection = raw::connect(node).await;
    connection
        .write_all(request)
        .await
        .map_err(|error| error.to_string())?;
    let answer = raw::read_head(&mut connection).await;
    let status = answer.split(' ').nth(1).unwrap_or_default();
    let status: u16 = status
        .parse()
        .map_err(|_| format!("no status: {answer:?}"))?;
    let refused_as_http = matches!(status, 400 | 431) && answer.contains("content-length: 0\r\n");
    let known = |code: &Code| code.meaning().status.as_u16() == status;
    let expected = matches!(status, 200 | 202 | 204) || Code::ALL.iter().any(known);
    if status == 500 || !expected {
        return Err(answer);
    }
    if !refused_as_http && !answer.contains("\r\nx-request-id: ") {
        return Err(format!("no request id: {answer}"));
    }
    Ok(status)
}

#[test]
fn odd_requests_are_answered_and_never_by_an_internal_error() {
    let runtime = Runtime::new().unwrap();
    let topic = unique("orders");
    let node = runtime.block_on(async {
        let kafka = Kafka::shared().await;
        kafka.create_topic(&topic, 2).await.unwrap();
        kafka.fill(&topic, 1000, 10).await.unwrap();
        Node::builder()
            .kafka(kafka)
            .env("SLUICE_LIMITS__SESSIONS_PER_NODE", 8)
            .start()
            .await
    });
    let id = runtime.block_on(subscribe(&node.client(), &topic));

    let config = Config {
        cases: TIMES,
        failure_persistence: None,
        ..Config::default()
    };
    let odds = prop::collection::vec(odd(), AT_ONCE);
    let seen = RefCell::new(BTreeSet::new());
    let ran = TestRunner::new(config).run(&odds, |odds| {
        let requests: Vec<Vec<u8>> = odds.iter().map(|odd| odd.bytes(&id, &topic)).collect();
        let judged = runtime.block_on(join_all(
            requests.iter().map(|request| judge(&node, request)),
        ));
        for (request, judged) in requests.iter().zip(judged) {
            let told = |answer| format!("{}\n{answer}", String::from_utf8_lossy(request));
            let status = judged.map_err(told).map_err(TestCaseError::fail)?;
            seen.borrow_mut().insert(status);
        }
        prop_assert!(node.is_running(), "the node ended: {}", node.log());
        Ok(())
    });
    if let Err(failure) = ran {
        panic!("{failure}");
    }

    // Some were right and some wrong in each way, or this has tested nothing.
    let seen = seen.into_inner();
    for status in [200, 400, 404, 405, 415, 422] {
        assert!(seen.contains(&status), "{status} is not among {seen:?}");
    }
    for line in node.log_lines() {
        assert_ne!(line["level"], "ERROR", "{line}");
    }
    runtime.block_on(still_works(&node.client(), &topic));
}

async fn subscribe(client: &Client, topic: &str) -> String {
    let body = json!({"group_id": unique("g"), "topics": [topic], "auto_offset_reset": "earliest",
                      "session_timeout_ms": 600_000});
    let subscribed = client.subscribe(body).await.expect(200);
    subscribed.text_at("consumer_id").to_owned()
}

/// A new session reads, once those that the odd requests have made are gone.
async fn still_works(client: &Client, topic: &str) {
    let body = json!({"group_id": unique("g"), "topics": [topic], "auto_offset_reset": "earliest",
                      "consumer_id": unique("c")});
    let subscribed = eventually(DEADLINE, "there is room for a session", async || {
        let reply = client.subscribe(&body).await;
        (reply.status() == Some(200)).then(|| reply.answer())
    })
    .await;
    let id = subscribed.text_at("consumer_id");
    let polled = client.consume(id, json!({"timeout_ms": 30_000})).await;
    assert!(!polled.expect(200).records().is_empty());
    client.delete(id).await.expect(204);
}
