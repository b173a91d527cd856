//! Where this node has placed sessions that its copy of the registry may not show yet.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use sluice_types::NodeId;
use tokio::time::Instant;

/// How long a session takes to be in the registry, once it has been placed. Counted twice for a
/// moment, on all nodes alike, it does no harm.
const UNSEEN: Duration = Duration::from_millis(500);

/// The placements of the last moment: without them, subscribes that come at once would all go to
/// the node that is the least loaded now.
#[derive(Debug, Default)]
pub(super) struct Placed(Mutex<VecDeque<(Instant, NodeId)>>);

impl Placed {
    /// Chooses a node, which is told where sessions have gone lately, and remembers it.
    pub(super) fn choose<E>(
        &self,
        now: Instant,
        choose: impl FnOnce(&mut dyn Iterator<Item = &NodeId>) -> Result<NodeId, E>,
    ) -> Result<NodeId, E> {
        let mut placed = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        while placed.pop_front_if(|(at, _)| *at + UNSEEN <= now).is_some() {}
        let node = choose(&mut placed.iter().map(|(_, node)| node))?;
        placed.push_back((now, node.clone()));
        Ok(node)
    }
}

#[cfg(test)]
mod tests {
    use sluice_types::Incarnation;

    use super::*;

    #[test]
    fn what_was_placed_lately_is_told_for_a_moment() {
        let node = NodeId {
            name: "n".parse().unwrap(),
            incarnation: Incarnation::random(),
        };
        let placed = Placed::default();
        let now = Instant::now();
        let told = |at: Duration| {
            let mut count = 0;
            let chosen = placed.choose(now + at, |lately| {
                count = lately.count();
                Ok::<_, ()>(node.clone())
            });
            assert_eq!(chosen, Ok(node.clone()));
            count
        };
        assert_eq!(told(Duration::ZERO), 0);
        assert_eq!(told(Duration::from_millis(100)), 1);
        assert_eq!(told(UNSEEN), 1);
    }
}
