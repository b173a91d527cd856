//! The right to serve for a while without asking: what a leader grants and a node holds.
//!
//! ```text
//!   leader    t0 ------ quorum confirmed ------- receipt, answer: 3 s - (now - t0)
//!                                              ^               \
//!   node                      sent ------------+                +--> valid until sent + that
//!                              |<----- lease of this node ------------->|
//! ```
//!
//! A majority followed this leader at t0, so another can have begun to lead only after t0. The node
//! counts from its sending, which was before the receipt, so every lease ends by t0 + 3 s on
//! anybody's clock: whoever leads for 3 s knows that no lease of a leader before it is left.

use std::collections::BTreeMap;
use std::time::Duration;

use sluice_types::NodeId;

use crate::Moment;

/// How far two clocks may drift apart within a lease: 1.5 % of 3 s, where quartz does 0.01 %.
const DRIFT: Duration = Duration::from_millis(50);

/// The leader's side, for one term of its leadership.
#[derive(Clone, Debug)]
pub struct Grants {
    lease: Duration,
    since: Moment,
    quorum: Option<Moment>,
    ends: BTreeMap<NodeId, Moment>,
}

impl Grants {
    /// Nothing is granted yet. `now` is a moment after the election was won; `lease` is the
    /// same on all nodes.
    pub fn new(lease: Duration, now: Moment) -> Self {
        Self {
            lease,
            since: now,
            quorum: None,
            ends: BTreeMap::new(),
        }
    }

    /// A quorum has confirmed the leadership, being asked at `asked_at`.
    ///
    /// The confirmation must imply that this node has applied whatever was committed before: else
    /// it might grant a lease to a node that was declared dead.
    pub fn confirmed(&mut self, asked_at: Moment) {
        self.quorum = self.quorum.max(Some(asked_at));
    }

    /// How long ago the quorum was asked that confirmed the leadership last.
    pub fn quorum_age(&self, now: Moment) -> Option<Duration> {
        self.quorum.map(|asked_at| now.since(asked_at))
    }

    /// Whether the quorum time is recent enough to grant anything.
    pub fn has_quorum(&self, now: Moment) -> bool {
        self.left(now).is_some()
    }

    /// Grants a lease on a heartbeat that was received at `now`, as the time from its sending.
    /// `None` without a recent quorum. The node must be one that has not ended.
    pub fn grant(&mut self, node: &NodeId, now: Moment) -> Option<Duration> {
        let left = self.left(now)?;
        let end = now + left;
        match self.ends.get_mut(node) {
            Some(last) => *last = end.max(*last),
            None => {
                self.ends.insert(node.clone(), end);
            }
        }
        Some(left)
    }

    /// When the last lease that the node can hold has run out, by whichever leader. It stays true
    /// only if the node is granted none after it, so the node must have ended.
    pub fn last_end(&self, node: &NodeId) -> Moment {
        let of_earlier_leaders = self.since + self.lease;
        let own = self.ends.get(node).copied();
        own.map_or(of_earlier_leaders, |own| own.max(of_earlier_leaders)) + DRIFT
    }

    /// Forgets the leases that have run out, whatever the clock of whoever held them.
    pub fn forget_before(&mut self, now: Moment) {
        self.ends.retain(|_, end| *end + DRIFT > now);
    }

    fn left(&self, now: Moment) -> Option<Duration> {
        let left = self.lease.checked_sub(now.since(self.quorum?))?;
        (!left.is_zero()).then_some(left)
    }
}

/// A node's side. It is of one incarnation: a new one begins without.
#[derive(Clone, Copy, Debug, Default)]
pub struct Lease {
    end: Option<Moment>,
}

impl Lease {
    /// A heartbeat sent at `sent_at` was answered with a grant. Answers may come in any order, and
    /// from different leaders: each of them keeps its word.
    pub fn granted(&mut self, sent_at: Moment, grant: Duration) {
        self.end = self.end.max(Some(sent_at + grant));
    }

    /// Whether it holds: asked at receipt, before each commit and before an answer's first byte.
    pub fn is_valid(&self, now: Moment) -> bool {
        !self.remaining(now).is_zero()
    }

    /// How long it still holds, zero when it does not.
    pub fn remaining(&self, now: Moment) -> Duration {
        self.end.map_or(Duration::ZERO, |end| end.since(now))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::tests::{node, run};

    const LEASE: Duration = Duration::from_secs(3);

    fn ms(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    fn at(millis: u64) -> Moment {
        Moment::from_origin(ms(millis))
    }

    #[test]
    fn a_grant_is_the_lease_less_the_age_of_the_quorum() {
        // Received at, quorum asked at, granted.
        let cases = [
            (10_000, Some(10_000), Some(3_000)),
            (10_000, Some(9_750), Some(2_750)),
            (10_000, Some(7_001), Some(1)),
            (10_000, Some(7_000), None),
            (10_000, Some(1_000), None),
            (10_000, None, None),
        ];
        for (now, quorum, granted) in cases {
            let mut grants = Grants::new(LEASE, at(0));
            quorum
                .into_iter()
                .for_each(|asked| grants.confirmed(at(asked)));
            assert_eq!(grants.has_quorum(at(now)), granted.is_some());
            let grant = grants.grant(&node("a"), at(now));
            assert_eq!(grant, granted.map(ms), "quorum at {quorum:?}");
        }
    }

    #[test]
    fn a_confirmation_that_comes_late_does_not_take_time_back() {
        let mut grants = Grants::new(LEASE, at(0));
        grants.confirmed(at(9_000));
        grants.confirmed(at(8_000));
        assert_eq!(grants.grant(&node("a"), at(10_000)), Some(ms(2_000)));
    }

    #[test]
    fn every_lease_ends_a_lease_after_the_quorum_time_at_the_latest() {
        let mut grants = Grants::new(LEASE, at(0));
        grants.confirmed(at(9_000));
        // The node's clock has another origin, and the heartbeat was 400 ms on its way.
        let mut lease = Lease::default();
        let sent = at(500_000);
        lease.granted(sent, grants.grant(&node("a"), at(10_000)).unwrap());
        let true_end = 10_000 - 400 + 2_000;
        assert!(true_end <= 9_000 + 3_000);
        assert!(lease.is_valid(at(501_999)));
        assert!(!lease.is_valid(at(502_000)));
    }

    #[test]
    fn a_node_may_hold_what_an_earlier_leader_granted() {
        let grants = Grants::new(LEASE, at(20_000));
        assert_eq!(grants.last_end(&node("a")), at(23_050));
    }

    #[test]
    fn the_last_end_is_that_of_the_latest_grant_to_this_incarnation() {
        let mut grants = Grants::new(LEASE, at(0));
        grants.confirmed(at(10_000));
        grants.grant(&run("a", 1), at(10_100));
        grants.confirmed(at(10_250));
        grants.grant(&run("a", 2), at(10_300));
        assert_eq!(grants.last_end(&run("a", 1)), at(13_050));
        assert_eq!(grants.last_end(&run("a", 2)), at(13_300));
        grants.forget_before(at(13_049));
        assert_eq!(grants.last_end(&run("a", 1)), at(13_050));
        grants.forget_before(at(13_050));
        assert_eq!(grants.last_end(&run("a", 1)), at(3_050));
        assert_eq!(grants.last_end(&run("a", 2)), at(13_300));
    }

    #[test]
    fn a_node_without_a_grant_has_no_lease() {
        let lease = Lease::default();
        assert!(!lease.is_valid(at(0)));
        assert_eq!(lease.remaining(at(0)), Duration::ZERO);
    }

    #[test]
    fn answers_in_the_wrong_order_do_not_shorten_a_lease() {
        let mut lease = Lease::default();
        lease.granted(at(1_250), ms(2_900));
        lease.granted(at(1_000), ms(3_000));
        assert_eq!(lease.remaining(at(2_000)), ms(2_150));
    }

    #[test]
    fn a_node_that_slept_through_its_lease_has_none() {
        let mut lease = Lease::default();
        lease.granted(at(1_000), LEASE);
        assert!(lease.is_valid(at(3_999)));
        assert!(!lease.is_valid(at(60_000)));
    }
}
