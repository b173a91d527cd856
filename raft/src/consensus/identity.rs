//! Who this member is.

use std::sync::{PoisonError, RwLock};

use tokio::sync::Mutex;

use crate::RaftId;
use crate::store::codec::records::IdentityV1;
use crate::store::{LogStore, StoreFailed};
use crate::types::ClusterId;

/// This member's name, and its cluster once it has one; both live on the volume.
#[derive(Debug)]
pub(crate) struct Identity {
    raft_id: RaftId,
    cluster: RwLock<Option<ClusterId>>,
    /// `None` when the volume has been let go. The lock is held while the identity changes.
    log: Mutex<Option<LogStore>>,
}

impl Identity {
    /// Reads it, or makes one for a new volume.
    ///
    /// # Errors
    /// [`StoreFailed`].
    pub(crate) async fn of(log: LogStore) -> Result<Self, StoreFailed> {
        let identity = match log.identity()? {
            Some(identity) => identity,
            None => {
                let identity = IdentityV1 {
                    raft_id: RaftId::random(),
                    cluster: None,
                };
                log.set_identity(identity).await?;
                identity
            }
        };
        Ok(Self {
            raft_id: identity.raft_id,
            cluster: RwLock::new(identity.cluster),
            log: Mutex::new(Some(log)),
        })
    }

    pub(crate) fn raft_id(&self) -> RaftId {
        self.raft_id
    }

    pub(crate) fn cluster(&self) -> Option<ClusterId> {
        *self.cluster.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes this a member of a new cluster, unless it is one of some cluster already.
    ///
    /// # Errors
    /// [`StoreFailed`]; it belongs to none then.
    pub(crate) async fn found(&self) -> Result<ClusterId, StoreFailed> {
        self.belong_to(ClusterId::random()).await
    }

    /// Makes this a member of a cluster.
    ///
    /// # Errors
    /// If the volume does not take it, or it is a member of another one.
    pub(crate) async fn join(&self, cluster: ClusterId) -> Result<(), StoreFailed> {
        let joined = self.belong_to(cluster).await?;
        if joined == cluster {
            return Ok(());
        }
        Err(StoreFailed {
            what: "joining a cluster",
            reason: "another one came first".into(),
        })
    }

    async fn belong_to(&self, cluster: ClusterId) -> Result<ClusterId, StoreFailed> {
        let log = self.log.lock().await;
        if let Some(cluster) = self.cluster() {
            return Ok(cluster);
        }
        let Some(log) = &*log else {
            return Err(StoreFailed {
                what: "joining a cluster",
                reason: "the volume has been let go".into(),
            });
        };
        let identity = IdentityV1 {
            raft_id: self.raft_id,
            cluster: Some(cluster),
        };
        log.set_identity(identity).await?;
        tracing::info!(%cluster, raft_id = %self.raft_id, "the volume belongs to a cluster");
        let mut known = self.cluster.write().unwrap_or_else(PoisonError::into_inner);
        *known = Some(cluster);
        Ok(cluster)
    }

    /// Lets the volume go.
    pub(crate) async fn let_go(&self) {
        self.log.lock().await.take();
    }
}
