//! How a request finds its session.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use sluice_actors::Deadline;
use sluice_raft::SessionView;
use sluice_types::{Claim, ConsumerId};

use super::Error;
use super::core::{Core, Visit};
use super::host::{Host, Running};

/// A waiting request looks this often even if nobody wakes it.
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// A session that runs here. While this lives, its client is not silent.
pub(super) struct Located<H: Host> {
    pub(super) session: SessionView,
    pub(super) running: H::Session,
    _visit: Option<Visit<H>>,
}

/// Asks the session, again if it turns out to have moved or ended meanwhile.
pub(super) async fn with<H, T, F, Fut>(
    core: &Arc<Core<H>>,
    id: &ConsumerId,
    deadline: Deadline,
    call: F,
) -> Result<T, Error>
where
    H: Host,
    F: Fn(H::Session) -> Fut,
    Fut: Future<Output = Result<T, sluice_actors::Error>>,
{
    let mut ended = None;
    loop {
        let located = locate(core, id, deadline, ended.as_ref()).await?;
        match call(located.running.clone()).await {
            Err(sluice_actors::Error::NotHere) => ended = Some(located.running.claim().clone()),
            other => return Ok(other?),
        }
    }
}

/// Finds the session, waiting while it is being opened. `ended` is a claim that is known to have
/// nobody behind it.
pub(super) async fn locate<H: Host>(
    core: &Arc<Core<H>>,
    id: &ConsumerId,
    deadline: Deadline,
    ended: Option<&Claim>,
) -> Result<Located<H>, Error> {
    if core.is_stopping() {
        return Err(Error::ShuttingDown);
    }
    let mut visit = None;
    // Nearly always the session is there, and nothing needs to be watched.
    let session = living(core, id).await?;
    if let Some(running) = find(core, &session, ended, &mut visit) {
        return Ok(Located::new(session, running, visit));
    }
    let mut changes = core.registry.watch(id);
    let mut turns = core.turns();
    loop {
        // Marks the present as seen before looking, so that no change falls in between.
        changes.current();
        turns.mark_unchanged();
        let session = living(core, id).await?;
        if let Some(running) = find(core, &session, ended, &mut visit) {
            return Ok(Located::new(session, running, visit));
        }
        tokio::select! {
            () = changes.changed() => {}
            _ = turns.changed() => {}
            () = tokio::time::sleep(LOOK_EVERY) => {}
            () = core.stopped() => return Err(Error::ShuttingDown),
            () = tokio::time::sleep_until(deadline.instant()) => {
                return Err(Error::OwnerUnavailable);
            }
        }
    }
}

impl<H: Host> Located<H> {
    fn new(session: SessionView, running: H::Session, visit: Option<Visit<H>>) -> Self {
        Self {
            session,
            running,
            _visit: visit,
        }
    }
}

/// The session, if it lives. That it does not is only believed after a linearizable read.
pub(super) async fn living<H: Host>(core: &Core<H>, id: &ConsumerId) -> Result<SessionView, Error> {
    let session = match core.registry.lookup(id) {
        Some(session) => Some(session),
        None => core
            .registry
            .lookup_linearizable(id)
            .await
            .map_err(|_| Error::NoQuorum)?,
    };
    session
        .filter(|session| session.is_active())
        .ok_or(Error::ConsumerNotFound)
}

/// The running session, unless nobody is behind it. Begins a visit if it is this node's, running
/// or not.
fn find<H: Host>(
    core: &Arc<Core<H>>,
    session: &SessionView,
    ended: Option<&Claim>,
    visit: &mut Option<Visit<H>>,
) -> Option<H::Session> {
    if !core.is_ours(session) {
        return None;
    }
    // The visit before it, if there is one, ends only now: the client was never silent.
    *visit = Some(core.visit(session.clone()));
    core.running(session)
        .filter(|running| ended != Some(running.claim()))
}
