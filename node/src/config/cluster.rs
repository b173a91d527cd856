//! `[cluster]`: who this node is, and whom it works with.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use sluice_raft::Timing;
use sluice_types::NodeName;

use super::secret::Secret;
use super::section::Section;
use super::source::Env;
use super::value::{HostPort, address, duration, host_port, list, size, text};

/// Who this node is, and whom it works with. One peer, or none, is a cluster of one.
#[derive(Clone, Debug)]
pub struct Cluster {
    /// The node's name, the same over restarts. Default: the host name.
    pub name: NodeName,
    /// The cluster's name: nodes of different clusters refuse each other. Default `sluice`.
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
    /// the registry may soon need. Default 64 MiB.
    pub reserve_bytes: u64,
    /// What nodes show each other; two are valid while one replaces the other.
    pub secrets: Vec<Secret>,
    /// How long a node may serve manually assigned sessions without a word from the leader, and how
    /// long nobody else takes them over. More than 2.88 s, four times the longest wait for an
    /// election. Default 3 s.
    pub lease: Duration,
    /// After how much silence a node counts as dead; longer than `lease`. Default 5 s.
    pub death_after: Duration,
    /// After how long a node that drained and stayed away is removed. Default 10 min.
    pub forget_after: Duration,
}

impl Cluster {
    pub(super) fn check(mut section: Section<'_>, env: &Env) -> Self {
        let name = section
            .get("name", "1 to 253 of A-Z a-z 0-9 . _ -", |value| {
                value.as_str()?.parse().ok()
            })
            .unwrap_or_else(|| default_name(env));
        let id = section
            .get("id", "1 to 253 of A-Z a-z 0-9 . _ -", |value| {
                let id: NodeName = value.as_str()?.parse().ok()?;
                Some(String::from(id))
            })
            .unwrap_or_else(|| "sluice".to_owned());
        let bind = section.get(
            "bind",
            "an address to listen on, such as \"0.0.0.0:7070\"",
            address,
        );
        let advertise = section.get(
            "advertise",
            "a host with its port, such as \"sluice-0.sluice:7070\"",
            host_port,
        );
        let peers = section.get(
            "peers",
            "hosts with their ports, such as \"sluice-0:7070,sluice-1:7070\"",
            |value| list(value, host_port),
        );
        let data_dir = section.get("data_dir", "the path of a directory", text);
        let reserve = section.get(
            "reserve_bytes",
            "a size from 1MiB to 1PiB, such as \"64MiB\"",
            |value| size(value).filter(|bytes| (1 << 20..=1 << 50).contains(bytes)),
        );
        let secrets = secrets(&mut section);
        let lease = positive(&mut section, "lease");
        let death_after = positive(&mut section, "death_after");
        let forget_after = positive(&mut section, "forget_after");
        let lease = lease.unwrap_or(Duration::from_secs(3));
        let death_after = death_after.unwrap_or(Duration::from_secs(5));
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
            reserve_bytes: reserve.unwrap_or(64 << 20),
            secrets,
            lease,
            death_after,
            forget_after: forget_after.unwrap_or(Duration::from_secs(600)),
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
    let allowed = "one secret, or two while one replaces the other, none empty";
    let parse =
        |value: &toml::Value| list(value, text).filter(|secrets| (1..=2).contains(&secrets.len()));
    let inline = section.secret("secret", allowed, parse);
    let file = section.get("secret_file", "the path of a file", text);
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

fn positive(section: &mut Section<'_>, key: &'static str) -> Option<Duration> {
    section.get(
        key,
        "a duration of at least 100ms, such as \"5s\"",
        |value| duration(value).filter(|d| *d >= Duration::from_millis(100)),
    )
}
