//! Values by topic and partition: `{"orders":{"0":10}}`.

use serde_json::Value;
use sluice_types::{Offset, Partition, PartitionMap, TopicName, TopicPartition};

use super::fields::{Faults, integer, shown};

/// Reads a value for each of some partitions; `parse` reads one and says what it must be.
pub(super) fn by_partition<T>(
    field: &str,
    value: Value,
    faults: &mut Faults,
    parse: impl Fn(&Value) -> Result<T, &'static str>,
) -> PartitionMap<T> {
    let mut map = PartitionMap::new();
    let Value::Object(topics) = value else {
        let message = "must be an object of topics, each an object of partitions";
        faults.add(field, format!("{message}, not {}", shown(&value)));
        return map;
    };
    for (name, partitions) in topics {
        let place = format!("{field}.{name}");
        let topic = match name.parse::<TopicName>() {
            Ok(topic) => Some(topic),
            Err(error) => {
                faults.add(place.clone(), error.to_string());
                None
            }
        };
        let Value::Object(partitions) = partitions else {
            let message = "must be an object of partition numbers";
            faults.add(place, format!("{message}, not {}", shown(&partitions)));
            continue;
        };
        for (number, value) in partitions {
            let place = format!("{place}.{number}");
            let partition = match number.parse::<Partition>() {
                Ok(partition) => Some(partition),
                Err(error) => {
                    faults.add(place.clone(), error.to_string());
                    None
                }
            };
            match parse(&value) {
                Err(allowed) => {
                    faults.add(place, format!("must be {allowed}, not {}", shown(&value)));
                }
                Ok(value) => {
                    if let Some((topic, partition)) = topic.clone().zip(partition) {
                        map.insert(&TopicPartition { topic, partition }, value);
                    }
                }
            }
        }
    }
    map
}

/// What an offset must be.
pub(super) const AN_OFFSET: &str = "an integer from 0 to 9223372036854775806";

/// Reads an offset.
pub(super) fn offset(value: &Value) -> Option<Offset> {
    integer(value).and_then(|number| Offset::new(number).ok())
}
