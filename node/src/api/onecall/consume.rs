//! Reading with one call: `POST /consume`.
//!
//! It runs on an ordinary session, one in the cluster for each group and topic, whose id follows
//! from the two. Any node finds it by that, or makes it; its owner has the calls wait in line.

use std::num::NonZeroU64;
use std::time::Duration;

use serde_json::json;
use sluice_actors::{Answer, Deadline, HeadersFormat, Poll, Shared};
use sluice_types::{
    AssignmentStrategy, ConsumerId, Format, IsolationLevel, OffsetReset, SessionSpec,
};
use tokio::time::Instant;
use tracing::Span;
use uuid::Uuid;

use super::default_group;
use crate::api::call::Call;
use crate::api::consumers::mark;
use crate::api::error::Problem;
use crate::api::reply::Reply;
use crate::api::request::call::Consume;
use crate::api::schema;
use crate::api::unserved::Unserved;
use crate::ownership::Error;

/// Of the ids of these sessions.
const NAMESPACE: Uuid = Uuid::from_u128(0x5c1b_9f3e_2f64_4c0b_9d57_0e4a_a1c8_7d36);
/// Whose they are, as long as clients are not told apart.
const NOBODY: &str = "";
/// A session that nobody calls any more lives so long.
const LIFE: Duration = Duration::from_secs(30);
/// Shortest time between two commits: what is delivered is committed within a second.
const COMMIT_EVERY: Duration = Duration::from_millis(300);
/// How long joining the group may take without being counted.
const JOINING: Duration = Duration::from_secs(10);
/// A call that has records is answered when no further one has come for so long.
const LULL: Duration = Duration::from_millis(100);
/// Most bytes of keys, values and headers in an answer.
const MOST_BYTES: NonZeroU64 = NonZeroU64::new(16 * 1024 * 1024).expect("not zero");

/// The session of a group and a topic.
fn session(asked: &Consume, strategy: AssignmentStrategy) -> (ConsumerId, SessionSpec) {
    let (topic, group) = (&asked.topic, &asked.group_id);
    let id = ConsumerId::derived(NAMESPACE, &[NOBODY, group.as_str(), topic.as_str()]);
    let spec = SessionSpec {
        group_id: group.clone(),
        topics: vec![topic.clone()],
        auto_offset_reset: OffsetReset::Earliest,
        session_timeout: LIFE,
        auto_commit: true,
        auto_commit_interval: COMMIT_EVERY,
        isolation_level: IsolationLevel::ReadCommitted,
        key_format: Format::String,
        value_format: Format::Json,
        assignment_strategy: strategy,
        client_id: "sluice".to_owned(),
    };
    (id, spec)
}

/// Reads messages, and commits them when they are delivered.
///
/// It waits for a first message, and then for more until it has `max_messages`, or none has come
/// for 100 ms, or `timeout` is over. Calls of one group and topic share the messages, on whichever
/// nodes they land: they wait in line, and no message goes to two of them, but after the loss of a
/// node or of an answer. What was delivered is committed within a second. A new group begins at the
/// oldest message.
#[utoipa::path(
    post,
    path = "/consume",
    operation_id = "consumeOnce",
    tag = "one call",
    request_body = schema::ConsumeOnceRequest,
    responses((status = 200, description = "Messages, or none when the time was up", body = schema::ConsumeOnceAnswer)),
)]
pub(in crate::api) async fn consume(call: Call) -> Result<Reply, Unserved> {
    let body = call.required_body().await?;
    let group = |topic: &_| default_group(topic).map_err(|error| too_long(&error));
    let asked = Consume::parse(body, group, call.faults())?;
    let state = call.state();
    let (id, spec) = session(&asked, state.assignment_strategy);
    call.names(&id);
    Span::current().record("group", asked.group_id.as_str());
    let budget = call.gathering_budget(asked.timeout + JOINING);
    let deadline = budget.deadline();
    let mut time = Time {
        wait_end: call.received() + asked.timeout,
        joining: JOINING,
    };
    let reading = async {
        loop {
            let read = read(&call, &id, &asked, &time, deadline).await;
            let Err(Error::ConsumerNotFound) = read else {
                return Ok((read, time.wait_end));
            };
            let began = Instant::now();
            let ownership = &state.ownership;
            let made = ownership.subscribe(id.clone(), spec.clone(), deadline, call.hop());
            let made = made.await;
            time.has_joined(began.elapsed());
            if let Err(error) = made {
                return Ok::<_, Problem>((Err(error), time.wait_end));
            }
        }
    };
    let (read, wait_end) = budget.run(reading).await?;
    match read {
        Ok(answer) => Ok(Reply::answer(answer)),
        // The session was between owners for as long as the client wanted to wait.
        Err(Error::OwnerUnavailable) if Instant::now() >= wait_end => Ok(empty(&asked)?),
        // It waited at another node when this one stopped.
        Err(Error::ShuttingDown) if call.hop().was_sent_on() => Ok(empty(&asked)?),
        Err(error) => Err(error.into()),
    }
}

/// Polls the session, if there is one.
async fn read(
    call: &Call,
    id: &ConsumerId,
    asked: &Consume,
    time: &Time,
    deadline: Deadline,
) -> Result<Answer, Error> {
    let state = call.state();
    // While the session is between owners, the client waits no longer than for messages.
    let found_by = Deadline::after(time.left()).min(deadline);
    let polling = state.ownership.with(id, found_by, call.hop(), |session| {
        mark(&session);
        let poll = Poll {
            wait: time.left(),
            max_records: asked.max_messages,
            max_bytes: MOST_BYTES.min(call.room()),
            headers: HeadersFormat::default(),
            after: None,
            shared: Some(Shared {
                lull: LULL,
                joining: time.joining,
            }),
        };
        async move { session.poll(poll, deadline).await }
    });
    polling.await
}

/// The time of a call: that of joining the group is not counted, up to a limit.
struct Time {
    wait_end: Instant,
    /// What is left of that.
    joining: Duration,
}

impl Time {
    fn left(&self) -> Duration {
        self.wait_end.saturating_duration_since(Instant::now())
    }

    fn has_joined(&mut self, took: Duration) {
        let uncounted = took.min(self.joining);
        self.wait_end += uncounted;
        self.joining -= uncounted;
    }
}

/// The answer of a call that no session has answered.
fn empty(asked: &Consume) -> Result<Reply, Problem> {
    Reply::json(&json!({
        "success": true,
        "messages": [],
        "count": 0,
        "topic": asked.topic,
        "group_id": asked.group_id,
    }))
}

fn too_long(error: &sluice_types::InvalidId) -> String {
    format!("is required: that of the topic's name {error}")
}

#[cfg(test)]
mod tests {
    use sluice_types::InvalidId;

    use super::*;

    fn asked(group: &str, topic: &str) -> Consume {
        Consume {
            topic: topic.parse().unwrap(),
            group_id: group.parse().unwrap(),
            max_messages: 10.try_into().unwrap(),
            timeout: Duration::ZERO,
        }
    }

    fn id(group: &str, topic: &str) -> ConsumerId {
        session(&asked(group, topic), AssignmentStrategy::Range).0
    }

    #[test]
    fn a_group_and_a_topic_have_one_session() {
        // It stays the same with every version, or nodes of two versions would not share it.
        assert_eq!(
            id("g", "t").as_str(),
            "3cdc2754-e258-5d7f-9853-e3ee3b3ae9c8"
        );
        assert_ne!(id("g", "t"), id("t", "g"));
        assert_ne!(id("g.t", "u"), id("g", "t.u"));
    }

    #[test]
    fn the_time_of_joining_is_not_counted_up_to_a_limit() {
        let now = Instant::now();
        let mut time = Time {
            wait_end: now,
            joining: JOINING,
        };
        time.has_joined(Duration::from_secs(4));
        time.has_joined(Duration::from_secs(40));
        assert_eq!(time.wait_end, now + JOINING);
        assert_eq!(time.joining, Duration::ZERO);
    }

    #[test]
    fn a_group_that_cannot_be_is_told_with_its_length() {
        let error = default_group(&"t".repeat(249).parse().unwrap()).unwrap_err();
        assert!(
            matches!(error, InvalidId::Length { got: 275, .. }),
            "{error}"
        );
        assert!(too_long(&error).contains("275"));
    }
}
