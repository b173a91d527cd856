//! The bodies and queries of the one-call API that read.

use std::num::{NonZeroU32, NonZeroUsize};
use std::time::Duration;

use serde_json::Value;
use sluice_types::{GroupId, TopicName};

use super::fields::{Faults, Fields, shown};
use super::query::Query;
use crate::api::error::Problem;

/// Most messages of an answer.
const MAX_MESSAGES: i64 = 1_000;
/// Longest wait, in seconds.
const MAX_TIMEOUT: f64 = 300.0;

/// What a call is to read.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Consume {
    /// From where.
    pub(crate) topic: TopicName,
    /// As a member of which group.
    pub(crate) group_id: GroupId,
    /// At most so many messages.
    pub(crate) max_messages: NonZeroU32,
    /// How long to wait for the first.
    pub(crate) timeout: Duration,
}

impl Consume {
    /// Reads the body; `default_group` names the group of those who name none.
    pub(crate) fn parse(
        body: Option<Value>,
        default_group: impl Fn(&TopicName) -> Result<GroupId, String>,
        mut faults: Faults,
    ) -> Result<Self, Problem> {
        let mut fields = Fields::of_body(body, &mut faults);
        let topic = fields.required("topic", |text| {
            text.parse::<TopicName>().map_err(|error| error.to_string())
        });
        let names_group = fields.has("group_id");
        let mut group_id = fields.text("group_id", |text| {
            text.parse::<GroupId>().map_err(|error| error.to_string())
        });
        if let Some(topic) = topic.as_ref().filter(|_| !names_group) {
            group_id = default_group(topic)
                .map_err(|message| fields.fault("group_id", message))
                .ok();
        }
        let messages = fields.integer("max_messages", 1..=MAX_MESSAGES);
        let timeout = seconds(&mut fields, "timeout");
        fields.finish();
        let max_messages = u32::try_from(messages.unwrap_or(10)).ok();
        let consume = topic
            .zip(group_id)
            .zip(max_messages.and_then(NonZeroU32::new))
            .map(|((topic, group_id), max_messages)| Self {
                topic,
                group_id,
                max_messages,
                timeout: timeout.unwrap_or(Duration::from_secs(5)),
            });
        faults.into_result(consume)
    }
}

fn seconds(fields: &mut Fields<'_>, name: &'static str) -> Option<Duration> {
    let value = fields.take(name)?;
    let seconds = value.as_f64().filter(|s| (0.0..=MAX_TIMEOUT).contains(s));
    if seconds.is_none() {
        let given = shown(&value);
        let message = format!("must be a number of seconds from 0 to {MAX_TIMEOUT}, not {given}");
        fields.fault(name, message);
    }
    seconds.map(Duration::from_secs_f64)
}

/// Reads the query of a listing: how many messages.
pub(crate) fn limit(mut query: Query, mut faults: Faults) -> Result<NonZeroUsize, Problem> {
    let limit = query.take("limit", &mut faults, |text| {
        text.parse::<usize>()
            .ok()
            .filter(|limit| (1..=1_000).contains(limit))
            .ok_or_else(|| format!("must be an integer from 1 to {MAX_MESSAGES}, not {text:?}"))
    });
    query.finish(&mut faults);
    faults.into_result(NonZeroUsize::new(limit.unwrap_or(10)))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn parse(body: Value) -> Result<Consume, Problem> {
        let group = |topic: &TopicName| {
            let group = format!("of.{topic}").parse::<GroupId>();
            group.map_err(|error| error.to_string())
        };
        Consume::parse(Some(body), group, Faults::default())
    }

    #[track_caller]
    fn fields(body: Value) -> Vec<String> {
        let problem = parse(body).unwrap_err();
        let errors = problem.extras["errors"].as_array().unwrap().clone();
        let name = |error: &Value| error["field"].as_str().unwrap().to_owned();
        errors.iter().map(name).collect()
    }

    #[test]
    fn defaults_are_filled_in() {
        let consume = parse(json!({"topic": "t", "group_id": null})).unwrap();
        assert_eq!(consume.group_id.as_str(), "of.t");
        assert_eq!(consume.max_messages.get(), 10);
        assert_eq!(consume.timeout, Duration::from_secs(5));
        let named = json!({"topic": "t", "group_id": "g", "max_messages": 1000, "timeout": 0.25});
        let consume = parse(named).unwrap();
        assert_eq!(consume.group_id.as_str(), "g");
        assert_eq!(consume.max_messages.get(), 1_000);
        assert_eq!(consume.timeout, Duration::from_millis(250));
    }

    #[test]
    fn all_faults_are_told_at_once() {
        assert_eq!(fields(json!({})), ["topic"]);
        let body =
            json!({"topic": "a b", "group_id": "", "max_messages": 0, "timeout": -1, "x": 1});
        let expected = ["topic", "group_id", "max_messages", "timeout", "x"];
        assert_eq!(fields(body), expected);
        let over = json!({"topic": "t", "max_messages": 1001, "timeout": 300.5});
        assert_eq!(fields(over), ["max_messages", "timeout"]);
    }

    #[test]
    fn a_topic_too_long_for_a_group_of_its_name_needs_a_group() {
        let long = "t".repeat(249);
        assert_eq!(fields(json!({"topic": long})), ["group_id"]);
        assert!(parse(json!({"topic": long, "group_id": "g"})).is_ok());
    }
}
