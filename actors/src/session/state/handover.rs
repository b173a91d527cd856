//! What one owner's state leaves to the next one's.

use sluice_types::{Offsets, PartitionMap, Point, PointBy, SeekSeq};

use super::State;

impl State {
    /// Where the next owner goes on, for every partition that can be read: behind what has been
    /// delivered.
    ///
    /// A client that goes by cursors may never have received the latest answer, and then says so
    /// with the cursor of the one before. Of a partition that it has not named in any cursor yet,
    /// that one says nothing: there the next owner goes on where the client is known to stand.
    pub(crate) fn to_hand_over(&self) -> Offsets {
        let mut offsets = self.positions();
        let unnamed = |slot: &&super::Slot| slot.acknowledged.is_none();
        if self.goes_by_cursors {
            for slot in self.slots.iter().filter(unnamed) {
                if let Some(offset) = offsets.get_mut(&slot.at) {
                    *offset = slot.known;
                }
            }
        }
        offsets
    }

    /// Notes up to where the owner before has delivered: a commit of what was delivered covers it.
    pub(crate) fn take_over(&mut self, handed_over: &Offsets) {
        for (at, offset) in handed_over.iter() {
            if let Some(slot) = self.slot_mut(&at) {
                slot.delivered = Some(*offset);
            }
        }
    }

    /// Notes what was sought before these partitions were assigned: cursors of before do not count
    /// there, though the session may have held them all the while, under another owner.
    pub(crate) fn remember_seeks(&mut self, points: &PartitionMap<Point>) {
        for slot in &mut self.slots {
            slot.sought_at = match points.get(&slot.at).map(|point| point.by) {
                Some(PointBy::Seek(seq)) => seq,
                Some(PointBy::Assign(_) | PointBy::Handover(_)) | None => SeekSeq::NONE,
            };
        }
    }
}
