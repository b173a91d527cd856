//! What there is, and one message written.

use reqwest::Method;
use serde_json::{Value, json};
use sluice_tests::kafka::Record;
use sluice_tests::{Kafka, Node, Topic, eventually, unique};
use tokio::time::Instant;

use crate::{DEADLINE, consume, messages};

#[tokio::test]
async fn the_root_says_what_this_is_and_where_to_go_on() {
    let client = Node::shared().await.client();
    let root = client.call(Method::GET, "/", ()).await.expect(200);
    assert!(root.text_at("message").contains("Sluice"));
    assert!(!root.text_at("version").is_empty());
    let expected = json!({"health": "/health", "consume": "/consume", "topics": "/topics",
                          "docs": "/docs"});
    assert_eq!(root["endpoints"], expected);
}

#[tokio::test]
async fn topics_are_listed_by_name_without_those_of_kafka_itself() {
    let (kafka, client) = (Kafka::shared().await, Node::shared().await.client());
    let (long, short) = ("t".repeat(240), unique("b"));
    for (topic, partitions) in [(&long, 1), (&short, 3)] {
        if kafka.partitions(topic).await.unwrap() == 0 {
            kafka.create_topic(topic, partitions).await.unwrap();
        }
    }
    // Makes Kafka's own topic.
    consume(&client, json!({"topic": short, "timeout": 0}))
        .await
        .expect(200);
    let listed = client.call(Method::GET, "/topics", ()).await.expect(200);
    let listed = listed.json.as_array().unwrap().clone();
    let names: Vec<&str> = listed
        .iter()
        .map(|t| t["topic"].as_str().unwrap())
        .collect();
    assert!(names.is_sorted(), "{names:?}");
    assert!(
        !names.iter().any(|name| name.starts_with("__")),
        "{names:?}"
    );
    let of = |name: &str| listed.iter().find(|topic| topic["topic"] == name).unwrap();
    let group = format!("sluice-consumer-api-group.{short}");
    assert_eq!(
        *of(&short),
        json!({"topic": short, "partitions": 3, "group_id": group})
    );
    assert_eq!(of(&long)["group_id"], Value::Null);
}

#[tokio::test]
async fn health_is_that_of_kafka_and_it_is_not_asked_by_every_prober() {
    let node = Node::shared().await;
    let healthy = node
        .client()
        .call(Method::GET, "/health", ())
        .await
        .expect(200);
    assert_eq!(healthy["status"], "healthy");
    assert_eq!(healthy["kafka_connected"], true);
    let time = healthy.text_at("timestamp");
    assert!(time.len() == 27 && time.ends_with('Z'), "{time}");

    // Port 1 refuses.
    let alone = Node::builder().bootstrap("127.0.0.1:1").start().await;
    let client = alone.client();
    let begun = Instant::now();
    let asking = (0..50).map(|_| client.call(Method::GET, "/health", ()));
    for ill in futures::future::join_all(asking).await {
        let ill = ill.expect(503);
        assert_eq!(ill["status"], "unhealthy");
        assert_eq!(ill["kafka_connected"], false);
        assert_eq!(ill.header("content-type"), Some("application/json"));
        assert!(ill.header("retry-after").is_some());
    }
    assert!(begun.elapsed() < DEADLINE / 4, "{:?}", begun.elapsed());
}

#[tokio::test]
async fn a_message_is_written_as_it_was_sent() {
    let topic = Topic::create(1).await;
    let client = topic.client();
    let send = async |body: String| {
        let request = client
            .request(Method::POST, "/produce")
            .header("content-type", "application/json")
            .body(body);
        client.send(request).await
    };
    let name = topic.name();
    let texts = [r#"{"b": 1.10,"a":[ ]}"#, "\"text\"", "7", "null"];
    for (offset, text) in texts.iter().enumerate() {
        let written = send(format!(
            r#"{{"topic":"{name}","message": {text} ,"key":"k\u00e9"}}"#
        ));
        let written = written.await.expect(200);
        let expected = json!({"success": true, "topic": name, "partition": 0, "offset": offset});
        assert_eq!(written.json, expected);
    }
    let read = topic.kafka().read_all(name).await.unwrap();
    for (record, text) in read.iter().zip(texts) {
        assert_eq!(record.key.as_deref(), Some("ké".as_bytes()));
        match text {
            "null" => assert_eq!(record.value, None),
            text => assert_eq!(record.text(), text),
        }
    }
    let neither = send(format!(r#"{{"topic":"{name}","message":null}}"#)).await;
    neither.expect_problem(422, "invalid_record");
    let large = format!(
        r#"{{"topic":"{name}","message":"{}"}}"#,
        "x".repeat(2 << 20)
    );
    send(large).await.expect_problem(413, "record_too_large");
}

#[tokio::test]
async fn a_node_serves_on_several_addresses() {
    let kafka = Kafka::shared().await;
    let topic = unique("topic");
    kafka.create_topic(&topic, 1).await.unwrap();
    kafka.produce(&topic, [Record::value("1")]).await.unwrap();
    let node = Node::builder()
        .kafka(kafka)
        .env("SLUICE_HTTP__BIND", "127.0.0.1:0,127.0.0.1:0,127.0.0.2:0")
        .start()
        .await;
    let listening = eventually(DEADLINE, "it says where it listens", async || {
        let lines = node.log_lines();
        let line = lines.iter().find(|line| line["message"] == "listening")?;
        Some(line["http"].as_str()?.to_owned())
    })
    .await;
    let addresses: Vec<&str> = listening.split(',').collect();
    assert_eq!(addresses.len(), 3);
    for address in addresses {
        let client = sluice_tests::Client::new(format!("http://{address}"));
        client.call(Method::GET, "/health", ()).await.expect(200);
        let group = unique("group");
        let read = consume(&client, json!({"topic": topic, "group_id": group})).await;
        assert_eq!(messages(&read.expect(200)).len(), 1);
    }
}
