//! Whether the process is fine, and whether it should get requests.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use serde_json::{Value, json};

use super::call::Call;
use super::error::{Code, Problem, shutting_down};
use super::reply::Reply;
use super::schema;
use super::state::State;
use crate::cluster::Membership;

/// A probe does not wait for Kafka longer than this.
const KAFKA_WAIT: Duration = Duration::from_secs(1);

/// The process is fine. Never depends on Kafka.
#[utoipa::path(
    get,
    path = "/livez",
    operation_id = "livez",
    tag = "health",
    responses((status = 200, description = "The process is fine", body = schema::Live)),
)]
pub(super) async fn livez(call: Call) -> Result<Reply, Problem> {
    call.check_empty()?;
    let node = &call.state().node;
    Reply::json(&json!({"status": "ok", "node": node}))
}

/// Kafka can be reached.
///
/// Kafka is asked, once a second at most.
#[utoipa::path(
    get,
    path = "/health",
    operation_id = "health",
    tag = "one call",
    responses(
        (status = 200, description = "Kafka can be reached", body = schema::HealthAnswer),
        (status = 503, description = "Kafka cannot be reached", body = schema::HealthAnswer),
    ),
)]
pub(super) async fn health(call: Call) -> Result<Reply, Problem> {
    call.check_empty()?;
    let state = call.state();
    let is_connected = reaches_kafka(&state).await;
    let now = state.clock.now().rfc3339();
    let answer = Reply::json(&json!({
        "status": if is_connected { "healthy" } else { "unhealthy" },
        "timestamp": now.map(|now| now.to_string()),
        "kafka_connected": is_connected,
    }))?;
    Ok(match is_connected {
        true => answer,
        false => answer.unavailable(),
    })
}

/// The node takes requests.
///
/// What fails on all nodes at once, Kafka for one, is told in the body and takes no node out of
/// rotation.
#[utoipa::path(
    get,
    path = "/readyz",
    operation_id = "readyz",
    tag = "health",
    responses((status = 200, description = "The node takes requests", body = schema::Ready)),
)]
pub(super) async fn readyz(call: Call) -> Result<Reply, Problem> {
    call.check_empty()?;
    let state = call.state();
    let found = look(&state).await;
    state.readiness.note(found.as_ref().err());
    match found {
        Ok(ready) => Reply::json(&ready),
        Err(problem) => Ok(Reply::problem(&problem)),
    }
}

/// What a node that is ready says of itself, or why it is not.
async fn look(state: &State) -> Result<Value, Problem> {
    if state.draining.is_on() {
        return Err(shutting_down());
    }
    if !*state.joined.borrow() {
        return Err(Problem::new(
            Code::NoQuorum,
            "The node has not joined its cluster since it started; wait, or look after the other nodes.",
        ));
    }
    if let Some(membership) = &state.membership {
        check_room(membership, state.reserve_bytes).await?;
    }
    let kafka = condition(reaches_kafka(state).await);
    let mut ready = json!({
        "status": "ready",
        "node": state.node,
        "registry": "ok",
        "kafka": kafka,
    });
    if let Some(membership) = &state.membership {
        ready["leader"] = json!(condition(membership.guard.has_leader()));
        ready["lease"] = json!(condition(!state.identity.lease().is_zero()));
    }
    Ok(ready)
}

/// What probes were told last. They come every second, and only what changes is logged.
#[derive(Debug, Default)]
pub(crate) struct Readiness(Mutex<Option<Code>>);

impl Readiness {
    /// Says whether that is news.
    fn note(&self, problem: Option<&Problem>) -> bool {
        let mut told = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let now = problem.map(|problem| problem.code);
        if std::mem::replace(&mut *told, now) == now {
            return false;
        }
        match problem {
            Some(problem) if problem.code == Code::ShuttingDown => {
                tracing::info!("not ready: the node is stopping");
            }
            Some(problem) => {
                let code = problem.code.meaning().code;
                tracing::warn!(code, cause = &*problem.detail, "not ready");
            }
            None => tracing::info!("ready"),
        }
        true
    }
}

/// Whether a broker answers, or has just done.
async fn reaches_kafka(state: &State) -> bool {
    let asked = state.sessions.kafka_was_reachable();
    tokio::time::timeout(KAFKA_WAIT, asked).await == Ok(true)
}

/// Refuses requests before the volume is full: then the node ends.
async fn check_room(membership: &Membership, reserve: u64) -> Result<(), Problem> {
    match membership.consensus.space().await {
        Ok(space) if space.free < space.needed.max(reserve) => Err(Problem::new(
            Code::VolumeNearlyFull,
            "The volume of cluster.data_dir is nearly full: make room on it, or give it more.",
        )
        .with("free_bytes", space.free)
        .with("needed_bytes", space.needed.max(reserve))),
        // What becomes of a volume that cannot be looked at, writing to it tells.
        Ok(_) | Err(_) => Ok(()),
    }
}

fn condition(is_ok: bool) -> &'static str {
    if is_ok { "ok" } else { "degraded" }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_probes_are_told_again_is_no_news() {
        let readiness = Readiness::default();
        let unjoined = Problem::new(Code::NoQuorum, "The node has not joined its cluster.");
        assert!(!readiness.note(None));
        assert!(readiness.note(Some(&unjoined)));
        assert!(!readiness.note(Some(&unjoined)));
        assert!(readiness.note(Some(&shutting_down())));
        assert!(readiness.note(None));
    }
}
