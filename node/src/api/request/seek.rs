//! The body of a seek.

use serde_json::Value;
use sluice_actors::{Seek, SeekTarget};
use sluice_types::{Partition, Timestamp, TopicName, TopicPartition};

use super::fields::{Faults, Fields, integer, shown};
use super::offsets::{by_partition, offset};
use crate::api::error::Problem;

/// A seek, and how its answer is written.
#[derive(Clone, Debug)]
pub(crate) struct SeekRequest {
    /// What to seek.
    pub(crate) seek: Seek,
    /// The one partition named, whose answer is flat.
    pub(crate) single: Option<TopicPartition>,
}

const A_TARGET: &str = "an offset from 0 to 9223372036854775806, \"earliest\" or \"latest\"";

/// Reads the body of a seek.
pub(crate) fn parse(body: Option<Value>, mut faults: Faults) -> Result<SeekRequest, Problem> {
    let mut fields = Fields::of_body(body, &mut faults);
    let request = if fields.has("offsets") {
        several(&mut fields)
    } else {
        one(&mut fields)
    };
    fields.finish();
    faults.into_result(request)
}

fn several(fields: &mut Fields<'_>) -> Option<SeekRequest> {
    for other in ["topic", "partition", "offset", "timestamp"] {
        if fields.take(other).is_some() {
            fields.fault(other, "must not stand beside offsets");
        }
    }
    let value = fields.take("offsets")?;
    let empty = value.as_object().is_some_and(serde_json::Map::is_empty);
    let targets = by_partition("offsets", value, fields.faults(), |v| {
        target(v).ok_or(A_TARGET)
    });
    if empty {
        fields.fault("offsets", "must name at least one partition");
    }
    let targets = targets.iter().map(|(at, target)| (at, *target)).collect();
    Some(SeekRequest {
        seek: Seek::Partitions(targets),
        single: None,
    })
}

fn one(fields: &mut Fields<'_>) -> Option<SeekRequest> {
    if !fields.has("topic") {
        fields.missing("topic");
    }
    let topic = fields.text("topic", |text| {
        text.parse::<TopicName>().map_err(|error| error.to_string())
    });
    let whole_topic = !fields.has("partition");
    let partition = fields
        .integer("partition", 0..=i64::from(i32::MAX))
        .and_then(|number| Partition::new(i32::try_from(number).ok()?).ok());
    if fields.has("offset") && fields.has("timestamp") {
        fields.fault("timestamp", "must not stand beside offset");
    } else if !fields.has("offset") && !fields.has("timestamp") {
        fields.fault("offset", "is required, or timestamp in its place");
    }
    let by_offset = fields.take("offset").and_then(|value| {
        let target = target(&value);
        if target.is_none() {
            fields.fault(
                "offset",
                format!("must be {A_TARGET}, not {}", shown(&value)),
            );
        }
        target
    });
    let by_time = fields
        .integer("timestamp", 0..=i64::MAX)
        .map(|millis| SeekTarget::Timestamp(Timestamp::from_millis(millis)));
    fields.take("offsets");
    let (topic, target) = topic.zip(by_offset.or(by_time))?;
    if whole_topic {
        return Some(SeekRequest {
            seek: Seek::Topic(topic, target),
            single: None,
        });
    }
    let at = TopicPartition {
        topic,
        partition: partition?,
    };
    Some(SeekRequest {
        seek: Seek::Partitions(vec![(at.clone(), target)]),
        single: Some(at),
    })
}

fn target(value: &Value) -> Option<SeekTarget> {
    match value.as_str() {
        Some("earliest") => Some(SeekTarget::Earliest),
        Some("latest") => Some(SeekTarget::Latest),
        Some(_) => None,
        None => integer(value).and(offset(value)).map(SeekTarget::Offset),
    }
}
