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

/// Whether Kafka may have said it of another record in the same batch, or of all together.
pub(super) fn may_be_of_another(code: Code) -> bool {
    matches!(
        code,
        Code::InvalidDifferentRecord
            | Code::InvalidRecord
            | Code::InvalidTimestamp
            | Code::MessageSizeTooLarge
            | Code::MessageBatchTooLarge
    )
}

/// Why a record, with or without a key, was not written, or that it is not known.
pub(super) fn of(code: Code, sent: Sent, partition: i32, has_key: bool) -> RecordError {
    match (code, sent) {
        (Code::MessageSizeTooLarge | Code::MessageBatchTooLarge, _) => {
            RecordError::TooLarge { limit: None }
        }
        (Code::TopicAuthorizationFailed | Code::ClusterAuthorizationFailed, _) => {
            RecordError::AccessDenied(code.to_string())
        }
        (_, Sent::Perhaps) => RecordError::OutcomeUnknown(
            format!("Kafka has not acknowledged the record, which may have been written: {code}")
                .into(),
        ),
        (Code::InvalidTopic, Sent::No) => {
            RecordError::AccessDenied(format!("{code}; its own topics take no client's records"))
        }
        (Code::Authentication | Code::SaslAuthenticationFailed, Sent::No) => {
            RecordError::AccessDenied(code.to_string())
        }
        (Code::InvalidRecord, Sent::No) if !has_key => RecordError::Invalid(
            format!("Kafka refuses it: {code}; a compacted topic takes no record without a key")
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
        (_, Sent::No) if passes(code) => RecordError::KafkaUnavailable(code.to_string()),
        (_, Sent::No) => RecordError::Invalid(format!("Kafka refuses it: {code}").into()),
    }
}

/// Whether the same record may well be taken later: the cause lies with brokers, with the way to
/// them, or with a producer, which is replaced. Of what is not known to pass, a repetition is in
/// vain.
fn passes(code: Code) -> bool {
    let is_local = matches!(
        code,
        Code::AllBrokersDown
            | Code::BrokerDestroy
            | Code::BrokerTransportFailure
            | Code::CriticalSystemResource
            | Code::DestroyBroker
            | Code::Fail
            | Code::Fatal
            | Code::Fenced
            | Code::GaplessGuarantee
            | Code::Inconsistent
            | Code::InvalidDifferentRecord
            | Code::OperationTimedOut
            | Code::PurgeInflight
            | Code::PurgeQueue
            | Code::Resolve
            | Code::Retry
            | Code::SSL
            | Code::TimedOutQueue
            | Code::UnknownBroker
            | Code::WaitCache
    );
    is_local
        || matches!(
            code,
            Code::BrokerNotAvailable
                | Code::ConcurrentTransactions
                | Code::CoordinatorLoadInProgress
                | Code::CoordinatorNotAvailable
                | Code::DuplicateSequenceNumber
                | Code::FencedLeaderEpoch
                // The batch was damaged on its way.
                | Code::InvalidMessage
                | Code::InvalidProducerEpoch
                | Code::InvalidProducerIdMapping
                | Code::KafkaStorageError
                | Code::LeaderNotAvailable
                | Code::ListenerNotFound
                | Code::LogDirNotFound
                | Code::NetworkException
                | Code::NotCoordinator
                | Code::NotController
                | Code::NotEnoughReplicas
                | Code::NotEnoughReplicasAfterAppend
                | Code::NotLeaderForPartition
                | Code::OutOfOrderSequenceNumber
                | Code::PreferredLeaderNotAvailable
                | Code::ProducerFenced
                | Code::RebootstrapRequired
                | Code::ReplicaNotAvailable
                | Code::RequestTimedOut
                | Code::StaleBrokerEpoch
                | Code::ThrottlingQuotaExceeded
                // A fault of the broker's, which it does not expect itself.
                | Code::Unknown
                | Code::UnknownLeaderEpoch
                | Code::UnknownProducerId
                | Code::UnknownTopicId
        )
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
            Code::InvalidRecord,
            Code::InvalidTopic,
            Code::InvalidTimestamp,
        ] {
            assert_eq!(of(code, Sent::Perhaps, 0, true).code(), "outcome_unknown");
        }
    }

    #[test]
    fn what_was_not_written_is_told_by_its_cause() {
        for (code, expected) in [
            (Code::MessageSizeTooLarge, "record_too_large"),
            (Code::MessageBatchTooLarge, "record_too_large"),
            (Code::TopicAuthorizationFailed, "kafka_access_denied"),
            (Code::SaslAuthenticationFailed, "kafka_access_denied"),
            (Code::InvalidTopic, "kafka_access_denied"),
            (Code::InvalidTimestamp, "invalid_record"),
            (Code::InvalidRecord, "invalid_record"),
            (Code::PolicyViolation, "invalid_record"),
            (Code::UnsupportedForMessageFormat, "invalid_record"),
            (Code::UnsupportedCompressionType, "invalid_record"),
            (Code::UnsupportedVersion, "invalid_record"),
            (Code::InvalidRequiredAcks, "invalid_record"),
            (Code::UnknownTopicOrPartition, "topic_not_found"),
            (Code::UnknownPartition, "partition_not_found"),
            (Code::QueueFull, "queue_full"),
            (Code::MessageTimedOut, "kafka_timeout"),
            (Code::PurgeQueue, "kafka_unavailable"),
            (Code::Fatal, "kafka_unavailable"),
            (Code::InvalidMessage, "kafka_unavailable"),
            (Code::NotEnoughReplicas, "kafka_unavailable"),
            (Code::NotLeaderForPartition, "kafka_unavailable"),
            (Code::OutOfOrderSequenceNumber, "kafka_unavailable"),
            (Code::Unknown, "kafka_unavailable"),
        ] {
            assert_eq!(of(code, Sent::No, 3, true).code(), expected, "{code}");
        }
    }

    #[test]
    fn a_refusal_names_kafkas_code_and_a_key_that_is_missing() {
        for code in [Code::InvalidRecord, Code::PolicyViolation] {
            let told = of(code, Sent::No, 0, true).to_string();
            assert!(told.contains(&format!("{code:?}")), "{told}");
            assert!(!told.contains("key"), "{told}");
        }
        let told = of(Code::InvalidRecord, Sent::No, 0, false).to_string();
        assert!(told.contains("InvalidRecord"), "{told}");
        assert!(told.contains("without a key"), "{told}");
    }

    #[test]
    fn what_is_said_of_a_partition_is_meant_for_every_record() {
        for code in [
            Code::InvalidTopic,
            Code::NotLeaderForPartition,
            Code::TopicAuthorizationFailed,
            Code::MessageTimedOut,
        ] {
            assert!(!may_be_of_another(code), "{code}");
        }
    }
}
