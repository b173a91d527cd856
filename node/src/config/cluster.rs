//! `[cluster]`: who this node is, and whom it works with.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use sluice_raft::Timing;
use sluice_types::NodeName;
use toml::Value;

use super::key::{Heading, Key, Preset};
use super::secret::Secret;
use super::section::Section;
use super::source::Env;
use super::value::{HostPort, address, duration_within, host_port, list, size_within, text};

pub(super) const CLUSTER: Heading = Heading {
    name: "cluster",
    about: "Who the node is, and whom it works with.",
    keys: &[
        &NAME,
        &ID,
        &DATA_DIR,
        &BIND,
        &ADVERTISE,
        &PEERS,
        &SECRET,
        &SECRET_FILE,
        &RESERVE_BYTES,
        &LEASE,
        &DEATH_AFTER,
        &FORGET_AFTER,
    ],
};

const NAME: Key = Key {
    name: "name",
    default: Preset::Depends("the host's name", r#""sluice-0""#),
    allowed: "1 to 253 of A-Z a-z 0-9 . _ -",
    about: "The node's name, which stands as `owner` in a session's answer and in the log. The \
            same over restarts, and another on each node.",
};
const ID: Key = Key {
    name: "id",
    default: Preset::Is(r#""sluice""#),
    allowed: "1 to 253 of A-Z a-z 0-9 . _ -",
    about: "The cluster's name. Nodes of different clusters refuse each other.",
};
const DATA_DIR: Key = Key {
    name: "data_dir",
    default: Preset::Nothing(r#""/var/lib/sluice""#),
    allowed: "the path of a directory",
    about: "Where the registry of sessions is kept; made if it is not there, and locked: two \
            processes cannot share one. Without it the sessions end with the process. A disk that \
            is full or fails ends the process with exit code 74, at once, and so does a volume \
            that cannot be read when it starts.",
};
const BIND: Key = Key {
    name: "bind",
    default: Preset::Nothing(r#""0.0.0.0:7070""#),
    allowed: r#"an address to listen on, such as "0.0.0.0:7070""#,
    about: "The internal address, where other nodes connect. Only nodes need to reach it.",
};
const ADVERTISE: Key = Key {
    name: "advertise",
    default: Preset::Depends(
        "`bind`, or `name` with its port if that is `0.0.0.0`",
        r#""sluice-0.sluice:7070""#,
    ),
    allowed: r#"a host with its port, such as "sluice-0.sluice:7070""#,
    about: "How other nodes reach this one. The host is looked up at each connect.",
};
const PEERS: Key = Key {
    name: "peers",
    default: Preset::Nothing(
        r#"["sluice-0.sluice:7070", "sluice-1.sluice:7070", "sluice-2.sluice:7070"]"#,
    ),
    allowed: r#"hosts with their ports, such as "sluice-0:7070,sluice-1:7070""#,
    about: "The internal addresses of the nodes that form the cluster, the same list on all of \
            them, this one among them. The cluster is formed once all of them run; later the list \
            serves to find it. None, or this node alone, is a cluster of one. With more, `bind`, \
            `data_dir` and a secret are required.",
};
const SECRET: Key = Key {
    name: "secret",
    default: Preset::Instead,
    allowed: "one secret, or two while one replaces the other, none empty",
    about: "What nodes show each other. Of two the first is shown, and both are accepted.",
};
const SECRET_FILE: Key = Key {
    name: "secret_file",
    default: Preset::Nothing(r#""/etc/sluice/secret""#),
    allowed: "the path of a file",
    about: "The file that has the secret instead, or two of them, one a line.",
};
const RESERVE_BYTES: Key = Key {
    name: "reserve_bytes",
    default: Preset::Is(r#""64MiB""#),
    allowed: r#"a size from 1MiB to 1PiB, such as "64MiB""#,
    about: "What the volume of `data_dir` has to have free; the registry may need more soon, which \
            counts then. With less the node is not ready (`/readyz` is 503 `volume_nearly_full`), \
            and ends when nothing can be written any more.",
};
const LEASE: Key = Key {
    name: "lease",
    default: Preset::Is(r#""3s""#),
    allowed: A_WHILE,
    about: "How long a node may serve manually assigned sessions without a word from the leader, \
            and so how long nobody else takes them over. More than 2.88 s, four times the longest \
            wait for an election; the same on all nodes. It may only be lowered while all nodes are \
            stopped: a leader with a shorter one does not wait for the end of what another granted.",
};
const DEATH_AFTER: Key = Key {
    name: "death_after",
    default: Preset::Is(r#""5s""#),
    allowed: A_WHILE,
    about: "After how much silence a node counts as dead; longer than `lease`, the same on all \
            nodes. A process that is gone, whose port refuses connections, is replaced without \
            this wait.",
};
const FORGET_AFTER: Key = Key {
    name: "forget_after",
    default: Preset::Is(r#""10min""#),
    allowed: A_WHILE,
    about: "After how long a node that has left the voters and stays away is forgotten.",
};

const A_WHILE: &str = r#"a duration from 100ms to 365days, such as "5s""#;

/// Who this node is, and whom it works with. One peer, or none, is a cluster of one.
#[derive(Clone, Debug)]
pub struct Cluster {
    /// The node's name, the same over restarts.
    pub name: NodeName,
    /// The cluster's name: nodes of different clusters refuse each other.
    pub id: String,
    /// Where other nodes connect.
    pub bind: Option<SocketAddr>,
    /// How other nodes reach this one, if not by the address in `bind`.
    pub advertise: Option<HostPort>,
    /// Contact points: some or all nodes of the cluster.
    pub peers: Vec<HostPort>,
    /// Where the registry is kept.
    pub data_dir: Option<PathBuf>,
    /// How much the volume has to have free, in bytes, for the node to be ready; never less than
    /// the registry may soon need.
    pub reserve_bytes: u64,
    /// What nodes show each other; two are valid while one replaces the other.
    pub secrets: Vec<Secret>,
    /// How long a node may serve manually assigned sessions without a word from the leader, and how
    /// long nobody else takes them over. More than 2.88 s, four times the longest wait for an
    /// election.
    pub lease: Duration,
    /// After how much silence a node counts as dead; longer than `lease`.
    pub death_after: Duration,
    /// After how long a node that drained and stayed away is removed.
    pub forget_after: Duration,
}

impl Cluster {
    pub(super) fn check(mut section: Section<'_>, env: &Env) -> Self {
        let name = section.get(&NAME, |value| value.as_str()?.parse().ok());
        let name = name.unwrap_or_else(|| default_name(env));
        let id = section.value(&ID, |value| {
            let id: NodeName = value.as_str()?.parse().ok()?;
            Some(String::from(id))
        });
        let bind = section.get(&BIND, address);
        let advertise = section.get(&ADVERTISE, host_port);
        let peers = section.get(&PEERS, |value| list(value, host_port));
        let data_dir = section.get(&DATA_DIR, text);
        let reserve_bytes = section.value(&RESERVE_BYTES, |value| {
            size_within(value, 1 << 20..=1 << 50)
        });
        let secrets = secrets(&mut section);
        let lease = section.value(&LEASE, a_while);
        let death_after = section.value(&DEATH_AFTER, a_while);
        let forget_after = section.value(&FORGET_AFTER, a_while);
        if death_after <= lease {
            section.mistake(
                "death_after",
                format!("is {death_after:?} and must be longer than cluster.lease, {lease:?}"),
            );
        }
        // A leader that goes is followed by another within twice the longest wait for one, which
        // must leave a lease more than half its time.
        let shortest = 4 * Timing::default().election_max;
        if lease <= shortest {
            section.mistake(
                "lease",
                format!("is {lease:?} and must be longer than four elections take, {shortest:?}"),
            );
        }
        let peers = peers.unwrap_or_default();
        if peers.len() > 1 {
            for (key, is_there) in [
                ("bind", bind.is_some()),
                ("data_dir", data_dir.is_some()),
                ("secret", !secrets.is_empty()),
            ] {
                if !is_there {
                    section.mistake(key, "is missing: nodes that have cluster.peers need it");
                }
            }
        }
        section.finish();
        Self {
            name,
            id,
            bind,
            advertise,
            peers,
            data_dir: data_dir.map(PathBuf::from),
            reserve_bytes,
            secrets,
            lease,
            death_after,
            forget_after,
        }
    }
}

/// The host name where it is a legal node name, else `sluice`.
fn default_name(env: &Env) -> NodeName {
    let kernel = || std::fs::read_to_string("/proc/sys/kernel/hostname").ok();
    env.get("HOSTNAME")
        .cloned()
        .or_else(kernel)
        .and_then(|name| name.trim().parse().ok())
        .unwrap_or_else(|| {
            NodeName::try_from("sluice".to_owned()).unwrap_or_else(|_| unreachable!())
        })
}

fn secrets(section: &mut Section<'_>) -> Vec<Secret> {
    let inline = section.secret(&SECRET, |value| {
        list(value, text).filter(|secrets| (1..=2).contains(&secrets.len()))
    });
    let file = section.get(&SECRET_FILE, text);
    let Some(path) = file else {
        return inline
            .unwrap_or_default()
            .into_iter()
            .map(Secret::new)
            .collect();
    };
    if inline.is_some() {
        section.mistake("secret_file", "must not stand beside cluster.secret");
    }
    let lines = match std::fs::read_to_string(&path) {
        Ok(content) => content,
        Err(error) => {
            section.mistake("secret_file", format!("{path} cannot be read: {error}"));
            return Vec::new();
        }
    };
    let secrets: Vec<Secret> = lines
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty())
        .map(Secret::new)
        .collect();
    if !(1..=2).contains(&secrets.len()) {
        section.mistake(
            "secret_file",
            format!("{path} must hold one secret a line, one or two"),
        );
    }
    secrets
}

fn a_while(value: &Value) -> Option<Duration> {
    const YEAR: u64 = 365 * 24 * 3600 * 1000;
    duration_within(value, 100..=YEAR)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_least_lease_is_told_as_it_is() {
        let least = 4 * Timing::default().election_max;
        assert!(
            LEASE
                .about
                .contains(&format!("More than {} s,", least.as_secs_f64()))
        );
    }
}
