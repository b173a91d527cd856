//! Asking other members.

use std::sync::Arc;
use std::time::Duration;

use openraft::error::{
    InstallSnapshotError, NetworkError, RPCError, RaftError, RemoteError, SnapshotMismatch,
    Unreachable,
};
use openraft::network::{Backoff, RPCOption, RaftNetwork, RaftNetworkFactory};
use openraft::raft::{
    AppendEntriesRequest, AppendEntriesResponse, InstallSnapshotRequest, InstallSnapshotResponse,
    VoteRequest, VoteResponse,
};
use openraft::{AnyError, SnapshotSegmentId};
use tokio::time::Instant;

use super::frame::{QuestionV1, RefusalV1, RequestV1, ResponseV1};
use super::{Transport, TransportError};
use crate::RaftId;
use crate::consensus::Identity;
use crate::store::codec::{CodecError, decode, encode};
use crate::types::{LogId, Member, Types};

/// How long openraft leaves a member alone that it could not reach: short, since a node that is
/// started again should hear of its leader before it stands for election.
const BACK_OFF: Duration = Duration::from_millis(100);

/// Why a question has no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Unanswered {
    /// It surely has had no effect.
    #[error("{0}")]
    NotAsked(String),
    /// It may have had its effect.
    #[error("{0}")]
    Unknown(String),
}

impl From<TransportError> for Unanswered {
    fn from(error: TransportError) -> Self {
        match &error {
            TransportError::NotReached(_) => Self::NotAsked(error.to_string()),
            TransportError::NoAnswer(_) => Self::Unknown(error.to_string()),
        }
    }
}

impl From<CodecError> for Unanswered {
    fn from(error: CodecError) -> Self {
        Self::NotAsked(error.to_string())
    }
}

impl From<RefusalV1> for Unanswered {
    fn from(refusal: RefusalV1) -> Self {
        Self::NotAsked(refusal.to_string())
    }
}

/// An answer that is no refusal, or why there is none.
pub(crate) type Asked = Result<ResponseV1, Unanswered>;

/// The other members. Clones are the same.
#[derive(Clone)]
pub(crate) struct Peers {
    transport: Arc<dyn Transport>,
    identity: Arc<Identity>,
}

impl Peers {
    pub(crate) fn new(transport: Arc<dyn Transport>, identity: Arc<Identity>) -> Self {
        Self {
            transport,
            identity,
        }
    }

    /// Asks whoever is at the address, who has to be `to` if that is known.
    pub(crate) async fn ask(
        &self,
        address: &str,
        to: Option<RaftId>,
        question: QuestionV1,
        deadline: Instant,
    ) -> Asked {
        let request = RequestV1 {
            cluster: self.identity.cluster(),
            from: self.identity.raft_id(),
            to,
            question,
        };
        let frame = encode(&request)?;
        let call = self.transport.call(address, frame, deadline);
        let Ok(answer) = tokio::time::timeout_at(deadline, call).await else {
            return Err(Unanswered::Unknown("no answer in time".to_owned()));
        };
        // The question has been handed over: an answer that cannot be read may be any.
        let response = decode::<ResponseV1>(&answer?);
        match response.map_err(|error| Unanswered::Unknown(error.to_string()))? {
            ResponseV1::Refused(refusal) => Err(refusal.into()),
            response => Ok(response),
        }
    }
}

impl RaftNetworkFactory<Types> for Peers {
    type Network = Peer;

    async fn new_client(&mut self, target: RaftId, member: &Member) -> Peer {
        Peer {
            peers: self.clone(),
            target,
            address: member.address.clone(),
        }
    }
}

/// One other member, as openraft talks to it.
pub(crate) struct Peer {
    peers: Peers,
    target: RaftId,
    address: String,
}

type RpcError<E> = RPCError<RaftId, Member, RaftError<RaftId, E>>;

impl Peer {
    async fn ask<E: std::error::Error>(
        &self,
        question: QuestionV1,
        option: &RPCOption,
    ) -> Result<ResponseV1, RpcError<E>> {
        let deadline = Instant::now() + option.hard_ttl();
        let asked = self
            .peers
            .ask(&self.address, Some(self.target), question, deadline);
        asked.await.map_err(|unanswered| match unanswered {
            Unanswered::NotAsked(_) => RPCError::Unreachable(Unreachable::new(&unanswered)),
            Unanswered::Unknown(_) => RPCError::Network(NetworkError::new(&unanswered)),
        })
    }

    fn nonsense<E: std::error::Error>(&self, response: &ResponseV1) -> RpcError<E> {
        let error = AnyError::error(format!("{} answered {response:?}", self.target));
        RPCError::Network(NetworkError::from(error))
    }
}

impl RaftNetwork<Types> for Peer {
    async fn append_entries(
        &mut self,
        request: AppendEntriesRequest<Types>,
        option: RPCOption,
    ) -> Result<AppendEntriesResponse<RaftId>, RpcError<openraft::error::Infallible>> {
        match self.ask(request.into(), &option).await? {
            ResponseV1::Appended => Ok(AppendEntriesResponse::Success),
            ResponseV1::AppendedUpTo(last) => {
                let last = last.map(LogId::from);
                Ok(AppendEntriesResponse::PartialSuccess(last))
            }
            ResponseV1::Conflict => Ok(AppendEntriesResponse::Conflict),
            ResponseV1::HigherVote(vote) => Ok(AppendEntriesResponse::HigherVote(vote.into())),
            other => Err(self.nonsense(&other)),
        }
    }

    async fn install_snapshot(
        &mut self,
        request: InstallSnapshotRequest<Types>,
        option: RPCOption,
    ) -> Result<InstallSnapshotResponse<RaftId>, RpcError<InstallSnapshotError>> {
        let id = request.meta.snapshot_id.clone();
        let sent = request.offset;
        match self.ask(request.into(), &option).await? {
            ResponseV1::Received { vote } => Ok(InstallSnapshotResponse { vote: vote.into() }),
            ResponseV1::WrongPart { expected } => {
                let part = |offset| SnapshotSegmentId {
                    id: id.clone(),
                    offset,
                };
                let error = InstallSnapshotError::SnapshotMismatch(SnapshotMismatch {
                    expect: part(expected),
                    got: part(sent),
                });
                let error = RaftError::APIError(error);
                Err(RPCError::RemoteError(RemoteError::new(self.target, error)))
            }
            other => Err(self.nonsense(&other)),
        }
    }

    async fn vote(
        &mut self,
        request: VoteRequest<RaftId>,
        option: RPCOption,
    ) -> Result<VoteResponse<RaftId>, RpcError<openraft::error::Infallible>> {
        match self.ask(request.into(), &option).await? {
            ResponseV1::Voted {
                vote,
                is_granted,
                last,
            } => Ok(VoteResponse {
                vote: vote.into(),
                vote_granted: is_granted,
                last_log_id: last.map(LogId::from),
            }),
            other => Err(self.nonsense(&other)),
        }
    }

    fn backoff(&self) -> Backoff {
        Backoff::new(std::iter::repeat(BACK_OFF))
    }
}
