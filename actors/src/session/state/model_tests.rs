//! A model client against the state: whatever is lost on the way, it sees each record once and in
//! order, until it seeks or the group takes a partition away.

use std::collections::VecDeque;

use proptest::prelude::*;
use sluice_types::Partition;

use super::*;
use crate::session::cursor::Cursor;

const PARTITIONS: usize = 2;

#[derive(Clone, Debug)]
enum Step {
    /// The handle gives the next record of a partition.
    Fetch(usize),
    /// The client polls, and is answered with at most so many of the fetched records.
    Poll { most: usize, network: Network },
    /// An answer that many share gathers at most so many of the fetched records, and is not sent.
    Gather { most: usize },
    /// It is given up.
    GiveUp,
    /// A fate that was still open is told.
    TellFate,
    /// The client seeks.
    Seek { partition: usize, to: i64 },
    /// The group takes a partition and gives it back, from the committed offset.
    Rebalance { partition: usize, committed: i64 },
}

#[derive(Clone, Copy, Debug)]
struct Network {
    /// The client has the answer whole.
    received: bool,
    /// The node knows what became of it before the next poll.
    told: bool,
}

fn step() -> impl Strategy<Value = Step> {
    let network =
        (any::<bool>(), any::<bool>()).prop_map(|(received, told)| Network { received, told });
    prop_oneof![
        6 => (0..PARTITIONS).prop_map(Step::Fetch),
        4 => (1usize..4, network).prop_map(|(most, network)| Step::Poll { most, network }),
        2 => (1usize..4).prop_map(|most| Step::Gather { most }),
        1 => Just(Step::GiveUp),
        2 => Just(Step::TellFate),
        1 => (0..PARTITIONS, 0i64..20).prop_map(|(partition, to)| Step::Seek { partition, to }),
        1 => (0..PARTITIONS, 0i64..20)
            .prop_map(|(partition, committed)| Step::Rebalance { partition, committed }),
    ]
}

/// The handle, the session and its client.
struct Model {
    state: State,
    /// What the handle gives next.
    handle: [i64; PARTITIONS],
    held: VecDeque<(usize, i64)>,
    /// What stands in the answer that is being made.
    gathered: Vec<(usize, i64)>,
    /// What the client expects next.
    expected: [i64; PARTITIONS],
    cursor: Option<Cursor>,
    open_fate: Option<(u64, bool)>,
    generation: i32,
    sends_cursor: bool,
}

fn at(partition: usize) -> TopicPartition {
    let number = Partition::new(i32::try_from(partition).unwrap()).unwrap();
    TopicPartition {
        topic: "t".parse().unwrap(),
        partition: number,
    }
}

fn offset(number: i64) -> Offset {
    Offset::new(number).unwrap()
}

impl Model {
    fn new(sends_cursor: bool) -> Self {
        let topic = "t".parse().unwrap();
        let life = CreationStamp::from_number(1);
        let mut state = State::subscribed(life, [&topic], SeekSeq::NONE);
        let starts = (0..PARTITIONS)
            .map(|partition| (at(partition), Offset::ZERO))
            .collect();
        state.assign(&starts, 1, true);
        Self {
            state,
            handle: [0; PARTITIONS],
            held: VecDeque::new(),
            gathered: Vec::new(),
            expected: [0; PARTITIONS],
            cursor: None,
            open_fate: None,
            generation: 1,
            sends_cursor,
        }
    }

    fn move_handle(&mut self, moves: &Offsets) {
        for (place, to) in moves.iter() {
            let partition = usize::try_from(place.partition.get()).unwrap();
            self.handle[partition] = to.get();
            self.held.retain(|(held, _)| *held != partition);
        }
    }

    fn run(&mut self, step: Step) -> Result<(), TestCaseError> {
        match step {
            Step::Fetch(partition) => {
                let number = i32::try_from(partition).unwrap();
                let slot = self.state.locate("t", number).unwrap();
                let record = self.handle[partition];
                prop_assert!(
                    self.state.fetch(slot, offset(record)),
                    "the handle is elsewhere"
                );
                self.handle[partition] += 1;
                self.held.push_back((partition, record));
            }
            Step::Poll { most, network } => self.poll(most, network)?,
            // Who goes by cursors shares with nobody.
            Step::Gather { .. } if self.sends_cursor => {}
            Step::Gather { most } => {
                self.tell_fate();
                self.take(most);
            }
            Step::GiveUp => self.give_up(),
            Step::TellFate => self.tell_fate(),
            Step::Seek { partition, to } => {
                self.give_up();
                let target = [(at(partition), offset(to))].into_iter().collect();
                let seq = self.state.seek_seq().next();
                self.state.sought(&target, seq);
                self.move_handle(&target);
                self.expected[partition] = to;
            }
            Step::Rebalance {
                partition,
                committed,
            } => {
                self.give_up();
                self.generation += 1;
                let taken = [at(partition)].into_iter().collect();
                self.state.revoke(&taken, self.generation);
                let start = [(at(partition), offset(committed))].into_iter().collect();
                self.state.assign(&start, self.generation, false);
                self.move_handle(&start);
                self.expected[partition] = committed;
            }
        }
        Ok(())
    }

    /// Takes held records into the answer that is being made.
    fn take(&mut self, most: usize) {
        for _ in 0..most {
            let Some((partition, record)) = self.held.pop_front() else {
                return;
            };
            let number = i32::try_from(partition).unwrap();
            let slot = self.state.locate("t", number).unwrap();
            self.state.take(slot, offset(record));
            self.gathered.push((partition, record));
        }
    }

    /// Gives the answer up that is being made, if there is one.
    fn give_up(&mut self) {
        if !std::mem::take(&mut self.gathered).is_empty() {
            let back = self.state.give_up();
            self.move_handle(&back);
        }
    }

    fn tell_fate(&mut self) {
        if let Some((number, delivered)) = self.open_fate.take() {
            let back = self.state.fate(number, delivered);
            self.move_handle(&back);
        }
    }

    fn poll(&mut self, most: usize, network: Network) -> Result<(), TestCaseError> {
        match self.cursor.clone().filter(|_| self.sends_cursor) {
            Some(cursor) => {
                let moves = self.state.resume_after(&cursor);
                self.move_handle(&moves);
            }
            // Without a cursor a poll waits for the fate of the answer before it.
            None => self.tell_fate(),
        }
        if self.state.awaits_fate() {
            return Ok(());
        }
        self.take(most);
        let answer = std::mem::take(&mut self.gathered);
        if answer.is_empty() {
            return Ok(());
        }
        let cursor = self.state.cursor();
        let number = self.state.send();
        if network.received {
            for (partition, record) in answer {
                prop_assert_eq!(
                    record,
                    self.expected[partition],
                    "of partition {}",
                    partition
                );
                self.expected[partition] = record + 1;
            }
            self.cursor = Some(cursor);
        }
        // A client without cursors can only be told from the fate; one with them, never mind.
        self.open_fate = Some((number, network.received));
        if network.told {
            self.tell_fate();
        }
        Ok(())
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn a_client_sees_each_record_once_and_in_order(
        steps in prop::collection::vec(step(), 0..60),
        sends_cursor: bool,
    ) {
        let mut model = Model::new(sends_cursor);
        for step in steps {
            model.run(step)?;
        }
    }

    #[test]
    fn a_client_with_cursors_needs_no_truthful_fate(
        steps in prop::collection::vec((step(), any::<bool>()), 0..60),
    ) {
        let mut model = Model::new(true);
        // The first answer has no cursor before it that could bring it again.
        model.cursor = Some(model.state.cursor());
        for (step, lie) in steps {
            model.run(step)?;
            if lie && let Some((_, delivered)) = &mut model.open_fate {
                *delivered = !*delivered;
            }
        }
    }
}
