//! What a leader does when there is nothing urgent. Pure.

use std::collections::BTreeSet;
use std::time::Duration;

use sluice_types::Timestamp;

use crate::{Command, Node, NodeState, RaftId, Registry};

/// Commands that keep the registry in order; the same again until they are applied.
///
/// The version is raised when every node knows a later one. A node that has been dead for
/// `forget_after` is forgotten, but not before its sessions have other owners and its member, of
/// `members`, takes no part in the consensus: as long as it counts there, people are to see why
/// there is no larger majority.
pub(super) fn due(
    registry: &Registry,
    members: &BTreeSet<RaftId>,
    forget_after: Duration,
    at: Timestamp,
) -> Vec<Command> {
    let raise = registry.next_version();
    let raise = raise.map(|to| Command::RaiseVersion { to });
    let is_long_dead = |node: &&Node| {
        let dead_for = at.as_millis().saturating_sub(node.since.as_millis());
        let dead_for = Duration::from_millis(u64::try_from(dead_for).unwrap_or_default());
        node.state == NodeState::Dead && dead_for >= forget_after
    };
    let is_needless =
        |node: &&Node| registry.count_of(&node.id) == 0 && !members.contains(&node.raft_id);
    let forgotten = registry.nodes().filter(is_long_dead).filter(is_needless);
    let remove = forgotten.map(|node| Command::RemoveNode {
        node: node.id.clone(),
        at,
    });
    raise.into_iter().chain(remove).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Version;
    use crate::registry::tests::{change_node, create_on, node, registration};

    /// So long after the death.
    fn seconds(seconds: i64) -> Timestamp {
        Timestamp::from_millis(1_000 * (seconds + 1))
    }

    /// Node "a", which lives, and "b", which died at the first second.
    fn registry_with_a_dead_node() -> Registry {
        let mut registry = crate::registry::tests::registry_of(&["a", "b"]);
        registry.apply(create_on(node("b"), "c", 1));
        registry.apply(change_node(node("b"), 0, NodeState::Dead));
        registry
    }

    fn due_at(registry: &Registry, members: &[RaftId], at: Timestamp) -> Vec<Command> {
        let members = members.iter().copied().collect();
        due(registry, &members, Duration::from_secs(600), at)
    }

    #[test]
    fn the_dead_are_forgotten_when_nothing_of_them_is_left() {
        let mut registry = registry_with_a_dead_node();
        let member = registry.nodes().last().map(|node| node.raft_id);
        let at = seconds(600);
        assert_eq!(due_at(&registry, &[], at), [], "it owns a session");
        registry.apply(crate::registry::tests::delete(1));
        registry.apply(crate::registry::tests::gone(2));
        assert_eq!(due_at(&registry, &[], seconds(599)), [], "not long dead");
        let members: Vec<RaftId> = member.into_iter().collect();
        assert_eq!(due_at(&registry, &members, at), [], "it counts still");
        let removal = [Command::RemoveNode {
            node: node("b"),
            at,
        }];
        assert_eq!(due_at(&registry, &[], at), removal);
        let [remove] = removal;
        registry.apply(remove);
        assert_eq!(due_at(&registry, &[], at), []);
    }

    #[test]
    fn the_version_is_raised_when_all_know_a_later_one() {
        let mut registry = Registry::default();
        for (name, version) in [("a", 3), ("b", 2)] {
            let mut registration = registration(node(name), None);
            registration.version = Version::from_number(version);
            registry.apply(Command::Register(registration));
        }
        let to = Version::from_number(2);
        let due = due_at(&registry, &[], seconds(0));
        assert_eq!(due, [Command::RaiseVersion { to }]);
        registry.apply(Command::RaiseVersion { to });
        assert_eq!(due_at(&registry, &[], seconds(0)), []);
    }
}
