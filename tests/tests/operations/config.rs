//! The configuration: all mistakes are told before anything binds, and what is set takes effect.

use std::fs;
use std::net::TcpListener;

use reqwest::Method;
use serde_json::json;
use sluice_tests::ports::Port;
use sluice_tests::{Client, Kafka, Node, NodeBuilder, unique};

use crate::DEADLINE;

/// Mistakes of every kind, with what must be said of each.
const WRONG: &str = r#"
[http]
bind = ["nowhere"]
port = 8080
[limits]
body_bytes = "much"
[drain]
timeout = 25
[shoes]
size = 43
[kafka]
assignment_strategy = "sticky"
[kafka.properties]
"group.id" = "mine"
"no.such.property" = "1"
"sasl.password" = "not-to-be-shown"
"#;

const TOLD: [&str; 9] = [
    "http.bind",
    "http.port",
    "limits.body_bytes",
    "drain.timeout",
    "shoes",
    "kafka.assignment_strategy",
    "group.id",
    "no.such.property",
    "SLUICE_LIMITS__SESSIONS_PER_NODE",
];

#[track_caller]
fn check_told(log: &str) {
    for key in TOLD {
        let lines = log.lines().filter(|line| line.contains(key)).count();
        assert_eq!(lines, 1, "{key} in:\n{log}");
    }
    assert!(!log.contains("not-to-be-shown"), "{log}");
    assert!(
        !log.contains("listening") && !log.contains("panic"),
        "{log}"
    );
}

#[tokio::test]
async fn all_mistakes_are_told_before_anything_binds() {
    // A port that is taken: a node that tried to bind would fail in another way.
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let (status, log) = Node::builder()
        .bootstrap("127.0.0.1:1")
        .env("SLUICE_ADMIN__BIND", taken.local_addr().unwrap())
        .env("SLUICE_HTTP__BIND", "nowhere")
        .env("SLUICE_LIMITS__SESSIONS_PER_NODE", "0")
        .config(&WRONG.replace("bind = [\"nowhere\"]\n", ""))
        .run(DEADLINE)
        .await
        .unwrap();
    assert_eq!(status.code(), Some(64), "{log}");
    check_told(&log.replace("SLUICE_HTTP__BIND", "http.bind"));
}

#[tokio::test]
async fn without_kafka_s_address_nothing_starts() {
    let (status, log) = Node::builder().run(DEADLINE).await.unwrap();
    assert_eq!(status.code(), Some(64), "{log}");
    assert!(log.contains("kafka.bootstrap_servers"), "{log}");
    assert!(log.contains("KAFKA_BOOTSTRAP_SERVERS"), "{log}");
}

#[tokio::test]
async fn a_command_line_that_is_wrong_ends_with_the_usage() {
    for (command, argument) in [("serve", "--colour"), ("sevre", "--help"), ("serve", "x")] {
        let wrong = Node::builder().subcommand(command).arg(argument);
        let (status, log) = wrong.run(DEADLINE).await.unwrap();
        assert_eq!(status.code(), Some(64), "{log}");
        assert!(log.contains("Usage:"), "{log}");
    }
    let help = Node::builder().subcommand("--help");
    let (status, log) = help.run(DEADLINE).await.unwrap();
    assert_eq!(status.code(), Some(0), "{log}");
    for command in ["serve", "dev", "config"] {
        assert!(log.contains(command), "{log}");
    }
}

#[tokio::test]
async fn an_address_in_use_is_a_failure_of_its_own() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let (status, log) = Node::builder()
        .bootstrap("127.0.0.1:1")
        .env("SLUICE_HTTP__BIND", address)
        .run(DEADLINE)
        .await
        .unwrap();
    assert_eq!(status.code(), Some(70), "{log}");
    assert!(log.contains(&address.to_string()), "{log}");
    assert!(!log.contains("\"listening\""), "{log}");
}

#[tokio::test]
async fn a_certificate_that_is_not_there_is_named_where_it_is_needed() {
    let text = "[kafka]\nbootstrap_servers = 'kafka:9092'\n[kafka.properties]\n\
                'security.protocol' = 'ssl'\n'ssl.ca.location' = '/no/such/ca.pem'\n";
    let (code, log) = check(text, |node| node).await;
    assert_eq!(code, Some(0), "it may be there on another machine: {log}");
    let serving = Node::builder().config(text);
    let (status, log) = serving.run(DEADLINE).await.unwrap();
    assert_eq!(status.code(), Some(64), "{log}");
    let told = "kafka.properties.ssl.ca.location: /no/such/ca.pem cannot be read";
    assert!(log.contains(told), "{log}");
}

/// `sluice config check` of this text.
async fn check(
    text: &str,
    adjust: impl FnOnce(NodeBuilder) -> NodeBuilder,
) -> (Option<i32>, String) {
    let folder = tempfile::tempdir().expect("a folder can be made");
    let file = folder.path().join("sluice.toml");
    fs::write(&file, text).expect("it can be written to");
    let checking = Node::builder().subcommand("config").arg("check").arg(&file);
    let (status, log) = adjust(checking).run(DEADLINE).await.expect("it ends");
    (status.code(), log)
}

#[tokio::test]
async fn a_file_is_checked_without_starting_anything() {
    let right = "[kafka]\nbootstrap_servers = \"kafka-0:9092\"\n";
    let (code, log) = check(right, |node| node).await;
    assert_eq!(code, Some(0), "{log}");
    assert!(log.contains("is right"), "{log}");

    let limit = |node: NodeBuilder| node.env("SLUICE_LIMITS__SESSIONS_PER_NODE", "0");
    let wrong = |node: NodeBuilder| limit(node).env("SLUICE_HTTP__BIND", "nowhere");
    let (code, log) = check(WRONG, |node| wrong(node).bootstrap("kafka:9092")).await;
    assert_eq!(code, Some(64), "{log}");
    check_told(&log.replace("SLUICE_HTTP__BIND", "http.bind"));

    let (code, log) = check("[http\nbind = 1", |node| node).await;
    assert_eq!(code, Some(64), "{log}");
    assert!(log.contains("line 1, column"), "{log}");
    let missing = Node::builder()
        .subcommand("config")
        .arg("check")
        .arg("no-such-file");
    let (status, log) = missing.run(DEADLINE).await.unwrap();
    assert_eq!(status.code(), Some(64), "{log}");
    assert!(log.contains("no-such-file"), "{log}");
}

#[tokio::test]
async fn the_reference_is_a_file_that_is_taken() {
    let printed = Node::builder().subcommand("config").arg("reference");
    let (status, reference) = printed.run(DEADLINE).await.unwrap();
    assert_eq!(status.code(), Some(0), "{reference}");
    assert!(
        reference.contains("\n# Allowed: a number from 1 to 100000.\nsessions_per_node = 500\n"),
        "{reference}"
    );
    let (code, log) = check(&reference, |node| node.bootstrap("kafka-0:9092")).await;
    assert_eq!(code, Some(0), "{log}");
}

/// Whether a node takes a body of this size.
async fn takes(client: &Client, bytes: usize) -> bool {
    let request = client
        .request(Method::POST, "/api/consumers/nobody/consume")
        .body(format!("{{}}{}", " ".repeat(bytes - 2)));
    let reply = client.send(request).await;
    match reply.status() {
        Some(413) => false,
        _ => {
            reply.expect_problem(404, "consumer_not_found");
            true
        }
    }
}

#[tokio::test]
async fn the_environment_wins_over_the_file_and_flags_over_both() {
    let kafka = Kafka::shared().await;
    let (by_file, by_flag) = (Port::reserve().unwrap(), Port::reserve().unwrap());
    let file = format!(
        "[http]\nbind = [\"{}\"]\n[admin]\nbind = \"{}\"\n[limits]\nbody_bytes = \"2KiB\"\n\
         sessions_per_node = 1\n[cluster]\nname = \"of-the-file\"\n\
         [kafka]\nbootstrap_servers = [\"127.0.0.1:1\"]\n",
        by_file.address(),
        by_file.address(),
    );
    let node = Node::builder()
        .config(&file)
        .env("SLUICE_LIMITS__BODY_BYTES", 4096)
        .env("SLUICE_HTTP__BIND", by_file.address())
        .arg("--http")
        .arg(by_flag.address())
        .arg("--kafka")
        .arg(kafka.bootstrap())
        .start()
        .await;
    assert_eq!(node.url(), format!("http://{}", by_flag.address()));
    assert!(
        !node.admin_url().ends_with(&by_file.address()),
        "the environment's port 0"
    );
    let client = node.client();
    let live = client.call(Method::GET, "/livez", ()).await.expect(200);
    assert_eq!(live["node"], "of-the-file");
    assert!(takes(&client, 4096).await);
    assert!(!takes(&client, 4097).await);

    let topic = unique("orders");
    kafka.create_topic(&topic, 1).await.unwrap();
    let body = || json!({"group_id": unique("g"), "topics": [topic]});
    client.subscribe(body()).await.expect(200);
    let second = client.subscribe(body()).await;
    second.expect_problem(429, "too_many_sessions");
}

#[tokio::test]
async fn kafka_s_own_variable_is_enough() {
    let kafka = Kafka::shared().await;
    let node = Node::builder()
        .env("KAFKA_BOOTSTRAP_SERVERS", kafka.bootstrap())
        .start()
        .await;
    let (client, topic) = (node.client(), unique("orders"));
    kafka.create_topic(&topic, 1).await.unwrap();
    let body = json!({"group_id": unique("g"), "topics": [topic]});
    client.subscribe(body).await.expect(200);
}
