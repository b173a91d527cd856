//! One node, as the registry knows it.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use sluice_types::{NodeId, Timestamp};

use crate::Registration;

/// Names a member of the consensus. It lives on the node's volume: a new volume is a new member.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct RaftId(u64);

impl RaftId {
    /// The id with this number.
    pub fn from_number(number: u64) -> Self {
        Self(number)
    }

    /// The number.
    pub fn get(self) -> u64 {
        self.0
    }
}

impl fmt::Display for RaftId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A version of the commands and formats that nodes exchange and store, from 1.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct Version(u32);

impl Version {
    /// What every node knows.
    pub const FIRST: Self = Self(1);

    /// The version with this number; 0 is taken as 1.
    pub fn from_number(number: u32) -> Self {
        Self(number.max(1))
    }

    /// The number.
    pub fn get(self) -> u32 {
        self.0
    }
}

impl Default for Version {
    fn default() -> Self {
        Self::FIRST
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Why a text is not the address of a node.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("an address is HOST:PORT with a port from 1 to 65535, not {0:?}")]
pub struct InvalidAddress(pub String);

/// Where a node's internal port is reached: `HOST:PORT`. The host is resolved at each connect.
#[derive(Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct NodeAddress(Arc<str>);

impl NodeAddress {
    /// The address as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for NodeAddress {
    type Err = InvalidAddress;

    fn from_str(text: &str) -> Result<Self, InvalidAddress> {
        let is_host = |host: &str| {
            let bare = host.strip_prefix('[').and_then(|h| h.strip_suffix(']'));
            let is_v6 = bare.is_some_and(|h| h.parse::<std::net::Ipv6Addr>().is_ok());
            let legal = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-');
            is_v6 || (1..=253).contains(&host.len()) && host.bytes().all(legal)
        };
        let is_port = |port: &str| {
            port.bytes().all(|b| b.is_ascii_digit())
                && port.parse::<u16>().is_ok_and(|port| port > 0)
        };
        match text.rsplit_once(':') {
            Some((host, port)) if is_host(host) && is_port(port) => Ok(Self(text.into())),
            _ => Err(InvalidAddress(text.to_owned())),
        }
    }
}

impl TryFrom<String> for NodeAddress {
    type Error = InvalidAddress;

    fn try_from(text: String) -> Result<Self, InvalidAddress> {
        text.parse()
    }
}

impl From<NodeAddress> for String {
    fn from(address: NodeAddress) -> Self {
        address.0.as_ref().to_owned()
    }
}

impl fmt::Display for NodeAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for NodeAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", &*self.0)
    }
}

/// What a node can be asked to do.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum NodeState {
    /// It owns sessions and takes more.
    Alive,
    /// It hands its sessions over and takes no more.
    Draining,
    /// It is taken for dead. Final for this incarnation, whether it was true or not.
    Dead,
}

/// A node in its latest incarnation.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Node {
    /// Its name and this run of it.
    pub id: NodeId,
    /// Where its internal port is reached.
    pub address: NodeAddress,
    /// Its name in the consensus.
    pub raft_id: RaftId,
    /// What it can be asked to do.
    pub state: NodeState,
    /// How often the state has changed in this incarnation.
    pub revision: u32,
    /// Since when it has been in this state.
    pub since: Timestamp,
    /// The highest version of commands and formats that it knows.
    pub version: Version,
    /// What it runs, for people.
    pub release: String,
    /// How many sessions it takes.
    pub capacity: u32,
}

impl Node {
    pub(super) fn new(registration: Registration) -> Self {
        Self {
            id: registration.id,
            address: registration.address,
            raft_id: registration.raft_id,
            state: NodeState::Alive,
            revision: 0,
            since: registration.at,
            version: registration.version,
            release: registration.release,
            capacity: registration.capacity,
        }
    }

    /// Whether it was draining when it was taken for dead. Until then it is alive and draining by
    /// turns, so that the number of changes tells.
    pub fn died_draining(&self) -> bool {
        self.state == NodeState::Dead && self.revision.is_multiple_of(2)
    }

    /// Changes the state if nothing has happened to it since. Says whether it is as asked.
    pub(super) fn change(&mut self, revision: u32, to: NodeState, at: Timestamp) -> bool {
        if self.state == to {
            return true;
        }
        if self.state == NodeState::Dead || self.revision != revision {
            return false;
        }
        self.state = to;
        self.revision += 1;
        self.since = at;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::tests::{node, registration};

    #[test]
    fn a_dead_node_knows_whether_it_drained() {
        use NodeState::{Alive, Dead, Draining};
        for (states, expected) in [
            (vec![], false),
            (vec![Draining], false),
            (vec![Dead], false),
            (vec![Draining, Dead], true),
            // Asked twice, it is changed once.
            (vec![Draining, Draining, Dead], true),
            (vec![Draining, Alive, Dead], false),
            (vec![Draining, Alive, Draining, Dead, Dead], true),
        ] {
            let mut node = Node::new(registration(node("n"), None));
            for state in &states {
                assert!(node.change(node.revision, *state, Timestamp::from_millis(1)));
            }
            assert_eq!(node.died_draining(), expected, "{states:?}");
        }
    }

    #[test]
    fn an_address_has_a_host_and_a_port() {
        for text in ["sluice-0.sluice:7000", "10.0.0.1:1", "[::1]:65535"] {
            let address: NodeAddress = text.parse().unwrap();
            assert_eq!(address.as_str(), text);
        }
        for text in [
            "",
            "host",
            ":1",
            "host:0",
            "host:65536",
            "host:+1",
            "::1:7",
            "a b:1",
        ] {
            assert!(text.parse::<NodeAddress>().is_err(), "{text:?} was taken");
        }
    }
}
