//! The state's positions as cursors, and back.

use sluice_types::{Offset, Offsets, TopicPartition};

use super::{Slot, State};
use crate::session::cursor::{Cursor, CursorPosition};

impl State {
    /// Goes on behind the answer whose cursor this is: its positions count where the partition
    /// was held without interruption and not sought since. An answer on its way is settled by
    /// that. Returns where the handle has to read from instead.
    ///
    /// Partitions of which the cursor says nothing that counts go back to where the client was
    /// last known to stand: it may never have received an answer with their records.
    pub(crate) fn resume_after(&mut self, cursor: &Cursor) -> Offsets {
        self.on_its_way = None;
        self.goes_by_cursors = true;
        let counting = self.counting(cursor);
        let mut moves = Offsets::new();
        for slot in &mut self.slots {
            let said = counting.get(&slot.at).copied();
            let stands = said.unwrap_or(slot.known);
            if slot.next != stands {
                moves.insert(&slot.at, stands);
                slot.fetched = stands;
                slot.trouble = None;
            }
            slot.position = stands;
            slot.next = stands;
            if said.is_some() {
                slot.known = stands;
                slot.delivered = said;
                slot.acknowledged = said;
            }
        }
        moves
    }

    /// The positions of a cursor that still count.
    pub(crate) fn counting(&self, cursor: &Cursor) -> Offsets {
        if cursor.life != self.life || cursor.manual != self.manual {
            return Offsets::new();
        }
        cursor
            .positions
            .iter()
            .filter_map(|position| {
                let topic = self.topics.get(position.topic as usize)?.clone();
                let at = TopicPartition {
                    topic,
                    partition: position.partition,
                };
                let slot = self.slot(&at)?;
                let counts = slot.held_since <= cursor.generation
                    && slot.sought_at <= cursor.seek_seq
                    && (!self.manual || cursor.generation == self.generation);
                counts.then_some((at, position.offset))
            })
            .collect()
    }

    /// The cursor behind everything that stands in answers.
    pub(crate) fn cursor(&self) -> Cursor {
        self.cursor_at(|slot| slot.next)
    }

    /// The cursor behind everything that is known to have been handed over.
    pub(crate) fn cursor_of_delivered(&self) -> Cursor {
        self.cursor_at(|slot| slot.position)
    }

    fn cursor_at(&self, offset: impl Fn(&Slot) -> Offset) -> Cursor {
        let mut positions: Vec<_> = self
            .slots
            .iter()
            .filter(|slot| slot.trouble.is_none())
            .filter_map(|slot| {
                let topic = self.topics.binary_search(&slot.at.topic).ok()?;
                let topic = u32::try_from(topic).ok()?;
                Some(CursorPosition {
                    topic,
                    partition: slot.at.partition,
                    offset: offset(slot),
                })
            })
            .collect();
        positions.sort_by_key(|position| (position.topic, position.partition));
        Cursor {
            life: self.life,
            manual: self.manual,
            seek_seq: self.seek_seq,
            generation: self.generation,
            positions,
        }
    }
}
