//! The loop that makes the sessions here match the registry.
//!
//! It is level-triggered: whatever wakes it, it compares everything, so a lost event costs time
//! and nothing else. Only it starts or stops sessions because of what the registry says; the
//! procedures of subscribe and delete hold the one session that they are at, and what they leave
//! undone the loop finds and does.

use std::sync::Arc;
use std::time::Duration;

use sluice_actors::{Deadline, Ended, SessionEvent};
use sluice_raft::{Command, Outcome, SessionView};
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::core::Core;
use super::end::{self, LEAVE_WITHIN};
use super::host::{Host, Running};
use super::plan::{Ownership, Plan, plan};

/// How long the loop sleeps when nothing happens.
const SLOWEST: Duration = Duration::from_secs(5);

/// Runs until the node stops.
pub(super) async fn run<H: Host>(core: Arc<Core<H>>, mut events: mpsc::Receiver<SessionEvent>) {
    let mut changes = core.registry.changes();
    let mut turns = core.turns();
    loop {
        // Looked at first: a lease that comes later wakes the loop.
        let has_lease = !core.identity.lease().is_zero();
        let wake = reconcile(&core, has_lease).await;
        let wake = wake.unwrap_or_else(|| Instant::now() + SLOWEST);
        tokio::select! {
            () = core.stopped() => return,
            Some(event) = events.recv() => {
                on_event(&core, event);
                while let Ok(event) = events.try_recv() {
                    on_event(&core, event);
                }
            }
            () = changes.changed() => {}
            _ = turns.changed() => {}
            () = core.identity.leased(), if !has_lease => {}
            () = tokio::time::sleep_until(wake.min(Instant::now() + SLOWEST)) => {}
        }
    }
}

fn on_event<H: Host>(core: &Arc<Core<H>>, event: SessionEvent) {
    let SessionEvent { claim, ended } = event;
    let session = core.registry.lookup(&claim.id);
    let Some(session) = session.filter(|s| s.claim() == claim && core.is_ours(s) && s.is_active())
    else {
        tracing::debug!(consumer_id = %claim.id, epoch = %claim.epoch, ?ended, "former session ended");
        return;
    };
    let (consumer_id, epoch, group) = (&claim.id, claim.epoch, &session.spec.group_id);
    match ended {
        Ended::Expired => {
            tracing::info!(%consumer_id, %epoch, %group, "session expired");
            end::spawn_expiry(core, session);
            return;
        }
        Ended::Panicked => tracing::error!(%consumer_id, %epoch, %group, "session panicked"),
        Ended::Fenced => tracing::warn!(%consumer_id, %epoch, %group, "session was fenced"),
        // Opened again under another lease: not before the registry can be written again.
        Ended::LeaseLost => tracing::warn!(%consumer_id, %epoch, %group, "session lost its lease"),
        Ended::Failed(error) => {
            tracing::warn!(%consumer_id, %epoch, %group, %error, "session failed");
        }
    }
    core.supervision().ended(&session, Instant::now());
    core.turn();
}

/// Takes the steps that are due, and says when to look again at the latest.
async fn reconcile<H: Host>(core: &Arc<Core<H>>, has_lease: bool) -> Option<Instant> {
    if core.is_stopping() {
        return None;
    }
    let Plan {
        open: unopened,
        reopen: used,
        expire,
        leave,
        evict,
        let_go,
        wake,
    } = look(core);
    if has_lease {
        for session in &unopened {
            open(core, session);
        }
        reopen(core, used).await;
    }
    for session in expire {
        tracing::info!(consumer_id = %session.id, epoch = %session.epoch, "failing session expired");
        end::spawn_expiry(core, session);
    }
    for session in leave {
        end::spawn_leave(core, session);
    }
    for claim in evict {
        let Some(stray) = core.host.get(&claim.id).filter(|s| *s.claim() == claim) else {
            continue;
        };
        tracing::warn!(consumer_id = %claim.id, epoch = %claim.epoch, "ending a session that is gone");
        // It leaves on its own time, the loop has others to look after.
        let span = tracing::info_span!("evict", consumer_id = %claim.id);
        core.spawn(span, async move {
            stray.leave(Deadline::after(LEAVE_WITHIN)).await
        });
    }
    for claim in let_go {
        let Some(former) = core.host.get(&claim.id).filter(|s| *s.claim() == claim) else {
            continue;
        };
        tracing::info!(consumer_id = %claim.id, epoch = %claim.epoch, "letting go of a session that another node has");
        let span = tracing::info_span!("let_go", consumer_id = %claim.id);
        core.spawn(span, async move {
            former.stay_behind(Deadline::after(LEAVE_WITHIN)).await
        });
    }
    wake
}

fn look<H: Host>(core: &Core<H>) -> Plan {
    // Under the lock: what was opened before has its session in `ours`.
    let mut supervision = core.supervision();
    let running = core.host.claims();
    let ours = core.registry.owned_by(&core.identity.node());
    let owner = |id: &_| {
        let session = core.registry.lookup(id)?;
        Some(match core.is_ours(&session) {
            true => Ownership::Ours,
            false => Ownership::Other(session.stamp, session.epoch),
        })
    };
    plan(&ours, &running, owner, &mut supervision, Instant::now())
}

fn open<H: Host>(core: &Core<H>, session: &SessionView) {
    let (consumer_id, epoch) = (&session.id, session.epoch);
    match core.open(session) {
        Ok(Some(_)) => tracing::info!(%consumer_id, %epoch, "session opened"),
        // Without a lease it is opened once there is one.
        Ok(None) | Err(sluice_actors::Error::ShuttingDown | sluice_actors::Error::NoQuorum) => {}
        Err(error) => {
            tracing::warn!(%consumer_id, %epoch, %error, "session could not be opened");
            core.supervision().ended(session, Instant::now());
        }
    }
}

/// Gives the sessions new epochs, in one command, and opens those that got one.
async fn reopen<H: Host>(core: &Core<H>, sessions: Vec<SessionView>) {
    if sessions.is_empty() {
        return;
    }
    let command = Command::Open {
        owner: core.identity.node(),
        claims: sessions.iter().map(|s| (s.id.clone(), s.epoch)).collect(),
    };
    match core.registry.propose(command).await {
        Ok(Outcome::Opened(opened)) => opened.iter().for_each(|session| open(core, session)),
        Ok(_) => {}
        Err(error) => {
            tracing::warn!(sessions = sessions.len(), %error, "sessions cannot be reopened now");
            let now = Instant::now();
            let mut supervision = core.supervision();
            sessions
                .iter()
                .for_each(|session| supervision.try_later(session, now));
        }
    }
}
