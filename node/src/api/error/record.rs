//! What clients are told of a record that was not written.

use std::borrow::Cow;

use serde_json::json;
use sluice_actors::RecordError;
use sluice_types::TopicName;

use super::problem::sentence;
use super::{Code, Problem};

/// Of the causes of several records these come first, in this order; of others the first record's.
const FIRST: [Code; 7] = [
    Code::OutcomeUnknown,
    Code::Internal,
    Code::KafkaTimeout,
    Code::KafkaUnavailable,
    Code::QueueFull,
    Code::KafkaAccessDenied,
    Code::TopicNotFound,
];

/// What a client is told of one record.
pub(in crate::api) fn of_record(error: &RecordError, topic: &TopicName) -> Problem {
    let new = |code, detail: Cow<'static, str>| Problem::new(code, detail);
    match error {
        RecordError::Invalid(what) => new(Code::InvalidRecord, sentence(what).into()),
        RecordError::InvalidBase64(what) => new(
            Code::InvalidBase64,
            format!("The {what} is not base64 in the standard alphabet: correct it.").into(),
        ),
        RecordError::SchemaMismatch { what, mismatch } => new(
            Code::SchemaMismatch,
            format!("The {what} does not fit its schema: {mismatch}.").into(),
        ),
        RecordError::PartitionNotFound(partition) => new(
            Code::PartitionNotFound,
            format!("The topic has no partition {partition}: correct it, or leave it out.").into(),
        )
        .with("partitions", json!({ topic.as_str(): [partition] })),
        RecordError::TooLarge { limit: Some(limit) } => new(
            Code::RecordTooLarge,
            format!("The record has more than {limit} bytes: send less, or have limits.record_bytes raised.").into(),
        )
        .with("limit", *limit),
        RecordError::TooLarge { limit: None } => new(
            Code::RecordTooLarge,
            "Kafka does not take so large a record: send less, or have the topic's max.message.bytes raised.".into(),
        ),
        RecordError::TopicNotFound => new(
            Code::TopicNotFound,
            "Kafka has the topic no longer; the record was not written.".into(),
        )
        .with("topics", json!([topic])),
        RecordError::AccessDenied(reason) => new(
            Code::KafkaAccessDenied,
            format!("Kafka refuses this proxy the topic: {reason}.").into(),
        ),
        RecordError::QueueFull => super::queue_full(),
        RecordError::KafkaUnavailable(reason) => {
            let detail =
                format!("Kafka did not take the record, which was not written; try again: {reason}.");
            new(Code::KafkaUnavailable, detail.into())
        }
        RecordError::KafkaTimeout => new(
            Code::KafkaTimeout,
            "The record could not be sent in time and was not written; try again.".into(),
        ),
        RecordError::OutcomeUnknown(what) => new(Code::OutcomeUnknown, sentence(what).into()),
        RecordError::Internal(cause) => Problem::internal(cause.clone()),
    }
}

/// What a client is told of a request whose records all failed. Each record's own error stands
/// in `offsets`, which the caller adds.
pub(in crate::api) fn none_written(errors: &[&RecordError], topic: &TopicName) -> Problem {
    let mut problems: Vec<Problem> = errors.iter().map(|e| of_record(e, topic)).collect();
    let rank = |problem: &Problem| FIRST.iter().position(|code| *code == problem.code);
    let ranked = problems.iter().enumerate();
    let leading = ranked.min_by_key(|(at, problem)| (rank(problem).unwrap_or(FIRST.len()), *at));
    let Some(at) = leading.map(|(at, _)| at) else {
        return Problem::internal("no record, and all of them failed");
    };
    let mut problem = problems.swap_remove(at);
    if errors.len() > 1 {
        problem.detail = match problem.code {
            Code::OutcomeUnknown => format!(
                "Of {} records none was acknowledged, and those with outcome_unknown in offsets may have been written.",
                errors.len()
            )
            .into(),
            _ => format!(
                "None of {} records was written, and offsets has each one's cause; of record {at}: {}",
                errors.len(),
                problem.detail
            )
            .into(),
        };
    }
    problem
}

#[cfg(test)]
mod tests {
    use sluice_types::Partition;

    use super::*;

    fn topic() -> TopicName {
        "orders".parse().unwrap()
    }

    fn all() -> Vec<RecordError> {
        vec![
            RecordError::Invalid("the value is a number".into()),
            RecordError::InvalidBase64("key"),
            RecordError::PartitionNotFound(Partition::new(7).unwrap()),
            RecordError::TooLarge { limit: Some(5) },
            RecordError::TooLarge { limit: None },
            RecordError::TopicNotFound,
            RecordError::AccessDenied("no".to_owned()),
            RecordError::QueueFull,
            RecordError::KafkaUnavailable("gone".to_owned()),
            RecordError::KafkaTimeout,
            RecordError::OutcomeUnknown("nobody knows".into()),
            RecordError::Internal("a bug".to_owned()),
        ]
    }

    #[test]
    fn a_record_has_the_same_code_in_metrics_and_answers() {
        for error in all() {
            let problem = of_record(&error, &topic());
            assert_eq!(problem.code.meaning().code, error.code());
            assert!(problem.detail.ends_with('.'), "{}", problem.detail);
        }
    }

    #[test]
    fn that_something_may_have_been_written_comes_before_all_else() {
        let errors = all();
        let errors: Vec<&RecordError> = errors.iter().collect();
        let problem = none_written(&errors, &topic());
        assert_eq!(problem.code, Code::OutcomeUnknown);
        let problem = none_written(&errors[..5], &topic());
        assert_eq!(problem.code, Code::InvalidRecord);
        let problem = none_written(&errors[1..10], &topic());
        assert_eq!(problem.code, Code::KafkaTimeout);
        let alone = none_written(&errors[2..3], &topic());
        assert_eq!(alone, of_record(errors[2], &topic()));
    }
}
