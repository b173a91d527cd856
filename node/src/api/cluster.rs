//! The cluster's nodes, for operators.

use serde::Serialize;
use sluice_raft::NodeState;
use sluice_raft::guard::{ClusterReport, NodeChangeError, NodeReport, Role};
use sluice_types::NodeName;
use utoipa::ToSchema;

use super::call::Call;
use super::error::{Code, Problem};
use super::reply::Reply;
use super::unserved::Unserved;
use crate::nodes::ChangeError;

/// What a drain can answer besides what every route can.
pub(super) const DRAIN: &[Code] = &[
    Code::NodeNotFound,
    Code::NodeDead,
    Code::NodeAlone,
    Code::NoQuorum,
    Code::OutcomeUnknown,
];

/// What the end of a drain can.
pub(super) const UNDRAIN: &[Code] = &[
    Code::NodeNotFound,
    Code::NodeDead,
    Code::NoQuorum,
    Code::OutcomeUnknown,
];

/// What a removal can.
pub(super) const REMOVE: &[Code] = &[
    Code::NodeNotFound,
    Code::NodeNotDead,
    Code::NoQuorum,
    Code::OutcomeUnknown,
];

/// The cluster, as the node asked knows it.
#[derive(Serialize, ToSchema)]
#[schema(example = json!({"id": "0f4a8c0e-3c5b-4f0e-9d5e-2a3f6f1c7b21", "leader": "sluice-0", "term": 3, "nodes": [
    {"name": "sluice-0", "address": "sluice-0.sluice:7070", "state": "alive", "role": "leader", "sessions": 41, "version": "0.1.0", "applied": 1200, "lease_ms": 2890},
    {"name": "sluice-1", "address": "sluice-1.sluice:7070", "state": "draining", "role": "voter", "sessions": 2, "version": "0.1.0", "applied": 1200, "lease_ms": 2760},
    {"name": "sluice-2", "address": "sluice-2.sluice:7070", "state": "dead", "role": "voter", "sessions": 0, "version": "0.1.0", "applied": null, "lease_ms": null}
]}))]
pub(super) struct Cluster {
    /// `null` until the node is in one, and of a node without `cluster.data_dir`.
    #[schema(required)]
    id: Option<String>,
    /// The node that decides for all; `null` while none is known.
    #[schema(required)]
    leader: Option<String>,
    /// Counts the elections.
    term: u64,
    /// By name.
    nodes: Vec<Node>,
}

/// A node of the cluster.
#[derive(Serialize, ToSchema)]
pub(super) struct Node {
    name: String,
    /// Where other nodes reach it.
    address: String,
    state: State,
    /// What it is among those who decide; `null` if it is not among them.
    #[schema(required)]
    role: Option<Part>,
    /// How many sessions it owns.
    sessions: usize,
    /// The release that it runs.
    version: String,
    /// How far its copy of the registry is, in entries of the log; `null` if that is not known.
    #[schema(required)]
    applied: Option<u64>,
    /// How long its lease lasts at most, in milliseconds: 0 without one, `null` if that is not
    /// known.
    #[schema(required)]
    lease_ms: Option<u64>,
    /// Only there for a dead node that nobody misses: it was stopped in order, or drained before it
    /// ended.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    #[schema(required = false)]
    left: bool,
}

/// What a node can be asked to do.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum State {
    Alive,
    Draining,
    Dead,
}

/// What a node is among those who decide.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum Part {
    Leader,
    Voter,
    Learner,
}

impl From<ClusterReport> for Cluster {
    fn from(report: ClusterReport) -> Self {
        Self {
            id: report.id.map(|id| id.to_string()),
            leader: report.leader,
            term: report.term,
            nodes: report.nodes.into_iter().map(Node::from).collect(),
        }
    }
}

impl From<NodeReport> for Node {
    fn from(report: NodeReport) -> Self {
        let millis = |lease: std::time::Duration| u64::try_from(lease.as_millis());
        Self {
            name: report.node.id.name.to_string(),
            address: report.node.address.to_string(),
            state: match report.node.state {
                NodeState::Alive => State::Alive,
                NodeState::Draining => State::Draining,
                NodeState::Dead => State::Dead,
            },
            role: report.role.map(|role| match role {
                Role::Leader => Part::Leader,
                Role::Voter => Part::Voter,
                Role::Learner => Part::Learner,
            }),
            sessions: report.sessions,
            version: report.node.release,
            applied: report.applied,
            lease_ms: report.lease.and_then(|lease| millis(lease).ok()),
            left: report.has_left,
        }
    }
}

/// The cluster and its nodes.
///
/// Without a leader the answer is what the node asked knows by itself. A node without
/// `cluster.data_dir` answers for itself alone.
#[utoipa::path(
    get,
    path = "/api/cluster",
    operation_id = "cluster",
    tag = "operations",
    responses((status = 200, description = "What is known of the cluster", body = Cluster)),
)]
pub(super) async fn show(call: Call) -> Result<Reply, Unserved> {
    call.check_empty()?;
    let state = call.state();
    let report = call
        .budget()
        .run(async { Ok::<_, Problem>(state.nodes.report().await) })
        .await?;
    Ok(Reply::json(&Cluster::from(report))?)
}

/// Moves the node's sessions away, and gives it no more.
///
/// Answered when the registry has it: the sessions move from then on. The node goes on serving
/// what clients ask it, until it is ended.
#[utoipa::path(
    post,
    path = "/api/cluster/nodes/{name}/drain",
    operation_id = "drain",
    tag = "operations",
    params(("name" = String, Path, description = "The node's name", example = "sluice-0")),
    responses((status = 204, description = "The node drains")),
)]
pub(super) async fn drain(call: Call) -> Result<Reply, Unserved> {
    let name = node_name(&call)?;
    let state = call.state();
    change(&call, state.nodes.drain(&name)).await
}

/// Lets a node that drains have sessions again.
#[utoipa::path(
    post,
    path = "/api/cluster/nodes/{name}/undrain",
    operation_id = "undrain",
    tag = "operations",
    params(("name" = String, Path, description = "The node's name", example = "sluice-0")),
    responses((status = 204, description = "The node does not drain")),
)]
pub(super) async fn undrain(call: Call) -> Result<Reply, Unserved> {
    let name = node_name(&call)?;
    let state = call.state();
    change(&call, state.nodes.undrain(&name)).await
}

/// Forgets a dead node that will not come back.
#[utoipa::path(
    delete,
    path = "/api/cluster/nodes/{name}",
    operation_id = "remove",
    tag = "operations",
    params(("name" = String, Path, description = "The node's name", example = "sluice-0")),
    responses((status = 204, description = "The node is forgotten")),
)]
pub(super) async fn remove(call: Call) -> Result<Reply, Unserved> {
    let name = node_name(&call)?;
    let state = call.state();
    change(&call, state.nodes.remove(&name)).await
}

/// The node that the path names.
fn node_name(call: &Call) -> Result<NodeName, Problem> {
    call.check_empty()?;
    // What is no name is no node either.
    call.path("name")
        .parse()
        .map_err(|_| ChangeError::from(NodeChangeError::Unknown).into())
}

async fn change(
    call: &Call,
    change: impl Future<Output = Result<(), ChangeError>>,
) -> Result<Reply, Unserved> {
    let change = async { change.await.map_err(Problem::from) };
    call.write_budget().run(change).await?;
    Ok(Reply::no_content())
}
