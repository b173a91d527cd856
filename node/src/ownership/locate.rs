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
            Err(sluice_actors::Error::Moving) => moved(core, &located.session, deadline).await?,
            other => return Ok(other?),
        }
    }
}

/// Waits until a session that is being handed over may have moved, or may go on here.
pub(super) async fn moved<H: Host>(
    core: &Core<H>,
    moving: &SessionView,
    deadline: Deadline,
) -> Result<(), Error> {
    let _waits = core.waiting.begin(&moving.id);
    let mut changes = core.registry.watch(&moving.id);
    let mut turns = core.turns();
    if changes
        .current()
        .is_none_or(|now| now.epoch != moving.epoch)
    {
        return Ok(());
    }
    tokio::select! {
        () = changes.changed() => Ok(()),
        // The handover holds the session: its end is a turn.
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
    let mut visit = None;
    let look = |session: &SessionView| find(core, session, ended, &mut visit);
    let (session, running) = wait(core, id, deadline, hop, look).await?;
    Ok(Located {
        session,
        running,
        _visit: visit,
    })
}

/// Waits until the session is this node's, while its owner cannot be reached.
pub(super) async fn come_here<H: Host>(
    core: &Core<H>,
    id: &ConsumerId,
    deadline: Deadline,
    hop: &Hop,
) -> Result<SessionView, Error> {
    let look = |session: &SessionView| core.is_ours(session).then_some(());
    let (session, ()) = wait(core, id, deadline, hop, look).await?;
    Ok(session)
}

/// Looks at the living session until `look` finds what it wants, while the session is here or is
/// to come here.
async fn wait<H: Host, T>(
    core: &Core<H>,
    id: &ConsumerId,
    deadline: Deadline,
    hop: &Hop,
    mut look: impl FnMut(&SessionView) -> Option<T>,
) -> Result<(SessionView, T), Error> {
    if core.is_stopping() {
        return Err(Error::ShuttingDown);
    }
    // Nearly always what is wanted is there, and nothing needs to be watched.
    let session = living(core, id, hop).await?;
    check_here(core, &session, hop)?;
    if let Some(found) = look(&session) {
        return Ok((session, found));
    }
    let _waits = core.waiting.begin(id);
    let mut changes = core.registry.watch(id);
    let mut turns = core.turns();
    loop {
        // Marks the present as seen before looking, so that no change falls in between.
        changes.current();
        turns.mark_unchanged();
        let session = living(core, id, hop).await?;
        check_here(core, &session, hop)?;
        if let Some(found) = look(&session) {
            return Ok((session, found));
        }
        tokio::select! {
            () = changes.changed() => {}
            _ = turns.changed() => {}
            () = tokio::time::sleep(LOOK_EVERY) => {}
            () = core.stopped() => return Err(Error::ShuttingDown),
            () = tokio::time::sleep_until(deadline.instant()) => {
                // Nobody lets this node open it.
                let is_cut_off = core.is_ours(&session) && core.identity.lease().is_zero();
                return Err(match is_cut_off {
                    true => Error::NoQuorum,
                    false => Error::OwnerUnavailable,
                });
            }
        }
    }
}

/// The session, if it lives. That it does not, or is being deleted, is only believed after a
/// linearizable read: it may have been made anew since. So is, of a request that another node has
/// sent here, that it is not this node's.
pub(super) async fn living<H: Host>(
    core: &Core<H>,
    id: &ConsumerId,
    hop: &Hop,
) -> Result<SessionView, Error> {
    let seen = core.registry.lookup(id);
    let is_enough =
        |seen: &SessionView| seen.is_active() && (core.is_ours(seen) || !hop.is_forwarded());
    let session = match seen.filter(is_enough) {
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
        return Err(Error::Misdirected { epoch: Some(epoch) });
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
