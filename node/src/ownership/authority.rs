//! The registry, as the sessions of this node see it.

use async_trait::async_trait;
use sluice_actors::{Authority, AuthorityError, Record, Standing};
use sluice_raft::{Command, Outcome, RegistryHandle, Session};
use sluice_types::{Claim, PartitionMap, Partitions, Point, SeekSeq};

use crate::identity::Identity;

/// Answers sessions from the registry.
///
/// [`AuthorityError::Stale`] also comes when a number has been used up: by a seek or an assignment
/// whose outcome was unknown and that did take effect. [`Authority::confirm`] tells which it is.
#[derive(Clone, Debug)]
pub struct RegistryAuthority {
    registry: RegistryHandle,
    identity: Identity,
}

impl RegistryAuthority {
    /// The registry for the sessions of this process.
    pub fn new(registry: RegistryHandle, identity: Identity) -> Self {
        Self { registry, identity }
    }

    async fn propose(&self, command: Command) -> Result<(), AuthorityError> {
        match self.registry.propose(command).await {
            Ok(Outcome::Done(_)) => Ok(()),
            Ok(_) => Err(AuthorityError::Stale),
            Err(sluice_raft::Error::NoQuorum) => Err(AuthorityError::Unavailable),
            Err(sluice_raft::Error::OutcomeUnknown) => Err(AuthorityError::Unknown),
        }
    }
}

#[async_trait]
impl Authority for RegistryAuthority {
    async fn confirm(&self, claim: &Claim) -> Result<Standing, AuthorityError> {
        let session = self
            .registry
            .lookup_linearizable(&claim.id)
            .await
            .map_err(|_| AuthorityError::Unavailable)?;
        Ok(session.map_or(Standing::Gone, |session| {
            standing(&session, claim, &self.identity)
        }))
    }

    async fn seek(
        &self,
        claim: &Claim,
        seq: SeekSeq,
        points: PartitionMap<Point>,
    ) -> Result<(), AuthorityError> {
        let claim = claim.clone();
        self.propose(Command::Seek { claim, seq, points }).await
    }

    async fn assign(
        &self,
        claim: &Claim,
        partitions: Partitions,
        revision: u32,
        points: PartitionMap<Point>,
    ) -> Result<(), AuthorityError> {
        self.propose(Command::Assign {
            claim: claim.clone(),
            partitions,
            revision,
            points,
        })
        .await
    }
}

fn standing(session: &Session, claim: &Claim, identity: &Identity) -> Standing {
    if !identity.is(&session.owner) {
        return Standing::Elsewhere;
    }
    if session.is_deleting() {
        return Standing::Gone;
    }
    if session.epoch != claim.epoch {
        return Standing::Elsewhere;
    }
    Standing::Owner(record(session))
}

/// What the owner of a session must know of it.
pub(super) fn record(session: &Session) -> Record {
    Record {
        seek_seq: session.seek_seq,
        points: session.points.clone(),
        mode: session.mode.clone(),
        counts_at_creation: (&session.counts_at_creation).into(),
    }
}

#[cfg(test)]
mod tests {
    use sluice_raft::{Creation, SessionView};
    use sluice_types::{CreationStamp, Incarnation, NodeId, SystemClock, Timestamp};

    use super::*;
    use crate::cluster::Introduction;
    use crate::ownership::tests::spec;

    fn node() -> NodeId {
        NodeId {
            name: "n".parse().unwrap(),
            incarnation: Incarnation::random(),
        }
    }

    async fn done(registry: &RegistryHandle, command: Command) -> SessionView {
        match registry.propose(command).await.unwrap() {
            Outcome::Done(session) => session,
            other => panic!("{other:?}"),
        }
    }

    /// A registry with a session of `owner`, the authority of that node, and the claim.
    async fn owned_by(owner: &NodeId) -> (RegistryHandle, RegistryAuthority, Claim) {
        let registry = Introduction::registry_of(owner, &SystemClock);
        let creation = Creation {
            id: "c".parse().unwrap(),
            stamp: CreationStamp::random(),
            spec: spec(&["orders"]),
            owner: owner.clone(),
            created_at: Timestamp::from_millis(0),
            counts: [("orders".parse().unwrap(), 3)].into(),
        };
        let session = done(&registry, Command::Create(creation)).await;
        let authority = RegistryAuthority::new(registry.clone(), Identity::alone(owner.clone()));
        (registry, authority, session.claim())
    }

    #[tokio::test]
    async fn the_owner_learns_what_the_registry_holds() {
        let (_, authority, claim) = owned_by(&node()).await;
        let seq = SeekSeq::NONE.next();
        authority
            .seek(&claim, seq, PartitionMap::new())
            .await
            .unwrap();
        let Ok(Standing::Owner(record)) = authority.confirm(&claim).await else {
            panic!("the claim holds")
        };
        assert_eq!(record.seek_seq, seq);
        assert_eq!(record.mode, sluice_types::Mode::Subscribed);
        assert_eq!(record.counts_at_creation.len(), 1);
    }

    #[tokio::test]
    async fn a_claim_of_an_earlier_epoch_is_elsewhere_and_changes_nothing() {
        let owner = node();
        let (registry, authority, claim) = owned_by(&owner).await;
        let claims = [(claim.id.clone(), claim.epoch)].into();
        registry
            .propose(Command::Open { owner, claims })
            .await
            .unwrap();
        let standing = authority.confirm(&claim).await;
        assert!(matches!(standing, Ok(Standing::Elsewhere)), "{standing:?}");
        let seek = authority
            .seek(&claim, SeekSeq::NONE.next(), PartitionMap::new())
            .await;
        assert!(matches!(seek, Err(AuthorityError::Stale)));
        let assign = authority
            .assign(&claim, Partitions::new(), 1, PartitionMap::new())
            .await;
        assert!(matches!(assign, Err(AuthorityError::Stale)));
    }

    #[tokio::test]
    async fn another_nodes_session_is_elsewhere() {
        let (registry, _, claim) = owned_by(&node()).await;
        let other = RegistryAuthority::new(registry, Identity::alone(node()));
        assert!(matches!(
            other.confirm(&claim).await,
            Ok(Standing::Elsewhere)
        ));
    }

    #[tokio::test]
    async fn a_session_being_deleted_is_gone_and_so_is_one_that_never_was() {
        let (registry, authority, claim) = owned_by(&node()).await;
        let at = Timestamp::from_millis(0);
        let delete = Command::Delete {
            claim: claim.clone(),
            at,
        };
        let deleting = done(&registry, delete).await.claim();
        for claim in [&claim, &deleting] {
            assert!(matches!(authority.confirm(claim).await, Ok(Standing::Gone)));
        }
        done(
            &registry,
            Command::Gone {
                claim: deleting,
                at,
            },
        )
        .await;
        assert!(matches!(
            authority.confirm(&claim).await,
            Ok(Standing::Gone)
        ));
    }

    #[tokio::test]
    async fn without_a_quorum_nothing_is_said() {
        let (registry, authority, claim) = owned_by(&node()).await;
        registry.set_quorum_for_tests(false);
        let confirmed = authority.confirm(&claim).await;
        assert!(matches!(confirmed, Err(AuthorityError::Unavailable)));
        let seek = authority
            .seek(&claim, SeekSeq::NONE.next(), PartitionMap::new())
            .await;
        assert!(matches!(seek, Err(AuthorityError::Unavailable)));
    }
}
