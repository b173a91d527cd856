//! Which partitions the handle fetches: none of which much is held already.

use sluice_types::Partitions;

use super::actor::SessionActor;

/// What may be held before the partitions are paused.
const HELD_MOST: u64 = 1024 * 1024;

impl SessionActor {
    /// Stops fetching when much is held: nobody has polled for long, or the poll has to wait for
    /// the fate of an answer before it.
    pub(super) fn bound_held(&mut self) {
        if self.intake.held_bytes() < HELD_MOST {
            return;
        }
        let fetching: Partitions = self
            .state
            .slots()
            .iter()
            .filter(|slot| !slot.paused)
            .map(|slot| slot.at.clone())
            .collect();
        self.pause(&fetching);
    }

    /// Stops fetching partitions.
    pub(super) fn pause(&mut self, partitions: &Partitions) {
        let Some(link) = &self.link else { return };
        if partitions.is_empty() {
            return;
        }
        if let Err(error) = link.handle.pause(partitions) {
            tracing::warn!(parent: &self.span, %error, "cannot stop fetching");
            return;
        }
        for slot in self
            .state
            .slots_mut()
            .filter(|slot| partitions.contains(&slot.at))
        {
            slot.paused = true;
        }
    }

    /// Fetches again when what was held has been taken.
    pub(super) fn resume_if_empty(&mut self) {
        if self.intake.is_empty() {
            self.resume(&self.state.paused_without_reason());
        }
    }

    /// Fetches partitions again that were paused.
    pub(super) fn resume(&mut self, paused: &Partitions) {
        let Some(link) = self.link.as_ref().filter(|_| !paused.is_empty()) else {
            return;
        };
        if let Err(error) = link.handle.resume(paused) {
            tracing::warn!(parent: &self.span, %error, "cannot fetch again");
        }
        for slot in self.state.slots_mut() {
            slot.paused &= !paused.contains(&slot.at);
        }
    }
}
