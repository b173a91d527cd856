//! What librdkafka's word on a record means to the client that sent it.

use rdkafka::error::RDKafkaErrorCode as Code;
use sluice_types::Partition;

use super::record::RecordError;

/// What is known of a record that was not acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sent {
    /// Kafka does not have it, and will not get it.
    No,
    /// Kafka may have it.
    Perhaps,
}

/// Why a record was not written, or that it is not known.
pub(super) fn of(code: Code, sent: Sent, partition: i32) -> RecordError {
    match (code, sent) {
        (Code::MessageSizeTooLarge, _) => RecordError::TooLarge { limit: None },
        (Code::TopicAuthorizationFailed | Code::ClusterAuthorizationFailed, _) => {
            RecordError::AccessDenied(code.to_string())
        }
        (Code::InvalidTimestamp | Code::InvalidRecord | Code::InvalidMessage, Sent::No) => {
            RecordError::Invalid(format!("kafka refuses it: {code}").into())
        }
        (_, Sent::Perhaps) => RecordError::OutcomeUnknown(
            format!("Kafka has not acknowledged the record, which may have been written: {code}")
                .into(),
        ),
        (Code::UnknownTopicOrPartition | Code::UnknownTopic, Sent::No) => {
            RecordError::TopicNotFound
        }
        (Code::UnknownPartition, Sent::No) => match Partition::new(partition) {
            Ok(partition) => RecordError::PartitionNotFound(partition),
            Err(_) => RecordError::TopicNotFound,
        },
        (Code::QueueFull, Sent::No) => RecordError::QueueFull,
        (Code::MessageTimedOut, Sent::No) => RecordError::KafkaTimeout,
        (_, Sent::No) => RecordError::KafkaUnavailable(code.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_have_been_written_is_never_called_a_failure() {
        for code in [
            Code::MessageTimedOut,
            Code::PurgeInflight,
            Code::NotEnoughReplicasAfterAppend,
            Code::Fatal,
        ] {
            assert_eq!(of(code, Sent::Perhaps, 0).code(), "outcome_unknown");
        }
    }

    #[test]
    fn what_was_not_written_is_told_by_its_cause() {
        for (code, expected) in [
            (Code::MessageSizeTooLarge, "record_too_large"),
            (Code::TopicAuthorizationFailed, "kafka_access_denied"),
            (Code::InvalidTimestamp, "invalid_record"),
            (Code::UnknownTopicOrPartition, "topic_not_found"),
            (Code::UnknownPartition, "partition_not_found"),
            (Code::QueueFull, "queue_full"),
            (Code::MessageTimedOut, "kafka_timeout"),
            (Code::PurgeQueue, "kafka_unavailable"),
        ] {
            assert_eq!(of(code, Sent::No, 3).code(), expected);
        }
    }
}
