//! The body of a manual assignment.

use serde_json::Value;
use sluice_types::{Partition, Partitions, TopicName, TopicPartition};

use super::fields::{Faults, Fields, integer, shown};
use crate::api::error::Problem;

/// Reads the partitions that the session shall have.
pub(crate) fn parse(body: Option<Value>, mut faults: Faults) -> Result<Partitions, Problem> {
    let mut fields = Fields::of_body(body, &mut faults);
    let mut partitions = Partitions::new();
    match fields.take("topics") {
        None => fields.missing("topics"),
        Some(Value::Object(topics)) if topics.is_empty() => {
            fields.fault("topics", "must name at least one topic");
        }
        Some(Value::Object(topics)) => {
            for (name, numbers) in topics {
                topic(&name, &numbers, &mut partitions, fields.faults());
            }
        }
        Some(other) => {
            let message = "must be an object of topics, each an array of partitions";
            fields.fault("topics", format!("{message}, not {}", shown(&other)));
        }
    }
    fields.finish();
    faults.into_result(Some(partitions))
}

fn topic(name: &str, numbers: &Value, partitions: &mut Partitions, faults: &mut Faults) {
    let place = format!("topics.{name}");
    let topic = match name.parse::<TopicName>() {
        Ok(topic) => Some(topic),
        Err(error) => {
            faults.add(place.clone(), error.to_string());
            None
        }
    };
    let numbers = match numbers {
        Value::Array(numbers) if !numbers.is_empty() => numbers,
        other => {
            let message = "must be an array of at least one partition number";
            faults.add(place, format!("{message}, not {}", shown(other)));
            return;
        }
    };
    for (index, value) in numbers.iter().enumerate() {
        let partition = integer(value)
            .and_then(|number| i32::try_from(number).ok())
            .and_then(|number| Partition::new(number).ok());
        match (partition, &topic) {
            (Some(partition), Some(topic)) => {
                let topic = topic.clone();
                partitions.extend([TopicPartition { topic, partition }]);
            }
            (Some(_), None) => {}
            (None, _) => {
                let message = format!(
                    "must be an integer from 0 to {}, not {}",
                    i32::MAX,
                    shown(value)
                );
                faults.add(format!("{place}[{index}]"), message);
            }
        }
    }
}
