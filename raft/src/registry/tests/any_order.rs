//! Any commands in any order.

use super::*;

/// Commands as they may arrive: of two ids, of any age, from and about any run of two nodes.
pub(super) fn any_command() -> impl Strategy<Value = Command> {
    let claims = (prop_oneof!["c", "d"], 1..8_u64).prop_map(|(name, number)| claim(&name, number));
    let create = (prop_oneof!["c", "d"], 0..6_u64, any_run(), 0..500_i64).prop_map(
        |(name, stamp, owner, seconds)| match create_at(&name, stamp, seconds) {
            // A stamp is of one id only.
            Command::Create(creation) => Command::Create(Creation {
                stamp: CreationStamp::from_number(stamp * 2 + u64::from(name == "c")),
                owner,
                ..creation
            }),
            other => other,
        },
    );
    let some_claims = prop::collection::vec(claims.clone(), 0..3);
    let open = (any_run(), some_claims.clone()).prop_map(|(owner, claims)| Command::Open {
        owner,
        claims: claims.into_iter().map(|c| (c.id, c.epoch)).collect(),
    });
    let handover = prop::option::of((0..3_i64).prop_map(|offset| Handover {
        points: points([(0, handed_over(offset))]),
        idle: Duration::from_secs(1),
    }));
    let moves = (any_run(), some_claims, handover)
        .prop_map(|(to, claims, handover)| move_to(to, &claims, handover.as_ref()));
    prop_oneof![
        3 => create,
        2 => open,
        3 => moves,
        2 => any_node_command(),
        1 => claims.clone().prop_map(|claim| Command::Joined { claim }),
        1 => (claims.clone(), 0..4_u64, 0..3_i64).prop_map(|(claim, seq, offset)| Command::Seek {
            claim,
            seq: SeekSeq::from_number(seq),
            points: points([(0, point(offset, seq))]),
        }),
        1 => (claims.clone(), 0..4_u32).prop_map(|(claim, revision)| Command::Assign {
            claim,
            partitions: partitions([0]),
            revision,
            points: PartitionMap::new(),
        }),
        1 => (claims.clone(), 0..500_i64).prop_map(|(claim, seconds)| Command::Delete {
            claim,
            at: time(seconds),
        }),
        1 => (claims, 0..500_i64).prop_map(|(claim, seconds)| Command::Gone {
            claim,
            at: time(seconds),
        }),
    ]
}

fn any_run() -> impl Strategy<Value = NodeId> {
    (prop_oneof!["a", "b"], 1..4_u64).prop_map(|(name, number)| run(&name, number))
}

fn any_node_command() -> impl Strategy<Value = Command> {
    let state = prop_oneof![
        Just(NodeState::Alive),
        Just(NodeState::Draining),
        Just(NodeState::Dead),
    ];
    prop_oneof![
        (any_run(), prop::option::of(1..4_u64), 1..3_u32).prop_map(|(id, replaces, version)| {
            Command::Register(Registration {
                version: Version::from_number(version),
                ..registration(id, replaces)
            })
        }),
        (any_run(), 0..4_u32, state)
            .prop_map(|(node, revision, to)| change_node(node, revision, to)),
        any_run().prop_map(|node| Command::RemoveNode { node, at: time(2) }),
        (0..3_u32).prop_map(|generation| Command::Recover {
            generation,
            at: time(2),
        }),
        (1..3_u32).prop_map(|to| Command::RaiseVersion {
            to: Version::from_number(to),
        }),
    ]
}

/// The command without the parts of a batch that had no effect: those may have it later.
fn what_took_effect(mut command: Command, outcome: &Outcome) -> Command {
    let Outcome::Opened(views) = outcome else {
        return command;
    };
    let has_effect = |id: &ConsumerId| views.iter().any(|view| view.id == *id);
    match &mut command {
        Command::Open { claims, .. } => claims.retain(|id, _| has_effect(id)),
        Command::Move { moves } => moves.retain(|id, _| has_effect(id)),
        _ => {}
    }
    command
}

/// The first runs of both nodes are there.
fn start() -> Registry {
    registry_of(&["a", "b"])
}

proptest! {
    /// Whatever comes late, twice or in another order: an epoch has one owner and one life, and
    /// never returns; what is gone stays gone; a command that comes again changes nothing.
    #[test]
    fn no_order_of_commands_breaks_ownership(commands in prop::collection::vec(any_command(), 0..60)) {
        let mut registry = start();
        let mut owners: BTreeMap<(ConsumerId, u64), (NodeId, CreationStamp)> = BTreeMap::new();
        let mut highest: BTreeMap<ConsumerId, Epoch> = BTreeMap::new();
        let mut lives: BTreeMap<ConsumerId, CreationStamp> = BTreeMap::new();
        let mut gone: Vec<CreationStamp> = Vec::new();
        for command in commands {
            registry.apply(command.clone());
            for name in ["c", "d"] {
                let id = id(name);
                let now = registry.session(&id);
                if let Some(last) = lives.get(&id).copied()
                    && now.is_none_or(|session| session.stamp != last)
                {
                    gone.push(last);
                    lives.remove(&id);
                }
                let Some(session) = now else { continue };
                lives.insert(id.clone(), session.stamp);
                prop_assert!(!gone.contains(&session.stamp), "{command:?} brought back {session:?}");
                let highest = highest.entry(id.clone()).or_insert(session.epoch);
                prop_assert!(session.epoch >= *highest, "{command:?} lowered {session:?}");
                *highest = session.epoch;
                let claimed = (session.owner.clone(), session.stamp);
                let first = owners
                    .entry((id, session.epoch.get()))
                    .or_insert_with(|| claimed.clone());
                prop_assert_eq!(&*first, &claimed);
            }
            let once = format!("{registry:?}");
            registry.apply(command);
            prop_assert_eq!(format!("{registry:?}"), once);
        }
    }

    #[test]
    fn the_same_commands_make_the_same_registry(commands in prop::collection::vec(any_command(), 0..40)) {
        let run = || {
            let mut registry = start();
            let outcomes: Vec<Outcome> = commands.iter().map(|c| registry.apply(c.clone())).collect();
            let sessions: Vec<_> = registry.sessions_after(None).cloned().collect();
            (outcomes, sessions)
        };
        prop_assert_eq!(run(), run());
    }

    /// What took effect takes none when it comes again, at whatever later time.
    #[test]
    fn a_command_that_comes_again_late_changes_nothing(
        commands in prop::collection::vec((any_command(), any::<prop::sample::Index>()), 1..60),
    ) {
        let mut registry = start();
        let mut effective = Vec::new();
        for (command, earlier) in commands {
            let before = registry.clone();
            let outcome = registry.apply(command.clone());
            if registry != before {
                effective.push(what_took_effect(command, &outcome));
            }
            if effective.is_empty() {
                continue;
            }
            let late = earlier.get(&effective);
            let before = registry.clone();
            registry.apply(late.clone());
            prop_assert_eq!(&registry, &before, "{:?} came again", late);
        }
    }

    /// An incarnation that has ended never takes part again.
    #[test]
    fn dead_is_final(commands in prop::collection::vec(any_command(), 0..80)) {
        let mut registry = start();
        let mut alive = Vec::new();
        let mut ended = Vec::new();
        for command in commands {
            registry.apply(command.clone());
            let is_dead = |registry: &Registry, id: &NodeId| registry.state_of(id) == NodeState::Dead;
            for id in &ended {
                prop_assert!(is_dead(&registry, id), "{command:?} brought {id:?} back");
            }
            alive.extend(registry.nodes().map(|node| node.id.clone()));
            ended.extend(alive.extract_if(.., |id| is_dead(&registry, id)));
        }
    }

    /// The index by owner says what the sessions say, also after a round trip.
    #[test]
    fn the_sessions_of_a_node_are_those_that_name_it(commands in prop::collection::vec(any_command(), 0..40)) {
        let mut registry = start();
        for command in commands {
            registry.apply(command);
        }
        let text = serde_json::to_string(&registry).unwrap();
        for registry in [&registry, &serde_json::from_str(&text).unwrap()] {
            let mut by_owner: BTreeMap<NodeId, Vec<ConsumerId>> = BTreeMap::new();
            for session in registry.sessions_after(None) {
                by_owner.entry(session.owner.clone()).or_default().push(session.id.clone());
            }
            prop_assert!(registry.owners().eq(by_owner.keys()));
            for (owner, ids) in by_owner {
                prop_assert_eq!(registry.count_of(&owner), ids.len());
                prop_assert!(registry.owned_by(&owner).map(|s| s.id.clone()).eq(ids));
            }
        }
    }
}
