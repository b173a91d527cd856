//! Kafka's errors in the session's terms.

use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};

use crate::Error;

/// What a failed request to Kafka means for who asked.
pub(crate) fn failure(error: &KafkaError) -> Error {
    match error.rdkafka_error_code() {
        Some(code) => code_failure(code),
        None => Error::Internal(error.to_string()),
    }
}

/// What an error code of Kafka or librdkafka means for who asked.
pub(crate) fn code_failure(code: Code) -> Error {
    match code {
        Code::GroupAuthorizationFailed
        | Code::TopicAuthorizationFailed
        | Code::ClusterAuthorizationFailed => Error::AccessDenied(code.to_string()),
        Code::Authentication | Code::SaslAuthenticationFailed => {
            Error::AccessDenied(format!("{code}: check this node's Kafka credentials"))
        }
        Code::InconsistentGroupProtocol | Code::GroupIdNotFound => Error::InconsistentProtocol,
        Code::OperationTimedOut | Code::RequestTimedOut | Code::TimedOutQueue => {
            Error::KafkaTimeout
        }
        Code::RebalanceInProgress | Code::IllegalGeneration | Code::AssignmentLost => {
            Error::Rebalancing
        }
        _ => Error::KafkaUnavailable(code.to_string()),
    }
}

/// Passes librdkafka's log lines on; `level` is one of syslog. What librdkafka calls errors are
/// mostly lost connections that it mends itself: they are warnings here.
pub(crate) fn log(level: i32, facility: &str, message: &str) {
    if level <= RDKafkaLogLevel::Warning as i32 {
        tracing::warn!(facility, said = message, "librdkafka warns");
    } else {
        tracing::debug!(facility, said = message, "librdkafka tells");
    }
}
