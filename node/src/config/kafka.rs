//! `[kafka]`: how to reach Kafka.

use std::collections::BTreeMap;
use std::fmt;
use std::fs;

use sluice_types::AssignmentStrategy;
use toml::Value;

use super::key::{Heading, Key, Preset};
use super::mistake::{Mistake, Mistakes};
use super::section::Section;
use super::source::{Entry, Env};
use super::value::{HostPort, host_port, list};

pub(super) const KAFKA: Heading = Heading {
    name: "kafka",
    about: "How to reach Kafka.",
    keys: &[
        &BOOTSTRAP_SERVERS,
        &ASSIGNMENT_STRATEGY,
        &PROPERTIES,
        &CONSUMER,
        &PRODUCER,
    ],
};

const BOOTSTRAP_SERVERS: Key = Key {
    name: "bootstrap_servers",
    default: Preset::Depends("required", r#"["kafka-0:9092", "kafka-1:9092"]"#),
    allowed: r#"one or more hosts with their ports, such as "kafka-0:9092,kafka-1:9092""#,
    about: "Where to look for the brokers. The variable `KAFKA_BOOTSTRAP_SERVERS` is used if it is \
            not set otherwise.",
};
const ASSIGNMENT_STRATEGY: Key = Key {
    name: "assignment_strategy",
    default: Preset::Is(r#""cooperative-sticky""#),
    allowed: "range, roundrobin or cooperative-sticky",
    about: "The assignment strategy of sessions that name none. All members of a group must share \
            one. With `cooperative-sticky` a session that comes or goes stops nobody else; choose \
            another if native members of the same groups use it (Java's default is `range` \
            together with `cooperative-sticky`, librdkafka's is `range` together with \
            `roundrobin`).",
};
const PROPERTIES: Key = properties_key("properties", "Of every client.");
const CONSUMER: Key = properties_key("consumer", "Of sessions only, where they win.");
const PRODUCER: Key = properties_key("producer", "Of producers only, where they win.");

const fn properties_key(name: &'static str, about: &'static str) -> Key {
    Key {
        name,
        default: Preset::Section,
        allowed: "a section of librdkafka's properties",
        about,
    }
}

/// How to reach Kafka.
#[derive(Clone, Debug)]
pub struct Kafka {
    /// Where to look for the brokers; from `KAFKA_BOOTSTRAP_SERVERS` if not set otherwise.
    pub bootstrap_servers: Vec<HostPort>,
    /// The assignment strategy of sessions that name none. To be chosen where
    /// native members of the same groups use another.
    pub assignment_strategy: AssignmentStrategy,
    /// librdkafka properties of every client.
    pub properties: Properties,
    /// librdkafka properties of consumers; they win over `properties`.
    pub consumer: Properties,
    /// librdkafka properties of producers; they win over `properties`.
    pub producer: Properties,
}

/// librdkafka properties by name. `Debug` shows names only, since values may be secret.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Properties(pub BTreeMap<String, String>);

impl fmt::Debug for Properties {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

/// What Sluice sets itself for consumers, and why a configuration may not.
pub(super) const OWNED: &[(&str, &str)] = &[
    ("bootstrap.servers", "is kafka.bootstrap_servers"),
    ("metadata.broker.list", "is kafka.bootstrap_servers"),
    ("group.id", "is the session's group_id"),
    ("group.instance.id", "is the session's consumer_id"),
    (
        "group.protocol",
        "must stay classic: sessions are taken over as static members",
    ),
    (
        "group.remote.assignor",
        "belongs to another group protocol than the sessions'",
    ),
    (
        "partition.assignment.strategy",
        "is kafka.assignment_strategy, and the session's assignment_strategy",
    ),
    ("client.id", "is the session's client_id"),
    ("isolation.level", "is the session's isolation_level"),
    (
        "enable.auto.commit",
        "is the session's auto_commit, which commits what the client has",
    ),
    (
        "auto.commit.enable",
        "is the session's auto_commit, which commits what the client has",
    ),
    (
        "auto.commit.interval.ms",
        "is the session's auto_commit_interval_ms",
    ),
    (
        "enable.auto.offset.store",
        "must stay off: a record read ahead is not yet delivered",
    ),
    ("auto.offset.reset", "is the session's auto_offset_reset"),
    (
        "enable.partition.eof",
        "must stay off: the end of a partition is not an event here",
    ),
    (
        "allow.auto.create.topics",
        "must stay off: reading must not create a topic",
    ),
    (
        "offset.store.method",
        "must stay the broker: another node has to find the offsets",
    ),
];

/// What Sluice sets itself for producers.
pub(super) const OWNED_BY_PRODUCERS: &[(&str, &str)] = &[
    ("bootstrap.servers", "is kafka.bootstrap_servers"),
    ("metadata.broker.list", "is kafka.bootstrap_servers"),
    (
        "acks",
        "must stay all: an answer says that the record is safe",
    ),
    (
        "request.required.acks",
        "must stay all: an answer says that the record is safe",
    ),
    (
        "enable.idempotence",
        "must stay on: a retry must not write twice",
    ),
    ("compression.codec", "is the request's compression"),
    ("compression.type", "is the request's compression"),
    (
        "transactional.id",
        "would make one producer of all requests fence another",
    ),
];

impl Kafka {
    pub(super) fn check(mut section: Section<'_>, env: &Env) -> Self {
        let allowed = BOOTSTRAP_SERVERS.allowed;
        let servers = |value: &Value| list(value, host_port).filter(|list| !list.is_empty());
        let given = section.take_entry(&BOOTSTRAP_SERVERS);
        let entry = given.or_else(|| {
            let name = "KAFKA_BOOTSTRAP_SERVERS";
            env.get(name).map(|text| Entry {
                name: name.to_owned(),
                value: Value::String(text.clone()),
            })
        });
        let bootstrap_servers = match entry {
            None => {
                let missing =
                    format!("is missing: set it, or KAFKA_BOOTSTRAP_SERVERS, to {allowed}");
                section.mistake("bootstrap_servers", missing);
                Vec::new()
            }
            Some(entry) => servers(&entry.value).unwrap_or_else(|| {
                section.push(Mistake {
                    key: entry.name,
                    value: Some(entry.value.to_string()),
                    allowed: format!("must be {allowed}"),
                });
                Vec::new()
            }),
        };
        let assignment_strategy =
            section.value(&ASSIGNMENT_STRATEGY, |value| match value.as_str()?.trim() {
                "range" => Some(AssignmentStrategy::Range),
                "roundrobin" => Some(AssignmentStrategy::RoundRobin),
                "cooperative-sticky" => Some(AssignmentStrategy::CooperativeSticky),
                _ => None,
            });
        let of_all = properties(&mut section, &PROPERTIES, &[OWNED, OWNED_BY_PRODUCERS]);
        let consumer = properties(&mut section, &CONSUMER, &[OWNED]);
        let producer = properties(&mut section, &PRODUCER, &[OWNED_BY_PRODUCERS]);
        section.finish();
        Self {
            bootstrap_servers,
            assignment_strategy,
            properties: of_all,
            consumer,
            producer,
        }
    }

    /// The servers as librdkafka takes them.
    pub fn bootstrap_list(&self) -> String {
        let servers: Vec<String> = self
            .bootstrap_servers
            .iter()
            .map(HostPort::to_string)
            .collect();
        servers.join(",")
    }
}

fn properties(section: &mut Section<'_>, key: &Key, owned: &[&[(&str, &str)]]) -> Properties {
    let Some(entry) = section.take_entry(key) else {
        return Properties::default();
    };
    let key = key.name;
    let Value::Table(table) = entry.value else {
        let allowed = format!("must be a section: [kafka.{key}]");
        section.push(Mistake::new(entry.name, allowed));
        return Properties::default();
    };
    let mut properties = BTreeMap::new();
    for (name, value) in flatten(table) {
        let reason = owned
            .iter()
            .copied()
            .flatten()
            .find(|(owned, _)| *owned == name);
        if let Some((_, reason)) = reason {
            section.mistake(
                &format!("{key}.{name}"),
                format!("may not be set: it {reason}"),
            );
            continue;
        }
        match scalar(&value) {
            Some(text) => match sluice_actors::check_property(&name, &text) {
                Ok(()) => {
                    properties.insert(name, text);
                }
                Err(refused) => section.mistake(&format!("{key}.{name}"), refused),
            },
            None => section.mistake(
                &format!("{key}.{name}"),
                "must be a text, a number or a boolean",
            ),
        }
    }
    Properties(properties)
}

/// Properties that name files which librdkafka reads when a client is made.
const FILES: [&str; 5] = [
    "ssl.ca.location",
    "ssl.certificate.location",
    "ssl.crl.location",
    "ssl.key.location",
    "ssl.keystore.location",
];

impl Kafka {
    /// Whether the files are here that clients need. A configuration can be right without them, on
    /// another machine.
    ///
    /// # Errors
    /// Those that cannot be read: librdkafka would not say which.
    pub(crate) fn check_files(&self) -> Result<(), Mistakes> {
        let sections = [
            ("properties", &self.properties),
            ("consumer", &self.consumer),
            ("producer", &self.producer),
        ];
        let files = sections.into_iter().flat_map(|(section, properties)| {
            FILES.into_iter().filter_map(move |name| {
                // A word of librdkafka's, not a path.
                let path = properties.0.get(name).filter(|path| *path != "probe")?;
                let error = fs::metadata(path).err()?;
                let key = format!("kafka.{section}.{name}");
                Some(Mistake::new(key, format!("{path} cannot be read: {error}")))
            })
        });
        let missing: Vec<Mistake> = files.collect();
        match missing.is_empty() {
            true => Ok(()),
            false => Err(Mistakes(missing)),
        }
    }
}

/// Names of properties have dots, which TOML reads as tables when they are not quoted.
fn flatten(table: toml::Table) -> Vec<(String, Value)> {
    let mut flat = Vec::new();
    for (name, value) in table {
        match value {
            Value::Table(inner) => flat.extend(
                flatten(inner)
                    .into_iter()
                    .map(|(rest, value)| (format!("{name}.{rest}"), value)),
            ),
            other => flat.push((name, other)),
        }
    }
    flat
}

fn scalar(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Integer(number) => Some(number.to_string()),
        Value::Float(number) => Some(number.to_string()),
        Value::Boolean(flag) => Some(flag.to_string()),
        Value::Datetime(_) | Value::Array(_) | Value::Table(_) => None,
    }
}
