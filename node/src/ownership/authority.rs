//! The registry, as the sessions of this node see it.

use std::collections::BTreeMap;
use std::time::Duration;

use async_trait::async_trait;
use sluice_actors::{Authority, AuthorityError, HandedOver, Record, Standing};
use sluice_raft::{Command, Outcome, RegistryHandle, Session, SessionView};
use sluice_types::{Claim, PartitionMap, Partitions, Point, SeekSeq, TopicName};

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

    async fn read(&self, claim: &Claim) -> Result<Option<SessionView>, AuthorityError> {
        let reading = self.registry.lookup_linearizable(&claim.id).await;
        reading.map_err(|_| AuthorityError::Unavailable)
    }

    async fn propose(&self, command: Command) -> Result<SessionView, AuthorityError> {
        match self.registry.propose(command).await {
            Ok(Outcome::Done(session)) => Ok(session),
            Ok(_) => Err(AuthorityError::Stale),
            Err(sluice_raft::Error::NoQuorum) => Err(AuthorityError::Unavailable),
            Err(sluice_raft::Error::OutcomeUnknown) => Err(AuthorityError::Unknown),
        }
    }
}

#[async_trait]
impl Authority for RegistryAuthority {
    fn lease(&self) -> Duration {
        self.identity.lease()
    }

    async fn confirm(&self, claim: &Claim) -> Result<Standing, AuthorityError> {
        // What was handed over under this epoch can only have been used up since, by this very
        // claim: that much a copy that is behind says rightly.
        let mut session = self.registry.lookup(&claim.id);
        if !session
            .as_deref()
            .is_some_and(|seen| is_to_join(seen, claim))
        {
            session = self.read(claim).await?;
        }
        // Another round only if the claim has ended between reading and writing.
        while session
            .as_deref()
            .is_some_and(|seen| is_to_join(seen, claim))
        {
            let claim = claim.clone();
            session = match self
                .propose(Command::Joined {
                    claim: claim.clone(),
                })
                .await
            {
                Ok(joined) => Some(joined),
                Err(AuthorityError::Stale) => self.read(&claim).await?,
                Err(error) => return Err(error),
            };
        }
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
        let seek = Command::Seek { claim, seq, points };
        self.propose(seek).await.map(drop)
    }

    async fn observed(
        &self,
        claim: &Claim,
        counts: BTreeMap<TopicName, i32>,
    ) -> Result<(), AuthorityError> {
        let claim = claim.clone();
        self.propose(Command::Observed { claim, counts })
            .await
            .map(drop)
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
        .map(drop)
    }
}

/// Whether what the owner before has handed over is still to be used up under this claim.
fn is_to_join(session: &Session, claim: &Claim) -> bool {
    let handed_over = session.handed_over.as_deref();
    session.claim() == *claim
        && session.is_active()
        && handed_over.is_some_and(|left| !left.is_used)
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
        counts_seen: (&session.counts_seen).into(),
        // Used or not: if it is, then by the handle of this epoch.
        handed_over: session.handed_over.as_deref().map(|left| HandedOver {
            points: left.handover.points.clone(),
            idle: left.handover.idle,
        }),
    }
}

#[cfg(test)]
mod tests {
    use sluice_raft::{Creation, Handover, Move};
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

    /// Moves the session from its owner to itself, with what is handed over.
    async fn handed_over(registry: &RegistryHandle, owner: &NodeId, claim: &Claim) -> Claim {
        let handover = Handover {
            points: PartitionMap::new(),
            idle: Duration::from_secs(4),
        };
        let one = Move {
            epoch: claim.epoch,
            to: owner.clone(),
            handover: Some(handover),
        };
        let moves = [(claim.id.clone(), one)].into();
        registry.propose(Command::Move { moves }).await.unwrap();
        registry.lookup(&claim.id).unwrap().claim()
    }

    fn is_used(registry: &RegistryHandle, claim: &Claim) -> Option<bool> {
        let session = registry.lookup(&claim.id).unwrap();
        session.handed_over.as_deref().map(|left| left.is_used)
    }

    #[tokio::test]
    async fn what_was_handed_over_is_used_up_before_the_owner_is_told_of_it() {
        let owner = node();
        let (registry, authority, claim) = owned_by(&owner).await;
        let claim = handed_over(&registry, &owner, &claim).await;
        assert_eq!(is_used(&registry, &claim), Some(false));
        // Again, as where the answer to the first was lost: it is this owner's still.
        for _ in 0..2 {
            let Ok(Standing::Owner(record)) = authority.confirm(&claim).await else {
                panic!("the claim holds")
            };
            let idle = record.handed_over.map(|left| left.idle);
            assert_eq!(idle, Some(Duration::from_secs(4)));
            assert_eq!(is_used(&registry, &claim), Some(true));
        }
    }

    #[tokio::test]
    async fn a_claim_that_has_ended_uses_nothing_up() {
        let owner = node();
        let (registry, authority, first) = owned_by(&owner).await;
        let second = handed_over(&registry, &owner, &first).await;
        let standing = authority.confirm(&first).await;
        assert!(matches!(standing, Ok(Standing::Elsewhere)), "{standing:?}");
        assert_eq!(is_used(&registry, &second), Some(false));
        registry.set_quorum_for_tests(false);
        let standing = authority.confirm(&second).await;
        assert!(
            matches!(standing, Err(AuthorityError::Unavailable)),
            "{standing:?}"
        );
        assert_eq!(is_used(&registry, &second), Some(false));
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
