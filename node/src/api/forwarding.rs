//! A request whose session is another node's: one hop, within the request's own deadline.
//!
//! ```text
//!   run here --+-- answer
//!      ^       +-- elsewhere: send on --+-- answer, whole
//!      |                                +-- not there: wait for this node's copy to catch up --+
//!      |                                +-- unreachable, or lost: leave that node be for a bit -+
//!      |                                +-- too large for now: ask for one record -------------+
//!      +---------------------------------------------------------------------------------------+
//! ```
//! What was lost on its way is asked again. Every request of a session can be: a poll takes
//! nothing that was not delivered, a commit and a seek say what shall be, and a subscribe has an
//! id from its first try.

use std::time::Duration;

use actix_web::http::Method;
use actix_web::http::header::HeaderMap;
use sluice_actors::Deadline;
use tokio::time::Instant;

use super::call::Call;
use super::error::{Code, Problem};
use super::onecall::CONSUME_ONCE;
use super::reply::Reply;
use super::routes::{CONSUME, Route};
use super::unserved::Unserved;
use crate::ownership::{self, Owner};
use crate::peer::{Answered, Forward, PeerError};

/// How long this node may take to learn of a change that another one knows of already.
const CATCH_UP: Duration = Duration::from_secs(1);

/// How long before its end a request is awaited no more of another node, so that this one can say
/// what becomes of it.
const LAST_WORD: Duration = Duration::from_millis(100);

/// Serves a request, here or where its session is.
pub(super) async fn serve(mut call: Call, route: &Route) -> Result<Reply, Problem> {
    let mut may_have_happened = false;
    let mut is_sparing = false;
    // What an owner said that does not know what became of the request.
    let mut unsure = None;
    loop {
        let owner = match (route.run)(call.clone()).await {
            Ok(reply) if reply.may_begin() => return Ok(reply),
            // It is another's to give by now.
            Ok(_) => continue,
            Err(Unserved::Elsewhere(owner)) => owner,
            Err(Unserved::Misdirected(_)) => return Err(ownership::Error::OwnerUnavailable.into()),
            Err(Unserved::Problem(problem)) => {
                let is_done = may_have_happened
                    && route.method == Method::DELETE
                    && problem.code == Code::ConsumerNotFound;
                let is_none_the_wiser =
                    [Code::OwnerUnavailable, Code::NoQuorum].contains(&problem.code);
                return match unsure {
                    _ if is_done => Ok(Reply::no_content()),
                    Some(unsure) if is_none_the_wiser => Ok(unsure),
                    _ => Err(problem),
                };
            }
        };
        let waits = [CONSUME, CONSUME_ONCE].contains(&route.path);
        // A node that stands still keeps its connections open: what was sent to it is awaited no
        // longer than until it counts as dead.
        let state = call.state();
        let sent = Instant::now();
        let answered = tokio::select! {
            biased;
            answered = send_on(&call, &owner, is_sparing) => answered,
            () = state.ownership.dead(&owner.node) => {
                Err(PeerError::Lost("it is declared dead".to_owned()))
            }
            // A poll may wait far longer than this node goes on: its client asks another.
            () = state.ownership.stopped(), if waits => {
                Err(PeerError::Lost("this node stops".to_owned()))
            }
        };
        state.http_metrics.sent_on(&answered, sent.elapsed());
        match answered {
            Ok(Answered::Reply {
                status,
                headers,
                body,
                fate,
            }) => {
                let reply = Reply::passed_on(status, &headers, body, fate);
                let says = |code: Code| reply.code == Some(code.meaning().code);
                let is_unknown = says(Code::OutcomeUnknown);
                let is_undecided = is_unknown || says(Code::NoQuorum);
                // The owner may be cut off where this node is not: its successor decides.
                let has_time = Instant::now() + LAST_WORD < call.end();
                if !(is_undecided && has_time && state.ownership.has_quorum().await) {
                    return Ok(reply);
                }
                tracing::debug!(owner = %owner.node, "the owner cannot decide, others can");
                if is_unknown {
                    may_have_happened = true;
                    unsure = Some(reply);
                }
                call.avoid(owner.node);
            }
            Ok(Answered::Misdirected { epoch }) => match (call.session(), epoch) {
                (Some(id), Some(epoch)) if owner.epoch.is_none_or(|known| known < epoch) => {
                    let within = Deadline::after(CATCH_UP).min(call.budget().deadline());
                    call.state().ownership.catch_up(&id, epoch, within).await;
                }
                _ => call.avoid(owner.node),
            },
            Err(PeerError::NoRoom) => {
                tracing::debug!(owner = %owner.node, "no room for an answer, asking for one record");
                is_sparing = true;
            }
            Err(PeerError::TimedOut) => {
                let problem = call.timed_out();
                if problem.code != Code::KafkaTimeout {
                    return Err(problem);
                }
                // Nothing was to be changed. The handler says what becomes of a request whose owner
                // cannot be reached.
                call.owner_is_silent();
                call.avoid(owner.node);
            }
            Err(error) => {
                tracing::debug!(owner = %owner.node, %error, "forwarding failed");
                may_have_happened |= matches!(error, PeerError::Lost(_));
                call.avoid(owner.node);
            }
        }
    }
}

async fn send_on(call: &Call, owner: &Owner, is_sparing: bool) -> Result<Answered, PeerError> {
    let path = call.path_and_query();
    let forward = Forward {
        method: call.method(),
        path: &path,
        headers: headers(call),
        body: call.kept_body(),
        is_sparing,
        until: call.end() - LAST_WORD,
    };
    call.state().peers.forward(owner, forward).await
}

/// What the owner must know of the request besides its body.
fn headers(call: &Call) -> HeaderMap {
    let mut headers = call.forwarded_headers();
    let elapsed = Instant::now().saturating_duration_since(call.received());
    if let Ok(elapsed) = elapsed.as_millis().to_string().parse() {
        headers.insert(crate::peer::ELAPSED, elapsed);
    }
    headers
}
