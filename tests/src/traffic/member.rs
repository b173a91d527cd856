//! A client of one session, as the contract asks clients to be.

use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};
use tokio::time::sleep;

use crate::oracle::{Event, Offsets, Oracle, Outcome, Request, What};
use crate::{Answer, Dice, Doors, session};

/// How long polls wait for records.
const WAIT_MS: u64 = 1_000;

/// What a poll may take longer than its wait.
const POLL: Duration = Duration::from_secs(5);

/// What anything else may take.
const LONGEST: Duration = Duration::from_secs(30);

/// What this client lets commits and seeks take.
const WRITE: Duration = Duration::from_secs(8);

/// How long after a deadline a client gives up.
const PATIENCE: Duration = Duration::from_secs(6);

/// Before another try when a connection could not be made or broke.
const AGAIN: Duration = Duration::from_millis(20);

/// How a member commits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CommitBy {
    /// It reads with cursors, and commits the cursor of the last answer.
    Cursor,
    /// It reads without cursors, and commits offsets.
    Offsets,
    /// It reads with cursors, and the session commits by itself.
    Itself,
    /// It reads with cursors, and commits nothing.
    Nothing,
}

/// A client of one session: it asks whichever node is next in the rotation, asks again what was
/// not answered, and heeds `Retry-After`. The oracle remembers all of it.
#[derive(Debug)]
pub struct Member {
    oracle: Oracle,
    doors: Doors,
    topic: String,
    id: String,
    dice: Dice,
    commits: CommitBy,
    cursor: Option<String>,
    generation: Option<i64>,
    /// Behind what came in this generation.
    next: Offsets,
    /// The highest that was committed, or may have been.
    tried: Offsets,
    /// The highest that was answered as committed.
    committed: Offsets,
}

impl Member {
    /// Makes a client of the session with this id, which need not be there yet.
    pub fn new(oracle: &Oracle, doors: &Doors, topic: &str, id: &str, dice: Dice) -> Self {
        Self {
            oracle: oracle.clone(),
            doors: doors.clone(),
            topic: topic.to_owned(),
            id: id.to_owned(),
            dice,
            commits: CommitBy::Cursor,
            cursor: None,
            generation: None,
            next: Offsets::new(),
            tried: Offsets::new(),
            committed: Offsets::new(),
        }
    }

    /// Sets how it commits (by cursor).
    pub fn commits(&mut self, commits: CommitBy) {
        self.commits = commits;
    }

    /// Returns the session's id.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Subscribes under this id, as often as it takes.
    pub async fn subscribe(&mut self, spec: &Value) {
        let mut body = spec.clone();
        body["consumer_id"] = json!(self.id);
        let path = "/api/consumers/subscribe";
        loop {
            let asked = self.ask("subscribe", Method::POST, path, body.clone(), LONGEST);
            if asked.await.is_some_and(|answer| answer.status == 200) {
                return;
            }
        }
    }

    /// Polls once, and commits now and then.
    pub async fn go_on(&mut self) {
        self.poll(WAIT_MS).await;
        if self.dice.below(3) == 0 {
            self.commit().await;
        }
    }

    /// Polls until an answer is 200.
    pub async fn poll_until_answered(&mut self) {
        while !self.poll(WAIT_MS).await {}
    }

    /// Polls until an answer is 200, and commits until that is.
    pub async fn end(&mut self) {
        self.poll_until_answered().await;
        while !self.commit().await {
            self.poll_until_answered().await;
        }
    }

    /// Polls once; returns whether that was answered with 200.
    pub async fn poll(&mut self, wait_ms: u64) -> bool {
        let mut body = json!({"timeout_ms": wait_ms, "max_records": 1 + self.dice.below(60)});
        let sends_cursor = self.commits != CommitBy::Offsets;
        if let Some(cursor) = self.cursor.as_ref().filter(|_| sends_cursor) {
            body["after"] = json!(cursor);
        }
        let after = body.get("after").is_some();
        let began = self.oracle.now();
        let path = format!("/api/consumers/{}/consume", self.id);
        let deadline = Duration::from_millis(wait_ms) + POLL;
        let answer = self.ask("poll", Method::POST, &path, body, deadline).await;
        let Some(answer) = answer.filter(|answer| answer.status == 200) else {
            self.tell(began, What::PollLost { after });
            return false;
        };
        let (Some(generation), Some(cursor)) =
            (answer["generation"].as_i64(), answer["cursor"].as_str())
        else {
            // The wait was over while the session had no owner: it has said nothing.
            return false;
        };
        let cursor = cursor.to_owned();
        let records = session::places(answer.records());
        if self.generation != Some(generation) {
            self.generation = Some(generation);
            self.next.clear();
        }
        for (partition, offset) in &records {
            self.next.insert(*partition, offset + 1);
        }
        self.cursor = Some(cursor);
        self.tell(
            began,
            What::Polled {
                after,
                generation,
                records,
            },
        );
        true
    }

    /// Commits what has come, if anything has; returns whether nothing is left to be committed.
    pub async fn commit(&mut self) -> bool {
        let body = match (self.commits, &self.cursor) {
            (CommitBy::Cursor, Some(cursor)) => json!({"cursor": cursor}),
            (CommitBy::Offsets, _) => {
                let offsets = self.uncommitted();
                if offsets.is_empty() {
                    return true;
                }
                json!({"offsets": {&self.topic: offsets}})
            }
            (CommitBy::Cursor, None) | (CommitBy::Itself | CommitBy::Nothing, _) => return true,
        };
        let asked_for = match self.commits {
            CommitBy::Offsets => self.uncommitted(),
            CommitBy::Cursor | CommitBy::Itself | CommitBy::Nothing => self.next.clone(),
        };
        for (partition, offset) in &asked_for {
            let tried = self.tried.entry(*partition).or_insert(0);
            *tried = (*tried).max(*offset);
        }
        let path = format!("/api/consumers/{}/commit", self.id);
        let began = self.oracle.now();
        let answer = self.ask("commit", Method::POST, &path, body, WRITE).await;
        let (sure, offsets) = match answer {
            Some(answer) if answer.status == 200 => {
                (true, session::offsets_of(&answer, &self.topic))
            }
            // Others hold the partitions by now: nothing was committed.
            Some(answer) if answer.status == 409 => {
                self.next.clear();
                return true;
            }
            _ => (false, asked_for),
        };
        if sure {
            self.committed.extend(&offsets);
        }
        self.tell(began, What::Committed { offsets, sure });
        sure
    }

    /// What came and is not committed, never less than what may have been committed before.
    fn uncommitted(&self) -> Offsets {
        let behind = self.next.iter().map(|(partition, next)| {
            let tried = self.tried.get(partition).unwrap_or(&0);
            (*partition, *next.max(tried))
        });
        let known = |partition: &i32| self.committed.get(partition).copied().unwrap_or(0);
        behind.filter(|(p, offset)| *offset > known(p)).collect()
    }

    /// Seeks, once; returns whether that was answered with 200.
    pub async fn seek(&mut self, partition: i32, offset: i64) -> bool {
        let body = json!({"topic": self.topic, "partition": partition, "offset": offset});
        let path = format!("/api/consumers/{}/seek", self.id);
        let began = self.oracle.now();
        let answer = self.ask("seek", Method::POST, &path, body, WRITE).await;
        let sure = answer.is_some_and(|answer| answer.status == 200);
        let offsets = [(partition, offset)].into();
        self.tell(began, What::Sought { offsets, sure });
        self.next.remove(&partition);
        self.tried.remove(&partition);
        self.committed.remove(&partition);
        sure
    }

    /// Deletes the session, as often as it takes.
    ///
    /// # Panics
    /// When there is none, unless an earlier try may have deleted it.
    pub async fn delete(&mut self) {
        let path = format!("/api/consumers/{}", self.id);
        let mut may_be_gone = false;
        loop {
            let body = Value::Null;
            let asked = self.ask("delete", Method::DELETE, &path, body, LONGEST);
            match asked.await.map(|answer| answer.status) {
                Some(204) => return,
                Some(404) if may_be_gone => return,
                Some(404) => panic!("{} is not there to be deleted", self.id),
                _ => may_be_gone = true,
            }
        }
    }

    /// Asks the next node, waits if it says so, and returns its answer if there is one.
    async fn ask(
        &self,
        verb: &'static str,
        method: Method,
        path: &str,
        body: Value,
        deadline: Duration,
    ) -> Option<Answer> {
        let (node, client) = self.doors.next();
        let request = client.request(method, path).timeout(deadline + PATIENCE);
        let mut request = request.header("x-request-timeout-ms", deadline.as_millis().to_string());
        if !body.is_null() {
            request = request.json(&body);
        }
        let began = self.oracle.now();
        let result = client.send(request).await.into_result();
        let ended = self.oracle.now();
        let outcome = match &result {
            Ok(answer) => Outcome::Answered {
                status: answer.status,
                code: answer["code"].as_str().unwrap_or_default().to_owned(),
                retry_after: answer.header("retry-after").is_some(),
                detail: answer["detail"].as_str().unwrap_or_default().to_owned(),
            },
            Err(error) if error.is_timeout() => Outcome::Silent,
            Err(error) if error.is_connect() => Outcome::NotConnected(format!("{error:?}")),
            Err(error) => Outcome::Broken(format!("{error:?}")),
        };
        self.oracle.request(Request {
            session: self.id.clone(),
            verb,
            node,
            began,
            ended,
            deadline,
            outcome,
        });
        match &result {
            Ok(answer) => {
                let seconds = answer.header("retry-after").and_then(|s| s.parse().ok());
                if let Some(seconds) = seconds {
                    sleep(Duration::from_secs(seconds)).await;
                }
            }
            Err(_) => sleep(AGAIN).await,
        }
        result.ok()
    }

    fn tell(&self, began: Duration, what: What) {
        self.oracle.event(Event {
            session: self.id.clone(),
            began,
            ended: self.oracle.now(),
            what,
        });
    }
}
