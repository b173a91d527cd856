//! Who this process is among the nodes now, and what that entitles it to.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use sluice_raft::guard::{BootClock, Moments, Phase, Standing};
use sluice_types::{NodeId, NodeName};
use tokio::sync::watch;

/// Who this process is. The name stays; the incarnation is a new one after the process was
/// declared dead. Clones are the same.
#[derive(Clone)]
pub struct Identity {
    standing: watch::Receiver<Standing>,
    moments: Arc<dyn Moments>,
}

impl Identity {
    /// Follows how the process stands with its cluster; `moments` is the clock of its leases.
    pub fn new(standing: watch::Receiver<Standing>, moments: Arc<dyn Moments>) -> Self {
        Self { standing, moments }
    }

    /// A process whose registry is its own: it stays who it is, and its lease never ends.
    pub fn alone(node: NodeId) -> Self {
        let (_, standing) = watch::channel(Standing::alone(node));
        Self::new(standing, Arc::new(BootClock))
    }

    /// The node and its present incarnation.
    pub fn node(&self) -> NodeId {
        self.standing.borrow().node.clone()
    }

    /// The node's name.
    pub fn name(&self) -> NodeName {
        self.standing.borrow().node.name.clone()
    }

    /// Whether that is this process in its present incarnation.
    pub fn is(&self, node: &NodeId) -> bool {
        self.standing.borrow().node == *node
    }

    /// How long the lease of the present incarnation still lasts; zero without one.
    pub fn lease(&self) -> Duration {
        let now = self.moments.now();
        self.standing.borrow().lease(now)
    }

    /// Whether what `owner` owns may be opened here now.
    pub fn may_open(&self, owner: &NodeId) -> bool {
        let now = self.moments.now();
        let standing = self.standing.borrow();
        standing.node == *owner && !standing.lease(now).is_zero()
    }

    /// Waits until the process has a lease.
    pub async fn leased(&self) {
        let mut standing = self.standing.clone();
        let leased = standing.wait_for(|now| !now.lease(self.moments.now()).is_zero());
        if leased.await.is_err() {
            // It has ended, with no lease.
            std::future::pending::<()>().await;
        }
    }

    /// Waits until the process is in this phase of an incarnation.
    pub async fn enters(&self, phase: Phase) {
        let mut standing = self.standing.clone();
        if standing.wait_for(|now| now.phase == phase).await.is_err() {
            // Nobody changes it any more.
            std::future::pending::<()>().await;
        }
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.standing.borrow().fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use sluice_raft::Moment;
    use sluice_types::Incarnation;

    use super::*;

    struct Still;

    impl Moments for Still {
        fn now(&self) -> Moment {
            Moment::from_origin(Duration::from_secs(60))
        }
    }

    fn name() -> NodeName {
        "n".parse().unwrap()
    }

    #[tokio::test]
    async fn a_process_alone_may_open_what_it_owns_for_ever() {
        let node = NodeId {
            name: name(),
            incarnation: Incarnation::random(),
        };
        let identity = Identity::alone(node.clone());
        assert!(identity.is(&node) && identity.may_open(&node));
        assert!(identity.lease() > Duration::from_secs(1 << 30));
        identity.leased().await;
        let other = NodeId {
            name: name(),
            incarnation: Incarnation::random(),
        };
        assert!(!identity.may_open(&other));
    }

    #[tokio::test]
    async fn what_an_ended_incarnation_owned_is_not_opened() {
        let (sender, receiver) = watch::channel(Standing::begin(name()));
        let identity = Identity::new(receiver, Arc::new(Still));
        let first = identity.node();
        assert!(!identity.may_open(&first), "it has no lease yet");
        sender.send_modify(|standing| {
            standing.phase = Phase::Registered;
            standing.granted(Still.now(), Duration::from_secs(3));
        });
        assert!(identity.may_open(&first));
        sender.send_modify(|standing| standing.phase = Phase::Ended);
        identity.enters(Phase::Ended).await;
        assert!(!identity.may_open(&first));
        sender.send_replace(Standing::begin(name()));
        assert!(!identity.is(&first));
    }
}
