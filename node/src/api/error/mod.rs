//! What clients are told when something goes wrong: `application/problem+json`.
//!
//! Every error has one [`Code`], and one match gives its status, title and whether a retry is
//! worth it.

mod code;
mod problem;
mod record;

pub use code::{Code, Meaning, Origin};
pub use problem::{FieldError, Problem, invalid_fields};
pub(super) use problem::{queue_full, schema_registry_not_configured, shutting_down, timed_out};
pub(super) use record::{none_written, of_record};

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::json;
    use sluice_actors::Error as SessionError;
    use sluice_types::Partitions;

    use super::*;

    #[test]
    fn every_code_is_listed_once_and_says_its_status() {
        let codes: BTreeSet<&str> = Code::ALL.iter().map(|code| code.meaning().code).collect();
        assert_eq!(codes.len(), Code::ALL.len());
        for code in Code::ALL {
            let meaning = code.meaning();
            assert!(meaning.status.is_client_error() || meaning.status.is_server_error());
            let promised = matches!(meaning.status.as_u16(), 429 | 503);
            assert_eq!(meaning.retry_after.is_some(), promised, "{}", meaning.code);
        }
    }

    #[test]
    fn a_problem_has_the_members_of_the_contract() {
        let partitions: Partitions = serde_json::from_str(r#"{"orders":[7]}"#).unwrap();
        let problem = Problem::from(SessionError::NotAssigned(partitions));
        let body = problem.body();
        assert_eq!(body["code"], "partition_not_assigned");
        assert_eq!(body["status"], 409);
        assert_eq!(body["type"], "urn:sluice:error:partition_not_assigned");
        assert_eq!(body["partitions"], json!({"orders": [7]}));
        assert!(body["title"].is_string() && body["detail"].is_string());
    }

    #[test]
    fn the_cause_of_our_own_faults_stays_in_the_log() {
        let problem = Problem::from(SessionError::Internal("index 3 of 2".to_owned()));
        assert!(!problem.body().to_string().contains("index 3"));
        assert_eq!(problem.cause.as_deref(), Some("index 3 of 2"));
    }

    #[test]
    fn another_strategy_is_told_with_the_field_to_set() {
        let problem = Problem::from(SessionError::InconsistentProtocol);
        assert!(problem.detail.contains("assignment_strategy"));
    }
}
