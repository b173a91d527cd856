//! The log: one JSON object a line, in which a request can be found by its id.

use reqwest::Method;
use serde_json::{Value, json};
use sluice_tests::{Kafka, Node, eventually, unique};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use crate::{DEADLINE, lines, subscribe, topic};

#[tokio::test]
async fn every_line_is_an_object_in_the_agreed_form() {
    let kafka = Kafka::shared().await;
    let node = Node::builder().kafka(kafka).start().await;
    let client = node.client();
    let (topic, group) = (topic(3).await, unique("g"));
    let id = subscribe(&client, &group, &topic).await;
    client
        .consume(&id, json!({"timeout_ms": 30_000}))
        .await
        .expect(200);
    client.get("nobody").await.expect(404);
    client.delete(&id).await.expect(204);
    node.sigterm();
    node.wait_exit(DEADLINE).await.unwrap();

    let log = node.log();
    for line in log.lines() {
        let line: Value = serde_json::from_str(line).unwrap_or_else(|_| panic!("{line}"));
        let message = line["message"].as_str().expect("a line has a message");
        let first = message.chars().next().expect("a message is not empty");
        assert!(!first.is_uppercase() && !message.ends_with('.'), "{line}");
        let level = line["level"].as_str().expect("a line has a level");
        assert!(["INFO", "WARN"].contains(&level), "{line}");
        assert!(
            line["timestamp"]
                .as_str()
                .is_some_and(|at| at.ends_with('Z'))
        );
        let target = line["target"].as_str().expect("a line has a target");
        assert!(target.starts_with("sluice_"), "{line}");
    }
    // What happened to the session is told with its names.
    let assigned = lines(&node)
        .into_iter()
        .find(|line| line["message"] == "assigned")
        .expect("an assignment is logged");
    assert_eq!(assigned["span"]["consumer_id"], id);
    assert_eq!(assigned["span"]["group"], group);
    for message in ["starting", "listening", "stopping", "draining", "stopped"] {
        let told = lines(&node).iter().any(|line| line["message"] == message);
        assert!(told, "{message} is not in the log:\n{log}");
    }
}

#[tokio::test]
async fn a_request_is_found_by_its_id() {
    let node = Node::builder()
        .bootstrap("127.0.0.1:1")
        .env("SLUICE_CLUSTER__NAME", "logging-0")
        .env("SLUICE_LOG", "debug")
        .start()
        .await;
    let client = node.client();
    let trace = "4bf92f3577b34da6a3ce929d0e0e4736";
    let send = async |request_id: &str, method: Method, path: &str, body: Value| {
        let request = client
            .request(method, path)
            .header("x-request-id", request_id)
            .header("traceparent", format!("00-{trace}-00f067aa0ba902b7-01"))
            .header("authorization", "Bearer not-to-be-logged")
            .json(&body);
        client.send(request).await
    };
    let (ours, theirs) = (unique("refused"), unique("away"));
    let refused = send(&ours, Method::GET, "/api/consumers/some-one", Value::Null).await;
    refused.expect_problem(404, "consumer_not_found");
    let body = json!({"group_id": "g", "topics": ["t"], "consumer_id": "some-two"});
    let away = send(&theirs, Method::POST, "/api/consumers/subscribe", body).await;
    away.expect_problem(503, "kafka_unavailable");

    let line_of = async |request_id: &str| {
        eventually(DEADLINE, "the request is in the log", async || {
            let is_it =
                |line: &Value| line["code"].is_string() && line["span"]["request_id"] == request_id;
            lines(&node).into_iter().find(is_it)
        })
        .await
    };
    let refused = line_of(&ours).await;
    assert_eq!(refused["level"], "DEBUG");
    assert_eq!(refused["code"], "consumer_not_found");
    assert_eq!(refused["span"]["consumer_id"], "some-one");
    assert_eq!(refused["span"]["route"], "/api/consumers/{id}");
    let away = line_of(&theirs).await;
    assert_eq!(away["level"], "WARN");
    assert_eq!(away["code"], "kafka_unavailable");
    assert_eq!(away["span"]["consumer_id"], "some-two");
    assert_eq!(away["span"]["group"], "g");
    for line in [&refused, &away] {
        assert_eq!(line["span"]["node"], "logging-0");
        assert_eq!(line["span"]["trace_id"], trace);
    }
    assert!(!node.log_contains("not-to-be-logged"));
}

#[tokio::test]
async fn the_filter_and_the_form_are_chosen_by_the_environment() {
    let quiet = Node::builder()
        .bootstrap("127.0.0.1:1")
        .env("SLUICE_LOG", "warn,sluice_node::app=info")
        .start()
        .await;
    assert!(!quiet.log_contains("\"starting\""), "{}", quiet.log());

    let wrong = Node::builder()
        .bootstrap("127.0.0.1:1")
        .env("SLUICE_LOG", "=,,=!")
        .start()
        .await;
    let warned = |line: &Value| {
        line["level"] == "WARN" && line["message"].to_string().contains("SLUICE_LOG")
    };
    assert!(lines(&wrong).iter().any(warned), "{}", wrong.log());

    let text = Node::builder()
        .bootstrap("127.0.0.1:1")
        .env("SLUICE_LOG_FORMAT", "text")
        // Text cannot be read for the addresses, so the end is what is waited for.
        .env("SLUICE_HTTP__BIND", "256.0.0.1:0")
        .run(DEADLINE)
        .await
        .unwrap();
    assert_eq!(text.0.code(), Some(64));
    assert!(!text.1.contains('{'), "{}", text.1);
}

/// How a balancer, or a scanner, leaves a connection.
#[derive(Clone, Copy, Debug)]
enum Leaving {
    Closing,
    Resetting,
}

/// Connects, sends this much, and leaves.
async fn look_in(address: &str, sent: &[u8], leaving: Leaving) {
    let mut connection = TcpStream::connect(address).await.expect("the node listens");
    connection.write_all(sent).await.expect("it is sent");
    if let Leaving::Resetting = leaving {
        let set = connection.set_zero_linger();
        set.expect("a connection can be left with a reset");
    }
}

#[tokio::test]
async fn connections_that_are_no_requests_leave_nothing_in_the_log() {
    let node = Node::builder()
        .bootstrap("127.0.0.1:1")
        .env("SLUICE_CLUSTER__DATA_DIR", "registry")
        .env("SLUICE_CLUSTER__BIND", "127.0.0.1:0")
        .env("SLUICE_CLUSTER__SECRET", "of-the-nodes")
        .start()
        .await;
    let client = node.client();
    eventually(DEADLINE, "the node is ready", async || {
        client.call(Method::GET, "/readyz", ()).await.status() == Some(200)
    })
    .await;
    let address_of = |url: String| url.trim_start_matches("http://").to_owned();
    let listening = lines(&node)
        .into_iter()
        .find(|line| line["message"] == "listening")
        .expect("a node tells its addresses");
    let internal = listening["internal"].as_str().expect("it has this one");
    let ports = [
        address_of(node.url()),
        address_of(node.admin_url()),
        internal.to_owned(),
    ];
    let before = (lines(&node).len(), node.open_files());
    let tls: &[u8] = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\x8a\x11";
    let sent: [&[u8]; 4] = [b"", b"GET /healthz HT", tls, b"\0\xff\r\n\r\n"];
    for _ in 0..20 {
        for address in &ports {
            for sent in sent {
                for leaving in [Leaving::Closing, Leaving::Resetting] {
                    look_in(address, sent, leaving).await;
                }
            }
        }
    }
    eventually(
        DEADLINE,
        "the node has noticed that they are gone",
        async || {
            let open = node.open_files();
            if open <= before.1 { Ok(()) } else { Err(open) }
        },
    )
    .await;
    client.call(Method::GET, "/livez", ()).await.expect(200);
    let log = lines(&node);
    // That Kafka is not there may be told meanwhile.
    let about_them = log[before.0..]
        .iter()
        .filter(|line| !line["message"].to_string().contains("Kafka"));
    assert_eq!(about_them.collect::<Vec<_>>(), Vec::<&Value>::new());
}
