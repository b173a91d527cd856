//! `server.properties` of one broker, and its log settings.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::Path;

/// Users of the SASL listener with their passwords; `admin` may do everything.
pub(crate) const USERS: [(&str, &str); 2] = [("admin", "admin-secret"), ("alice", "alice-secret")];

/// Where one broker listens. All addresses are on 127.0.0.1.
#[derive(Debug, Clone)]
pub(crate) struct Listeners {
    /// For the harness and for other brokers.
    pub(crate) plain: u16,
    pub(crate) controller: u16,
    /// Asks for a password.
    pub(crate) sasl: Option<u16>,
    /// Sends clients to another address than the one it has: that of a proxy.
    pub(crate) proxied: Option<Proxied>,
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct Proxied {
    pub(crate) listens: u16,
    pub(crate) advertises: u16,
}

/// What all brokers of one Kafka have in common.
#[derive(Debug, Clone)]
pub(crate) struct Common {
    /// `id@host:port` of each, comma separated.
    pub(crate) voters: String,
    pub(crate) brokers: usize,
    pub(crate) initial_rebalance_delay_ms: u128,
    pub(crate) acls: bool,
    /// What the test itself asked for; wins.
    pub(crate) extra: BTreeMap<String, String>,
}

/// Renders `server.properties`.
pub(crate) fn server_properties(
    id: usize,
    listeners: &Listeners,
    common: &Common,
    data: &Path,
) -> String {
    let mut all = BTreeMap::new();
    let mut set = |key: &str, value: String| all.insert(key.to_owned(), value);

    set("process.roles", "broker,controller".into());
    set("node.id", id.to_string());
    set("controller.quorum.voters", common.voters.clone());
    set("controller.listener.names", "CONTROLLER".into());
    set("inter.broker.listener.name", "PLAINTEXT".into());
    set("log.dirs", data.display().to_string());
    set_listeners(listeners, &mut set);

    // Topics of Kafka itself: few partitions, since each costs files and start-up time.
    let copies = common.brokers.min(3);
    let in_sync = copies.min(2);
    for topic in [
        "offsets.topic",
        "transaction.state.log",
        "share.coordinator.state.topic",
    ] {
        set(&format!("{topic}.replication.factor"), copies.to_string());
        set(&format!("{topic}.num.partitions"), "4".into());
    }
    set("transaction.state.log.min.isr", in_sync.to_string());
    set("share.coordinator.state.topic.min.isr", in_sync.to_string());
    set("default.replication.factor", copies.to_string());
    set("min.insync.replicas", in_sync.to_string());
    // The default of 128 MiB does not fit into the heap of a small broker.
    set("log.cleaner.dedupe.buffer.size", "8388608".into());
    set("auto.create.topics.enable", "false".into());

    set(
        "group.initial.rebalance.delay.ms",
        common.initial_rebalance_delay_ms.to_string(),
    );
    set("group.min.session.timeout.ms", "1000".into());

    // A broker killed with -9 is let in again only when its old session has ended: with the
    // defaults that takes 9 s longer.
    set("broker.session.timeout.ms", "2000".into());
    set("broker.heartbeat.interval.ms", "500".into());

    if common.acls {
        set(
            "authorizer.class.name",
            "org.apache.kafka.metadata.authorizer.StandardAuthorizer".into(),
        );
        // Whoever comes by a listener without a password is the harness or a broker.
        set("super.users", "User:ANONYMOUS;User:admin".into());
        set("allow.everyone.if.no.acl.found", "false".into());
    }
    if listeners.sasl.is_some() {
        let mut login =
            "org.apache.kafka.common.security.plain.PlainLoginModule required".to_owned();
        for (user, password) in USERS {
            let _ = write!(login, " user_{user}=\"{password}\"");
        }
        set("sasl.enabled.mechanisms", "PLAIN".into());
        set(
            "listener.name.sasl.plain.sasl.jaas.config",
            format!("{login};"),
        );
    }
    all.extend(common.extra.clone());

    all.iter().fold(String::new(), |mut text, (key, value)| {
        let _ = writeln!(text, "{key}={value}");
        text
    })
}

fn set_listeners(listeners: &Listeners, set: &mut impl FnMut(&str, String) -> Option<String>) {
    let at = |name: &str, port: u16| format!("{name}://127.0.0.1:{port}");
    let mut bound = vec![
        at("PLAINTEXT", listeners.plain),
        at("CONTROLLER", listeners.controller),
    ];
    let mut advertised = vec![at("PLAINTEXT", listeners.plain)];
    if let Some(port) = listeners.sasl {
        bound.push(at("SASL", port));
        advertised.push(at("SASL", port));
    }
    if let Some(proxied) = listeners.proxied {
        bound.push(at("PROXIED", proxied.listens));
        advertised.push(at("PROXIED", proxied.advertises));
    }
    set("listeners", bound.join(","));
    set("advertised.listeners", advertised.join(","));
    set(
        "listener.security.protocol.map",
        "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,PROXIED:PLAINTEXT,SASL:SASL_PLAINTEXT".into(),
    );
}

/// The broker's own log, to standard output; without it nothing but errors is seen.
pub(crate) const LOG_SETTINGS: &str = "\
status=ERROR
appender.out.type=Console
appender.out.name=out
appender.out.layout.type=PatternLayout
appender.out.layout.pattern=%d{HH:mm:ss.SSS} %-5p %c{1}: %m%n
rootLogger.level=INFO
rootLogger.appenderRef.out.ref=out
";

#[cfg(test)]
mod tests {
    use super::*;

    fn common(brokers: usize) -> Common {
        Common {
            voters: "1@127.0.0.1:2".into(),
            brokers,
            initial_rebalance_delay_ms: 0,
            acls: false,
            extra: BTreeMap::new(),
        }
    }

    fn listeners() -> Listeners {
        Listeners {
            plain: 1,
            controller: 2,
            sasl: None,
            proxied: None,
        }
    }

    #[test]
    fn a_proxied_listener_advertises_the_proxy() {
        let proxied = Proxied {
            listens: 3,
            advertises: 4,
        };
        let listeners = Listeners {
            proxied: Some(proxied),
            ..listeners()
        };
        let text = server_properties(1, &listeners, &common(1), Path::new("/data"));
        assert!(text.contains(",PROXIED://127.0.0.1:3\n"), "{text}");
        assert!(
            text.contains("advertised.listeners=PLAINTEXT://127.0.0.1:1,PROXIED://127.0.0.1:4\n"),
            "{text}"
        );
    }

    #[test]
    fn three_brokers_keep_three_copies_and_can_lose_one() {
        let text = server_properties(2, &listeners(), &common(3), Path::new("/data"));
        assert!(
            text.contains("\noffsets.topic.replication.factor=3\n"),
            "{text}"
        );
        assert!(text.contains("\nmin.insync.replicas=2\n"), "{text}");
    }

    #[test]
    fn what_the_test_asks_for_wins() {
        let mut common = common(1);
        common
            .extra
            .insert("auto.create.topics.enable".into(), "true".into());
        let text = server_properties(1, &listeners(), &common, Path::new("/data"));
        assert!(
            text.contains("\nauto.create.topics.enable=true\n"),
            "{text}"
        );
        assert!(!text.contains("auto.create.topics.enable=false"), "{text}");
    }
}
