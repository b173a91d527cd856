//! Requests that are wrong in themselves: nothing is asked of Kafka, which this node does not have.

use serde_json::{Value, json};
use sluice_tests::{Answer, Client, Node};
use tokio::sync::OnceCell;

use crate::post;

async fn client() -> Client {
    static NODE: OnceCell<Node> = OnceCell::const_new();
    let start = async || {
        Node::builder()
            .bootstrap("127.0.0.1:1")
            .env("SLUICE_LIMITS__BODY_BYTES", 4096)
            .env("SLUICE_LIMITS__PRODUCE_RECORDS", 5)
            .start()
            .await
    };
    NODE.get_or_init(start).await.client()
}

#[track_caller]
fn faults(answer: &Answer) -> Vec<&str> {
    let errors = answer["errors"].as_array().expect("errors is a list");
    let fields = errors.iter().map(|error| error["field"].as_str().unwrap());
    fields.collect()
}

#[tokio::test]
async fn all_faults_of_a_request_are_told_at_once() {
    let client = client().await;
    let body = json!({"records": [
        {"value": 1, "colour": "red", "records": []},
        {"value": 1, "partition": "0", "timestamp": 0},
        {"value": 1, "partition": -1, "timestamp": 1.5, "headers": 7},
        {"value": 1, "headers": [{"value": "x"}, {"key": "k", "value": 1, "size": 2}, 3]},
        [1],
    ], "fast": true});
    let query = "?key.format=xml&compression=brotli&value.schema=orders&fast=1";
    let refused = post(&client, "orders", query, body.to_string()).await;
    let refused = refused.expect_problem(422, "invalid_field");
    let mut told = faults(&refused);
    told.sort_unstable();
    let expected = [
        "compression",
        "fast",
        "fast",
        "key.format",
        "records[0].colour",
        "records[0].records",
        "records[1].partition",
        "records[1].timestamp",
        "records[2].headers",
        "records[2].partition",
        "records[2].timestamp",
        "records[3].headers[0].key",
        "records[3].headers[1].size",
        "records[3].headers[1].value",
        "records[3].headers[2]",
        "records[4]",
        "value.schema",
    ];
    assert_eq!(told, expected);
}

#[tokio::test]
async fn records_are_a_list_of_some() {
    let client = client().await;
    let six = vec![json!({"value": 1}); 6];
    for (body, field) in [
        (json!({}), "records"),
        (json!({"records": null}), "records"),
        (json!({"records": []}), "records"),
        (json!({"records": {"value": 1}}), "records"),
        (json!({"records": "x"}), "records"),
        (json!({"records": six}), "records"),
        (json!([{"value": 1}]), "body"),
        (json!("x"), "body"),
        (json!(null), "body"),
    ] {
        let refused = post(&client, "orders", "", body.to_string()).await;
        let refused = refused.expect_problem(422, "invalid_field");
        assert_eq!(faults(&refused), [field], "{body}");
    }
}

#[tokio::test]
async fn a_body_that_is_no_json_is_told_with_line_and_column() {
    let client = client().await;
    for (body, line, column) in [
        (&b""[..], 1, 0),
        (b"{\"records\":\n [{\"value\": x}]}", 2, 13),
        (b"{\"records\": [{\"value\": 01}]}", 1, 25),
        (b"{\"records\": [{\"value\": 1}]} {}", 1, 29),
    ] {
        let refused = post(&client, "orders", "", body).await;
        let refused = refused.expect_problem(400, "malformed_json");
        assert_eq!(
            (&refused["line"], &refused["column"]),
            (&json!(line), &json!(column))
        );
    }
    for body in [
        &b"{\"records\": [{\"value\": \"\xff\"}]}"[..],
        b"{\"records\": [{\"value\": \"a\nb\"}]}",
        b"{\"records\": [{\"value\": 1}",
    ] {
        let refused = post(&client, "orders", "", body).await;
        refused.expect_problem(400, "malformed_json");
    }
    let deep = format!("{{\"records\": [{{\"value\": {}", "[".repeat(3000));
    let refused = post(&client, "orders", "", deep).await;
    refused.expect_problem(400, "malformed_json");
}

#[tokio::test]
async fn limits_of_the_request_are_told_with_their_number() {
    let client = client().await;
    let value = "x".repeat(4096);
    let body = json!({"records": [{"value": value}]});
    let refused = post(&client, "orders", "", body.to_string()).await;
    let refused = refused.expect_problem(413, "body_too_large");
    assert_eq!(refused["limit"], 4096);
    let typed = client
        .request(reqwest::Method::POST, "/api/topics/orders/produce")
        .header("content-type", "text/plain")
        .body("{}");
    let refused = client.send(typed).await;
    refused.expect_problem(415, "unsupported_media_type");
}

#[tokio::test]
async fn avro_needs_a_schema_registry() {
    let client = client().await;
    let body: Value = json!({"records": [{"value": 1}]});
    for query in [
        "?key.format=avro",
        "?value.format=avro&value.schema=orders-value",
        "?key.format=avro&value.format=avro&key.schema=7",
    ] {
        let refused = post(&client, "orders", query, body.to_string()).await;
        refused.expect_problem(422, "schema_registry_not_configured");
    }
}

#[tokio::test]
async fn without_kafka_a_request_is_refused_and_nothing_is_written() {
    let client = client().await;
    let body = json!({"records": [{"value": 1}]});
    let refused = post(&client, "orders", "", body.to_string()).await;
    let refused = refused.expect_problem(503, "kafka_unavailable");
    assert!(refused.header("retry-after").is_some());
}
