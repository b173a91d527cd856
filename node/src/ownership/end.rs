//! How a session ends, by its client's wish or by its silence.
//!
//! ```text
//!   finish          Delete              leave                Gone
//!   the actor  ---> the registry, ----> the group, by ----> the id
//!   stops           a new epoch         whoever can          is free
//!                        |
//!                        +--> answer to the client: from here the session is no more
//! ```
//!
//! Once it has begun it goes on to the end, whoever waits for it: the actor has stopped serving,
//! so giving up half-way would leave a session that neither lives nor dies.

use std::sync::Arc;
use std::time::Duration;

use sluice_actors::Deadline;
use sluice_raft::{Command, Outcome, SessionView};
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::backoff::Backoff;
use super::core::{Core, Hold};
use super::host::{Host, Running};
use super::locate::come_here;
use super::{Error, Hop};

/// Longest wait for the final commit.
const FINISH_WITHIN: Duration = Duration::from_secs(10);
/// Longest wait for the group to be left. The member times out by itself afterwards.
pub(super) const LEAVE_WITHIN: Duration = Duration::from_secs(10);
/// Between two looks at whether Kafka is there to miss a member.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Ends the session of a client that asks for it. Answers when it is no more for clients.
pub(super) async fn delete<H: Host>(
    core: &Arc<Core<H>>,
    id: &sluice_types::ConsumerId,
    deadline: Deadline,
    hop: &Hop,
) -> Result<(), Error> {
    if core.is_stopping() {
        return Err(Error::ShuttingDown);
    }
    let session = find(core, id, deadline).await?;
    let session = match core.is_ours(&session) {
        true => session,
        // Only its owner can leave the group for it.
        false => come_here(core, id, deadline, hop).await?,
    };
    match tokio::time::timeout_at(deadline.instant(), spawn(core, session)).await {
        Ok(Ok(answer)) => answer,
        Ok(Err(_)) => Err(Error::Session(sluice_actors::Error::Internal(
            "the end of the consumer failed".to_owned(),
        ))),
        Err(_) => Err(Error::Session(sluice_actors::Error::OutcomeUnknown(
            "the consumer is being ended, which takes longer than the request".to_owned(),
        ))),
    }
}

/// The living session of this id. Subscribes that came before and have made nothing yet give up,
/// and one that is just making its session is waited for: or a client that hung up on its
/// subscribe, and then deletes, would be told that there is nothing, and the session come to life
/// behind that.
async fn find<H: Host>(
    core: &Core<H>,
    id: &sluice_types::ConsumerId,
    deadline: Deadline,
) -> Result<SessionView, Error> {
    let mut turns = core.turns();
    loop {
        turns.mark_unchanged();
        // Before the registry is asked: what subscribes later is not meant.
        let is_awaited = core.overtake(id);
        let session = core.registry.lookup_linearizable(id).await;
        let session = session.map_err(|_| Error::NoQuorum)?;
        if let Some(session) = session.filter(|session| session.is_active()) {
            return Ok(session);
        }
        if !is_awaited {
            return Err(Error::ConsumerNotFound);
        }
        tokio::select! {
            _ = turns.changed() => {}
            () = core.stopped() => return Err(Error::ShuttingDown),
            () = tokio::time::sleep_until(deadline.instant()) => {
                return Err(Error::OwnerUnavailable);
            }
        }
    }
}

/// Ends a session whose client asks for it. The receiver is told when it is no more for clients,
/// or why that takes long.
pub(super) fn spawn<H: Host>(
    core: &Arc<Core<H>>,
    session: SessionView,
) -> oneshot::Receiver<Result<(), Error>> {
    spawn_because(core, session, Why::Asked)
}

/// Ends a session whose client is silent. Its partitions go to others of its group at once, even
/// while the registry cannot decide.
pub(super) fn spawn_expiry<H: Host>(core: &Arc<Core<H>>, session: SessionView) {
    drop(spawn_because(core, session, Why::Expired));
}

/// Why a session ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Why {
    Asked,
    Expired,
}

fn spawn_because<H: Host>(
    core: &Arc<Core<H>>,
    session: SessionView,
    why: Why,
) -> oneshot::Receiver<Result<(), Error>> {
    let (told, answer) = oneshot::channel();
    let hold = core.hold(session.stamp);
    let group = &session.spec.group_id;
    let span = tracing::info_span!("end", consumer_id = %session.id, %group);
    let shared = core.clone();
    core.spawn(span, async move {
        let mut told = Told(Some(told));
        if let Some((deleting, has_left)) = begin(&shared, session, why, &mut told).await {
            let take_over = match has_left {
                true => TakeOver::No,
                false => TakeOver::Yes,
            };
            leave(&shared, deleting, take_over, hold).await;
        }
    });
    answer
}

/// Ends a session that its subscribe cannot give to its client, whole, before that is answered.
pub(super) async fn undo<H: Host>(
    core: &Arc<Core<H>>,
    session: SessionView,
    take_over: TakeOver,
    hold: Hold<H>,
) {
    if let Some((deleting, _)) = begin(core, session, Why::Asked, &mut Told(None)).await {
        leave(core, deleting, take_over, hold).await;
    }
}

/// Leaves the group of a session that is being deleted, with nobody at it.
pub(super) fn spawn_leave<H: Host>(core: &Arc<Core<H>>, deleting: SessionView) {
    let hold = core.hold(deleting.stamp);
    let span = tracing::info_span!("leave", consumer_id = %deleting.id);
    let shared = core.clone();
    core.spawn(span, async move {
        leave(&shared, deleting, TakeOver::Yes, hold).await
    });
}

/// Whether to open a session once more, only to leave its group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TakeOver {
    /// Its member may be in the group still, with no actor to speak for it.
    Yes,
    /// It never got into the group, or was refused there.
    No,
}

/// Who waits for an answer, until it has one.
struct Told(Option<oneshot::Sender<Result<(), Error>>>);

impl Told {
    fn tell(&mut self, answer: Result<(), Error>) {
        if let Some(told) = self.0.take() {
            // Nobody may be waiting any more, and the procedure goes on all the same.
            let _ = told.send(answer);
        }
    }
}

/// Stops the actor and has the registry say that the session is no more. Returns the session if
/// it falls to this procedure to leave the group, and whether it has left it already.
async fn begin<H: Host>(
    core: &Core<H>,
    mut session: SessionView,
    why: Why,
    told: &mut Told,
) -> Option<(SessionView, bool)> {
    let stamp = session.stamp;
    let mut has_left = false;
    let mut backoff = Backoff::new(stamp.get());
    let mut is_outcome_unknown = false;
    let mut failures = 0;
    loop {
        if let Some(running) = core.running(&session) {
            running.finish(Deadline::after(FINISH_WITHIN)).await;
        }
        let command = Command::Delete {
            claim: session.claim(),
            at: core.clock.now(),
        };
        match core.registry.propose(command).await {
            Ok(Outcome::Done(deleting)) => {
                told.tell(Ok(()));
                return Some((deleting, has_left));
            }
            Ok(_) => {
                // It was opened again meanwhile, or ended by someone else.
                match core.registry.lookup_linearizable(&session.id).await {
                    Ok(Some(now)) if now.stamp == stamp && now.is_active() => {
                        if why == Why::Expired {
                            // Its next owner hears of clients that this one, frozen or cut off,
                            // did not hear of.
                            tracing::info!(epoch = %now.epoch, "the session goes on, opened anew");
                            return None;
                        }
                        session = now;
                        continue;
                    }
                    Ok(now) => {
                        let deleting = now.filter(|now| now.stamp == stamp && is_outcome_unknown);
                        let is_our_doing = deleting.is_some();
                        told.tell(is_our_doing.then_some(()).ok_or(Error::ConsumerNotFound));
                        return deleting.map(|deleting| (deleting, has_left));
                    }
                    Err(_) => told.tell(Err(Error::NoQuorum)),
                }
            }
            Err(sluice_raft::Error::NoQuorum) => told.tell(Err(Error::NoQuorum)),
            Err(sluice_raft::Error::OutcomeUnknown) => is_outcome_unknown = true,
        }
        // Nobody serves it here any more, whatever the registry says later. Should it be another
        // node's by then, that has joined anew in this member's place.
        if why == Why::Expired
            && !has_left
            && let Some(running) = core.running(&session)
        {
            has_left = running.leave(Deadline::after(LEAVE_WITHIN)).await;
        }
        failures += 1;
        if !pause(core, &mut backoff, failures).await {
            return None;
        }
    }
}

/// Leaves the group, as well as it can be left, and frees the id.
async fn leave<H: Host>(core: &Core<H>, deleting: SessionView, take_over: TakeOver, hold: Hold<H>) {
    if let Some(member) = member(core, &deleting, take_over).await
        && !member.leave(Deadline::after(LEAVE_WITHIN)).await
    {
        tracing::warn!(epoch = %deleting.epoch, "the group was not left in time, its member will time out");
        // Until then the id stays taken: whoever joins under it takes that member's place, with
        // its partitions, whatever topics it wants itself.
        tokio::select! {
            () = has_timed_out(core) => {}
            () = core.stopped() => {}
        }
    }
    let mut backoff = Backoff::new(deleting.stamp.get());
    let mut failures = 0;
    loop {
        let command = Command::Gone {
            claim: deleting.claim(),
            at: core.clock.now(),
        };
        match core.registry.propose(command).await {
            Ok(_) => break,
            Err(error) => tracing::debug!(%error, "the registry cannot free the id now"),
        }
        failures += 1;
        if !pause(core, &mut backoff, failures).await {
            break;
        }
    }
    drop(hold);
}

/// Waits until Kafka must have given a silent member up: twice the time that it waits for one, and
/// only while it is there, since it waits anew when its coordinator has been away.
async fn has_timed_out<H: Host>(core: &Core<H>) {
    let long = 2 * core.host.member_timeout();
    let mut waited = Duration::ZERO;
    while waited < long {
        let began = Instant::now();
        let is_there = core.host.kafka_reachable().await;
        tokio::time::sleep(LOOK_EVERY).await;
        if is_there {
            waited += began.elapsed();
        }
    }
}

/// The running session that can leave the group for this one.
async fn member<H: Host>(
    core: &Core<H>,
    deleting: &SessionView,
    take_over: TakeOver,
) -> Option<H::Session> {
    let running = core.host.get(&deleting.id).filter(|running| {
        let claim = running.claim();
        claim.epoch <= deleting.epoch && !core.supervision().has_ended(&claim.id, claim.epoch)
    });
    if running.is_some() {
        return running;
    }
    let may_be_member = core.supervision().may_have_opened(deleting);
    if take_over == TakeOver::No || !may_be_member {
        return None;
    }
    // To leave, it first joins in the old member's place, which only an owner may.
    tokio::select! {
        () = core.identity.leased() => {}
        () = core.stopped() => return None,
    }
    core.open(deleting).unwrap_or_else(|error| {
        tracing::warn!(epoch = %deleting.epoch, %error, "the member cannot be taken over, it will time out");
        None
    })
}

/// Waits before the next try. `false` if the node stops.
async fn pause<H: Host>(core: &Core<H>, backoff: &mut Backoff, failures: u32) -> bool {
    tokio::select! {
        () = tokio::time::sleep(backoff.delay(failures)) => true,
        () = core.stopped() => false,
    }
}
