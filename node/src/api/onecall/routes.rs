//! The table of the one-call API's routes.

use actix_web::http::Method;
use futures::TryFutureExt;

use super::{consume, info, message, messages};
use crate::api::error::Code;
use crate::api::health;
use crate::api::routes::{BODY, KAFKA, OWNER, Produces, Route};

/// Where messages are read.
pub(in crate::api) const CONSUME_ONCE: &str = "/consume";

/// What clients use who want no session of their own.
pub(in crate::api) static ONE_CALL: [Route; 6] = [
    Route {
        method: Method::GET,
        path: "/",
        produces: Produces::Json,
        errors: &[],
        run: |call| Box::pin(info::root(call).err_into()),
    },
    Route {
        method: Method::GET,
        path: "/health",
        produces: Produces::Json,
        errors: &[],
        run: |call| Box::pin(health::health(call).err_into()),
    },
    Route {
        method: Method::POST,
        path: CONSUME_ONCE,
        produces: Produces::Json,
        errors: &[
            BODY,
            KAFKA,
            OWNER,
            &[
                Code::TopicNotFound,
                Code::ConsumerExists,
                Code::InconsistentGroupProtocol,
                Code::Superseded,
                Code::TooManySessions,
                Code::QueueFull,
                Code::SessionFailed,
                Code::UnsupportedByDevBroker,
                Code::RebalanceInProgress,
            ],
        ],
        run: |call| Box::pin(consume::consume(call)),
    },
    Route {
        method: Method::GET,
        path: "/messages/{topic}",
        produces: Produces::Json,
        errors: &[KAFKA, &[Code::TopicNotFound, Code::QueueFull]],
        run: |call| Box::pin(messages::messages(call)),
    },
    Route {
        method: Method::GET,
        path: "/topics",
        produces: Produces::Json,
        errors: &[KAFKA],
        run: |call| Box::pin(info::topics(call)),
    },
    Route {
        method: Method::POST,
        path: "/produce",
        produces: Produces::Json,
        errors: &[
            BODY,
            KAFKA,
            &[
                Code::TopicNotFound,
                Code::RecordTooLarge,
                Code::InvalidRecord,
                Code::QueueFull,
                Code::ShuttingDown,
                Code::OutcomeUnknown,
            ],
        ],
        run: |call| Box::pin(message::produce(call)),
    },
];
