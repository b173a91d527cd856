//! Compression, as the broker has it on disk.

use serde_json::{Value, json};
use sluice_tests::{Kafka, Node};

use crate::{read, topic};

#[tokio::test]
async fn each_codec_is_what_the_broker_stores_and_what_readers_understand() {
    // One whose disk can be looked at.
    let kafka = Kafka::start().await;
    let node = Node::builder().kafka(&kafka).start().await;
    let client = node.client();
    // Worth compressing: what gets no smaller is sent as it is.
    let records: Vec<Value> = (0..50)
        .map(|n| json!({"value": format!("{n} {}", "sluice ".repeat(100))}))
        .collect();
    for codec in ["none", "gzip", "snappy", "lz4", "zstd"] {
        let topic = topic(&kafka, 1).await;
        let query = [("compression", codec)];
        let answer = client
            .produce(&topic, &query, json!({"records": records}))
            .await;
        assert_eq!(crate::entries(&answer.expect(200)).len(), 50);
        let stored = kafka.codecs(&topic, 0).unwrap();
        assert!(!stored.is_empty());
        assert!(
            stored.iter().all(|stored| *stored == codec),
            "{codec}: {stored:?}"
        );
        for (record, sent) in read(&kafka, &topic).await.iter().zip(&records) {
            assert_eq!(record.text(), sent["value"].to_string());
        }
    }
    let default = topic(&kafka, 1).await;
    let body = json!({"records": records});
    client.produce(&default, &[], body).await.expect(200);
    assert!(
        kafka
            .codecs(&default, 0)
            .unwrap()
            .iter()
            .all(|codec| *codec == "none")
    );
}
