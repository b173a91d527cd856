//! What becomes of keys, values and headers on their way from JSON to Kafka.

use serde_json::json;

use crate::{codes, post, read, shared};

#[tokio::test]
async fn json_is_stored_byte_for_byte() {
    let (kafka, client, topic) = shared(1).await;
    let texts = [
        r#"{"z": 1.10, "a" : [1e400, 12345678901234567890.000],  "a":null}"#,
        r#""quoted \u00e9 \/ é""#,
        "-0.0",
        "true",
        "\"\"",
        "[]",
    ];
    let records: Vec<String> = texts
        .iter()
        .map(|text| format!("{{ \"value\" :\n {text} , \"key\":{text}}}"))
        .collect();
    let body = format!("{{\"records\" : [{}]}}", records.join(" ,\t"));
    post(&client, &topic, "", body).await.expect(200);
    let read = read(kafka, &topic).await;
    for (record, text) in read.iter().zip(texts) {
        assert_eq!(record.text(), text);
        assert_eq!(record.key.as_deref(), Some(text.as_bytes()));
    }
    assert_eq!(read.len(), texts.len());
}

#[tokio::test]
async fn strings_are_stored_as_their_text_and_nothing_else_is_a_string() {
    let (kafka, client, topic) = shared(1).await;
    let query = "?key.format=string&value.format=string";
    let body = json!({"records": [
        {"key": "user-123", "value": "a \"quoted\"\n\u{e9}\u{1F600}\0"},
        {"key": "", "value": ""},
        {"key": 7, "value": "x"},
        {"key": "x", "value": {"a": 1}},
        {"key": null, "value": "last"},
    ]});
    let answer = post(&client, &topic, query, body.to_string()).await;
    let answer = answer.expect(200);
    let invalid = Some("invalid_record");
    assert_eq!(codes(&answer), [None, None, invalid, invalid, None]);
    let read = read(kafka, &topic).await;
    assert_eq!(read.len(), 3);
    assert_eq!(read[0].key.as_deref(), Some(&b"user-123"[..]));
    assert_eq!(read[0].text(), "a \"quoted\"\n\u{e9}\u{1F600}\0");
    assert_eq!(read[1].key.as_deref(), Some(&b""[..]));
    assert_eq!(read[1].value.as_deref(), Some(&b""[..]));
    assert_eq!((&read[2].key, read[2].text()), (&None, "last"));
}

#[tokio::test]
async fn binary_is_base64_of_any_bytes() {
    let (kafka, client, topic) = shared(1).await;
    let query = "?key.format=binary&value.format=binary";
    let body = json!({"records": [
        {"key": "/wA=", "value": "AAECAwQ"},
        {"value": ""},
        {"value": "not base64"},
        {"value": "_w=="},
        {"value": 7},
    ]});
    let answer = post(&client, &topic, query, body.to_string()).await;
    let answer = answer.expect(200);
    let (base64, invalid) = (Some("invalid_base64"), Some("invalid_record"));
    assert_eq!(codes(&answer), [None, None, base64, base64, invalid]);
    let read = read(kafka, &topic).await;
    assert_eq!(read[0].key.as_deref(), Some(&[0xff, 0][..]));
    assert_eq!(read[0].value.as_deref(), Some(&[0, 1, 2, 3, 4][..]));
    assert_eq!(read[1].value.as_deref(), Some(&b""[..]));
    assert_eq!(read.len(), 2);
}

#[tokio::test]
async fn null_is_a_kafka_null_in_every_format() {
    for format in ["json", "string", "binary"] {
        let (kafka, client, topic) = shared(1).await;
        let query = format!("?key.format={format}&value.format={format}");
        let body = json!({"records": [
            {"key": "AAAA", "value": null},
            {"key": "AAAA"},
            {"key": null, "value": "AAAA"},
            {"value": "AAAA"},
            {"key": null, "value": null},
            {},
        ]});
        let answer = post(&client, &topic, &query, body.to_string()).await;
        let answer = answer.expect(200);
        let invalid = Some("invalid_record");
        assert_eq!(codes(&answer), [None, None, None, None, invalid, invalid]);
        let read = read(kafka, &topic).await;
        let nulls: Vec<_> = read
            .iter()
            .map(|record| (record.key.is_none(), record.value.is_none()))
            .collect();
        assert_eq!(
            nulls,
            [(false, true), (false, true), (true, false), (true, false)]
        );
    }
}

#[tokio::test]
async fn headers_come_in_order_from_a_list_and_by_name_from_an_object() {
    let (kafka, client, topic) = shared(1).await;
    let body = r#"{"records": [
        {"value": 1, "headers": [{"key": "b", "value": "1"}, {"value": null, "key": "a"},
                                 {"key": "b", "value": "\u00e9"}, {"key": "c"}]},
        {"value": 2, "headers": {"trace": "x y", "none": null}},
        {"value": 3, "headers": []},
        {"value": 4, "headers": null}
    ]}"#;
    post(&client, &topic, "", body).await.expect(200);
    let header = |name: &str, value: Option<&str>| {
        (
            name.to_owned(),
            value.map(|value| value.as_bytes().to_vec()),
        )
    };
    let read = read(kafka, &topic).await;
    let listed = [
        header("b", Some("1")),
        header("a", None),
        header("b", Some("\u{e9}")),
        header("c", None),
    ];
    assert_eq!(read[0].headers, listed);
    let named = [header("trace", Some("x y")), header("none", None)];
    assert_eq!(read[1].headers, named);
    assert!(read[2].headers.is_empty() && read[3].headers.is_empty());
}
