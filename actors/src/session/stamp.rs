//! What a session writes into Kafka's commit metadata: whose commit it is.

use std::fmt;
use std::str::FromStr;

use sluice_types::{CreationStamp, SeekSeq};

/// Marks a commit as one of a session's life, made after a certain seek.
///
/// With it a later owner can tell whether a commit it finds was made before or after a seek
/// whose point still stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct CommitStamp {
    pub(crate) life: CreationStamp,
    pub(crate) seek_seq: SeekSeq,
    pub(crate) number: u64,
}

impl fmt::Display for CommitStamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            life,
            seek_seq,
            number,
        } = self;
        write!(
            f,
            "sluice/1 {:016x} {} {number}",
            life.get(),
            seek_seq.get()
        )
    }
}

/// The text is not a session's.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct NotAStamp;

impl FromStr for CommitStamp {
    type Err = NotAStamp;

    fn from_str(text: &str) -> Result<Self, NotAStamp> {
        let mut words = text.split(' ');
        if words.next() != Some("sluice/1") {
            return Err(NotAStamp);
        }
        let life = words
            .next()
            .and_then(|word| u64::from_str_radix(word, 16).ok());
        let seek_seq = words.next().and_then(|word| word.parse().ok());
        let number = words.next().and_then(|word| word.parse().ok());
        match (life, seek_seq, number, words.next()) {
            (Some(life), Some(seek_seq), Some(number), None) => Ok(Self {
                life: CreationStamp::from_number(life),
                seek_seq: SeekSeq::from_number(seek_seq),
                number,
            }),
            _ => Err(NotAStamp),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stamp_is_read_back() {
        let stamp = CommitStamp {
            life: CreationStamp::from_number(0xfeed),
            seek_seq: SeekSeq::from_number(3),
            number: 12,
        };
        assert_eq!(stamp.to_string(), "sluice/1 000000000000feed 3 12");
        assert_eq!(stamp.to_string().parse(), Ok(stamp));
    }

    #[test]
    fn other_clients_metadata_is_no_stamp() {
        for text in [
            "",
            "hello",
            "sluice/1",
            "sluice/2 0 0 0",
            "sluice/1 0 0 0 0",
            "sluice/1 x 0 0",
        ] {
            assert_eq!(text.parse::<CommitStamp>(), Err(NotAStamp), "{text:?}");
        }
    }
}
