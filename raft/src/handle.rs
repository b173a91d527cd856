//! All that a node sees of this crate.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use sluice_types::{ConsumerId, GroupId, NodeId, NodeName};

use crate::consensus::Asking;
use crate::replica::Replica;
use crate::{
    Changes, Command, Error, Node, Outcome, Registration, SessionView, SessionWatch, placement,
};

/// The registry. Clones are the same one.
#[derive(Clone, Debug)]
pub struct RegistryHandle {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    replica: Arc<Replica>,
    /// `None`: the replica is all there is.
    asking: Option<Asking>,
    has_quorum: AtomicBool,
}

impl RegistryHandle {
    /// A registry of this process alone, empty: it ends with the process. Its node has to register
    /// as in any other before it can own a session.
    pub fn in_memory() -> Self {
        Self::new(Arc::new(Replica::new()), None)
    }

    /// A registry of this process alone in which its node is registered: it ends with the process.
    pub fn in_memory_of(node: Registration) -> Self {
        let replica = Replica::new();
        replica.apply(Command::Register(node));
        Self::new(Arc::new(replica), None)
    }

    /// The registry of a cluster: this process's replica of it, and how the others are asked.
    pub(crate) fn replicated(replica: Arc<Replica>, asking: Asking) -> Self {
        Self::new(replica, Some(asking))
    }

    fn new(replica: Arc<Replica>, asking: Option<Asking>) -> Self {
        Self {
            shared: Arc::new(Shared {
                replica,
                asking,
                has_quorum: AtomicBool::new(true),
            }),
        }
    }

    /// Whether what it holds outlives this process.
    pub fn is_durable(&self) -> bool {
        self.shared.asking.is_some()
    }

    /// Has the command applied, and says what became of it. What it says has happened survives
    /// what the registry survives.
    ///
    /// A dropped future leaves open whether the command takes effect.
    ///
    /// # Errors
    /// [`Error::NoQuorum`]: nothing has changed. [`Error::OutcomeUnknown`]: propose again to
    /// learn it, a command takes effect once.
    pub async fn propose(&self, command: Command) -> Result<Outcome, Error> {
        self.check_quorum()?;
        match &self.shared.asking {
            Some(asking) => asking.propose(command).await,
            None => Ok(self.shared.replica.apply(command)),
        }
    }

    /// The session as this node knows it, which may lag behind what others have been told.
    pub fn lookup(&self, id: &ConsumerId) -> Option<SessionView> {
        self.shared.replica.lookup(id)
    }

    /// Waits until this node knows all that the registry held when this was called.
    ///
    /// # Errors
    /// [`Error::NoQuorum`].
    pub async fn catch_up(&self) -> Result<(), Error> {
        self.check_quorum()?;
        match &self.shared.asking {
            Some(asking) => asking.catch_up().await,
            None => Ok(()),
        }
    }

    /// The session as it is at some time between call and answer.
    ///
    /// # Errors
    /// [`Error::NoQuorum`].
    pub async fn lookup_linearizable(&self, id: &ConsumerId) -> Result<Option<SessionView>, Error> {
        self.catch_up().await?;
        Ok(self.lookup(id))
    }

    /// At most `limit` living sessions behind `after`, by id, as this node knows them; with a
    /// group, those of that group.
    pub fn list(
        &self,
        group: Option<&GroupId>,
        after: Option<&ConsumerId>,
        limit: usize,
    ) -> Vec<SessionView> {
        let asked = |session: &&SessionView| {
            session.is_active() && group.is_none_or(|group| session.spec.group_id == *group)
        };
        let registry = self.shared.replica.read();
        let sessions = registry.sessions_after(after).filter(asked);
        sessions.take(limit).cloned().collect()
    }

    /// The sessions of a node, those being deleted too, as this node knows them.
    pub fn owned_by(&self, node: &NodeId) -> Vec<SessionView> {
        let registry = self.shared.replica.read();
        registry.owned_by(node).cloned().collect()
    }

    /// How many sessions of other nodes have yet to take up what was handed over to them, as this
    /// node knows it. Looks at every session.
    pub fn on_their_way_from(&self, node: &NodeId) -> usize {
        let registry = self.shared.replica.read();
        let is_on_its_way = |session: &&SessionView| {
            let handed_over = session.handed_over.as_deref();
            session.owner != *node && handed_over.is_some_and(|left| !left.is_used)
        };
        registry.sessions_after(None).filter(is_on_its_way).count()
    }

    /// The node of this name in its latest incarnation, as this node knows it.
    pub fn node(&self, name: &NodeName) -> Option<Node> {
        self.shared.replica.read().node(name).cloned()
    }

    /// Every node, by name, as this node knows them.
    pub fn nodes(&self) -> Vec<Node> {
        self.shared.replica.read().nodes().cloned().collect()
    }

    /// The node that should begin the next session, where it weighs least. `lately` are the nodes
    /// of sessions that are on their way into the registry.
    ///
    /// # Errors
    /// [`NoPlace::Full`](placement::NoPlace::Full) only when all nodes are full.
    pub fn place<'a>(
        &self,
        is_ready: impl Fn(&NodeId) -> bool,
        lately: impl IntoIterator<Item = &'a NodeId>,
    ) -> Result<NodeId, placement::NoPlace> {
        let registry = self.shared.replica.read();
        let mut loads = placement::Loads::of(&registry, is_ready);
        lately.into_iter().for_each(|node| loads.weigh_down(node));
        loads.place_new()
    }

    /// Follows a session, whether or not it exists yet.
    pub fn watch(&self, id: &ConsumerId) -> SessionWatch {
        self.shared.replica.watch(id)
    }

    /// Follows the whole registry.
    pub fn changes(&self) -> Changes {
        self.shared.replica.changes()
    }

    /// Behaves from now on as if a majority were lost, or were back. For tests.
    pub fn set_quorum_for_tests(&self, has_quorum: bool) {
        self.shared.has_quorum.store(has_quorum, Ordering::SeqCst);
    }

    fn check_quorum(&self) -> Result<(), Error> {
        if self.shared.has_quorum.load(Ordering::SeqCst) {
            Ok(())
        } else {
            Err(Error::NoQuorum)
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use sluice_types::Timestamp;

    use super::*;
    use crate::NodeState;
    use crate::registry::tests::{
        change_node, claim, create, delete, gone, id, node, register, registration,
    };

    /// A registry in which node "a" is registered.
    fn registry_of_a() -> RegistryHandle {
        RegistryHandle::in_memory_of(registration(node("a"), None))
    }

    async fn registry_after(commands: impl IntoIterator<Item = Command>) -> RegistryHandle {
        let registry = registry_of_a();
        for command in commands {
            registry.propose(command).await.unwrap();
        }
        registry
    }

    fn ids(sessions: &[SessionView]) -> Vec<&str> {
        sessions.iter().map(|session| session.id.as_str()).collect()
    }

    #[tokio::test]
    async fn what_is_proposed_is_found() {
        let registry = registry_after([create("c", 1)]).await;
        let found = registry.lookup(&id("c"));
        assert_eq!(
            found.as_ref().map(|session| session.claim()),
            Some(claim("c", 1))
        );
        assert_eq!(registry.lookup_linearizable(&id("c")).await, Ok(found));
        assert_eq!(registry.lookup_linearizable(&id("d")).await, Ok(None));
    }

    #[tokio::test]
    async fn only_a_node_that_has_registered_owns_sessions() {
        let registry = RegistryHandle::in_memory();
        let refused = registry.propose(create("c", 1)).await;
        assert_eq!(refused, Ok(Outcome::NotAlive));
        assert_eq!(registry.nodes(), []);
        registry.propose(register("a", 1)).await.unwrap();
        let created = registry.propose(create("c", 1)).await;
        assert!(matches!(created, Ok(Outcome::Done(_))), "{created:?}");
    }

    #[tokio::test]
    async fn without_a_quorum_nothing_changes_but_the_copy_here_answers() {
        let registry = registry_after([create("c", 1)]).await;
        registry.set_quorum_for_tests(false);
        assert_eq!(registry.propose(delete(1)).await, Err(Error::NoQuorum));
        assert_eq!(
            registry.lookup_linearizable(&id("c")).await,
            Err(Error::NoQuorum)
        );
        assert!(
            registry
                .lookup(&id("c"))
                .is_some_and(|session| session.is_active())
        );
        registry.set_quorum_for_tests(true);
        assert!(registry.propose(delete(1)).await.is_ok());
    }

    #[tokio::test]
    async fn living_sessions_are_listed_page_by_page() {
        let registry = registry_after([
            create("a", 1),
            create("b", 2),
            create("c", 3),
            create("d", 4),
            delete(1),
        ])
        .await;
        assert_eq!(ids(&registry.list(None, None, 2)), ["a", "b"]);
        assert_eq!(ids(&registry.list(None, Some(&id("b")), 2)), ["d"]);
        let group = "g".parse().unwrap();
        assert_eq!(ids(&registry.list(Some(&group), None, 1)), ["a"]);
        let other = "h".parse().unwrap();
        assert!(registry.list(Some(&other), None, 1).is_empty());
        assert_eq!(ids(&registry.owned_by(&node("a"))), ["a", "b", "c", "d"]);
    }

    #[tokio::test]
    async fn a_watch_sees_every_life_of_its_id_and_nothing_of_others() {
        let registry = registry_of_a();
        let mut watch = registry.watch(&id("c"));
        assert_eq!(watch.current(), None);
        registry.propose(create("d", 9)).await.unwrap();
        assert!(!has_changed(&mut watch).await, "woken by another session");
        for (command, is_there) in [(create("c", 1), true), (delete(1), true), (gone(2), false)] {
            registry.propose(command).await.unwrap();
            assert!(has_changed(&mut watch).await, "not woken");
            assert_eq!(watch.current().is_some(), is_there);
        }
    }

    /// Whether the watch has a change, now.
    async fn has_changed(watch: &mut SessionWatch) -> bool {
        tokio::select! {
            biased;
            () = watch.changed() => true,
            () = std::future::ready(()) => false,
        }
    }

    #[tokio::test]
    async fn a_watch_that_comes_later_sees_what_is_there() {
        let registry = registry_after([create("c", 1)]).await;
        let first = registry.watch(&id("c"));
        let owner = node("a");
        let claims = BTreeMap::from([(id("c"), claim("c", 1).epoch)]);
        registry
            .propose(Command::Open { owner, claims })
            .await
            .unwrap();
        let mut second = registry.watch(&id("c"));
        drop(first);
        let seen = second.current().map(|session| session.claim());
        assert_eq!(seen, Some(claim("c", 2)));
        registry.propose(delete(2)).await.unwrap();
        assert!(
            second
                .current()
                .is_some_and(|session| session.is_deleting())
        );
    }

    #[tokio::test]
    async fn what_becomes_of_a_node_wakes_those_who_follow_its_sessions_or_the_whole() {
        let registry = registry_after([register("b", 1), create("c", 1)]).await;
        let mut of_a = registry.watch(&id("c"));
        let mut changes = registry.changes();
        let about_a = [
            change_node(node("a"), 0, NodeState::Draining),
            change_node(node("a"), 1, NodeState::Dead),
            register("a", 2),
        ];
        for command in about_a {
            let before = of_a.current();
            let applied = registry.propose(command.clone()).await;
            assert_eq!(applied, Ok(Outcome::Applied), "{command:?}");
            assert!(has_changed(&mut of_a).await, "not woken by {command:?}");
            assert_eq!(of_a.current(), before);
            assert!(any_change(&mut changes).await, "not woken by {command:?}");
        }
        let about_b = [
            change_node(node("b"), 0, NodeState::Dead),
            Command::RemoveNode {
                node: node("b"),
                at: Timestamp::from_millis(2),
            },
        ];
        for command in about_b {
            registry.propose(command.clone()).await.unwrap();
            assert!(!has_changed(&mut of_a).await, "woken by {command:?}");
            assert!(any_change(&mut changes).await, "not woken by {command:?}");
        }
    }

    /// Whether anything has changed, now.
    async fn any_change(changes: &mut Changes) -> bool {
        tokio::select! {
            biased;
            () = changes.changed() => true,
            () = std::future::ready(()) => false,
        }
    }

    #[tokio::test]
    async fn any_change_wakes_those_who_follow_the_whole() {
        let registry = registry_of_a();
        let mut changes = registry.changes();
        registry.propose(create("c", 1)).await.unwrap();
        changes.changed().await;
        let nothing_new = registry.propose(create("c", 2)).await.unwrap();
        assert!(matches!(nothing_new, Outcome::Exists(_)));
        assert!(!any_change(&mut changes).await);
    }
}
