//! What becomes of JSON that is to be Avro.

use reqwest::Method;
use serde_json::json;
use sluice_tests::{eventually, unique};

use crate::{DEADLINE, Topic, codes, framed, note, note_data};

#[tokio::test]
async fn every_type_comes_back_as_it_was_written() {
    let topic = Topic::create().await;
    let schema = json!({"type": "record", "name": "Everything", "namespace": "shop", "fields": [
        {"name": "nothing", "type": "null"},
        {"name": "is_paid", "type": "boolean"},
        {"name": "count", "type": "int"},
        {"name": "number", "type": "long"},
        {"name": "share", "type": "float"},
        {"name": "total", "type": "double"},
        {"name": "raw", "type": "bytes"},
        {"name": "text", "type": "string"},
        {"name": "code", "type": {"type": "fixed", "name": "Code", "size": 3}},
        {"name": "state", "type": {"type": "enum", "name": "State", "symbols": ["NEW", "DONE"]}},
        {"name": "lines", "type": {"type": "array", "items":
            {"type": "record", "name": "Line", "fields": [
                {"name": "sku", "type": "string"},
                {"name": "next", "type": ["null", "Line"], "default": null}]}}},
        {"name": "tags", "type": {"type": "map", "values": "long"}},
        {"name": "note", "type": ["null", "string"], "default": null},
        {"name": "who", "type": ["string", "long", "State"]},
        {"name": "price", "type":
            {"type": "bytes", "logicalType": "decimal", "precision": 12, "scale": 2}},
        {"name": "id", "type": {"type": "string", "logicalType": "uuid"}},
        {"name": "day", "type": {"type": "int", "logicalType": "date"}},
        {"name": "at", "type": {"type": "long", "logicalType": "timestamp-millis"}}]});
    let id = topic.values_are(&schema).await;
    let value = json!({
        "nothing": null, "is_paid": true, "count": -7, "number": i64::MAX, "share": 0.1,
        "total": 1e300, "raw": "\u{0}\u{ff}", "text": "é😀\n", "code": "\u{80}ab",
        "state": "DONE", "tags": {"a b": 1, "": i64::MIN}, "note": "x",
        "lines": [{"sku": "1", "next": {"sku": "2", "next": null}}, {"sku": "3", "next": null}],
        "who": {"shop.State": "NEW"}, "price": "-1234567.80",
        "id": "550e8400-e29b-41d4-a716-446655440000", "day": 19_000, "at": 1_704_545_600_123_i64});
    let answer = topic
        .write("", &json!([{"value": value}]))
        .await
        .expect(200);
    assert_eq!(codes(&answer), [None]);
    let native = topic.native().await;
    let bytes = native[0].value.as_deref().unwrap();
    assert_eq!(bytes[..5], framed(id, &[]));
    let session = topic.subscribe(json!({})).await;
    let read = session.values(1).await;
    assert_eq!(read, [value]);
    // What comes out can go in again.
    topic
        .write("", &json!([{"value": read[0]}]))
        .await
        .expect(200);
    let native = topic.native().await;
    assert_eq!(native[1].value, native[0].value);
}

#[tokio::test]
async fn keys_and_values_have_schemas_of_their_own() {
    let topic = Topic::create().await;
    let (keys, values) = (unique("keys"), unique("values"));
    let key_id = topic.registry.register(&keys, &json!("long")).await;
    let value_id = topic.registry.register(&values, &note()).await;
    let query =
        format!("?key.format=avro&key.schema={keys}&value.format=avro&value.schema={values}");
    let both = json!([{"key": 3, "value": {"text": "a"}}, {"key": 3}, {"value": {"text": "b"}}]);
    topic.post(&query, &both).await.expect(200);
    let query = format!("?key.format=avro&key.schema={keys}");
    topic
        .post(&query, &json!([{"key": 3, "value": "c"}]))
        .await
        .expect(200);
    let query = format!("?key.format=string&value.format=avro&value.schema={value_id}");
    topic
        .post(&query, &json!([{"key": "k", "value": {"text": "d"}}]))
        .await
        .expect(200);
    let native: Vec<_> = topic.native().await;
    let native: Vec<_> = native
        .into_iter()
        .map(|read| (read.key, read.value))
        .collect();
    let key = Some(framed(key_id, &[6]));
    let value = |text| Some(framed(value_id, &note_data(text)));
    assert_eq!(
        native,
        [
            (key.clone(), value("a")),
            (key.clone(), None),
            (None, value("b")),
            (key, Some(b"\"c\"".to_vec())),
            (Some(b"k".to_vec()), value("d")),
        ]
    );
    let session = topic.subscribe(json!({"key_format": "avro"})).await;
    let records = session.read(5).await;
    let read: Vec<_> = records.iter().map(|r| (&r["key"], &r["value"])).collect();
    let note = |text: &str| json!({"text": text});
    assert_eq!(read[0], (&json!(3), &note("a")));
    assert_eq!(read[1], (&json!(3), &json!(null)));
    assert_eq!(read[2], (&json!(null), &note("b")));
    assert_eq!(read[3], (&json!(3), &json!("ImMi")));
    assert_eq!(records[3]["value_encoding"], "base64");
    assert_eq!(read[4], (&json!("aw=="), &note("d")));
    assert_eq!(records[4]["key_encoding"], "base64");
}

#[tokio::test]
async fn a_new_version_of_a_subject_is_noticed() {
    let topic = Topic::create().await;
    let first = topic.values_are(&note()).await;
    topic
        .write("", &json!([{"value": {"text": "a"}}]))
        .await
        .expect(200);
    let newer = json!({"type": "record", "name": "Note", "fields": [
        {"name": "text", "type": "string"},
        {"name": "stars", "type": "int", "default": 1}]});
    let second = topic.values_are(&newer).await;
    assert_ne!(first, second);
    eventually(DEADLINE, "the new version is used", async || {
        let written = topic
            .write("", &json!([{"value": {"text": "b", "stars": 5}}]))
            .await;
        written.status() == Some(200)
    })
    .await;
    topic
        .write("", &json!([{"value": {"text": "c"}}]))
        .await
        .expect(200);
    let query = format!("&value.schema={first}");
    topic
        .write(&query, &json!([{"value": {"text": "d"}}]))
        .await
        .expect(200);
    let session = topic.subscribe(json!({})).await;
    let expected = [
        json!({"text": "a"}),
        json!({"text": "b", "stars": 5}),
        json!({"text": "c", "stars": 1}),
        json!({"text": "d"}),
    ];
    assert_eq!(session.values(4).await, expected);
}

#[tokio::test]
async fn schemas_may_refer_to_others() {
    let topic = Topic::create().await;
    let (country, address) = (unique("country"), unique("address"));
    let registry = topic.registry;
    let schema = json!({"type": "enum", "name": "Country", "namespace": "geo",
        "symbols": ["DE", "FR"]});
    registry.register(&country, &schema).await;
    let schema = json!({"type": "record", "name": "Address", "namespace": "geo", "fields": [
        {"name": "country", "type": "Country"}]});
    registry
        .register_with(&address, &schema, &[("geo.Country", &country)])
        .await;
    let schema = json!({"type": "record", "name": "Order", "namespace": "shop", "fields": [
        {"name": "to", "type": "geo.Address"}, {"name": "from", "type": ["null", "geo.Country"]}]});
    let subject = format!("{}-value", topic.name);
    let references = [("geo.Address", &*address), ("geo.Country", &*country)];
    registry.register_with(&subject, &schema, &references).await;
    let value = json!({"to": {"country": "FR"}, "from": "DE"});
    topic
        .write("", &json!([{"value": value}]))
        .await
        .expect(200);
    let session = topic.subscribe(json!({})).await;
    assert_eq!(session.values(1).await, [value]);
    let wrong = json!([{"value": {"to": {"country": "XX"}, "from": null}}]);
    let refused = topic.write("", &wrong).await;
    let refused = refused.expect_problem(422, "schema_mismatch");
    assert!(
        refused
            .text_at("detail")
            .contains("to.country must be one of DE, FR")
    );
}

#[tokio::test]
async fn what_does_not_fit_is_told_by_its_field_and_the_rest_is_written() {
    let topic = Topic::create().await;
    let schema = json!({"type": "record", "name": "Order", "fields": [
        {"name": "customer", "type": {"type": "record", "name": "Customer", "fields": [
            {"name": "ages", "type": {"type": "array", "items": "int"}}]}}]});
    topic.values_are(&schema).await;
    let order = |age| json!({"value": {"customer": {"ages": [1, age]}}});
    let records = json!([order(json!(2)), order(json!("old")), order(json!(3)), {"value": 7}]);
    let answer = topic.write("", &records).await.expect(200);
    let mismatch = Some("schema_mismatch");
    assert_eq!(codes(&answer), [None, mismatch, None, mismatch]);
    assert_eq!(
        answer["offsets"][1]["error"]["detail"],
        "The value does not fit its schema: customer.ages[1] must be an int, an integer from -2147483648 to 2147483647, not a string."
    );
    assert_eq!(
        answer["offsets"][3]["error"]["detail"],
        "The value does not fit its schema: it must be an object, for a record, not 7."
    );
    assert_eq!(topic.native().await.len(), 2);
    let deep = format!("{}{}", "[".repeat(200), "]".repeat(200));
    let path = format!("/api/topics/{}/produce?value.format=avro", topic.name);
    let request = topic
        .client
        .request(Method::POST, &path)
        .header("content-type", "application/json")
        .body(format!("{{\"records\":[{{\"value\":{deep}}}]}}"));
    let refused = topic.client.send(request).await;
    let refused = refused.expect_problem(422, "schema_mismatch");
    assert_eq!(codes(&refused), [mismatch]);
}

#[tokio::test]
async fn a_schema_that_cannot_be_used_is_told_of_the_whole_request() {
    let topic = Topic::create().await;
    let subject = unique("protobuf");
    topic.registry.register_protobuf(&subject).await;
    let records = json!([{"value": {"text": "a"}}, {"key": "k"}]);
    for (schema, named, is_async) in [
        (String::new(), format!("{}-value", topic.name), false),
        (
            "&value.schema=nobody's".to_owned(),
            "nobody's".to_owned(),
            true,
        ),
        (
            "&value.schema=2147483647".to_owned(),
            "2147483647".to_owned(),
            false,
        ),
        (format!("&value.schema={subject}"), subject.clone(), false),
    ] {
        let query = format!("{schema}&async={is_async}");
        let refused = topic.write(&query, &records).await;
        let refused = refused.expect_problem(422, "schema_not_found");
        assert_eq!(refused["schema"], named);
        assert_eq!(refused["parameter"], "value.schema");
    }
    assert!(topic.native().await.is_empty());
    let wrong = topic.write("&value.schema=..", &records).await;
    let wrong = wrong.expect_problem(422, "invalid_field");
    assert_eq!(wrong["errors"][0]["field"], "value.schema");
}
