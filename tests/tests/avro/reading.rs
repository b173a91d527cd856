//! What sessions make of Avro that others have written.

use serde_json::json;
use sluice_tests::kafka::Record;
use sluice_tests::unique;

use crate::{Topic, framed, note, note_data};

#[tokio::test]
async fn what_native_producers_have_written_is_read() {
    let topic = Topic::create().await;
    let id = topic.registry.register(&unique("notes"), &note()).await;
    let key_id = topic
        .registry
        .register(&unique("keys"), &json!("long"))
        .await;
    let records = (0..200).map(|number| {
        let value = framed(id, &note_data(&format!("note {number}")));
        // Small numbers of either sign take one byte.
        Record::value(value).key(framed(key_id, &[number % 64 * 2]))
    });
    topic.kafka.produce(&topic.name, records).await.unwrap();
    let session = topic.subscribe(json!({"key_format": "avro"})).await;
    let records = session.read(200).await;
    for (number, record) in records.iter().enumerate() {
        assert_eq!(record["offset"], number);
        assert_eq!(record["value"], json!({"text": format!("note {number}")}));
        assert_eq!(record["key"], number % 64);
        assert!(record.get("value_encoding").is_none());
    }
}

#[tokio::test]
async fn what_is_no_avro_comes_as_base64_and_holds_nothing_up() {
    let topic = Topic::create().await;
    let id = topic.registry.register(&unique("notes"), &note()).await;
    let other = topic.registry.register_protobuf(&unique("protobuf")).await;
    let good = framed(id, &note_data("good"));
    let poison = [
        b"{\"text\":\"plain\"}".to_vec(),
        Vec::new(),
        vec![0, 0, 0],
        framed(2_000_000_000, &note_data("of nobody")),
        framed(4_000_000_000, &note_data("of no number")),
        framed(other, &note_data("of another kind")),
        framed(id, &note_data("cut")[..2]),
        framed(id, &[note_data("more"), vec![0]].concat()),
        framed(id, &[4, 0xff, 0xfe]),
        framed(id, &[]),
    ];
    let mixed = poison
        .iter()
        .flat_map(|poison| [poison.clone(), good.clone()]);
    let records = mixed
        .map(Record::value)
        .chain([Record::tombstone().key("k")]);
    topic.kafka.produce(&topic.name, records).await.unwrap();
    let session = topic.subscribe(json!({})).await;
    let records = session.read(2 * poison.len() + 1).await;
    for (pair, poison) in records.chunks(2).zip(&poison) {
        use base64::Engine;
        let coded = base64::engine::general_purpose::STANDARD.encode(poison);
        assert_eq!(pair[0]["value"], coded);
        assert_eq!(pair[0]["value_encoding"], "base64");
        assert_eq!(pair[1]["value"], json!({"text": "good"}));
        assert!(pair[1].get("value_encoding").is_none());
    }
    let last = records.last().unwrap();
    assert!(last["value"].is_null() && last.get("value_encoding").is_none());
}

#[tokio::test]
async fn records_of_many_schemas_come_in_order() {
    let topic = Topic::create().await;
    let mut records = Vec::new();
    for number in 0..20_i64 {
        let field = format!("n{number}");
        let schema = json!({"type": "record", "name": "R", "fields": [
            {"name": field, "type": "long"}]});
        let id = topic.registry.register(&unique("many"), &schema).await;
        records.push(framed(id, &[u8::try_from(number * 2).unwrap()]));
    }
    let written = records.iter().chain(&records).cloned().map(Record::value);
    topic.kafka.produce(&topic.name, written).await.unwrap();
    let session = topic.subscribe(json!({})).await;
    let values = session.values(40).await;
    for (number, value) in values.iter().enumerate() {
        let number = number % 20;
        assert_eq!(*value, json!({ format!("n{number}"): number }));
    }
}
