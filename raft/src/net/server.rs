//! Answering other members.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use openraft::error::{InstallSnapshotError, RaftError};
use openraft::raft::{
    AppendEntriesRequest, AppendEntriesResponse, InstallSnapshotRequest, VoteRequest,
};
use tokio::time::Instant;

use super::frame::{QuestionV1, RefusalV1, RequestV1, ResponseV1};
use crate::RaftId;
use crate::consensus::{Heard, Identity, Leading};
use crate::guard::Desk;
use crate::store::codec::{decode, encode};
use crate::types::{ClusterId, Member, Vote};

/// Most strangers that are remembered, so that each is logged once.
const MOST_STRANGERS: usize = 256;

/// Answers the frames of other members.
pub(crate) struct Server {
    identity: Arc<Identity>,
    /// What people call the cluster.
    name: String,
    /// Where this member is.
    member: Member,
    leading: Leading,
    desk: Arc<Desk>,
    heard: Arc<Heard>,
    strangers: Mutex<HashSet<(RaftId, Option<ClusterId>, RefusalV1)>>,
}

impl Server {
    pub(crate) fn new(
        identity: Arc<Identity>,
        name: String,
        member: Member,
        leading: Leading,
        desk: Arc<Desk>,
        heard: Arc<Heard>,
    ) -> Self {
        Self {
            identity,
            name,
            member,
            leading,
            desk,
            heard,
            strangers: Mutex::default(),
        }
    }

    /// The answer to a frame.
    pub(crate) async fn handle(&self, frame: &[u8]) -> Vec<u8> {
        let response = match decode::<RequestV1>(frame) {
            Ok(request) => self.answer(request).await,
            Err(error) => {
                tracing::warn!(%error, "frame refused");
                ResponseV1::Refused(RefusalV1::Unreadable)
            }
        };
        encode(&response).unwrap_or_else(|error| {
            tracing::error!(%error, "answer not written");
            Vec::new()
        })
    }

    async fn answer(&self, request: RequestV1) -> ResponseV1 {
        if let Err(refusal) = self.admit(&request).await {
            self.log_once(&request, refusal);
            return ResponseV1::Refused(refusal);
        }
        self.ask_consensus(request.from, request.question)
            .await
            .unwrap_or(ResponseV1::Refused(RefusalV1::Stopped))
    }

    /// Whether the frame is for this member.
    async fn admit(&self, request: &RequestV1) -> Result<(), RefusalV1> {
        if request.to.is_some_and(|to| to != self.identity.raft_id()) {
            return Err(RefusalV1::OtherMember);
        }
        let introduction = request.question.introduction();
        if introduction.is_some_and(|name| name != self.name) {
            return Err(RefusalV1::OtherName);
        }
        match (request.cluster, self.identity.cluster()) {
            (Some(theirs), Some(ours)) if theirs == ours => Ok(()),
            (None, _) | (_, None) if introduction.is_some() => Ok(()),
            // The id of a new volume is known to those only whom this process has told it: they
            // take it into their cluster.
            (Some(theirs), None) if request.to.is_some() => {
                let joined = self.identity.join(theirs).await;
                joined.map_err(|_| RefusalV1::Stopped)
            }
            _ => Err(RefusalV1::OtherCluster),
        }
    }

    fn log_once(&self, request: &RequestV1, refusal: RefusalV1) {
        let mut strangers = self
            .strangers
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let stranger = (request.from, request.cluster, refusal);
        if strangers.len() < MOST_STRANGERS && strangers.insert(stranger) {
            let cluster = request.cluster.map(|cluster| cluster.to_string());
            tracing::warn!(
                from = %request.from,
                cluster,
                to = request.to.map(|to| to.get()),
                reason = %refusal,
                "stranger refused"
            );
        }
    }

    /// Fails if the consensus has stopped.
    async fn ask_consensus(&self, from: RaftId, question: QuestionV1) -> Option<ResponseV1> {
        let raft = self.leading.raft();
        let within = |wait: u32| Instant::now() + Duration::from_millis(wait.into());
        Some(match question {
            QuestionV1::Append {
                vote,
                previous,
                entries,
                committed,
            } => {
                let vote: Vote = vote.into();
                let request = AppendEntriesRequest {
                    vote,
                    prev_log_id: previous.map(Into::into),
                    entries: entries.into_iter().map(Into::into).collect(),
                    leader_commit: committed.map(Into::into),
                };
                let response = raft.append_entries(request).await.ok()?;
                // One whose entries do not fit is followed as well.
                if !matches!(response, AppendEntriesResponse::HigherVote(_)) {
                    self.heard.of(from, vote.leader_id().term);
                }
                response.into()
            }
            QuestionV1::Vote { vote, last } => {
                let request = VoteRequest {
                    vote: vote.into(),
                    last_log_id: last.map(Into::into),
                };
                raft.vote(request).await.ok()?.into()
            }
            QuestionV1::Snapshot {
                vote,
                meta,
                offset,
                data,
                is_last,
            } => {
                let vote: Vote = vote.into();
                let request = InstallSnapshotRequest {
                    vote,
                    meta: meta.into(),
                    offset,
                    data: data.0,
                    done: is_last,
                };
                match raft.install_snapshot(request).await {
                    Ok(response) => {
                        // A leader that has been replaced is answered the higher vote, no error.
                        if vote >= response.vote {
                            self.heard.of(from, vote.leader_id().term);
                        }
                        ResponseV1::Received {
                            vote: response.vote.into(),
                        }
                    }
                    Err(RaftError::APIError(InstallSnapshotError::SnapshotMismatch(error))) => {
                        ResponseV1::WrongPart {
                            expected: error.expect.offset,
                        }
                    }
                    Err(RaftError::Fatal(_)) => return None,
                }
            }
            QuestionV1::Propose { command, wait } => {
                self.leading.propose(command, within(wait)).await.into()
            }
            QuestionV1::ReadIndex { wait } => self.leading.read_index(within(wait)).await.into(),
            QuestionV1::Who { .. } => ResponseV1::Here {
                raft_id: self.identity.raft_id(),
                member: self.member.clone().into(),
                cluster: self.identity.cluster(),
                is_formed: raft.is_initialized().await.ok()?,
                leader: self
                    .leading
                    .acting_leader()
                    .map(|(id, member)| (id, member.into())),
            },
            QuestionV1::Join { member, .. } => self.leading.admit(from, member.into()).await.into(),
            QuestionV1::Heartbeat(heartbeat) => self.desk.answer(heartbeat),
            QuestionV1::Sightings => self.desk.sightings(),
        })
    }
}
