//! The cursor of an answer: where the client stands if it really has that answer.
//!
//! ```text
//! version 1 | crc32 of the consumer id | creation stamp | flags | seek_seq | generation
//!           | { topic index | count | { partition | offset }* }* | crc32 of all before
//! ```
//! Numbers behind the stamp are LEB128; topics are numbered in the order of the session's sorted
//! topic names. The whole is base64url. It gives no right that a seek does not give, so it is
//! protected against damage, not against forgery.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sluice_types::{ConsumerId, CreationStamp, Offset, Partition, SeekSeq};

/// Longest cursor, in characters.
pub(crate) const MAX_LEN: usize = 16 * 1024;
const VERSION: u8 = 1;
const MANUAL: u8 = 1;
const CRC_LEN: usize = 4;

/// A position in a cursor: the topic by its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct CursorPosition {
    pub(crate) topic: u32,
    pub(crate) partition: Partition,
    pub(crate) offset: Offset,
}

/// Where a client stood after an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Cursor {
    /// The life of the id in which the answer was given.
    pub(crate) life: CreationStamp,
    /// Whether the session was manually assigned then.
    pub(crate) manual: bool,
    /// The last seek before the answer.
    pub(crate) seek_seq: SeekSeq,
    /// The assignment's generation then.
    pub(crate) generation: i32,
    /// Sorted by topic.
    pub(crate) positions: Vec<CursorPosition>,
}

/// The cursor of a client that has been told nothing: whatever the session holds goes on where it
/// stands.
pub fn cursor_of_nothing(id: &ConsumerId, life: CreationStamp) -> String {
    let nothing = Cursor {
        life,
        manual: false,
        seek_seq: SeekSeq::NONE,
        generation: 0,
        positions: Vec::new(),
    };
    nothing.encode(id)
}

impl Cursor {
    /// Writes the cursor. Positions that would make it longer than [`MAX_LEN`] are left out:
    /// about 1,000 fit at any offset.
    pub(crate) fn encode(&self, id: &ConsumerId) -> String {
        let mut bytes = Vec::with_capacity(64 + self.positions.len() * 8);
        bytes.push(VERSION);
        bytes.extend_from_slice(&crc32fast::hash(id.as_str().as_bytes()).to_be_bytes());
        bytes.extend_from_slice(&self.life.get().to_be_bytes());
        bytes.push(if self.manual { MANUAL } else { 0 });
        put(&mut bytes, self.seek_seq.get());
        put(&mut bytes, u64::from(self.generation.max(0).unsigned_abs()));
        let limit = MAX_LEN / 4 * 3 - CRC_LEN;
        for of_topic in self.positions.chunk_by(|a, b| a.topic == b.topic) {
            put_topic(&mut bytes, of_topic, limit);
        }
        let crc = crc32fast::hash(&bytes);
        bytes.extend_from_slice(&crc.to_be_bytes());
        URL_SAFE_NO_PAD.encode(bytes)
    }

    /// Reads a cursor of this session.
    ///
    /// # Errors
    /// What is wrong with it, to stand behind "the cursor".
    pub(crate) fn decode(text: &str, id: &ConsumerId) -> Result<Self, &'static str> {
        const DAMAGED: &str = "is damaged: send it exactly as it was received";
        if text.len() > MAX_LEN {
            return Err("is longer than any that was given out");
        }
        let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| DAMAGED)?;
        let (content, crc) = bytes.split_last_chunk::<CRC_LEN>().ok_or(DAMAGED)?;
        if crc32fast::hash(content).to_be_bytes() != *crc {
            return Err(DAMAGED);
        }
        let mut rest = content;
        if take::<1>(&mut rest).ok_or(DAMAGED)? != [VERSION] {
            return Err("is of a version that this node does not know");
        }
        let owner = take::<4>(&mut rest).ok_or(DAMAGED)?;
        if owner != crc32fast::hash(id.as_str().as_bytes()).to_be_bytes() {
            return Err("is another session's");
        }
        Self::decode_content(&mut rest).ok_or(DAMAGED)
    }

    fn decode_content(rest: &mut &[u8]) -> Option<Self> {
        let life = CreationStamp::from_number(u64::from_be_bytes(take::<8>(rest)?));
        let [flags] = take::<1>(rest)?;
        let seek_seq = SeekSeq::from_number(get(rest)?);
        let generation = i32::try_from(get(rest)?).ok()?;
        let mut positions = Vec::new();
        while !rest.is_empty() {
            let topic = u32::try_from(get(rest)?).ok()?;
            for _ in 0..get(rest)? {
                let partition = Partition::new(i32::try_from(get(rest)?).ok()?).ok()?;
                let offset = Offset::new(i64::try_from(get(rest)?).ok()?).ok()?;
                positions.push(CursorPosition {
                    topic,
                    partition,
                    offset,
                });
            }
        }
        Some(Self {
            life,
            manual: flags & MANUAL != 0,
            seek_seq,
            generation,
            positions,
        })
    }
}

fn put_topic(bytes: &mut Vec<u8>, positions: &[CursorPosition], limit: usize) {
    let mut encoded = Vec::new();
    let mut count = 0;
    // Topic number and count take at most ten bytes.
    let room = limit.saturating_sub(bytes.len() + 10);
    for position in positions {
        let before = encoded.len();
        put(
            &mut encoded,
            u64::from(position.partition.get().unsigned_abs()),
        );
        put(&mut encoded, position.offset.get().unsigned_abs());
        if encoded.len() > room {
            encoded.truncate(before);
            break;
        }
        count += 1;
    }
    if let Some(first) = positions.first()
        && count > 0
    {
        put(bytes, u64::from(first.topic));
        put(bytes, count);
        bytes.extend_from_slice(&encoded);
    }
}

fn put(bytes: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        bytes.push((number & 0x7f) as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
}

fn get(rest: &mut &[u8]) -> Option<u64> {
    let mut number = 0u64;
    for shift in (0..64).step_by(7) {
        let [byte] = take::<1>(rest)?;
        let bits = u64::from(byte & 0x7f);
        if shift == 63 && bits > 1 {
            return None;
        }
        number |= bits << shift;
        if byte & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}

fn take<const N: usize>(rest: &mut &[u8]) -> Option<[u8; N]> {
    let (taken, left) = rest.split_first_chunk::<N>()?;
    *rest = left;
    Some(*taken)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn id() -> ConsumerId {
        "c-1".parse().unwrap()
    }

    fn cursor(positions: Vec<CursorPosition>) -> Cursor {
        Cursor {
            life: CreationStamp::from_number(42),
            manual: false,
            seek_seq: SeekSeq::from_number(3),
            generation: 7,
            positions,
        }
    }

    fn position(topic: u32, partition: i32, offset: i64) -> CursorPosition {
        CursorPosition {
            topic,
            partition: Partition::new(partition).unwrap(),
            offset: Offset::new(offset).unwrap(),
        }
    }

    #[test]
    fn another_sessions_cursor_is_refused() {
        let text = cursor(vec![position(0, 0, 5)]).encode(&id());
        let other: ConsumerId = "c-2".parse().unwrap();
        assert_eq!(Cursor::decode(&text, &other), Err("is another session's"));
    }

    #[test]
    fn a_thousand_partitions_fit_at_any_offset() {
        let positions: Vec<_> = (0..1000).map(|p| position(0, p, (1 << 55) + 1)).collect();
        let text = cursor(positions.clone()).encode(&id());
        assert!(text.len() <= MAX_LEN);
        assert_eq!(Cursor::decode(&text, &id()).unwrap().positions, positions);
    }

    #[test]
    fn what_does_not_fit_is_left_out() {
        let positions: Vec<_> = (0..20_000).map(|p| position(0, p, i64::MAX - 1)).collect();
        let text = cursor(positions.clone()).encode(&id());
        assert!(text.len() <= MAX_LEN);
        let kept = Cursor::decode(&text, &id()).unwrap().positions;
        assert!(kept.len() >= 1000);
        assert_eq!(kept, positions[..kept.len()]);
    }

    proptest! {
        #[test]
        fn a_cursor_is_read_back(
            mut entries in prop::collection::vec((0u32..3, 0i32..50, 0i64..i64::MAX), 0..60),
            generation in 0..i32::MAX,
            manual: bool,
        ) {
            entries.sort_by_key(|(topic, ..)| *topic);
            let positions = entries.into_iter().map(|(t, p, o)| position(t, p, o)).collect();
            let written = Cursor { generation, manual, ..cursor(positions) };
            prop_assert_eq!(Cursor::decode(&written.encode(&id()), &id()), Ok(written));
        }

        #[test]
        fn any_text_is_read_or_refused(text in ".{0,200}") {
            let _ = Cursor::decode(&text, &id());
        }

        #[test]
        fn any_content_under_a_right_checksum_is_read_or_refused(
            mut bytes in prop::collection::vec(any::<u8>(), 0..200),
        ) {
            let mut framed = vec![VERSION];
            framed.extend_from_slice(&crc32fast::hash(b"c-1").to_be_bytes());
            framed.append(&mut bytes);
            let crc = crc32fast::hash(&framed);
            framed.extend_from_slice(&crc.to_be_bytes());
            let _ = Cursor::decode(&URL_SAFE_NO_PAD.encode(framed), &id());
        }

        #[test]
        fn a_damaged_character_is_noticed(index in 0usize..40) {
            let text = cursor(vec![position(0, 1, 99), position(1, 2, 1 << 40)]).encode(&id());
            let mut damaged: Vec<u8> = text.into_bytes();
            let index = index % damaged.len();
            damaged[index] = if damaged[index] == b'A' { b'B' } else { b'A' };
            let damaged = String::from_utf8(damaged).unwrap();
            prop_assert!(Cursor::decode(&damaged, &id()).is_err());
        }
    }
}
