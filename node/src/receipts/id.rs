//! Names of requests that are answered before they are done.

use std::fmt;
use std::str::FromStr;

use sluice_types::{Incarnation, NodeId, Timestamp};
use uuid::Uuid;

const PREFIX: &str = "req_";
/// Hexadecimal digits: time, number, incarnation, checksum.
const DIGITS: [usize; 4] = [12, 16, 16, 8];

/// Names a request that was answered before it was done: which run of which node took it, and
/// when. As text: `req_`, then time, a number, the incarnation and a checksum in hexadecimal, `_`
/// and the node's name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RequestId {
    /// Who took it.
    pub(crate) node: NodeId,
    /// When.
    pub(crate) taken: Timestamp,
    /// Tells it from others of that node.
    pub(crate) number: u64,
}

/// A text that is no id of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("that is no id of a request")]
pub(crate) struct NoId;

impl RequestId {
    /// A new id.
    pub(crate) fn new(node: NodeId, taken: Timestamp) -> Self {
        Self {
            node,
            taken,
            number: Uuid::new_v4().as_u64_pair().0,
        }
    }

    /// What tells a mistyped id from one that was given.
    fn checksum(&self) -> u32 {
        let mut sum = crc32fast::Hasher::new();
        sum.update(&self.taken.as_millis().to_be_bytes());
        sum.update(&self.number.to_be_bytes());
        sum.update(&self.node.incarnation.get().to_be_bytes());
        sum.update(self.node.name.as_str().as_bytes());
        sum.finalize()
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (time, number) = (self.taken.as_millis(), self.number);
        let (incarnation, name) = (self.node.incarnation.get(), &self.node.name);
        let sum = self.checksum();
        write!(
            f,
            "{PREFIX}{time:012x}{number:016x}{incarnation:016x}{sum:08x}_{name}"
        )
    }
}

impl FromStr for RequestId {
    type Err = NoId;

    fn from_str(text: &str) -> Result<Self, NoId> {
        let mut rest = text.strip_prefix(PREFIX).ok_or(NoId)?;
        let mut numbers = [0; DIGITS.len()];
        for (number, digits) in numbers.iter_mut().zip(DIGITS) {
            let (hex, after) = rest.split_at_checked(digits).ok_or(NoId)?;
            let is_ours = |byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
            let hex = Some(hex).filter(|hex| hex.bytes().all(is_ours));
            *number = u64::from_str_radix(hex.ok_or(NoId)?, 16).map_err(|_| NoId)?;
            rest = after;
        }
        let [taken, number, incarnation, sum] = numbers;
        let name = rest.strip_prefix('_').ok_or(NoId)?;
        let id = Self {
            node: NodeId {
                name: name.parse().map_err(|_| NoId)?,
                incarnation: Incarnation::from_number(incarnation),
            },
            taken: Timestamp::from_millis(i64::try_from(taken).map_err(|_| NoId)?),
            number,
        };
        Some(id)
            .filter(|id| u64::from(id.checksum()) == sum)
            .ok_or(NoId)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn id(name: &str) -> RequestId {
        let node = NodeId {
            name: name.parse().unwrap(),
            incarnation: Incarnation::random(),
        };
        RequestId::new(node, Timestamp::from_millis(1_704_545_600_123))
    }

    #[test]
    fn an_id_reads_back_and_names_its_node_and_time() {
        for name in ["sluice-0", "a_b.c-d", "x"] {
            let id = id(name);
            let text = id.to_string();
            assert!(text.starts_with("req_018cded5"), "{text}");
            assert!(text.ends_with(name), "{text}");
            assert_eq!(text.parse(), Ok(id));
        }
    }

    #[test]
    fn what_was_never_given_is_no_id() {
        let text = id("sluice-0").to_string();
        let typo = text.replace("sluice-0", "sluice-1");
        let upper = text.to_uppercase();
        for no_id in [
            "",
            "req_",
            "req_é",
            &text[..60],
            &typo,
            &upper,
            &format!(" {text}"),
        ] {
            assert_eq!(no_id.parse::<RequestId>(), Err(NoId), "{no_id}");
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "(req_)?[0-9a-fé_]{0,80}") {
            let _ = text.parse::<RequestId>();
        }
    }
}
