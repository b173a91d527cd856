//! The librdkafka properties of every consumer handle.

use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::error::KafkaError;
use rdkafka::types::RDKafkaConfRes;
use sluice_types::{ConsumerId, IsolationLevel, SessionSpec};

use crate::Config;

/// How a handle takes part in its group.
#[derive(Clone, Copy, Debug)]
pub(crate) enum HandleKind<'a> {
    /// As the group's static member with this id (KIP-345): who takes the id over gets the same
    /// partitions, and the broker fences the former holder.
    Member(&'a ConsumerId),
    /// Not at all; commits go to the group while it has no members.
    Standalone,
}

/// librdkafka wants the name of a group on every handle that is assigned partitions; this one is
/// never joined and never committed to.
pub(crate) const NO_GROUP: &str = "sluice-no-group";

/// Where numbers differ from librdkafka's defaults, the reason stands beside them.
const TUNED: &[(&str, &str)] = &[
    ("enable.auto.commit", "false"),
    ("enable.auto.offset.store", "false"),
    // Where a partition starts is decided by the session, never by librdkafka.
    ("auto.offset.reset", "error"),
    ("enable.partition.eof", "false"),
    ("allow.auto.create.topics", "false"),
    ("group.protocol", "classic"),
    // Others learn of a member that left at their own next heartbeat.
    ("heartbeat.interval.ms", "1000"),
    ("session.timeout.ms", "30000"),
    // Also how long a rebalance waits for us; the handle is polled once a second.
    ("max.poll.interval.ms", "60000"),
    // New partitions are noticed at the next refresh only.
    ("topic.metadata.refresh.interval.ms", "10000"),
    ("reconnect.backoff.ms", "50"),
    ("reconnect.backoff.max.ms", "1000"),
    ("socket.timeout.ms", "10000"),
    ("socket.keepalive.enable", "true"),
    ("log.connection.close", "false"),
    ("enable.metrics.push", "false"),
    ("statistics.interval.ms", "0"),
    // What an unread session may hold, about 6 MB instead of 24, and what is fetched while an
    // answer is written and read: with less, a client that reads without pause waits for fetches.
    // A session without a backlog holds nothing of it.
    ("queued.max.messages.kbytes", "4096"),
    ("queued.min.messages", "15000"),
    ("fetch.message.max.bytes", "524288"),
    ("fetch.max.bytes", "2097152"),
    // Small queues fill and empty often; the default of 1000 stalls a draining client.
    ("fetch.queue.backoff.ms", "5"),
    ("fetch.error.backoff.ms", "100"),
    ("fetch.wait.max.ms", "500"),
];

/// Properties of a consumer: Sluice's choices, the operator's over them, and over those the few
/// that the session's contract needs.
pub(crate) fn consumer_config(
    config: &Config,
    spec: &SessionSpec,
    kind: HandleKind<'_>,
) -> ClientConfig {
    let mut client = base_config(config);
    client
        .set("group.id", spec.group_id.as_str())
        .set("client.id", &spec.client_id)
        .set(
            "partition.assignment.strategy",
            spec.assignment_strategy.as_str(),
        )
        .set(
            "isolation.level",
            match spec.isolation_level {
                IsolationLevel::ReadCommitted => "read_committed",
                IsolationLevel::ReadUncommitted => "read_uncommitted",
            },
        );
    match kind {
        // The embedded broker knows no static members.
        HandleKind::Member(id) if !config.embedded_broker => {
            client.set("group.instance.id", id.as_str());
        }
        HandleKind::Member(_) | HandleKind::Standalone => {}
    }
    client
}

/// Whether librdkafka knows a property and takes the value.
///
/// # Errors
/// What is wrong, to stand behind the property's name. A value that may be secret is not repeated.
pub fn check_property(name: &str, value: &str) -> Result<(), String> {
    let checked = ClientConfig::new().set(name, value).create_native_config();
    match checked {
        Ok(_) => Ok(()),
        Err(KafkaError::ClientConfig(RDKafkaConfRes::RD_KAFKA_CONF_UNKNOWN, ..)) => {
            Err("is not a property of librdkafka".to_owned())
        }
        Err(_) if may_be_secret(name) => {
            Err("has a value that librdkafka does not take".to_owned())
        }
        Err(_) => Err(format!(
            "has the value {value:?}, which librdkafka does not take"
        )),
    }
}

fn may_be_secret(name: &str) -> bool {
    let parts = ["password", "secret", "pem", "oauthbearer", "jaas"];
    parts.iter().any(|part| name.contains(part))
}

/// For how long Kafka keeps a member of which it hears nothing.
pub(crate) fn member_timeout(config: &Config) -> Duration {
    let client = base_config(config);
    // What librdkafka takes has been checked.
    let millis = client
        .get("session.timeout.ms")
        .and_then(|ms| ms.parse().ok());
    Duration::from_millis(millis.unwrap_or(30_000))
}

/// Properties that every client of this node shares.
pub(crate) fn base_config(config: &Config) -> ClientConfig {
    let mut client = ClientConfig::new();
    for (key, value) in TUNED {
        client.set(*key, *value);
    }
    client.set("bootstrap.servers", &config.bootstrap_servers);
    for (key, value) in config.properties.iter().chain(&config.consumer_properties) {
        client.set(key, value);
    }
    client
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn properties_are_checked_by_name_and_value() {
        assert_eq!(check_property("fetch.wait.max.ms", "100"), Ok(()));
        let unknown = check_property("fetch.wait.max", "100").unwrap_err();
        assert_eq!(unknown, "is not a property of librdkafka");
        let refused = check_property("security.protocol", "SSLL").unwrap_err();
        assert_eq!(
            refused,
            "has the value \"SSLL\", which librdkafka does not take"
        );
        let refused = check_property("sasl.oauthbearer.method", "hunter2").unwrap_err();
        assert_eq!(refused, "has a value that librdkafka does not take");
    }
}
