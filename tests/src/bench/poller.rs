//! An HTTP client of one session that costs as little as a client can.
//!
//! On a small machine the client takes its processor time from what it measures. This one keeps
//! one connection, does not parse what it gets, and reads of an answer only how many records are
//! in it and, at its end, the cursor. [`Poller::check`] reads an answer wholly, for a run whose
//! time does not count.

use std::collections::BTreeMap;

use reqwest::Method;
use serde_json::{Value, json};

use crate::{Client, Node};

/// How every record of an answer begins. Within a text its quotes would be escaped, so it stands
/// nowhere else.
const RECORD: &[u8] = b"{\"topic\":\"";

/// What a poll asks for.
#[derive(Debug, Clone, Copy)]
pub struct PollOptions {
    /// `max_records`.
    pub max_records: u32,
    /// `max_bytes_total`.
    pub max_bytes: u64,
    /// `timeout_ms`.
    pub timeout_ms: u64,
    /// Whether polls say by `after` which answer they have.
    pub after: bool,
    /// Bytes that a record's text has at least: so many are skipped when records are counted.
    pub least_record: usize,
}

/// One session and the one connection of its client.
#[derive(Debug)]
pub struct Poller {
    client: Client,
    id: String,
    options: PollOptions,
    cursor: Option<String>,
    body: Vec<u8>,
    next: BTreeMap<i64, i64>,
}

impl Poller {
    /// Subscribes to a topic from its beginning, in a group of its own, and waits until the
    /// session has its partitions.
    ///
    /// # Panics
    /// When Sluice refuses, as wherever it answers with something else than asked for.
    pub async fn subscribe(node: &Node, topic: &str, options: PollOptions) -> Self {
        let client = node.client();
        let subscribed = client
            .subscribe(json!({
                "group_id": crate::unique("sluice"),
                "topics": [topic],
                "auto_offset_reset": "earliest",
                "session_timeout_ms": 300_000,
            }))
            .await
            .expect(200);
        assert_ne!(subscribed["assignment"], json!({}), "it has partitions");
        Self {
            id: subscribed.text_at("consumer_id").to_owned(),
            client,
            options,
            cursor: None,
            body: Vec::new(),
            next: BTreeMap::new(),
        }
    }

    /// Polls once and returns how many records came.
    pub async fn poll(&mut self) -> u64 {
        self.ask().await;
        if self.options.after {
            self.cursor = Some(cursor(&self.body).to_owned());
        }
        count(&self.body, self.options.least_record)
    }

    /// Returns the last answer as it came.
    pub fn body(&self) -> &[u8] {
        &self.body
    }

    /// Reads the last answer wholly and returns the bytes of its keys and values.
    ///
    /// # Panics
    /// When what [`poll`](Self::poll) has read is wrong, or records are missing, doubled or out
    /// of order.
    pub fn check(&mut self) -> u64 {
        let answer: Value = serde_json::from_slice(&self.body).expect("an answer is JSON");
        let records = answer["records"].as_array().expect("it has records");
        assert_eq!(
            records.len() as u64,
            count(&self.body, self.options.least_record)
        );
        assert_eq!(answer["cursor"], cursor(&self.body));
        let mut bytes = 0;
        for record in records {
            let number = |field: &str| record[field].as_i64().expect("it is a number");
            let next = self.next.entry(number("partition")).or_insert(0);
            assert_eq!(number("offset"), *next, "none left out, none twice");
            *next += 1;
            let length = |field: &str| record[field].as_str().map_or(0, str::len);
            bytes += length("key") + length("value");
        }
        bytes as u64
    }

    /// Sends what follows through this client, to whichever node it leads.
    pub fn through(&mut self, client: &Client) {
        self.client = client.clone();
    }

    /// Returns the session's id.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Goes back to the beginning of a topic.
    ///
    /// # Panics
    /// When Sluice refuses.
    pub async fn rewind(&mut self, topic: &str) {
        let beginning = json!({"topic": topic, "offset": "earliest"});
        self.client.seek(&self.id, beginning).await.expect(200);
        self.cursor = None;
        self.next.clear();
    }

    /// Ends the session.
    pub async fn end(self) {
        self.client.delete(&self.id).await.expect(204);
    }

    async fn ask(&mut self) {
        let mut asked = json!({
            "max_records": self.options.max_records,
            "max_bytes_total": self.options.max_bytes,
            "timeout_ms": self.options.timeout_ms,
        });
        if let Some(cursor) = &self.cursor {
            asked["after"] = json!(cursor);
        }
        let path = format!("/api/consumers/{}/consume", self.id);
        let request = self.client.request(Method::POST, &path).json(&asked);
        let mut answer = request.send().await.expect("Sluice answers");
        let status = answer.status();
        self.body.clear();
        while let Some(chunk) = answer.chunk().await.expect("an answer arrives whole") {
            self.body.extend_from_slice(&chunk);
        }
        assert!(
            status.is_success(),
            "{status}: {}",
            String::from_utf8_lossy(&self.body)
        );
    }
}

/// Counts the records of an answer, each of which has at least `least` bytes.
fn count(body: &[u8], least: usize) -> u64 {
    let skip = least.max(RECORD.len());
    let (mut at, mut records) = (0, 0);
    while let Some(found) = body[at..].iter().position(|byte| *byte == b'{') {
        at += found;
        if body[at..].starts_with(RECORD) {
            records += 1;
            at = body.len().min(at + skip);
        } else {
            at += 1;
        }
    }
    records
}

/// Returns the cursor of an answer, which stands near its end.
fn cursor(body: &[u8]) -> &str {
    const NAME: &[u8] = b"\"cursor\":\"";
    let name = body.windows(NAME.len()).rposition(|bytes| bytes == NAME);
    let rest = &body[name.expect("an answer has a cursor") + NAME.len()..];
    let end = rest.iter().position(|byte| *byte == b'"');
    let text = &rest[..end.expect("a text ends")];
    std::str::from_utf8(text).expect("a cursor is ASCII")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_are_counted_without_parsing() {
        let record = json!({"topic": "t", "key": "{\"topic\":\"", "value": "{\"n\":1}"});
        // As Sluice writes it: the topic comes first.
        let record = format!("{{\"topic\":\"t\",{}", &record.to_string()[1..]);
        let body =
            format!("{{\"records\":[{record},{record}],\"cursor\":\"abc\",\"generation\":1}}");
        assert_eq!(count(body.as_bytes(), 0), 2);
        assert_eq!(count(body.as_bytes(), record.len()), 2);
        assert_eq!(count(br#"{"records":[],"cursor":""}"#, 0), 0);
        assert_eq!(cursor(body.as_bytes()), "abc");
    }
}
