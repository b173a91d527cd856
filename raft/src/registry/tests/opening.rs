//! Who may open a handle, and how often.

use super::*;

#[test]
fn each_opening_takes_a_new_epoch_and_only_the_owner_gets_one() {
    let mut registry = after([create("c", 1)]);
    assert_eq!(
        done(&mut registry, open("a", &[claim("c", 1)])).epoch,
        epoch(2)
    );
    let nothing = Outcome::Opened(Vec::new());
    assert_eq!(registry.apply(open("a", &[claim("c", 1)])), nothing);
    assert_eq!(registry.apply(open("b", &[claim("c", 2)])), nothing);
    assert_eq!(session(&registry).epoch, epoch(2));
}

#[test]
fn a_batch_opens_what_it_can() {
    let mut registry = after([create("c", 1), create("d", 2)]);
    let claims = [claim("c", 1), claim("d", 7), claim("e", 1)];
    assert_eq!(done(&mut registry, open("a", &claims)).id, id("c"));
    assert_eq!(session(&registry).epoch, epoch(2));
    assert_eq!(registry.session(&id("d")).unwrap().epoch, Epoch::FIRST);
}

#[test]
fn a_claim_of_an_earlier_epoch_changes_nothing() {
    let mut registry = after([create("c", 1), open("a", &[claim("c", 1)])]);
    stale(&mut registry, seek(1, 1, points([(0, point(5, 1))])));
    stale(&mut registry, assign(1, 1, partitions([0])));
    stale(&mut registry, observed(1, 9));
    stale(&mut registry, delete(1));
    stale(&mut registry, gone(1));
}
