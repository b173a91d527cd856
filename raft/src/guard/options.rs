//! What a guard is started with.

use std::fmt;
use std::sync::Arc;

use sluice_types::{Clock, ConsumerId, NodeName};

use super::clock::Moments;
use super::probe::Prober;
use crate::failover::Pace;
use crate::liveness::Timing;
use crate::placement::Evening;
use crate::{NodeAddress, Version};

/// What the process tells of itself with each sign of life. Asked four times a second: none may
/// wait.
pub trait Host: Send + Sync + 'static {
    /// Whether Kafka could be reached lately. Sessions go to nodes that reach it.
    fn reaches_kafka(&self) -> bool;

    /// The sessions that requests wait for at this node, whoever owns them: these get a new owner
    /// first. Only the first thousand are told.
    fn waiting(&self) -> Vec<ConsumerId>;

    /// At most so many of the sessions that run here, of those whose move to another node would be
    /// noticed least; best [the idlest first](crate::placement::idle_first). Asked only while
    /// sessions are evened out.
    fn idlest(&self, most: usize) -> Vec<ConsumerId>;
}

/// What a guard is started with.
pub struct GuardOptions {
    /// The node's name, over its restarts.
    pub name: NodeName,
    /// Where its internal port is reached.
    pub address: NodeAddress,
    /// The highest version of commands and formats that it knows.
    pub version: Version,
    /// What it runs, for people.
    pub release: String,
    /// How many sessions it takes.
    pub capacity: u32,
    /// What it tells of itself.
    pub host: Arc<dyn Host>,
    /// The clock of leases and silence.
    pub moments: Arc<dyn Moments>,
    /// What commands are stamped with.
    pub clock: Arc<dyn Clock>,
    /// How it finds out, as the leader, whether a process is gone.
    pub prober: Arc<dyn Prober>,
    /// The times that all nodes agree on.
    pub timing: Timing,
    /// How fast it gives sessions new owners, as the leader.
    pub pace: Pace,
    /// How eagerly it evens sessions out, as the leader.
    pub evening: Evening,
}

impl fmt::Debug for GuardOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GuardOptions")
            .field("name", &self.name)
            .field("address", &self.address)
            .field("version", &self.version)
            .field("release", &self.release)
            .field("capacity", &self.capacity)
            .field("timing", &self.timing)
            .field("pace", &self.pace)
            .field("evening", &self.evening)
            .finish_non_exhaustive()
    }
}
