//! Records in answers: formats, nulls, headers, transactions, compression.

use std::io::Read;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use reqwest::Method;
use serde_json::{Value, json};
use sluice_tests::kafka::Record;
use sluice_tests::{Topic, places};

fn base64(bytes: &[u8]) -> Value {
    json!(STANDARD.encode(bytes))
}

/// The records of a topic, as a session with these options shows them.
async fn shown(topic: &Topic, options: Value, count: usize) -> Vec<Value> {
    topic.subscribe(options).await.read(count).await
}

#[tokio::test]
async fn a_record_is_shown_whole() {
    let topic = Topic::create(3).await;
    let record = Record::value("{\"order_id\": \"123\"}")
        .key("order-123")
        .header("correlation_id", "abc-123")
        .partition(2)
        .timestamp(1_704_537_600_000);
    topic.produce([record]).await;
    let shown = shown(&topic, json!({}), 1).await;
    let expected = json!({
        "topic": topic.name(), "partition": 2, "offset": 0, "timestamp": 1_704_537_600_000_i64,
        "key": "order-123", "value": "{\"order_id\": \"123\"}",
        "headers": {"correlation_id": "abc-123"},
    });
    assert_eq!(shown, [expected]);
}

#[tokio::test]
async fn nulls_are_null_in_every_format_and_empty_is_not_null() {
    let topic = Topic::create(1).await;
    let records = [Record::tombstone(), Record::value("").key("")];
    topic.produce(records).await;
    for format in ["string", "json", "binary"] {
        let options = json!({"key_format": format, "value_format": format});
        let shown = shown(&topic, options, 2).await;
        for member in ["key", "value"] {
            assert_eq!(shown[0][member], Value::Null, "{format}");
            assert_eq!(shown[1][member], "", "{format}");
        }
        assert!(shown[0].get("value_encoding").is_none());
    }
}

#[tokio::test]
async fn text_is_text_and_other_bytes_are_marked() {
    let topic = Topic::create(1).await;
    let text = "grüße \"\\\u{1}\u{2028}🦀\n";
    let records = [
        Record::value(text).key(b"\xff\xfe".to_vec()),
        Record::value(b"caf\xe9".to_vec()).key("k"),
    ];
    topic.produce(records).await;
    let shown = shown(&topic, json!({}), 2).await;
    assert_eq!(shown[0]["value"], text);
    assert!(shown[0].get("value_encoding").is_none());
    assert_eq!(shown[0]["key"], base64(b"\xff\xfe"));
    assert_eq!(shown[0]["key_encoding"], "base64");
    assert_eq!(shown[1]["value"], base64(b"caf\xe9"));
    assert_eq!(shown[1]["value_encoding"], "base64");
    assert!(shown[1].get("key_encoding").is_none());
}

#[tokio::test]
async fn a_poison_record_does_not_fail_a_poll_of_json() {
    let topic = Topic::create(1).await;
    let values: [&[u8]; 7] = [
        br#"{"a":[1,null,"x"]}"#,
        b"{oops",
        b"\xff",
        b"3",
        b"null",
        b"{} {}",
        br#"{"after":true}"#,
    ];
    topic.produce(values.map(Record::value)).await;
    let options = json!({"value_format": "json", "key_format": "json"});
    let shown = shown(&topic, options, values.len()).await;
    let expected = [
        json!({"a": [1, null, "x"]}),
        base64(b"{oops"),
        base64(b"\xff"),
        json!(3),
        Value::Null,
        base64(b"{} {}"),
        json!({"after": true}),
    ];
    for (index, (record, expected)) in shown.iter().zip(&expected).enumerate() {
        assert_eq!(record["value"], *expected);
        let poison = [1, 2, 5].contains(&index);
        let marked = record.get("value_encoding") == Some(&json!("base64"));
        assert_eq!(marked, poison, "{record}");
    }
}

#[tokio::test]
async fn json_keeps_every_digit() {
    let topic = Topic::create(1).await;
    let value = r#"{"n":12345678901234567890123,"d":1.10,"b":1,"a":2}"#;
    topic.produce([Record::value(value)]).await;
    let session = topic.subscribe(json!({"value_format": "json"})).await;
    let polled = session.poll(json!({})).await;
    assert!(polled.text.contains(value), "{}", polled.text);
}

#[tokio::test]
async fn binary_is_always_base64() {
    let topic = Topic::create(1).await;
    let bytes: Vec<u8> = (0..=255).collect();
    topic.produce([Record::value(bytes.clone()).key("k")]).await;
    let options = json!({"key_format": "binary", "value_format": "binary"});
    let shown = shown(&topic, options, 1).await;
    assert_eq!(shown[0]["key"], base64(b"k"));
    assert_eq!(shown[0]["value"], base64(&bytes));
    assert!(shown[0].get("value_encoding").is_none());
}

fn with_headers() -> Record {
    Record::value("v")
        .header("a", "first")
        .header("empty", "")
        .null_header("nothing")
        .header("bytes", b"\xff\x00".to_vec())
        .header("a", "last")
}

#[tokio::test]
async fn headers_are_an_object_in_which_the_last_of_a_name_wins() {
    let topic = Topic::create(1).await;
    topic.produce([with_headers(), Record::value("bare")]).await;
    let shown = shown(&topic, json!({}), 2).await;
    let expected = json!({
        "a": "last", "empty": "", "nothing": null, "bytes": STANDARD.encode(b"\xff\x00"),
    });
    assert_eq!(shown[0]["headers"], expected);
    assert_eq!(shown[0]["binary_headers"], json!(["bytes"]));
    assert_eq!(shown[1]["headers"], json!({}));
    assert!(shown[1].get("binary_headers").is_none());
}

#[tokio::test]
async fn headers_as_a_list_are_all_there_in_order() {
    let topic = Topic::create(1).await;
    topic.produce([with_headers()]).await;
    let session = topic.subscribe(json!({})).await;
    let polled = session.poll(json!({"headers_format": "list"})).await;
    let headers = polled.records()[0]["headers"].as_array().unwrap();
    let pairs: Vec<(&Value, &Value)> = headers.iter().map(|h| (&h["key"], &h["value"])).collect();
    let expected = [
        (&json!("a"), &json!("first")),
        (&json!("empty"), &json!("")),
        (&json!("nothing"), &Value::Null),
        (&json!("bytes"), &base64(b"\xff\x00")),
        (&json!("a"), &json!("last")),
    ];
    assert_eq!(pairs, expected);
}

#[tokio::test]
async fn a_header_name_that_is_not_text_breaks_nothing() {
    let topic = Topic::create(1).await;
    let header: (&[u8], &[u8]) = (b"na\xff\xfeme", b"value");
    let kafka = topic.kafka();
    kafka
        .produce_with_header(topic.name(), b"odd", header)
        .await
        .unwrap();
    topic.write(0, 1).await;
    let session = topic.subscribe(json!({})).await;
    let shown = session.read(2).await;
    assert_eq!(shown[0]["value"], "odd");
    let headers = shown[0]["headers"].as_object().unwrap();
    assert_eq!(headers.values().collect::<Vec<_>>(), ["value"]);
    assert_eq!(shown[1]["value"], "value 0");
    // The list too, and the session is the one it was.
    let start = json!({"topic": topic.name(), "offset": "earliest"});
    session.seek(start).await.expect(200);
    let polled = session.poll(json!({"headers_format": "list"})).await;
    assert_eq!(polled.records()[0]["headers"][0]["value"], "value");
    assert_eq!(polled["generation"], session.subscribed["generation"]);
}

#[tokio::test]
async fn aborted_transactions_are_hidden_unless_asked_for() {
    let topic = Topic::create(1).await;
    let (kafka, name) = (topic.kafka(), topic.name());
    for (value, commit) in [("kept", true), ("gone", false), ("kept too", true)] {
        let records = [Record::value(value)];
        let written = kafka.produce_in_transaction(name, records, commit).await;
        written.unwrap();
    }
    topic.produce([Record::value("plain")]).await;
    let values = async |isolation, count| -> Vec<String> {
        let shown = shown(&topic, json!({"isolation_level": isolation}), count).await;
        let text = |record: &Value| record["value"].as_str().unwrap().to_owned();
        shown.iter().map(text).collect()
    };
    assert_eq!(
        values("read_committed", 3).await,
        ["kept", "kept too", "plain"]
    );
    assert_eq!(
        values("read_uncommitted", 4).await,
        ["kept", "gone", "kept too", "plain"]
    );
}

#[tokio::test]
async fn a_poll_at_the_end_of_aborted_records_waits_for_the_next() {
    let topic = Topic::create(1).await;
    let gone = (0..10).map(|_| Record::value("gone"));
    let kafka = topic.kafka();
    kafka
        .produce_in_transaction(topic.name(), gone, false)
        .await
        .unwrap();
    let session = topic.subscribe(json!({})).await;
    let polled = session.poll(json!({"timeout_ms": 300})).await;
    assert_eq!(polled["records"], json!([]));
    // Ten records and the mark that aborts them.
    assert_eq!(topic.write(0, 1).await, [11]);
    assert_eq!(places(&session.read(1).await), [(0, 11)]);
}

#[tokio::test]
async fn a_long_answer_is_compressed_for_who_asks() {
    let topic = Topic::create(1).await;
    let value = "all work and no play ".repeat(500);
    topic.produce([Record::value(value.as_str())]).await;
    let session = topic.subscribe(json!({})).await;
    let start = json!({"topic": topic.name(), "offset": "earliest"});
    for encoding in ["gzip", "br", "zstd", "identity"] {
        session.seek(&start).await.expect(200);
        let request = topic
            .client()
            .request(Method::POST, &session.path("consume"))
            .header("accept-encoding", encoding);
        let answer = request.send().await.unwrap();
        let sent = answer.headers().get("content-encoding").cloned();
        let body = answer.bytes().await.unwrap();
        let plain = match encoding {
            "identity" => {
                assert_eq!(sent, None);
                body.to_vec()
            }
            _ => {
                let told = String::from_utf8_lossy(&body);
                assert_eq!(sent.expect(&told), encoding);
                assert!(body.len() < value.len() / 2, "{encoding}: {}", body.len());
                unpacked(encoding, &body)
            }
        };
        let answer: Value = serde_json::from_slice(&plain).unwrap();
        assert_eq!(answer["records"][0]["value"], value, "{encoding}");
    }
}

fn unpacked(encoding: &str, packed: &[u8]) -> Vec<u8> {
    let mut plain = Vec::new();
    let read = match encoding {
        "gzip" => flate2::read::GzDecoder::new(packed).read_to_end(&mut plain),
        "br" => brotli::Decompressor::new(packed, 4096).read_to_end(&mut plain),
        _ => zstd::stream::Decoder::new(packed)
            .and_then(|mut decoder| decoder.read_to_end(&mut plain)),
    };
    read.expect("the answer is whole");
    plain
}
