//! Where a session stands in each of its partitions. Pure: it reads no clock and does no I/O.
//!
//! Three offsets matter in a partition. Records up to `next` stand in answers, records up to
//! `position` in answers that were handed over whole; while an answer is on its way they differ.
//! `fetched` is what the Kafka handle gives next; records between `next` and it are held.

mod cursors;
mod handover;
mod slot;

use std::collections::BTreeSet;

use sluice_types::{
    CreationStamp, Offset, Offsets, PartitionMap, Partitions, SeekSeq, TopicName, TopicPartition,
};

use super::trouble::Trouble;
pub(crate) use slot::Slot;

/// An answer whose fate is not yet known.
#[derive(Clone, Debug)]
struct OnItsWay {
    number: u64,
    ends: Vec<(TopicPartition, Offset)>,
}

/// The session's partitions and positions.
#[derive(Debug)]
pub(crate) struct State {
    life: CreationStamp,
    manual: bool,
    /// Of the last assignment.
    generation: i32,
    /// Whether an assignment stands, empty or not: there has been one, and it was not taken back
    /// as a whole.
    is_assigned: bool,
    seek_seq: SeekSeq,
    /// Sorted; cursors number topics by their place here.
    topics: Vec<TopicName>,
    /// Sorted by topic and partition.
    slots: Vec<Slot>,
    last: usize,
    answers: u64,
    on_its_way: Option<OnItsWay>,
    /// Whether the client has asked for more by a cursor last.
    goes_by_cursors: bool,
}

impl State {
    /// A session without partitions, subscribed to `topics`.
    pub(crate) fn subscribed<'a>(
        life: CreationStamp,
        topics: impl IntoIterator<Item = &'a TopicName>,
        seek_seq: SeekSeq,
    ) -> Self {
        let sorted: BTreeSet<_> = topics.into_iter().cloned().collect();
        Self {
            life,
            manual: false,
            generation: 0,
            is_assigned: false,
            seek_seq,
            topics: sorted.into_iter().collect(),
            slots: Vec::new(),
            last: 0,
            answers: 0,
            on_its_way: None,
            goes_by_cursors: false,
        }
    }

    /// Drops everything for a manual assignment: cursors of before no longer count.
    pub(crate) fn assign_manually(&mut self, starts: &Offsets, revision: i32) {
        self.manual = true;
        self.topics = starts.topics().keys().cloned().collect();
        self.assign(starts, revision, true);
    }

    /// Takes partitions over from a successful assignment; `replaces` says that all others are
    /// gone.
    pub(crate) fn assign(&mut self, starts: &Offsets, generation: i32, replaces: bool) {
        self.generation = generation;
        self.is_assigned = true;
        if replaces {
            self.slots.clear();
            self.on_its_way = None;
        }
        for (at, start) in starts.iter() {
            self.slots.retain(|slot| slot.at != at);
            self.slots.push(Slot {
                at,
                held_since: generation,
                sought_at: SeekSeq::NONE,
                position: *start,
                next: *start,
                fetched: *start,
                known: *start,
                delivered: None,
                acknowledged: None,
                committed: None,
                trouble: None,
                paused: false,
                starting: false,
                astray: false,
            });
        }
        self.slots.sort_by(|a, b| a.at.cmp(&b.at));
        self.last = 0;
        self.check();
    }

    /// Gives partitions up and keeps the others, in a rebalance towards `generation`: what was
    /// told under the former one held for these partitions too.
    pub(crate) fn revoke(&mut self, partitions: &Partitions, generation: i32) {
        // -1 if the group has lost the member.
        self.generation = self.generation.max(generation);
        self.slots.retain(|slot| !partitions.contains(&slot.at));
        self.is_assigned &= generation >= 0 || !self.slots.is_empty();
        self.last = 0;
        if let Some(answer) = &mut self.on_its_way {
            answer.ends.retain(|(at, _)| !partitions.contains(at));
        }
    }

    /// Gives everything up.
    pub(crate) fn revoke_all(&mut self) {
        self.slots.clear();
        self.is_assigned = false;
        self.last = 0;
        if let Some(answer) = &mut self.on_its_way {
            answer.ends.clear();
        }
    }

    pub(crate) fn is_manual(&self) -> bool {
        self.manual
    }

    /// The generation of what is held; 0 while no assignment stands, so that one generation never
    /// means two assignments.
    pub(crate) fn generation(&self) -> i32 {
        if self.is_assigned { self.generation } else { 0 }
    }

    /// The generation of the last assignment, whether or not it stands.
    pub(crate) fn last_generation(&self) -> i32 {
        self.generation
    }

    pub(crate) fn seek_seq(&self) -> SeekSeq {
        self.seek_seq
    }

    pub(crate) fn partitions(&self) -> Partitions {
        self.slots.iter().map(|slot| slot.at.clone()).collect()
    }

    pub(crate) fn slots(&self) -> &[Slot] {
        &self.slots
    }

    pub(crate) fn slots_mut(&mut self) -> impl Iterator<Item = &mut Slot> {
        self.slots.iter_mut()
    }

    /// Whether the session holds the partition.
    pub(crate) fn holds(&self, at: &TopicPartition) -> bool {
        self.slot(at).is_some()
    }

    fn slot(&self, at: &TopicPartition) -> Option<&Slot> {
        let found = self.slots.binary_search_by(|slot| slot.at.cmp(at)).ok()?;
        self.slots.get(found)
    }

    fn slot_mut(&mut self, at: &TopicPartition) -> Option<&mut Slot> {
        let found = self.slots.binary_search_by(|slot| slot.at.cmp(at)).ok()?;
        self.slots.get_mut(found)
    }

    /// Finds the slot of a record; records come in runs of one partition.
    pub(crate) fn locate(&mut self, topic: &str, partition: i32) -> Option<usize> {
        let order = |slot: &Slot| {
            let at = &slot.at;
            at.topic
                .as_str()
                .cmp(topic)
                .then(at.partition.get().cmp(&partition))
        };
        if self
            .slots
            .get(self.last)
            .is_some_and(|slot| order(slot).is_eq())
        {
            return Some(self.last);
        }
        self.last = self.slots.binary_search_by(order).ok()?;
        Some(self.last)
    }

    /// Notes that the handle gave this record; false if it is not what comes next there: a rest
    /// of before a seek, or of a handle that could not be moved.
    pub(crate) fn fetch(&mut self, slot: usize, offset: Offset) -> bool {
        let slot = &mut self.slots[slot];
        if slot.astray || offset < slot.fetched {
            return false;
        }
        slot.fetched = offset.next();
        true
    }

    /// Notes that this record stands in the answer being made.
    pub(crate) fn take(&mut self, slot: usize, offset: Offset) {
        self.slots[slot].next = offset.next();
    }

    /// Ends the making of an answer: returns its number, under which its fate is told.
    pub(crate) fn send(&mut self) -> u64 {
        self.answers += 1;
        let ends = self
            .slots
            .iter()
            .filter(|slot| slot.next != slot.position)
            .map(|slot| (slot.at.clone(), slot.next))
            .collect();
        self.on_its_way = Some(OnItsWay {
            number: self.answers,
            ends,
        });
        self.answers
    }

    /// Gives the answer up that is being made: its records come with the next one. Returned are
    /// the offsets to go back to. There must be none on its way.
    pub(crate) fn give_up(&mut self) -> Offsets {
        debug_assert!(self.on_its_way.is_none(), "what it brings is in an answer");
        let begun = self.slots.iter().filter(|slot| slot.next != slot.position);
        let ends = begun.map(|slot| (slot.at.clone(), slot.next)).collect();
        self.take_back(OnItsWay {
            number: self.answers,
            ends,
        })
    }

    /// Whether the fate of an answer is still open.
    pub(crate) fn awaits_fate(&self) -> bool {
        self.on_its_way.is_some()
    }

    /// Learns an answer's fate. A lost answer's partitions have to be read again: returned are
    /// the offsets to go back to.
    pub(crate) fn fate(&mut self, number: u64, delivered: bool) -> Offsets {
        match self.on_its_way.take_if(|answer| answer.number == number) {
            Some(answer) if delivered => {
                for (at, end) in answer.ends {
                    if let Some(slot) = self.slot_mut(&at) {
                        slot.position = end;
                        slot.delivered = Some(end);
                    }
                }
                Offsets::new()
            }
            Some(answer) => self.take_back(answer),
            None => Offsets::new(),
        }
    }

    /// The client commits these offsets: of an answer on its way it has what lies before them, and
    /// that does not come again, whatever is told of the answer. More is not said by it.
    pub(crate) fn committed_by_client(&mut self, offsets: &Offsets) {
        let Some(answer) = &self.on_its_way else {
            return;
        };
        let within = |(at, end): &(TopicPartition, Offset)| {
            let offset = offsets.get(at).filter(|offset| *offset <= end)?;
            Some((at.clone(), *offset))
        };
        let had: Vec<(TopicPartition, Offset)> = answer.ends.iter().filter_map(within).collect();
        for (at, offset) in had {
            if let Some(slot) = self.slot_mut(&at).filter(|slot| slot.position < offset) {
                slot.position = offset;
                slot.delivered = Some(offset);
            }
        }
    }

    fn take_back(&mut self, answer: OnItsWay) -> Offsets {
        let mut back = Offsets::new();
        for (at, _) in answer.ends {
            if let Some(slot) = self.slot_mut(&at) {
                slot.next = slot.position;
                slot.fetched = slot.position;
                back.insert(&at, slot.position);
            }
        }
        back
    }

    /// The client asks for more: what was delivered so far is acknowledged.
    pub(crate) fn acknowledge(&mut self) {
        self.goes_by_cursors = false;
        for slot in &mut self.slots {
            if let Some(delivered) = slot.delivered {
                slot.acknowledged = Some(delivered);
                slot.known = delivered;
            }
        }
    }

    /// The next offset that a poll returns, for every partition that can be read.
    pub(crate) fn positions(&self) -> Offsets {
        self.slots
            .iter()
            .filter(|slot| slot.trouble.is_none() && !slot.starting)
            .map(|slot| (slot.at.clone(), slot.position))
            .collect()
    }

    /// Where the handle reads next.
    pub(crate) fn fetched(&self) -> Offsets {
        self.slots
            .iter()
            .map(|slot| (slot.at.clone(), slot.fetched))
            .collect()
    }

    /// What a commit without a body commits: what this owner has delivered or sought.
    pub(crate) fn delivered(&self) -> Offsets {
        self.collect(|slot| slot.delivered)
    }

    /// What auto-commit owes: what is acknowledged and not committed.
    pub(crate) fn owed(&self) -> Offsets {
        self.collect(|slot| {
            slot.acknowledged
                .filter(|_| slot.acknowledged != slot.committed)
        })
    }

    /// What auto-commit owes at a delete: everything delivered, the latest answer too.
    pub(crate) fn owed_at_delete(&self) -> Offsets {
        self.collect(|slot| slot.delivered.filter(|_| slot.delivered != slot.committed))
    }

    fn collect(&self, offset: impl Fn(&Slot) -> Option<Offset>) -> Offsets {
        self.slots
            .iter()
            .filter_map(|slot| Some((slot.at.clone(), offset(slot)?)))
            .collect()
    }

    /// Notes what the broker has acknowledged.
    pub(crate) fn committed(&mut self, offsets: &Offsets) {
        for (at, offset) in offsets.iter() {
            if let Some(slot) = self.slot_mut(&at) {
                slot.committed = Some(*offset);
            }
        }
    }

    /// Applies a seek: its offsets are the delivered positions, and nothing is acknowledged there.
    pub(crate) fn sought(&mut self, targets: &Offsets, seq: SeekSeq) {
        self.seek_seq = seq;
        for (at, offset) in targets.iter() {
            if let Some(answer) = &mut self.on_its_way {
                answer.ends.retain(|(end, _)| *end != at);
            }
            if let Some(slot) = self.slot_mut(&at) {
                slot.sought_at = seq;
                slot.position = *offset;
                slot.next = *offset;
                slot.fetched = *offset;
                slot.known = *offset;
                slot.delivered = Some(*offset);
                slot.acknowledged = None;
                slot.committed = None;
                slot.trouble = None;
            }
        }
    }

    /// Starts partitions elsewhere, because where they stood is not in their log.
    pub(crate) fn reset(&mut self, targets: &Offsets) {
        for (at, offset) in targets.iter() {
            if let Some(answer) = &mut self.on_its_way {
                answer.ends.retain(|(end, _)| *end != at);
            }
            if let Some(slot) = self.slot_mut(&at) {
                slot.position = *offset;
                slot.next = *offset;
                slot.fetched = *offset;
                slot.known = *offset;
                slot.trouble = None;
            }
        }
    }

    /// Notes that nothing can be read from a partition.
    pub(crate) fn set_trouble(&mut self, at: &TopicPartition, trouble: Trouble) {
        if let Some(slot) = self.slot_mut(at) {
            slot.trouble = Some(trouble);
        }
    }

    /// Those of `partitions` that the handle does not fetch.
    pub(crate) fn paused_of(&self, partitions: &Partitions) -> Partitions {
        self.matching(|slot| slot.paused && partitions.contains(&slot.at))
    }

    /// The partitions that the handle does not fetch and now may.
    pub(crate) fn paused_without_reason(&self) -> Partitions {
        self.matching(|slot| slot.paused && !slot.is_in_trouble() && !slot.starting)
    }

    fn matching(&self, is: impl Fn(&Slot) -> bool) -> Partitions {
        let found = self.slots.iter().filter(|slot| is(slot));
        found.map(|slot| slot.at.clone()).collect()
    }

    /// Notes whether the handle could be told to read these partitions from where they stand.
    /// Until it could, what it gives is thrown away.
    pub(crate) fn set_astray(&mut self, partitions: &Partitions, astray: bool) {
        for slot in self
            .slots
            .iter_mut()
            .filter(|slot| partitions.contains(&slot.at))
        {
            slot.astray = astray;
        }
    }

    /// The first partition that nothing can be read from.
    pub(crate) fn trouble(&self) -> Option<(&TopicPartition, &Trouble)> {
        self.slots
            .iter()
            .find_map(|slot| Some((&slot.at, slot.trouble.as_ref()?)))
    }

    /// The assigned partitions of a topic.
    pub(crate) fn of_topic(&self, topic: &TopicName) -> Vec<TopicPartition> {
        let of = |slot: &&Slot| slot.at.topic == *topic;
        self.slots
            .iter()
            .filter(of)
            .map(|slot| slot.at.clone())
            .collect()
    }

    /// In debug builds: a session's own order must hold after every step.
    fn check(&self) {
        debug_assert!(
            self.slots.is_sorted_by(|a, b| a.at < b.at),
            "slots sorted, none twice"
        );
    }
}

/// Splits what was asked for into what the session holds and what it does not.
pub(crate) fn split_held<T: Clone>(
    state: &State,
    asked: &PartitionMap<T>,
) -> (PartitionMap<T>, Partitions) {
    let (mut held, mut foreign) = (PartitionMap::new(), Partitions::new());
    for (at, value) in asked.iter() {
        if state.holds(&at) {
            held.insert(&at, value.clone());
        } else {
            foreign.insert(at);
        }
    }
    (held, foreign)
}

#[cfg(test)]
mod model_tests;
#[cfg(test)]
mod tests;
