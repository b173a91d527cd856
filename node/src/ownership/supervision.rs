//! What this node remembers of the sessions it runs: openings, failures, and when to try again.
//!
//! Pure: times are arguments. The epochs seen here never come twice for one id, so what an
//! earlier life of an id left behind never fits a later one.
//!
//! ```text
//!  opened ---- failed ---- due: opened again ---- failed ---- due ...   runs a minute: forgiven
//!                |<- 0.1 s ->|                      |<- 0.2 s ->|        ... up to 10 s
//!  last request ends
//!  |<------------ session timeout: expired, though no actor lived to see it ----------->|
//! ```

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use sluice_raft::Session;
use sluice_types::{Claim, ConsumerId, CreationStamp, Epoch};
use tokio::time::Instant;

use super::backoff::Backoff;

/// How long a session runs before its earlier failures are forgiven.
const HEALTHY_AFTER: Duration = Duration::from_secs(60);

/// How long a session that the registry does not know may still be on its way out.
const STRAY_AFTER: Duration = Duration::from_secs(2);

/// The memory of all sessions here.
#[derive(Debug)]
pub(super) struct Supervision {
    wards: HashMap<ConsumerId, Ward>,
    held: HashMap<CreationStamp, usize>,
    /// When those that run here unknown to the registry are to be ended; `None` once they have
    /// been told to.
    strays: HashMap<Claim, Option<Instant>>,
    backoff: Backoff,
}

/// The memory of one session.
#[derive(Debug)]
struct Ward {
    stamp: CreationStamp,
    began_here: bool,
    opened: Option<Epoch>,
    opened_at: Option<Instant>,
    ended: Option<Epoch>,
    failures: u32,
    due: Instant,
    /// Requests that are being served or wait. With [`heard_at`](Self::heard_at) they are the
    /// client's signs of life: an actor that fails takes its own knowledge of them with it.
    requests: usize,
    /// When the last request ended.
    heard_at: Instant,
}

/// What a session that does not run here is waiting for.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Absence {
    /// Its client has been silent too long.
    Expired,
    /// Nothing: it can be opened under its epoch, which has not been used.
    Unopened,
    /// Nothing: it can be opened under a new epoch.
    Used,
    /// To be looked at again then.
    Until(Instant),
}

impl Supervision {
    pub(super) fn new(seed: u64) -> Self {
        Self {
            wards: HashMap::new(),
            held: HashMap::new(),
            strays: HashMap::new(),
            backoff: Backoff::new(seed),
        }
    }

    /// Keeps the loop's hands off this life of a session until as many releases.
    pub(super) fn hold(&mut self, stamp: CreationStamp) {
        *self.held.entry(stamp).or_default() += 1;
    }

    pub(super) fn release(&mut self, stamp: CreationStamp) {
        if let Some(count) = self.held.get_mut(&stamp) {
            *count -= 1;
            if *count == 0 {
                self.held.remove(&stamp);
            }
        }
    }

    pub(super) fn is_held(&self, stamp: CreationStamp) -> bool {
        self.held.contains_key(&stamp)
    }

    pub(super) fn holds_any(&self) -> bool {
        !self.held.is_empty()
    }

    /// Of the claims that run here with no session in the registry, those to be ended now, each
    /// once; and when to look again, if others may become so.
    ///
    /// An actor that has left its group takes a moment to end, and the registry may be faster.
    pub(super) fn evict(
        &mut self,
        strays: HashSet<Claim>,
        now: Instant,
    ) -> (Vec<Claim>, Option<Instant>) {
        self.strays.retain(|claim, _| strays.contains(claim));
        for claim in strays {
            self.strays.entry(claim).or_insert(Some(now + STRAY_AFTER));
        }
        let mut evicted = Vec::new();
        for (claim, due) in &mut self.strays {
            if due.take_if(|due| *due <= now).is_some() {
                evicted.push(claim.clone());
            }
        }
        let next = self.strays.values().flatten().min();
        (evicted, next.copied())
    }

    /// Uses up the session's epoch for an opening; `false` if it, or a later one, was used
    /// before. Whoever is told `true` opens.
    pub(super) fn take(&mut self, session: &Session, now: Instant) -> bool {
        let ward = self.ward(session, now);
        if ward.opened >= Some(session.epoch) {
            return false;
        }
        ward.opened = Some(session.epoch);
        ward.opened_at = Some(now);
        true
    }

    /// Notes that this process has begun the session: it knows of all openings.
    pub(super) fn began(&mut self, session: &Session, now: Instant) {
        self.ward(session, now).began_here = true;
    }

    /// Whether the session may have been opened, here or by an earlier owner.
    pub(super) fn may_have_opened(&self, session: &Session) -> bool {
        let ward = self.wards.get(&session.id);
        let ward = ward.filter(|ward| ward.stamp == session.stamp);
        ward.is_none_or(|ward| ward.opened.is_some() || !ward.began_here)
    }

    /// Whether the actor of this epoch is known to have ended.
    pub(super) fn has_ended(&self, id: &ConsumerId, epoch: Epoch) -> bool {
        self.wards
            .get(id)
            .is_some_and(|ward| ward.ended >= Some(epoch))
    }

    /// Notes that nobody runs the session under its epoch any more, against the registry's wish.
    pub(super) fn ended(&mut self, session: &Session, now: Instant) {
        if self.has_ended(&session.id, session.epoch) {
            return;
        }
        self.forgive(session, now);
        let ward = self.ward(session, now);
        ward.opened = ward.opened.max(Some(session.epoch));
        ward.ended = Some(session.epoch);
        self.try_later(session, now);
    }

    /// Notes that the session could not be opened, or not be given an epoch to open.
    pub(super) fn try_later(&mut self, session: &Session, now: Instant) {
        let ward = self.ward(session, now);
        ward.failures = ward.failures.saturating_add(1);
        let failures = ward.failures;
        let due = now + self.backoff.delay(failures);
        self.ward(session, now).due = due;
    }

    /// Notes that a request begins to be served, or to wait.
    pub(super) fn request_begins(&mut self, session: &Session, now: Instant) {
        self.ward(session, now).requests += 1;
    }

    /// Notes that it has been answered, or given up.
    pub(super) fn request_ends(&mut self, session: &Session, now: Instant) {
        let ward = self.wards.get_mut(&session.id);
        if let Some(ward) = ward.filter(|ward| ward.stamp == session.stamp) {
            ward.requests = ward.requests.saturating_sub(1);
            ward.heard_at = now;
        }
    }

    /// Forgets the failures of a session that has run well for long enough. Says when to look
    /// again, if there are failures left.
    pub(super) fn forgive(&mut self, session: &Session, now: Instant) -> Option<Instant> {
        let ward = self.ward(session, now);
        let has_ended = ward.ended >= ward.opened;
        if ward.failures == 0 || has_ended {
            return None;
        }
        let forgiven_at = ward.opened_at? + HEALTHY_AFTER;
        if now < forgiven_at {
            return Some(forgiven_at);
        }
        ward.failures = 0;
        None
    }

    /// What to do about a session that does not run here but should.
    ///
    /// An actor may be gone before its event comes: its end is noted here then, or it would be
    /// opened again at once, however often it fails.
    pub(super) fn absence(&mut self, session: &Session, now: Instant) -> Absence {
        let is_used = self.ward(session, now).opened >= Some(session.epoch);
        if is_used {
            self.ended(session, now);
        }
        let ward = self.ward(session, now);
        // Its time begins when it is opened: until this node may open it, no client can be heard.
        let may_expire = ward.requests == 0 && ward.opened.is_some();
        let expires_at = may_expire.then(|| ward.heard_at + session.spec.session_timeout);
        if expires_at.is_some_and(|expires_at| expires_at <= now) {
            return Absence::Expired;
        }
        if now < ward.due {
            return Absence::Until(expires_at.map_or(ward.due, |at| at.min(ward.due)));
        }
        if is_used {
            Absence::Used
        } else {
            Absence::Unopened
        }
    }

    /// At most so many sessions that no request is at, those first whose clients have been silent
    /// the longest.
    pub(super) fn idlest(&self, most: usize) -> Vec<ConsumerId> {
        let idle = self.wards.iter().filter(|(_, ward)| ward.requests == 0);
        let mut idle: Vec<_> = idle.map(|(id, ward)| (ward.heard_at, id)).collect();
        idle.sort_unstable();
        let idlest = idle.into_iter().take(most);
        idlest.map(|(_, id)| id.clone()).collect()
    }

    /// Forgets the sessions that are no longer this node's.
    pub(super) fn keep(&mut self, is_ours: impl Fn(&ConsumerId, CreationStamp) -> bool) {
        self.wards.retain(|id, ward| is_ours(id, ward.stamp));
    }

    fn ward(&mut self, session: &Session, now: Instant) -> &mut Ward {
        let fresh = || Ward {
            stamp: session.stamp,
            began_here: false,
            opened: None,
            opened_at: None,
            ended: None,
            failures: 0,
            due: now,
            requests: 0,
            heard_at: now,
        };
        let ward = self.wards.entry(session.id.clone()).or_insert_with(fresh);
        if ward.stamp != session.stamp {
            *ward = fresh();
        }
        ward
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use sluice_raft::{
        Command, Creation, Outcome, RaftId, Registration, Registry, SessionView, Version,
    };
    use sluice_types::{Incarnation, NodeId, Timestamp};

    use super::*;
    use crate::ownership::tests::spec;

    const SESSION_TIMEOUT: Duration = Duration::from_secs(30);

    /// A session of the first epoch.
    fn session() -> SessionView {
        let owner = NodeId {
            name: "n".parse().unwrap(),
            incarnation: Incarnation::random(),
        };
        let created_at = Timestamp::from_millis(0);
        let mut registry = Registry::default();
        registry.apply(Command::Register(Registration {
            id: owner.clone(),
            replaces: None,
            address: "n:7000".parse().unwrap(),
            raft_id: RaftId::from_number(1),
            version: Version::FIRST,
            release: String::new(),
            capacity: 1,
            at: created_at,
        }));
        let creation = Creation {
            id: "c".parse().unwrap(),
            stamp: CreationStamp::from_number(1),
            spec: spec(&["orders"]),
            owner,
            created_at,
            counts: Default::default(),
        };
        match registry.apply(Command::Create(creation)) {
            Outcome::Done(session) => session,
            other => panic!("{other:?}"),
        }
    }

    /// The same session one epoch later.
    fn reopened(session: &SessionView) -> SessionView {
        let mut session = session.clone();
        let next = Arc::make_mut(&mut session);
        next.epoch = next.epoch.next();
        session
    }

    #[tokio::test(start_paused = true)]
    async fn an_epoch_is_used_once_and_no_earlier_one_afterwards() {
        let now = Instant::now();
        let mut supervision = Supervision::new(1);
        let first = session();
        let second = reopened(&first);
        assert!(supervision.take(&first, now));
        assert!(!supervision.take(&first, now));
        assert!(supervision.take(&second, now));
        assert!(!supervision.take(&first, now));
    }

    #[tokio::test(start_paused = true)]
    async fn an_end_counts_once_however_often_it_is_told() {
        let now = Instant::now();
        let mut supervision = Supervision::new(1);
        let session = session();
        assert!(supervision.take(&session, now));
        supervision.ended(&session, now);
        let told_once = supervision.absence(&session, now);
        supervision.ended(&session, now);
        assert!(matches!(told_once, Absence::Until(due) if due > now));
        assert_eq!(supervision.absence(&session, now), told_once);
    }

    #[tokio::test(start_paused = true)]
    async fn an_end_that_nobody_told_of_is_backed_off_from_as_well() {
        let now = Instant::now();
        let mut supervision = Supervision::new(1);
        let session = session();
        supervision.take(&session, now);
        let noticed = supervision.absence(&session, now);
        assert!(
            matches!(noticed, Absence::Until(due) if due > now),
            "{noticed:?}"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_never_opened_is_opened_at_once_under_its_epoch() {
        let now = Instant::now();
        let mut supervision = Supervision::new(1);
        assert_eq!(supervision.absence(&session(), now), Absence::Unopened);
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_never_opened_does_not_expire() {
        let began = Instant::now();
        let mut supervision = Supervision::new(1);
        let session = session();
        assert_eq!(supervision.absence(&session, began), Absence::Unopened);
        let late = began + 10 * SESSION_TIMEOUT;
        assert_eq!(supervision.absence(&session, late), Absence::Unopened);
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_waits_is_not_silent_until_its_last_request_ends() {
        let began = Instant::now();
        let mut supervision = Supervision::new(1);
        let session = session();
        supervision.take(&session, began);
        supervision.request_begins(&session, began);
        supervision.request_begins(&session, began);
        let late = began + 10 * SESSION_TIMEOUT;
        supervision.request_ends(&session, late);
        supervision.ended(&session, late);
        let later = late + 10 * SESSION_TIMEOUT;
        assert_eq!(supervision.absence(&session, later), Absence::Used);
        supervision.request_ends(&session, later);
        assert_eq!(supervision.absence(&session, later), Absence::Used);
        let silent = later + SESSION_TIMEOUT;
        assert_eq!(supervision.absence(&session, silent), Absence::Expired);
    }

    #[tokio::test(start_paused = true)]
    async fn a_later_life_owes_nothing_to_the_earlier() {
        let now = Instant::now();
        let mut supervision = Supervision::new(1);
        let first = session();
        supervision.take(&first, now);
        supervision.ended(&first, now);
        let mut second = reopened(&first);
        Arc::make_mut(&mut second).stamp = CreationStamp::from_number(2);
        assert!(supervision.may_have_opened(&second), "by an earlier owner");
        supervision.began(&second, now);
        assert!(!supervision.may_have_opened(&second));
        assert_eq!(supervision.absence(&second, now), Absence::Unopened);
    }

    #[tokio::test(start_paused = true)]
    async fn a_life_is_held_until_everyone_has_let_go() {
        let mut supervision = Supervision::new(1);
        let stamp = CreationStamp::from_number(1);
        supervision.hold(stamp);
        supervision.hold(stamp);
        supervision.release(stamp);
        assert!(supervision.is_held(stamp));
        supervision.release(stamp);
        assert!(!supervision.is_held(stamp) && !supervision.holds_any());
    }
}
