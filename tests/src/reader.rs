//! A client that reads a session as the API recommends, and a memory of what it got.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use crate::{Answer, Client};

/// A record as a poll's answer showed it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Seen {
    /// The generation that stood in the answer.
    pub generation: i64,
    /// The partition.
    pub partition: i32,
    /// The offset in it.
    pub offset: i64,
}

/// A client of one session that sends with every poll the cursor of the last answer it has, and
/// commits by that cursor. It remembers all that it has read of the session's one topic.
#[derive(Debug)]
pub struct Reader {
    client: Client,
    id: String,
    cursor: Option<String>,
    seen: Vec<Seen>,
}

impl Reader {
    /// Subscribes a session with this body.
    ///
    /// # Panics
    /// When it is refused.
    pub async fn subscribe(client: &Client, body: Value) -> Self {
        let answer = client.subscribe(body).await.expect(200);
        Self::of(client, answer.text_at("consumer_id"))
    }

    /// Reads a session that is there already.
    pub fn of(client: &Client, id: &str) -> Self {
        Self {
            client: client.clone(),
            id: id.to_owned(),
            cursor: None,
            seen: Vec::new(),
        }
    }

    /// Returns the session's id.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Returns what has been read so far, in order.
    pub fn seen(&self) -> &[Seen] {
        &self.seen
    }

    /// Polls once, behind the last answer.
    ///
    /// # Panics
    /// When the answer has another status than 200.
    pub async fn poll(&mut self, timeout_ms: u64) -> Answer {
        let mut body = json!({"timeout_ms": timeout_ms});
        if let Some(cursor) = &self.cursor {
            body["after"] = json!(cursor);
        }
        let answer = self.client.consume(&self.id, body).await.expect(200);
        let generation = number(&answer["generation"]);
        self.seen.extend(answer.records().iter().map(|record| Seen {
            generation,
            partition: i32::try_from(number(&record["partition"])).expect("it is a partition"),
            offset: number(&record["offset"]),
        }));
        self.cursor = Some(answer.text_at("cursor").to_owned());
        answer
    }

    /// Commits what has been read.
    ///
    /// # Panics
    /// When the answer has another status than 200, or nothing has been polled.
    pub async fn commit(&self) -> Answer {
        let cursor = self.cursor.as_ref().expect("a poll came before the commit");
        let body = json!({"cursor": cursor});
        self.client.commit(&self.id, body).await.expect(200)
    }

    /// Deletes the session and returns what it has read.
    ///
    /// # Panics
    /// When there is no such session any more.
    pub async fn leave(self) -> Vec<Seen> {
        self.client.delete(&self.id).await.expect(204);
        self.seen
    }
}

/// Returns the partitions of `topic` in an answer that has an `assignment`.
///
/// # Panics
/// When it has none.
#[track_caller]
pub fn assigned(answer: &Answer, topic: &str) -> BTreeSet<i32> {
    let Some(assignment) = answer["assignment"].as_object() else {
        panic!("there is no assignment in {:#}", answer.json);
    };
    let partitions = assignment.get(topic).and_then(Value::as_array);
    partitions
        .into_iter()
        .flatten()
        .map(|number| i32::try_from(self::number(number)).expect("it is a partition"))
        .collect()
}

/// Returns what of the partitions, each up to its end, nobody has read.
pub fn missing<'a>(
    ends: &BTreeMap<i32, i64>,
    seen: impl IntoIterator<Item = &'a Seen>,
) -> Vec<(i32, i64)> {
    let read: BTreeSet<(i32, i64)> = seen.into_iter().map(|s| (s.partition, s.offset)).collect();
    ends.iter()
        .flat_map(|(partition, end)| (0..*end).map(|offset| (*partition, offset)))
        .filter(|record| !read.contains(record))
        .collect()
}

/// Returns what one session's client got twice, or out of order, although the generation was the
/// same all the while.
pub fn repeated(seen: &[Seen]) -> Vec<Seen> {
    let mut last = BTreeMap::new();
    let mut repeated = Vec::new();
    for record in seen {
        let key = (record.generation, record.partition);
        if last.insert(key, record.offset) >= Some(record.offset) {
            repeated.push(*record);
        }
    }
    repeated
}

#[track_caller]
fn number(value: &Value) -> i64 {
    match value.as_i64() {
        Some(number) => number,
        None => panic!("{value} is no integer"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(generation: i64, partition: i32, offset: i64) -> Seen {
        Seen {
            generation,
            partition,
            offset,
        }
    }

    #[test]
    fn what_nobody_has_read_is_missing() {
        let ends = BTreeMap::from([(0, 2), (1, 1)]);
        let read = [seen(1, 0, 0), seen(2, 1, 0), seen(2, 1, 0)];
        assert_eq!(missing(&ends, &read), [(0, 1)]);
        assert_eq!(missing(&ends, &[]).len(), 3);
    }

    #[test]
    fn a_record_is_repeated_only_within_its_generation() {
        let first = [seen(1, 0, 0), seen(1, 1, 0), seen(1, 0, 1)];
        assert_eq!(repeated(&first), []);
        let later = [&first[..], &[seen(2, 0, 1)]].concat();
        assert_eq!(repeated(&later), []);
        let twice = [&first[..], &[seen(1, 0, 1)]].concat();
        assert_eq!(repeated(&twice), [seen(1, 0, 1)]);
    }
}
