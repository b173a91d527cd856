//! How a member is set up.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use openraft::{Config, SnapshotPolicy};

use super::StartError;
use crate::Transport;
use crate::types::Member;

/// Voters that stagger their elections; a larger ordinal shares the place of a smaller one.
const PLACES: u64 = 8;

/// Entries that a member may lack and still be sent entries, in snapshots' distances.
const LAG: u64 = 2;

/// Most bytes of a snapshot in one frame.
const SNAPSHOT_PART: u64 = 1 << 20;

/// What a member is started with.
pub struct Options {
    /// The directory of its volume; made if it is not there.
    pub data_dir: PathBuf,
    /// What people call the cluster: members of different names do not come together.
    pub cluster_name: String,
    /// What others are told of it.
    pub member: Member,
    /// Its number among the nodes, from 0: the lower, the sooner it stands for election.
    pub ordinal: u64,
    /// How it reaches others.
    pub transport: Arc<dyn Transport>,
    /// How patient it is.
    pub timing: Timing,
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options")
            .field("data_dir", &self.data_dir)
            .field("cluster_name", &self.cluster_name)
            .field("member", &self.member)
            .field("ordinal", &self.ordinal)
            .field("timing", &self.timing)
            .finish_non_exhaustive()
    }
}

/// How patient a member is, the same for all.
///
/// ```text
///   last sign of the leader          others may be voted for        this member stands
///   |------- election_max -----------|------- its place in ---------|
///                                     election_min … election_max
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Timing {
    /// Between two signs of life of the leader; also how long one may take. Shorter finds a dead
    /// leader sooner, longer endures a slower network.
    pub heartbeat: Duration,
    /// The first place: how long member 0 waits before it stands for election.
    pub election_min: Duration,
    /// The end of the last place. Twice this has to be less than half a lease.
    pub election_max: Duration,
    /// How long a proposal or a linearizable read tries.
    pub patience: Duration,
    /// How long a part of a snapshot may take, the installation included.
    pub snapshot_part: Duration,
    /// Entries between two snapshots.
    pub snapshot_every: u64,
    /// Between two looks at who takes part.
    pub attendance: Duration,
    /// How long a learner may be away before it is forgotten.
    pub forget_after: Duration,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            heartbeat: Duration::from_millis(150),
            election_min: Duration::from_millis(400),
            election_max: Duration::from_millis(720),
            patience: Duration::from_secs(3),
            snapshot_part: Duration::from_secs(10),
            snapshot_every: 5_000,
            attendance: Duration::from_millis(500),
            forget_after: Duration::from_secs(600),
        }
    }
}

impl Timing {
    /// How long a leader may take a majority's word for its leadership.
    pub(super) fn confirmation(&self) -> Duration {
        self.heartbeat / 2
    }

    /// The place of the member with this ordinal among those who stand for election, and how wide
    /// a place is.
    fn place(&self, ordinal: u64) -> (Duration, Duration) {
        let all = self.election_max.saturating_sub(self.election_min);
        let width = all / u32::try_from(PLACES).unwrap_or(u32::MAX);
        let before = u32::try_from(ordinal % PLACES).unwrap_or_default();
        (self.election_min + width * before, width)
    }

    /// After how much silence of a leader that has surely gone the member with this ordinal stands
    /// for election: by then the next three voters refuse their votes no longer, and no other is
    /// to stand at the same time.
    pub(super) fn succession(&self, ordinal: u64) -> Duration {
        let (begin, width) = self.place(ordinal);
        begin + width * 4
    }

    /// openraft's settings for the member with this ordinal.
    ///
    /// Each has a place of its own in which it stands for election: members that stand at once
    /// take each other's votes.
    pub(super) fn config(&self, ordinal: u64) -> Result<Config, StartError> {
        let millis = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        let (begin, width) = self.place(ordinal);
        let config = Config {
            cluster_name: "sluice".to_owned(),
            heartbeat_interval: millis(self.heartbeat),
            election_timeout_min: millis(begin),
            election_timeout_max: millis(begin + width),
            install_snapshot_timeout: millis(self.snapshot_part),
            snapshot_max_chunk_size: SNAPSHOT_PART,
            snapshot_policy: SnapshotPolicy::LogsSinceLast(self.snapshot_every),
            replication_lag_threshold: self.snapshot_every.saturating_mul(LAG),
            max_in_snapshot_log_to_keep: self.snapshot_every / 5,
            ..Config::default()
        };
        let config = config.validate();
        config.map_err(|error| StartError::Timing(error.to_string()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_members_stand_for_election_at_once() {
        let places = (0..PLACES).map(|ordinal| Timing::default().config(ordinal).unwrap());
        let places: Vec<Config> = places.collect();
        for pair in places.windows(2) {
            assert!(pair[0].election_timeout_max <= pair[1].election_timeout_min);
        }
        let last = places.last().map(|config| config.election_timeout_max);
        assert!(last.is_some_and(|last| last <= 720));
    }

    #[test]
    fn who_stands_for_a_leader_that_has_gone_finds_voters_and_is_sooner_than_otherwise() {
        let timing = Timing::default();
        for ordinal in 0..PLACES - 3 {
            let stands = timing.succession(ordinal);
            let millis = u64::try_from(stands.as_millis()).unwrap();
            for voter in 0..=ordinal + 3 {
                assert!(timing.config(voter).unwrap().election_timeout_max <= millis);
            }
            assert!(stands < 2 * timing.place(ordinal).0, "{ordinal}");
        }
    }

    #[test]
    fn a_timing_without_room_for_elections_is_refused() {
        let timing = Timing {
            election_max: Duration::from_millis(400),
            ..Timing::default()
        };
        assert!(matches!(timing.config(0), Err(StartError::Timing(_))));
    }
}
