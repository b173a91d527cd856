//! Keeping nodes alive for each other: signs of life, leases, and what the leader does about nodes
//! that fail.
//!
//! ```text
//!    every node                                                the leader
//!    ┌──────────────────────┐      heartbeat, every 250 ms     ┌───────────────────────────┐
//!    │ Guard                │ ───────────────────────────────▶ │ desk.rs   who is heard    │
//!    │   registering.rs     │ ◀─────────────────────────────── │ leader.rs quorum, probes, │
//!    │   standing.rs        │   lease / no quorum / ended      │           deaths, moves   │
//!    └──────────────────────┘                                  │ term.rs   what it knows   │
//!      Registering ─▶ Registered ─▶ Ended                      └───────────────────────────┘
//!           ▲                         │ the owner drops its handles
//!           └──────── renew ──────────┘
//! ```
//!
//! What is decided, and why, stands in [`liveness`](crate::liveness), [`lease`](crate::lease),
//! [`failover`](crate::failover) and [`rebalance`](crate::rebalance), which are pure; here they are
//! given a clock and a network.

mod beating;
mod changes;
mod clock;
mod desk;
mod gauges;
mod leader;
mod options;
mod probe;
mod registering;
mod retiring;
mod standing;
mod status;
mod succession;
mod term;
#[cfg(test)]
mod tests;
mod upkeep;

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use tokio::sync::watch;

use crate::Consensus;
use crate::rebalance::AskedMove;
pub use changes::NodeChangeError;
pub use clock::{BootClock, Moments};
pub(crate) use desk::Desk;
pub use gauges::Gauges;
use leader::Leader;
pub use options::{GuardOptions, Host};
pub use probe::{Prober, TcpProber};
pub use retiring::Retired;
pub use standing::{Phase, Standing};
pub use status::{ClusterReport, NodeReport, Role};

/// This process as a node among others.
#[derive(Debug)]
pub struct Guard {
    consensus: Arc<Consensus>,
    options: GuardOptions,
    standing: watch::Sender<Standing>,
    asked: watch::Sender<Vec<AskedMove>>,
    /// Whether the leader wants to be told the idlest sessions.
    tells_idlest: AtomicBool,
}

impl Guard {
    /// A new incarnation of the node, which begins to live when it [runs](Self::run).
    pub fn new(consensus: Arc<Consensus>, options: GuardOptions) -> Self {
        let standing = Standing::begin(options.name.clone());
        Self {
            consensus,
            options,
            standing: watch::Sender::new(standing),
            asked: watch::Sender::default(),
            tells_idlest: AtomicBool::new(false),
        }
    }

    /// Registers the node, keeps its lease, and looks after all nodes while this member leads.
    ///
    /// Runs until the consensus has stopped. A dropped future gives no more signs of life: the
    /// node is declared dead in time.
    pub async fn run(&self) {
        let leader = Leader {
            name: self.options.name.clone(),
            leading: self.consensus.leading.clone(),
            heard: self.consensus.heard.clone(),
            replica: self.consensus.replica.clone(),
            desk: self.consensus.desk.clone(),
            moments: self.options.moments.clone(),
            clock: self.options.clock.clone(),
            prober: self.options.prober.clone(),
            timing: self.options.timing,
            pace: self.options.pace,
            evening: self.options.evening,
            forget_after: self.consensus.timing.forget_after,
            counts: self.consensus.counts.clone(),
        };
        tokio::select! {
            () = leader.run() => {}
            () = self.live() => {}
            () = self.keep_modest() => {}
            () = self.succeed() => {}
            () = self.consensus.keep_counting() => {}
        }
    }

    /// How this process stands with the cluster now.
    pub fn standing(&self) -> Standing {
        self.standing.borrow().clone()
    }

    /// Follows how this process stands with the cluster. Each grant of a lease is a change too.
    pub fn watch(&self) -> watch::Receiver<Standing> {
        self.standing.subscribe()
    }

    /// Follows which sessions of this node the leader asks to be handed over, so that the nodes are
    /// about evenly loaded. What is not done stays there, and what need not be done any more goes:
    /// whoever looks does what is there, each once at a time, and tells nobody how it went.
    ///
    /// Few at a time, and none while any node is in trouble.
    pub fn asked_moves(&self) -> watch::Receiver<Vec<AskedMove>> {
        self.asked.subscribe()
    }

    /// How long the lease of the present incarnation still lasts; zero without one.
    pub fn lease(&self) -> Duration {
        let standing = self.standing();
        standing.lease(self.options.moments.now())
    }

    /// Begins a new incarnation if the present one has ended. To be called when all handles of
    /// that are dropped. Says how the process stands then.
    pub fn renew(&self) -> Standing {
        self.standing.send_if_modified(|standing| {
            let has_ended = standing.phase == Phase::Ended;
            if has_ended {
                *standing = Standing::begin(self.options.name.clone());
            }
            has_ended
        });
        self.standing()
    }
}
