//! Who has been refused on the internal port.

use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};

use super::Refused;

/// Most strangers that are told apart; whoever sends ever new names fills no memory and no log.
const REMEMBERED: usize = 1000;

/// Notes strangers, so that each is logged once and not with each of its tries.
#[derive(Debug, Default)]
pub(crate) struct Strangers(Mutex<HashSet<(String, Refused)>>);

impl Strangers {
    /// Logs a stranger, the first time.
    pub(crate) fn note(&self, sender: &str, refused: Refused) {
        if self.is_new(sender, refused) {
            tracing::warn!(sender, reason = %refused, "refused a request on the internal port");
        }
    }

    fn is_new(&self, sender: &str, refused: Refused) -> bool {
        let mut noted = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        noted.len() < REMEMBERED && noted.insert((sender.to_owned(), refused))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stranger_is_noted_once_for_each_reason() {
        let strangers = Strangers::default();
        assert!(strangers.is_new("a", Refused::Secret));
        assert!(!strangers.is_new("a", Refused::Secret));
        assert!(strangers.is_new("a", Refused::Cluster));
        assert!(strangers.is_new("b", Refused::Secret));
    }

    #[test]
    fn strangers_with_ever_new_names_are_not_remembered_for_ever() {
        let strangers = Strangers::default();
        let new = (0..2 * REMEMBERED).filter(|n| strangers.is_new(&n.to_string(), Refused::Secret));
        assert_eq!(new.count(), REMEMBERED);
    }
}
