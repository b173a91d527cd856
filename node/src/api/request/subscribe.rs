//! The body of a subscribe.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::Value;
use sluice_types::{
    AssignmentStrategy, ConsumerId, Format, GroupId, IsolationLevel, OffsetReset, SessionSpec,
    TopicName,
};

use super::FORMATS;
use super::fields::{Faults, Fields, shown};
use crate::api::error::{Problem, schema_registry_not_configured};

/// A subscribe, defaults filled in.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Subscribe {
    /// The id that the client has chosen.
    pub(crate) id: Option<ConsumerId>,
    /// What it asks for.
    pub(crate) spec: SessionSpec,
}

/// What stands in the place of an id in a path of its own.
const RESERVED: &str = "subscribe";

const MAX_TOPICS: usize = 100;
const MAX_CLIENT_ID: usize = 249;

impl Subscribe {
    /// Reads the body; `strategy` is the node's default, `has_schemas` whether it can read Avro.
    pub(crate) fn parse(
        body: Option<Value>,
        strategy: AssignmentStrategy,
        has_schemas: bool,
        mut faults: Faults,
    ) -> Result<Self, Problem> {
        let mut fields = Fields::of_body(body, &mut faults);
        let group_id = fields.required("group_id", |text| {
            text.parse::<GroupId>().map_err(|error| error.to_string())
        });
        let topics = topics(&mut fields);
        let reset = fields.choice(
            "auto_offset_reset",
            &[
                ("earliest", OffsetReset::Earliest),
                ("latest", OffsetReset::Latest),
                ("none", OffsetReset::None),
            ],
        );
        let session_timeout = fields.integer("session_timeout_ms", 1_000..=3_600_000);
        let auto_commit = fields.boolean("auto_commit");
        let interval = fields.integer("auto_commit_interval_ms", 1..=3_600_000);
        let isolation = fields.choice(
            "isolation_level",
            &[
                ("read_committed", IsolationLevel::ReadCommitted),
                ("read_uncommitted", IsolationLevel::ReadUncommitted),
            ],
        );
        let key_format = fields.choice("key_format", FORMATS);
        let value_format = fields.choice("value_format", FORMATS);
        let assignment = fields.choice(
            "assignment_strategy",
            &[
                ("range", AssignmentStrategy::Range),
                ("roundrobin", AssignmentStrategy::RoundRobin),
                ("cooperative-sticky", AssignmentStrategy::CooperativeSticky),
            ],
        );
        let client_id = fields.text("client_id", client_id);
        let id = fields.text("consumer_id", consumer_id);
        fields.finish();
        let spec = group_id.zip(topics).map(|(group_id, topics)| SessionSpec {
            group_id,
            topics,
            auto_offset_reset: reset.unwrap_or(OffsetReset::Latest),
            session_timeout: millis(session_timeout.unwrap_or(30_000)),
            auto_commit: auto_commit.unwrap_or(false),
            auto_commit_interval: millis(interval.unwrap_or(5_000)),
            isolation_level: isolation.unwrap_or(IsolationLevel::ReadCommitted),
            key_format: key_format.unwrap_or(Format::String),
            value_format: value_format.unwrap_or(Format::String),
            assignment_strategy: assignment.unwrap_or(strategy),
            client_id: client_id.unwrap_or_else(|| "sluice".to_owned()),
        });
        let subscribe = faults.into_result(spec.map(|spec| Self { id, spec }))?;
        let formats = [subscribe.spec.key_format, subscribe.spec.value_format];
        if formats.contains(&Format::Avro) && !has_schemas {
            return Err(schema_registry_not_configured());
        }
        Ok(subscribe)
    }
}

fn topics(fields: &mut Fields<'_>) -> Option<Vec<TopicName>> {
    let Some(value) = fields.take("topics") else {
        fields.missing("topics");
        return None;
    };
    let Value::Array(names) = value else {
        let message = format!("must be an array of topic names, not {}", shown(&value));
        fields.fault("topics", message);
        return None;
    };
    if names.is_empty() || names.len() > MAX_TOPICS {
        let message = format!("must have 1 to {MAX_TOPICS} topics, not {}", names.len());
        fields.fault("topics", message);
        return None;
    }
    let mut topics = Vec::with_capacity(names.len());
    let mut seen = BTreeSet::new();
    for (index, value) in names.iter().enumerate() {
        let place = || format!("topics[{index}]");
        match value.as_str().map(str::parse::<TopicName>) {
            None => fields.fault(place(), format!("must be a string, not {}", shown(value))),
            Some(Err(error)) => fields.fault(place(), error.to_string()),
            Some(Ok(topic)) => {
                if !seen.insert(topic.clone()) {
                    fields.fault(place(), format!("{topic} stands there twice"));
                }
                topics.push(topic);
            }
        }
    }
    Some(topics)
}

fn consumer_id(text: &str) -> Result<ConsumerId, String> {
    if text == RESERVED {
        return Err(format!(
            "must not be {RESERVED}, which is a path of its own"
        ));
    }
    text.parse()
        .map_err(|error: sluice_types::InvalidId| error.to_string())
}

fn client_id(text: &str) -> Result<String, String> {
    let length = text.chars().count();
    if length == 0 || length > MAX_CLIENT_ID {
        return Err(format!(
            "must have 1 to {MAX_CLIENT_ID} characters, not {length}"
        ));
    }
    if text.chars().any(char::is_control) {
        return Err("must not have control characters".to_owned());
    }
    Ok(text.to_owned())
}

fn millis(number: i64) -> Duration {
    Duration::from_millis(number.unsigned_abs())
}
