//! How a request finds its session.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use sluice_actors::Deadline;
use sluice_raft::SessionView;
use sluice_types::{Claim, ConsumerId};

use super::core::{Core, Visit};
use super::host::{Host, Running};
use super::{Error, Hop, Owner};

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
    hop: &Hop,
    call: F,
) -> Result<T, Error>
where
    H: Host,
    F: Fn(H::Session) -> Fut,
    Fut: Future<Output = Result<T, sluice_actors::Error>>,
{
    let mut ended = None;
    loop {
        let located = locate(core, id, deadline, hop, ended.as_ref()).await?;
        match call(located.running.clone()).await {
            Err(sluice_actors::Error::NotHere) => ended = Some(located.running.claim().clone()),
            Err(sluice_actors::Error::Moving) => moved(core, &located, deadline).await?,
            other => return Ok(other?),
        }
    }
}

/// Waits until a session that is being handed over may be elsewhere, or may go on here.
pub(super) async fn moved<H: Host>(
    core: &Core<H>,
    located: &Located<H>,
    deadline: Deadline,
) -> Result<(), Error> {
    let claim = located.running.claim();
    let mut changes = core.registry.watch(&claim.id);
    let mut turns = core.turns();
    if changes.current().is_none_or(|now| now.claim() != *claim) {
        return Ok(());
    }
    tokio::select! {
        () = changes.changed() => Ok(()),
        _ = turns.changed() => Ok(()),
        () = tokio::time::sleep(LOOK_EVERY) => Ok(()),
        () = core.stopped() => Err(Error::ShuttingDown),
        () = tokio::time::sleep_until(deadline.instant()) => Err(Error::OwnerUnavailable),
    }
}

/// Finds the session, waiting while it is being opened or is between owners. `ended` is a claim
/// that is known to have nobody behind it.
///
/// # Errors
/// [`Error::Elsewhere`] at once when another node runs it.
pub(super) async fn locate<H: Host>(
    core: &Arc<Core<H>>,
    id: &ConsumerId,
    deadline: Deadline,
    hop: &Hop,
    ended: Option<&Claim>,
) -> Result<Located<H>, Error> {
    if core.is_stopping() {
        return Err(Error::ShuttingDown);
    }
    let mut visit = None;
    // Nearly always the session is there, and nothing needs to be watched.
    let session = living(core, id, hop).await?;
    check_here(core, &session, hop)?;
    if let Some(running) = find(core, &session, ended, &mut visit) {
        return Ok(Located::new(session, running, visit));
    }
    let mut changes = core.registry.watch(id);
    let mut turns = core.turns();
    loop {
        // Marks the present as seen before looking, so that no change falls in between.
        changes.current();
        turns.mark_unchanged();
        let session = living(core, id, hop).await?;
        check_here(core, &session, hop)?;
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

/// The session, if it lives. That it does not is only believed after a linearizable read, and so
/// is, of a request that another node has sent here, that it is not this node's.
pub(super) async fn living<H: Host>(
    core: &Core<H>,
    id: &ConsumerId,
    hop: &Hop,
) -> Result<SessionView, Error> {
    let seen = core.registry.lookup(id);
    let session = match seen.filter(|seen| core.is_ours(seen) || !hop.is_forwarded()) {
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

/// Refuses a request whose session is another node's, unless that node cannot be reached: then
/// the session will move.
pub(super) fn check_here<H: Host>(
    core: &Core<H>,
    session: &SessionView,
    hop: &Hop,
) -> Result<(), Error> {
    if core.is_ours(session) {
        return Ok(());
    }
    let epoch = session.epoch;
    if hop.is_forwarded() {
        return Err(Error::Misdirected { epoch });
    }
    match hop.way_to(&session.owner, &core.registry) {
        Some(address) => Err(Error::Elsewhere(Owner {
            node: session.owner.clone(),
            address,
            epoch: Some(epoch),
        })),
        None => Ok(()),
    }
}

/// Waits until the session is this node's, while its owner cannot be reached.
pub(super) async fn come_here<H: Host>(
    core: &Core<H>,
    id: &ConsumerId,
    deadline: Deadline,
    hop: &Hop,
) -> Result<SessionView, Error> {
    let mut changes = core.registry.watch(id);
    loop {
        changes.current();
        let session = living(core, id, hop).await?;
        check_here(core, &session, hop)?;
        if core.is_ours(&session) {
            return Ok(session);
        }
        tokio::select! {
            () = changes.changed() => {}
            () = tokio::time::sleep(LOOK_EVERY) => {}
            () = core.stopped() => return Err(Error::ShuttingDown),
            () = tokio::time::sleep_until(deadline.instant()) => {
                return Err(Error::OwnerUnavailable);
            }
        }
    }
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
