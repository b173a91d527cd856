//! How a member comes into a cluster.
//!
//! ```text
//!   ask all contacts ──▶ one is in a cluster ──────────────────────────▶ join it
//!        ▲           └─▶ all answer that they are in none, and this ───▶ form one of all of them
//!        │               member is the first of them
//!        └── wait ◀────── else
//! ```
//!
//! Only the first of the contacts forms a cluster, and only when each other one says that it is
//! in none: whichever starts first, and whichever volumes are lost, there is one cluster.

use std::collections::BTreeMap;

use crate::RaftId;
use crate::types::Member;

/// What a contact says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Contact {
    /// Nothing: it is not there, or not yet.
    Silent,
    /// It is in no cluster.
    Alone {
        /// Its volume.
        raft_id: RaftId,
        /// Where it is.
        member: Member,
    },
    /// Someone has begun to take it into a cluster.
    Taken,
    /// It is in a cluster.
    Formed,
}

/// What to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Ask again later.
    Wait,
    /// Form a cluster with these others.
    Form(BTreeMap<RaftId, Member>),
    /// Ask to be taken in, by way of the contact with this number.
    Join(usize),
}

/// What a member in no cluster does next. `is_first`: it is the first of the contacts;
/// `others` are the rest of them.
pub(crate) fn next(is_first: bool, others: &[Contact]) -> Step {
    if let Some(number) = others.iter().position(|other| *other == Contact::Formed) {
        return Step::Join(number);
    }
    let alone = |other: &Contact| match other {
        Contact::Alone { raft_id, member } => Some((*raft_id, member.clone())),
        Contact::Silent | Contact::Taken | Contact::Formed => None,
    };
    let members: BTreeMap<RaftId, Member> = others.iter().filter_map(alone).collect();
    // Each another one: a contact that is named twice is not two voters.
    if is_first && members.len() == others.len() {
        return Step::Form(members);
    }
    Step::Wait
}

#[cfg(test)]
mod tests {
    use super::*;

    fn alone(number: u64) -> Contact {
        Contact::Alone {
            raft_id: RaftId::from(number),
            member: Member {
                name: format!("n{number}"),
                address: format!("n{number}:7000"),
            },
        }
    }

    #[test]
    fn the_first_forms_a_cluster_when_all_others_are_alone() {
        let step = next(true, &[alone(2), alone(3)]);
        let Step::Form(members) = step else {
            panic!("{step:?}");
        };
        assert_eq!(members.len(), 2);
        assert_eq!(next(true, &[]), Step::Form(BTreeMap::new()));
    }

    #[test]
    fn nobody_else_forms_one() {
        assert_eq!(next(false, &[alone(1), alone(3)]), Step::Wait);
        assert_eq!(next(false, &[]), Step::Wait);
    }

    #[test]
    fn the_first_waits_for_everyone() {
        assert_eq!(next(true, &[alone(2), Contact::Silent]), Step::Wait);
        assert_eq!(next(true, &[alone(2), Contact::Taken]), Step::Wait);
        assert_eq!(next(true, &[alone(2), alone(2)]), Step::Wait);
    }

    #[test]
    fn a_cluster_that_is_there_is_joined() {
        assert_eq!(next(true, &[alone(2), Contact::Formed]), Step::Join(1));
        assert_eq!(
            next(false, &[Contact::Formed, Contact::Silent]),
            Step::Join(0)
        );
    }
}
