//! The lease under which a manually assigned session is served.
//!
//! Its group fences no former owner of it. So it is served only while its node has a lease, and
//! another node opens it when that has run out: the session looks when a request comes, when it
//! commits, and before the first byte of an answer is written. A session of a group needs none.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use actix::{AsyncContext, Context};
use sluice_types::Mode;

use super::actor::{Phase, SessionActor};
use crate::{Authority, Ended};

/// The lease that a session needs, or that it needs none. Says each time how it is then.
#[derive(Clone)]
pub(crate) struct Lease(Option<Arc<dyn Authority>>);

impl Lease {
    /// Of what somebody else fences.
    pub(crate) fn not_needed() -> Self {
        Self(None)
    }

    /// The lease of the node.
    pub(crate) fn of(authority: &Arc<dyn Authority>) -> Self {
        Self(Some(authority.clone()))
    }

    /// Whether the session may be served now.
    pub(crate) fn holds(&self) -> bool {
        !self.lasts().is_zero()
    }

    fn lasts(&self) -> Duration {
        self.0
            .as_ref()
            .map_or(Duration::MAX, |authority| authority.lease())
    }
}

impl fmt::Debug for Lease {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lease")
            .field("lasts", &self.lasts())
            .finish()
    }
}

impl SessionActor {
    /// The lease that the session needs in its present mode.
    pub(super) fn lease(&self) -> Lease {
        match self.mode() {
            Mode::Subscribed => Lease::not_needed(),
            Mode::Assigned { .. } => Lease::of(&self.env.authority),
        }
    }

    /// Whether the session may be served now; if not, it ends, and who waits is to look for the
    /// next owner. A session that is being ended needs only not to commit.
    pub(super) fn holds_lease(&mut self, ctx: &mut Context<Self>) -> bool {
        let holds = self.lease().holds();
        if !holds && self.phase != Phase::Finished {
            self.stop(Ended::LeaseLost, ctx);
        }
        holds
    }

    /// Ends the session in time if its lease ends before `next_look`, asked for or not.
    pub(super) fn watch_lease(&mut self, next_look: Duration, ctx: &mut Context<Self>) {
        let lasts = self.lease().lasts();
        if lasts < next_look {
            ctx.run_later(lasts, |actor, ctx| {
                actor.holds_lease(ctx);
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::Mutex;

    use async_trait::async_trait;
    use sluice_types::{Claim, PartitionMap, Partitions, Point, SeekSeq, TopicName};

    use super::*;
    use crate::{AuthorityError, Standing};

    struct Grants(Mutex<Duration>);

    #[async_trait]
    impl Authority for Grants {
        fn lease(&self) -> Duration {
            *self.0.lock().unwrap()
        }

        async fn confirm(&self, _: &Claim) -> Result<Standing, AuthorityError> {
            Err(AuthorityError::Unavailable)
        }

        async fn seek(
            &self,
            _: &Claim,
            _: SeekSeq,
            _: PartitionMap<Point>,
        ) -> Result<(), AuthorityError> {
            Err(AuthorityError::Unavailable)
        }

        async fn observed(
            &self,
            _: &Claim,
            _: BTreeMap<TopicName, i32>,
        ) -> Result<(), AuthorityError> {
            Err(AuthorityError::Unavailable)
        }

        async fn assign(
            &self,
            _: &Claim,
            _: Partitions,
            _: u32,
            _: PartitionMap<Point>,
        ) -> Result<(), AuthorityError> {
            Err(AuthorityError::Unavailable)
        }
    }

    #[test]
    fn a_lease_is_asked_for_each_time() {
        let grants = Arc::new(Grants(Mutex::new(Duration::from_secs(3))));
        let authority: Arc<dyn Authority> = grants.clone();
        let lease = Lease::of(&authority);
        assert!(lease.holds());
        // As after a suspension, of which no other clock need know.
        *grants.0.lock().unwrap() = Duration::ZERO;
        assert!(!lease.holds());
        *grants.0.lock().unwrap() = Duration::from_secs(3);
        assert!(lease.holds());
        assert!(Lease::not_needed().holds());
    }
}
