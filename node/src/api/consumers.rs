//! Consumer sessions: `/api/consumers/…`.

use std::time::Duration;

use serde_json::json;
use sluice_actors::{
    Deadline, Error as SessionError, Poll, SessionHandle, Sought, cursor_of_nothing,
};
use sluice_types::{ConsumerId, Mode, TopicPartition};
use tokio::time::Instant;
use tracing::Span;

use super::call::Call;
use super::error::{FieldError, Problem, invalid_fields};
use super::reply::Reply;
use super::request::subscribe::Subscribe;
use super::request::{
    assign as assign_request, commit as commit_request, poll, seek as seek_request,
};
use super::schema;
use super::state::State;
use super::unserved::Unserved;
use crate::ownership::{Described, Error};

/// Makes a session, or finds the living one with this id and specification.
///
/// Answered when the group has given the session its partitions, after 10 s with what it has.
#[utoipa::path(
    post,
    path = "/api/consumers/subscribe",
    operation_id = "subscribe",
    tag = "consumers",
    request_body = schema::SubscribeRequest,
    responses((status = 200, description = "The session, with its partitions", body = schema::SubscribeAnswer)),
)]
pub(super) async fn subscribe(call: Call) -> Result<Reply, Unserved> {
    let body = call.required_body().await?;
    let state = call.state();
    let subscribe = Subscribe::parse(
        body,
        state.assignment_strategy,
        state.sessions.has_schema_registry(),
        call.faults(),
    )?;
    let span = Span::current();
    span.record("group", subscribe.spec.group_id.as_str());
    if let Some(id) = &subscribe.id {
        span.record("consumer_id", id.as_str());
    }
    let budget = call.budget();
    let id = subscribe.id.unwrap_or_else(|| call.new_id());
    let asked = state
        .ownership
        .subscribe(id, subscribe.spec, budget.deadline(), call.hop());
    let subscribed = budget.run(asked).await?;
    span.record("consumer_id", subscribed.consumer_id.as_str());
    let answer = json!({
        "consumer_id": subscribed.consumer_id,
        "group_id": subscribed.spec.group_id,
        "topics": subscribed.spec.topics,
        "assignment": subscribed.assignment.assignment,
        "generation": subscribed.assignment.generation,
    });
    Ok(Reply::json(&answer)?)
}

/// Waits for records.
///
/// A long poll: it answers as soon as there is one record, taking what is already there up to the
/// limits; at the timeout `records` is empty. One poll at a time: a newer one ends the older one.
#[utoipa::path(
    post,
    path = "/api/consumers/{id}/consume",
    operation_id = "consume",
    tag = "consumers",
    params(("id" = schema::ConsumerId, Path, description = "The session")),
    request_body = Option<schema::ConsumeRequest>,
    responses((status = 200, description = "Records, or none at the timeout", body = schema::ConsumeAnswer)),
)]
pub(super) async fn consume(call: Call) -> Result<Reply, Unserved> {
    let id = call.consumer_id()?;
    let body = call.body().await?;
    let mut asked = poll::parse(body, call.faults())?;
    asked.max_bytes = asked.max_bytes.min(call.room());
    let state = call.state();
    let (budget, wait) = call.poll_budget(asked.wait);
    let wait_end = call.received() + wait;
    let deadline = budget.deadline();
    // While the session is between owners, the client waits no longer than for records.
    let found_by = Deadline::after(wait_end.saturating_duration_since(Instant::now()));
    let polling = state.ownership.with(&id, found_by, call.hop(), |session| {
        mark(&session);
        let poll = Poll {
            wait: wait_end.saturating_duration_since(Instant::now()),
            ..asked.clone()
        };
        async move { session.poll(poll, deadline).await }
    });
    match budget
        .run(async { Ok::<_, Problem>(polling.await) })
        .await?
    {
        Ok(answer) => Ok(Reply::answer(answer)),
        // The session was between owners for as long as the client wanted to wait.
        Err(Error::OwnerUnavailable) if Instant::now() >= wait_end => {
            Ok(empty(&id, &asked, &state)?)
        }
        // It waited at another node when this one stopped.
        Err(Error::ShuttingDown) if call.hop().was_sent_on() => Ok(empty(&id, &asked, &state)?),
        Err(error) => Err(cursor_fault(error, "after")),
    }
}

/// A poll without records that no session has answered: the client goes on where it was, and there
/// is no assignment to tell of.
fn empty(id: &ConsumerId, poll: &Poll, state: &State) -> Result<Reply, Problem> {
    let nowhere = || {
        state
            .ownership
            .life(id)
            .map(|life| cursor_of_nothing(id, life))
    };
    Reply::json(&json!({
        "records": [],
        "timestamp": state.clock.now().as_millis(),
        "cursor": poll.after.clone().or_else(nowhere),
        "generation": 0,
    }))
}

/// Commits: what the body names, or what has been delivered.
///
/// Offsets name the next record to read. Committing moves no position.
#[utoipa::path(
    post,
    path = "/api/consumers/{id}/commit",
    operation_id = "commit",
    tag = "consumers",
    params(("id" = schema::ConsumerId, Path, description = "The session")),
    request_body = Option<schema::CommitRequest>,
    responses((status = 200, description = "The broker has acknowledged these offsets", body = schema::CommitAnswer)),
)]
pub(super) async fn commit(call: Call) -> Result<Reply, Unserved> {
    let id = call.consumer_id()?;
    let body = call.body().await?;
    let asked = commit_request::parse(body, call.faults())?;
    let budget = call.write_budget();
    let deadline = budget.deadline();
    let state = call.state();
    let committing = state.ownership.with(&id, deadline, call.hop(), |session| {
        mark(&session);
        let commit = asked.clone();
        async move { session.commit(commit, deadline).await }
    });
    let committing = async {
        committing
            .await
            .map_err(|error| cursor_fault(error, "cursor"))
    };
    Ok(Reply::json(&budget.run(committing).await?)?)
}

/// Moves positions, all or none.
///
/// The next poll starts there, whatever has been read ahead.
#[utoipa::path(
    post,
    path = "/api/consumers/{id}/seek",
    operation_id = "seek",
    tag = "consumers",
    params(("id" = schema::ConsumerId, Path, description = "The session")),
    request_body = schema::SeekRequest,
    responses((status = 200, description = "The resolved offsets", body = schema::SeekAnswer)),
)]
pub(super) async fn seek(call: Call) -> Result<Reply, Unserved> {
    let id = call.consumer_id()?;
    let body = call.required_body().await?;
    let asked = seek_request::parse(body, call.faults())?;
    let budget = call.write_budget();
    let deadline = budget.deadline();
    let state = call.state();
    let seeking = state.ownership.with(&id, deadline, call.hop(), |session| {
        mark(&session);
        let seek = asked.seek.clone();
        async move { session.seek(seek, deadline).await }
    });
    let sought = budget.run(seeking).await?;
    Ok(match asked.single {
        Some(at) => one_sought(&at, &sought)?,
        None => Reply::json(&json!({"offsets": sought.offsets}))?,
    })
}

fn one_sought(at: &TopicPartition, sought: &Sought) -> Result<Reply, Problem> {
    let offset = sought
        .offsets
        .get(at)
        .ok_or_else(|| Problem::internal(format!("a seek of {at} answered without its offset")))?;
    Reply::json(&json!({
        "topic": at.topic,
        "partition": at.partition,
        "offset": offset,
    }))
}

/// The next offset that a poll returns, for every assigned partition.
#[utoipa::path(
    get,
    path = "/api/consumers/{id}/position",
    operation_id = "position",
    tag = "consumers",
    params(("id" = schema::ConsumerId, Path, description = "The session")),
    responses((status = 200, description = "The positions", body = schema::PositionAnswer)),
)]
pub(super) async fn position(call: Call) -> Result<Reply, Unserved> {
    let id = call.consumer_id()?;
    call.check_empty()?;
    let budget = call.budget();
    let deadline = budget.deadline();
    let state = call.state();
    let asking = state.ownership.with(&id, deadline, call.hop(), |session| {
        mark(&session);
        async move { session.positions(deadline).await }
    });
    Ok(Reply::json(&budget.run(asking).await?)?)
}

/// The partitions held now.
#[utoipa::path(
    get,
    path = "/api/consumers/{id}/assignment",
    operation_id = "assignment",
    tag = "consumers",
    params(("id" = schema::ConsumerId, Path, description = "The session")),
    responses((status = 200, description = "The partitions", body = schema::AssignmentAnswer)),
)]
pub(super) async fn assignment(call: Call) -> Result<Reply, Unserved> {
    let id = call.consumer_id()?;
    call.check_empty()?;
    let budget = call.budget();
    let state = call.state();
    let asking = state
        .ownership
        .with(&id, budget.deadline(), call.hop(), |session| {
            mark(&session);
            async move { session.assignment().await }
        });
    Ok(Reply::json(&budget.run(asking).await?)?)
}

/// Replaces group assignment by these partitions; there is no way back.
///
/// The session leaves the group's rebalancing and starts at committed offsets, else by the reset
/// policy.
#[utoipa::path(
    put,
    path = "/api/consumers/{id}/assignment",
    operation_id = "assign",
    tag = "consumers",
    params(("id" = schema::ConsumerId, Path, description = "The session")),
    request_body = schema::AssignRequest,
    responses((status = 200, description = "The session has these partitions", body = schema::AssignmentAnswer)),
)]
pub(super) async fn assign(call: Call) -> Result<Reply, Unserved> {
    let id = call.consumer_id()?;
    let body = call.required_body().await?;
    let asked = assign_request::parse(body, call.faults())?;
    let budget = call.write_budget();
    let deadline = budget.deadline();
    let state = call.state();
    let assigning = state.ownership.with(&id, deadline, call.hop(), |session| {
        mark(&session);
        let partitions = asked.clone();
        async move { session.assign(partitions, deadline).await }
    });
    Ok(Reply::json(&budget.run(assigning).await?)?)
}

/// Ends a session: it leaves its group at once.
///
/// A pending poll is answered with no records. A second DELETE is 404.
#[utoipa::path(
    delete,
    path = "/api/consumers/{id}",
    operation_id = "delete",
    tag = "consumers",
    params(("id" = schema::ConsumerId, Path, description = "The session")),
    responses((status = 204, description = "The session is gone")),
)]
pub(super) async fn delete(call: Call) -> Result<Reply, Unserved> {
    let id = call.consumer_id()?;
    call.check_empty()?;
    let budget = call.write_budget();
    let state = call.state();
    budget
        .run(state.ownership.delete(&id, budget.deadline(), call.hop()))
        .await?;
    Ok(Reply::no_content())
}

/// The session as it is; looking does not renew it.
#[utoipa::path(
    get,
    path = "/api/consumers/{id}",
    operation_id = "describe",
    tag = "consumers",
    params(("id" = schema::ConsumerId, Path, description = "The session")),
    responses((status = 200, description = "The session", body = schema::Consumer)),
)]
pub(super) async fn describe(call: Call) -> Result<Reply, Unserved> {
    let id = call.consumer_id()?;
    call.check_empty()?;
    let budget = call.budget();
    let state = call.state();
    let described = budget
        .run(state.ownership.describe(&id, budget.deadline(), call.hop()))
        .await?;
    Ok(Reply::json(&described_json(&described))?)
}

fn described_json(described: &Described) -> serde_json::Value {
    let view = &described.view;
    let spec = &view.spec;
    let now = described.snapshot.as_ref();
    let mode = match now.map_or(&view.mode, |now| &now.mode) {
        Mode::Subscribed => "subscribed",
        Mode::Assigned { .. } => "assigned",
    };
    json!({
        "consumer_id": view.id,
        "group_id": spec.group_id,
        "topics": spec.topics,
        "mode": mode,
        "state": now.map_or_else(|| json!("moving"), |now| json!(now.state)),
        "owner": view.owner.name,
        "epoch": now.map_or(view.epoch, |now| now.claim.epoch),
        "generation": now.map(|now| now.assignment.generation),
        "assignment": now.map(|now| &now.assignment.assignment),
        "positions": now.map(|now| &now.positions),
        "committed": now.map(|now| &now.committed),
        "lag": now.map(|now| &now.lag),
        "idle_ms": now.map(|now| millis(now.idle)),
        "created_at": view.created_at.as_millis(),
        "options": {
            "auto_offset_reset": spec.auto_offset_reset,
            "session_timeout_ms": millis(spec.session_timeout),
            "auto_commit": spec.auto_commit,
            "auto_commit_interval_ms": millis(spec.auto_commit_interval),
            "isolation_level": spec.isolation_level,
            "key_format": spec.key_format,
            "value_format": spec.value_format,
            "assignment_strategy": spec.assignment_strategy,
            "client_id": spec.client_id,
        },
    })
}

/// Names the session in the span of the request.
pub(super) fn mark(session: &SessionHandle) {
    let span = Span::current();
    span.record("group", session.spec().group_id.as_str());
    span.record("epoch", session.claim().epoch.get());
}

/// A wrong cursor is a wrong field, named as this request names it.
fn cursor_fault(error: Error, field: &str) -> Unserved {
    match error {
        Error::Session(SessionError::InvalidCursor(fault)) => invalid_fields(vec![FieldError {
            field: field.to_owned(),
            message: format!("the cursor {fault}"),
        }])
        .into(),
        other => other.into(),
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
