//! Ops that move where the handle reads: positions outside their log, and starts that have to be
//! committed before they are shown.

use actix::Context;
use sluice_types::Offsets;
use tokio::time::{Instant, sleep};

use super::actor::SessionActor;
use super::finder::{AGAIN, STEP};
use super::ops::{OpFuture, Urgent, then};
use super::start::{self, Restart};
use super::trouble::Trouble;

impl SessionActor {
    /// Commits starts that nobody may see before, until it works or they are revoked.
    pub(super) fn commit_starts(&mut self, starts: Offsets) -> Option<OpFuture> {
        let link = self.link.clone()?;
        let mut held = starts;
        held.retain(|at, _| self.state.holds(at));
        if held.is_empty() {
            return None;
        }
        let seek_seq = self.state.seek_seq();
        Some(Box::pin(async move {
            let until = Instant::now() + STEP;
            let judged = link.commit_and_wait(held.clone(), seek_seq, until).await;
            if judged.committed.is_empty() {
                sleep(AGAIN).await;
            }
            then(move |actor, ctx| {
                actor.note_commit("start", &judged);
                for slot in actor.state.slots_mut() {
                    slot.starting &= !judged.committed.contains(&slot.at);
                }
                actor.resume_if_empty();
                held.retain(|at, _| !judged.committed.contains(at));
                if !held.is_empty() {
                    actor.urge(Urgent::CommitStarts(held), ctx);
                }
                actor.answer_ready();
            })
        }))
    }

    /// Tells the handle to read from elsewhere.
    pub(super) fn reposition(&mut self, targets: Offsets) -> Option<OpFuture> {
        let link = self.link.clone()?;
        let mut held = targets;
        held.retain(|at, _| self.state.holds(at));
        if held.is_empty() {
            return None;
        }
        // Where the session stands now: what was wanted first may have been overtaken.
        let standing = self.state.fetched();
        held.retain(|at, offset| standing.get(at).is_some_and(|stands| *stands == *offset));
        if held.is_empty() {
            return None;
        }
        self.repositioning = true;
        let blocking = self.env.blocking.clone();
        let targets = held.clone();
        Some(Box::pin(async move {
            let moved = blocking
                .run(move || link.handle.reposition(&held, &standing))
                .await;
            then(move |actor, ctx| {
                actor.repositioning = false;
                let failed = moved.and_then(|moved| moved).err();
                actor
                    .state
                    .set_astray(&targets.partitions(), failed.is_some());
                if let Some(error) = failed {
                    // Tried again later, since the handle has to be polled meanwhile: the group
                    // may have taken the partition, and tell so.
                    tracing::warn!(parent: &actor.span, %error, "cannot read from elsewhere yet");
                    actor.retry_later(Urgent::Reposition(targets), ctx);
                }
            })
        }))
    }

    /// Finds which positions are outside their logs, and follows the reset policy.
    pub(super) fn out_of_range(&mut self) -> Option<OpFuture> {
        let link = self.link.clone()?;
        let (standing, partitions) = (self.state.fetched(), self.state.partitions());
        let blocking = self.env.blocking.clone();
        let reset = self.opening.spec.auto_offset_reset;
        Some(Box::pin(async move {
            let handle = link.clone();
            let asked = blocking.run(move || handle.bounds(&partitions, STEP)).await;
            let bounds = match asked.and_then(|bounds| bounds) {
                Ok(bounds) => bounds,
                Err(error) => {
                    tracing::debug!(%error, "cannot ask for the bounds of the log");
                    sleep(AGAIN).await;
                    return then(|actor, ctx| {
                        actor.urge(Urgent::OutOfRange, ctx);
                    });
                }
            };
            then(move |actor, ctx| {
                let (mut targets, mut ends) = (Offsets::new(), Offsets::new());
                for (at, bounds) in bounds.iter() {
                    let Some(position) = standing.get(&at) else {
                        continue;
                    };
                    let restart = start::restart(*position, *bounds, reset);
                    if restart == Restart::Here {
                        // Its fetcher may have stopped all the same.
                        targets.insert(&at, *position);
                        continue;
                    }
                    tracing::warn!(
                        parent: &actor.span,
                        partition = %at, %position, first = %bounds.first, end = %bounds.end,
                        "position is outside the log"
                    );
                    match restart {
                        Restart::Here => {}
                        Restart::Beginning => drop(targets.insert(&at, bounds.first)),
                        Restart::End => {
                            targets.insert(&at, bounds.end);
                            ends.insert(&at, bounds.end);
                        }
                        Restart::Nowhere => {
                            let trouble = Trouble {
                                position: Some(*position),
                                bounds: *bounds,
                            };
                            actor.state.set_trouble(&at, trouble);
                        }
                    }
                }
                actor.reset_to(targets, &standing, ends, ctx);
            })
        }))
    }

    fn reset_to(
        &mut self,
        targets: Offsets,
        standing: &Offsets,
        ends: Offsets,
        ctx: &mut Context<Self>,
    ) {
        let mut changed = targets.clone();
        changed.retain(|at, offset| standing.get(at) != Some(offset));
        self.put_back();
        self.state.reset(&changed);
        self.intake.discard(&changed.partitions());
        if !ends.is_empty() {
            self.hold_back(&ends.partitions());
            self.urgent.push_back(Urgent::CommitStarts(ends));
        }
        if !targets.is_empty() {
            self.urge(Urgent::Reposition(targets), ctx);
        }
        if self.poll.is_some() && self.state.trouble().is_some() {
            self.watch_trouble(ctx);
        }
    }
}
