//! Clients that read and commit while nodes fail, and a producer that they read from.
//!
//! ```text
//!   producer ── records ─▶ Kafka ◀── nodes ◀── requests ── members, each by whichever node is next
//!                                                             │ what they see
//!                                                             ▼
//!                                                           oracle
//! ```
//! [`Traffic::finish`] waits until all that was written has come, and has the oracle judge.

mod member;
mod producer;

use std::time::Duration;

use futures::future::join_all;
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::oracle::{Answers, Contract, Offsets, Oracle, Repeats, Start};
use crate::{Cluster, Dice, Kafka, eventually, unique};

pub use member::{CommitBy, Member};
use producer::Producer;

/// Far more than any member needs to come to the end of what was written.
const DRAINED: Duration = Duration::from_secs(90);

/// How much later than its deadline an answer may come on a machine that is busy.
const SLACK: Duration = Duration::from_secs(4);

/// What members do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Duty {
    Read,
    /// No requests for now.
    Rest,
    /// A last poll and a last commit.
    End,
}

/// Describes traffic before it flows. Made by [`Traffic::builder`].
#[derive(Debug)]
#[must_use = "nothing flows before start()"]
pub struct TrafficBuilder<'a> {
    cluster: &'a Cluster,
    kafka: &'a Kafka,
    partitions: i32,
    with_cursor: usize,
    without: usize,
    every: Duration,
    options: Value,
}

impl<'a> TrafficBuilder<'a> {
    /// Sets the number of partitions (4).
    pub fn partitions(mut self, partitions: i32) -> Self {
        self.partitions = partitions;
        self
    }

    /// Sets how many members send the cursor of the last answer with each poll (2), and how many
    /// do not (2).
    pub fn members(mut self, with_cursor: usize, without: usize) -> Self {
        (self.with_cursor, self.without) = (with_cursor, without);
        self
    }

    /// Sets how often a record is written to each partition (30 ms).
    pub fn every(mut self, every: Duration) -> Self {
        self.every = every;
        self
    }

    /// Sets further members of the subscribe's body.
    pub fn options(mut self, options: Value) -> Self {
        self.options = options;
        self
    }

    /// Makes topic and group, subscribes the members, and lets it flow; returns when each member
    /// had an answer to a poll.
    ///
    /// # Panics
    /// When that does not come about.
    pub async fn start(self, dice: &mut Dice) -> Traffic {
        let (topic, group) = (unique("orders"), unique("group"));
        let created = self.kafka.create_topic(&topic, self.partitions).await;
        created.expect("Kafka makes a topic");
        let oracle = Oracle::new(self.cluster.begun(), Start::Earliest);
        let duty = watch::Sender::new(Duty::Read);
        let producer = Producer::start(self.kafka, &topic, self.partitions, self.every);
        let mut spec = json!({
            "group_id": group,
            "topics": [topic],
            "auto_offset_reset": "earliest",
            "session_timeout_ms": 600_000,
        });
        for (name, value) in self.options.as_object().into_iter().flatten() {
            spec[name] = value.clone();
        }
        let auto_commit = spec["auto_commit"] == true;
        let mut members = Vec::new();
        for number in 0..self.with_cursor + self.without {
            let mut member = Member::new(
                &oracle,
                self.cluster.doors(),
                &topic,
                &unique(&format!("member-{number}")),
                dice.split(),
            );
            member.commits(match (auto_commit, number < self.with_cursor) {
                (true, _) => CommitBy::Itself,
                (false, true) => CommitBy::Cursor,
                (false, false) => CommitBy::Offsets,
            });
            members.push(member);
        }
        // One after the other, so that the nodes see how the sessions are spread.
        for member in &mut members {
            member.subscribe(&spec).await;
        }
        let polled = members.iter_mut().map(Member::poll_until_answered);
        join_all(polled).await;
        let ids = members.iter().map(|member| member.id().to_owned());
        let ids: Vec<String> = ids.collect();
        let members = members.into_iter().map(|member| {
            let duty = duty.subscribe();
            tokio::spawn(follow(member, duty))
        });
        Traffic {
            members: members.collect(),
            ids,
            producer,
            duty,
            oracle,
            topic,
            group,
            auto_commit,
        }
    }
}

/// Reads until told otherwise.
async fn follow(mut member: Member, mut duty: watch::Receiver<Duty>) -> Member {
    loop {
        let what = *duty.borrow_and_update();
        match what {
            Duty::Read => member.go_on().await,
            Duty::Rest => {
                if duty.changed().await.is_err() {
                    return member;
                }
            }
            Duty::End => {
                member.end().await;
                return member;
            }
        }
    }
}

/// A group of members that read one topic while it is written.
#[derive(Debug)]
pub struct Traffic {
    members: Vec<JoinHandle<Member>>,
    ids: Vec<String>,
    producer: Producer,
    duty: watch::Sender<Duty>,
    oracle: Oracle,
    topic: String,
    group: String,
    auto_commit: bool,
}

impl Traffic {
    /// Describes traffic of four members, half of them with cursors, over four partitions.
    pub fn builder<'a>(cluster: &'a Cluster, kafka: &'a Kafka) -> TrafficBuilder<'a> {
        TrafficBuilder {
            cluster,
            kafka,
            partitions: 4,
            with_cursor: 2,
            without: 2,
            every: Duration::from_millis(30),
            options: json!({}),
        }
    }

    /// Returns the sessions' ids.
    pub fn ids(&self) -> &[String] {
        &self.ids
    }

    /// Returns the group.
    pub fn group(&self) -> &str {
        &self.group
    }

    /// Returns the topic.
    pub fn topic(&self) -> &str {
        &self.topic
    }

    /// Returns what remembers all this.
    pub fn oracle(&self) -> &Oracle {
        &self.oracle
    }

    /// Returns which node owns each session, those without a known owner left out.
    pub async fn owners(&self, cluster: &Cluster) -> Vec<usize> {
        let owners = join_all(self.ids.iter().map(|id| cluster.owner(id))).await;
        owners.into_iter().flatten().collect()
    }

    /// Returns the sessions that a node owns.
    pub async fn owned_by(&self, cluster: &Cluster, node: usize) -> Vec<String> {
        let owners = join_all(self.ids.iter().map(|id| cluster.owner(id))).await;
        let pairs = self.ids.iter().zip(owners);
        let owned = pairs.filter(|(_, owner)| *owner == Some(node));
        owned.map(|(id, _)| id.clone()).collect()
    }

    /// Waits until records that are written from now on have come from every partition: reading
    /// goes on in all of them.
    ///
    /// # Panics
    /// When it does not.
    pub async fn flows(&self) {
        let before = self.producer.written();
        let more = before.into_iter().map(|(p, written)| (p, written + 3));
        self.reaches(&more.collect(), "records go on coming").await;
    }

    /// Waits until each session has answered so many polls more.
    ///
    /// # Panics
    /// When one does not.
    pub async fn polls(&self, more: usize) {
        let before = self.oracle.polls();
        let reason = format!("each session answers {more} polls more");
        eventually(DRAINED, &reason, async || {
            let now = self.oracle.polls();
            let behind = self.ids.iter().find(|id| {
                let of = |polls: &std::collections::BTreeMap<String, usize>| {
                    polls.get(*id).copied().unwrap_or(0)
                };
                of(&now) < of(&before) + more
            });
            behind.map_or(Ok(()), Err)
        })
        .await;
    }

    /// Ends it: waits until all that was written has come and every session answers, deletes the
    /// sessions, and has the oracle judge. All nodes have to be well by now.
    ///
    /// # Panics
    /// When something of that fails, or promises were not kept.
    pub async fn finish(self, cluster: &Cluster, kafka: &Kafka, verdict: &Verdict) {
        let contract = self.contract(cluster, verdict);
        self.producer.stop().await;
        let ends = kafka.end_offsets(&self.topic).await;
        let ends = ends.expect("Kafka answers");
        let came = comes_to(&self.oracle, &ends).await;
        if came.is_err() {
            let text = self.oracle.verdict(&contract, &ends, &ends);
            panic!(
                "not all came: {came:?} of {ends:?}\n{}",
                text.unwrap_or_default()
            );
        }
        self.duty.send_replace(Duty::End);
        let ended = tokio::time::timeout(DRAINED, join_all(self.members)).await;
        let ended = match ended {
            Ok(ended) => ended,
            Err(_) => {
                let text = self.oracle.verdict(&contract, &ends, &ends);
                panic!("a session does not answer\n{}", text.unwrap_or_default());
            }
        };
        let members = ended
            .into_iter()
            .map(|m| m.expect("a member does not panic"));
        let mut members: Vec<Member> = members.collect();
        join_all(members.iter_mut().map(Member::delete)).await;
        let group = &self.group;
        eventually(DRAINED, "nobody is left in the group", async || {
            let left = kafka.members(group).await.expect("Kafka answers");
            if left.is_empty() { Ok(()) } else { Err(left) }
        })
        .await;
        let committed = kafka.committed(group, &self.topic).await;
        let committed = committed.expect("Kafka answers");
        let text = self.oracle.verdict(&contract, &ends, &committed);
        assert!(text.is_none(), "{}", text.unwrap_or_default());
    }

    /// Lets all members rest; requests under way go on.
    pub fn rest(&self) {
        self.duty.send_replace(Duty::Rest);
    }

    /// Lets all members go on.
    pub fn go_on(&self) {
        self.duty.send_replace(Duty::Read);
    }

    fn contract(&self, cluster: &Cluster, verdict: &Verdict) -> Contract {
        let mut allowed = verdict.allowed.clone();
        // A member commits what has come; the partition may be another's by then.
        allowed.push((409, "partition_not_assigned"));
        Contract {
            repeats: verdict.repeats,
            auto_commit: self.auto_commit,
            answers: Answers {
                allowed,
                troubles: cluster.all_troubles(),
                slack: SLACK,
            },
        }
    }

    async fn reaches(&self, ends: &Offsets, reason: &str) {
        let came = comes_to(&self.oracle, ends).await;
        assert!(came.is_ok(), "{reason}: {came:?} of {ends:?}");
    }
}

/// Waits until all up to these offsets has come to somebody; returns how far it came otherwise.
async fn comes_to(oracle: &Oracle, ends: &Offsets) -> Result<(), Offsets> {
    let reached = crate::wait::look_until(DRAINED, async || {
        let came = oracle.delivered();
        let behind = |(partition, end): (&i32, &i64)| came.get(partition).unwrap_or(&0) < end;
        if ends.iter().any(behind) {
            Err(())
        } else {
            Ok(())
        }
    });
    reached.await.map_err(|_| oracle.delivered())
}

/// What a test allows clients to see.
#[derive(Debug, Clone, Default)]
pub struct Verdict {
    /// What may come again without cursors.
    pub repeats: Repeats,
    /// Problems that may be answered.
    pub allowed: Vec<(u16, &'static str)>,
}

impl Verdict {
    /// Clients see nothing of what befell the nodes.
    pub fn unnoticed() -> Self {
        Self {
            repeats: Repeats::Never,
            allowed: Vec::new(),
        }
    }

    /// Owners were lost: what was not committed may come again.
    pub fn owners_lost() -> Self {
        Self::default()
    }

    /// Owners went on for a bit after others had taken over.
    pub fn owners_lingered() -> Self {
        Self {
            repeats: Repeats::Anything,
            allowed: Vec::new(),
        }
    }

    /// Also allows this problem.
    #[must_use]
    pub fn or(mut self, status: u16, code: &'static str) -> Self {
        self.allowed.push((status, code));
        self
    }
}
