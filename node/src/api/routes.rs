//! The tables of routes; that of the one-call API is its own. `openapi.rs` describes the same ones,
//! and a test holds the two together.

use actix_web::http::Method;
use futures::TryFutureExt;
use futures::future::LocalBoxFuture;

use super::call::Call;
use super::error::Code;
use super::onecall::ONE_CALL;
use super::openapi::Port;
use super::reply::Reply;
use super::unserved::Unserved;
use super::{admin, cluster, consumers, docs, health, produce};

/// What a route answers when all is well.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Produces {
    /// JSON: a client that does not accept it gets 406.
    Json,
    /// Something else, or nothing.
    Other,
}

/// One method of one path.
pub(super) struct Route {
    pub(super) method: Method,
    pub(super) path: &'static str,
    pub(super) produces: Produces,
    /// The errors that it can answer besides those that every route can, in groups.
    pub(super) errors: &'static [&'static [Code]],
    pub(super) run: fn(Call) -> LocalBoxFuture<'static, Result<Reply, Unserved>>,
}

/// The errors of what has a body.
pub(super) const BODY: &[Code] = &[
    Code::MalformedJson,
    Code::BodyTooLarge,
    Code::UnsupportedMediaType,
    Code::RequestTimeout,
];

/// The errors of what asks Kafka.
pub(super) const KAFKA: &[Code] = &[
    Code::KafkaAccessDenied,
    Code::KafkaUnavailable,
    Code::KafkaTimeout,
];

/// The errors of what an owner has to be found for.
pub(super) const OWNER: &[Code] = &[Code::NoQuorum, Code::OwnerUnavailable, Code::ShuttingDown];

/// The errors of what is about a session that there is.
const SESSION: &[Code] = &[Code::ConsumerNotFound, Code::SessionFailed];

/// Where sessions are polled.
pub(super) const CONSUME: &str = "/api/consumers/{id}/consume";

/// What clients use.
static CLIENT: [Route; 11] = [
    Route {
        method: Method::POST,
        path: "/api/consumers/subscribe",
        produces: Produces::Json,
        errors: &[
            BODY,
            KAFKA,
            OWNER,
            &[
                Code::TopicNotFound,
                Code::ConsumerExists,
                Code::InconsistentGroupProtocol,
                Code::NoCommittedOffset,
                Code::SchemaRegistryNotConfigured,
                Code::TooManySessions,
                Code::UnsupportedByDevBroker,
                Code::RebalanceInProgress,
                Code::SessionFailed,
            ],
        ],
        run: |call| Box::pin(consumers::subscribe(call)),
    },
    Route {
        method: Method::POST,
        path: CONSUME,
        produces: Produces::Json,
        errors: &[
            BODY,
            KAFKA,
            OWNER,
            SESSION,
            &[
                Code::TopicNotFound,
                Code::InconsistentGroupProtocol,
                Code::Superseded,
                Code::OffsetOutOfRange,
                Code::SchemaRegistryUnavailable,
            ],
        ],
        run: |call| Box::pin(consumers::consume(call)),
    },
    Route {
        method: Method::POST,
        path: "/api/consumers/{id}/commit",
        produces: Produces::Json,
        errors: &[
            BODY,
            KAFKA,
            OWNER,
            SESSION,
            &[
                Code::PartitionNotAssigned,
                Code::GroupHasMembers,
                Code::InconsistentGroupProtocol,
                Code::RebalanceInProgress,
                Code::OutcomeUnknown,
            ],
        ],
        run: |call| Box::pin(consumers::commit(call)),
    },
    Route {
        method: Method::POST,
        path: "/api/consumers/{id}/seek",
        produces: Produces::Json,
        errors: &[
            BODY,
            KAFKA,
            OWNER,
            SESSION,
            &[
                Code::TopicNotFound,
                Code::PartitionNotFound,
                Code::PartitionNotAssigned,
                Code::OffsetOutOfRange,
                Code::UnsupportedByDevBroker,
                Code::RebalanceInProgress,
                Code::OutcomeUnknown,
            ],
        ],
        run: |call| Box::pin(consumers::seek(call)),
    },
    Route {
        method: Method::GET,
        path: "/api/consumers/{id}/position",
        produces: Produces::Json,
        errors: SESSION_READ,
        run: |call| Box::pin(consumers::position(call)),
    },
    Route {
        method: Method::GET,
        path: "/api/consumers/{id}/assignment",
        produces: Produces::Json,
        errors: SESSION_READ,
        run: |call| Box::pin(consumers::assignment(call)),
    },
    Route {
        method: Method::PUT,
        path: "/api/consumers/{id}/assignment",
        produces: Produces::Json,
        errors: &[
            BODY,
            KAFKA,
            OWNER,
            SESSION,
            &[
                Code::TopicNotFound,
                Code::PartitionNotFound,
                Code::NoCommittedOffset,
                Code::OffsetOutOfRange,
                Code::UnsupportedByDevBroker,
                Code::RebalanceInProgress,
                Code::OutcomeUnknown,
            ],
        ],
        run: |call| Box::pin(consumers::assign(call)),
    },
    Route {
        method: Method::GET,
        path: "/api/consumers/{id}",
        produces: Produces::Json,
        errors: SESSION_READ,
        run: |call| Box::pin(consumers::describe(call)),
    },
    Route {
        method: Method::DELETE,
        path: "/api/consumers/{id}",
        produces: Produces::Other,
        errors: &[
            OWNER,
            &[
                Code::ConsumerNotFound,
                Code::KafkaUnavailable,
                Code::KafkaTimeout,
                Code::OutcomeUnknown,
            ],
        ],
        run: |call| Box::pin(consumers::delete(call)),
    },
    Route {
        method: Method::POST,
        path: "/api/topics/{topic}/produce",
        produces: Produces::Json,
        errors: &[
            BODY,
            KAFKA,
            &[
                Code::SchemaRegistryNotConfigured,
                Code::SchemaNotFound,
                Code::SchemaMismatch,
                Code::TopicNotFound,
                Code::PartitionNotFound,
                Code::RecordTooLarge,
                Code::InvalidRecord,
                Code::InvalidBase64,
                Code::QueueFull,
                Code::SchemaRegistryUnavailable,
                Code::ShuttingDown,
                Code::OutcomeUnknown,
            ],
        ],
        run: |call| Box::pin(produce::produce(call)),
    },
    Route {
        method: Method::GET,
        path: "/api/produce/status/{requestId}",
        produces: Produces::Json,
        errors: &[&[
            Code::RequestNotFound,
            Code::NoQuorum,
            Code::OwnerUnavailable,
            Code::KafkaTimeout,
        ]],
        run: |call| Box::pin(produce::status(call)),
    },
];

/// The errors of what looks at a session.
const SESSION_READ: &[&[Code]] = &[
    KAFKA,
    OWNER,
    SESSION,
    &[
        Code::TopicNotFound,
        Code::InconsistentGroupProtocol,
        Code::OffsetOutOfRange,
        Code::RebalanceInProgress,
    ],
];

/// What both ports have.
static SHARED: [Route; 5] = [
    Route {
        method: Method::GET,
        path: "/livez",
        produces: Produces::Json,
        errors: &[],
        run: |call| Box::pin(health::livez(call).err_into()),
    },
    Route {
        method: Method::GET,
        path: "/readyz",
        produces: Produces::Json,
        errors: &[&[Code::NoQuorum, Code::VolumeNearlyFull, Code::ShuttingDown]],
        run: |call| Box::pin(health::readyz(call).err_into()),
    },
    Route {
        method: Method::GET,
        path: "/openapi.json",
        produces: Produces::Json,
        errors: &[],
        run: |call| Box::pin(docs::openapi(call).err_into()),
    },
    Route {
        method: Method::GET,
        path: "/docs",
        produces: Produces::Other,
        errors: &[],
        run: |call| Box::pin(docs::page(call).err_into()),
    },
    Route {
        method: Method::GET,
        path: "/docs/{file:.*}",
        produces: Produces::Other,
        errors: &[&[Code::RouteNotFound]],
        run: |call| Box::pin(docs::file(call).err_into()),
    },
];

/// What operators use.
static ADMIN: [Route; 6] = [
    Route {
        method: Method::GET,
        path: "/metrics",
        produces: Produces::Other,
        errors: &[],
        run: |call| Box::pin(admin::metrics(call).err_into()),
    },
    Route {
        method: Method::GET,
        path: "/api/consumers",
        produces: Produces::Json,
        errors: &[&[Code::KafkaTimeout]],
        run: |call| Box::pin(admin::list(call)),
    },
    Route {
        method: Method::GET,
        path: "/api/cluster",
        produces: Produces::Json,
        errors: &[&[Code::KafkaTimeout]],
        run: |call| Box::pin(cluster::show(call)),
    },
    Route {
        method: Method::POST,
        path: "/api/cluster/nodes/{name}/drain",
        produces: Produces::Other,
        errors: &[cluster::DRAIN],
        run: |call| Box::pin(cluster::drain(call)),
    },
    Route {
        method: Method::POST,
        path: "/api/cluster/nodes/{name}/undrain",
        produces: Produces::Other,
        errors: &[cluster::UNDRAIN],
        run: |call| Box::pin(cluster::undrain(call)),
    },
    Route {
        method: Method::DELETE,
        path: "/api/cluster/nodes/{name}",
        produces: Produces::Other,
        errors: &[cluster::REMOVE],
        run: |call| Box::pin(cluster::remove(call)),
    },
];

/// The routes of clients, which nodes send on to each other.
pub(super) fn forwarded() -> impl Iterator<Item = &'static Route> {
    CLIENT.iter().chain(&ONE_CALL)
}

/// The routes of a port.
pub(super) fn routes(port: Port) -> impl Iterator<Item = &'static Route> {
    let own: [&'static [Route]; 2] = match port {
        Port::Client => [&CLIENT, &ONE_CALL],
        Port::Admin => [&ADMIN, &[]],
    };
    own.into_iter().flatten().chain(&SHARED)
}
