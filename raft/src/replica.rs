//! The registry as this process has it, and those who wait for it to change.

use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use sluice_types::{ConsumerId, NodeName};
use tokio::sync::watch;

use crate::watch::Watchers;
use crate::{Changes, Command, Outcome, Registry, SessionView, SessionWatch};

/// A copy of the registry that commands are applied to, in the log's order.
#[derive(Debug)]
pub(crate) struct Replica {
    registry: RwLock<Registry>,
    watchers: Watchers,
    /// How many entries of the log the copy has: the index of the next one.
    applied: watch::Sender<u64>,
}

impl Replica {
    pub(crate) fn new() -> Self {
        Self {
            registry: RwLock::default(),
            watchers: Watchers::new(),
            applied: watch::Sender::new(0),
        }
    }

    /// Makes a change, and tells those who follow what it changes.
    pub(crate) fn apply(&self, command: Command) -> Outcome {
        let mut registry = self.write();
        let is_end = matches!(command, Command::Gone { .. });
        let node = node_of(&command);
        let outcome = registry.apply(command);
        // Told under the lock, so that nobody is told of two changes in the wrong order.
        match outcome {
            // Sessions may have lost their owner with it, though they stay as they are: what
            // their followers wait for has changed.
            Outcome::Applied => self.watchers.publish_all(
                |id| registry.session(id).cloned(),
                |session| node.as_ref() == Some(&session.owner.name),
            ),
            _ => self.watchers.publish(changed(&outcome, is_end)),
        }
        outcome
    }

    /// Takes another registry for this one, as a snapshot brings it.
    pub(crate) fn replace(&self, registry: Registry) {
        let mut held = self.write();
        *held = registry;
        // Any node may have ended meanwhile.
        self.watchers
            .publish_all(|id| held.session(id).cloned(), |_| true);
    }

    /// Says that all entries of the log before `next` have been applied.
    pub(crate) fn has_applied(&self, next: u64) {
        self.applied.send_replace(next);
    }

    /// How many entries of the log have been applied.
    pub(crate) fn applied(&self) -> u64 {
        *self.applied.borrow()
    }

    /// Waits until all entries of the log before `next` have been applied.
    pub(crate) async fn wait_applied(&self, next: u64) {
        // The sender is here: it does not go before the wait does.
        let _ = self.applied.subscribe().wait_for(|n| *n >= next).await;
    }

    pub(crate) fn lookup(&self, id: &ConsumerId) -> Option<SessionView> {
        self.read().session(id).cloned()
    }

    pub(crate) fn watch(&self, id: &ConsumerId) -> SessionWatch {
        let registry = self.read();
        self.watchers.watch(id, || registry.session(id).cloned())
    }

    pub(crate) fn changes(&self) -> Changes {
        self.watchers.changes()
    }

    pub(crate) fn read(&self) -> RwLockReadGuard<'_, Registry> {
        self.registry.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Registry> {
        let lock = self.registry.write();
        lock.unwrap_or_else(PoisonError::into_inner)
    }
}

/// The node that the command is about.
fn node_of(command: &Command) -> Option<NodeName> {
    match command {
        Command::Register(registration) => Some(registration.id.name.clone()),
        Command::ChangeNode { node, .. } | Command::RemoveNode { node, .. } => {
            Some(node.name.clone())
        }
        Command::Create(_)
        | Command::Open { .. }
        | Command::Seek { .. }
        | Command::Assign { .. }
        | Command::Observed { .. }
        | Command::Delete { .. }
        | Command::Gone { .. }
        | Command::Move { .. }
        | Command::Joined { .. }
        | Command::RaiseVersion { .. }
        | Command::Recover { .. } => None,
    }
}

fn changed(outcome: &Outcome, is_end: bool) -> Vec<(ConsumerId, Option<SessionView>)> {
    let entry = |view: &SessionView| (view.id.clone(), (!is_end).then(|| view.clone()));
    match outcome {
        Outcome::Done(view) => vec![entry(view)],
        Outcome::Opened(views) => views.iter().map(entry).collect(),
        Outcome::Exists(_)
        | Outcome::Stale
        | Outcome::NotAlive
        | Outcome::Applied
        | Outcome::TooOld
        | Outcome::Full => Vec::new(),
    }
}
