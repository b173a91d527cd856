//! Chance that can be had again.

use std::{env, thread};

use uuid::Uuid;

use crate::workspace;

/// Numbers by chance: the same ones again for the same seed. Not for secrets.
#[derive(Debug, Clone)]
pub struct Dice(u64);

impl Dice {
    /// Takes a new seed, or the one that the environment variable `SLUICE_TEST_SEED` holds, and
    /// prints it: a failing test shows how to have its run again.
    ///
    /// # Panics
    /// When the variable holds no number.
    pub fn cast() -> Self {
        let seed = match env::var("SLUICE_TEST_SEED") {
            Ok(seed) => seed.parse().expect("SLUICE_TEST_SEED is a number"),
            Err(_) => Uuid::new_v4().as_u64_pair().0,
        };
        let test = thread::current();
        let (binary, test) = (workspace::binary_name(), test.name().unwrap_or_default());
        eprintln!(
            "this run again: SLUICE_TEST_SEED={seed} cargo test --workspace --test {binary} -- {test}"
        );
        Self(seed)
    }

    /// Returns dice of its own for one of several that throw at the same time, so that each
    /// throws the same again whatever the others do.
    #[must_use]
    pub fn split(&mut self) -> Self {
        Self(self.below(u64::MAX))
    }

    /// Returns one of these.
    ///
    /// # Panics
    /// When there is none.
    pub fn one_of<'a, T>(&mut self, all: &'a [T]) -> &'a T {
        let sides = u64::try_from(all.len()).expect("a length fits");
        let thrown = usize::try_from(self.below(sides)).expect("it is below a length");
        &all[thrown]
    }

    /// Returns a number from 0 to `sides - 1`.
    pub fn below(&mut self, sides: u64) -> u64 {
        // SplitMix64: every seed is a good one.
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % sides.max(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_gives_the_same_numbers_and_all_sides_come() {
        let (mut one, mut other) = (Dice(7), Dice(7));
        let thrown: Vec<u64> = (0..100).map(|_| one.below(6)).collect();
        assert!(thrown.iter().all(|number| *number == other.below(6)));
        for side in 0..6 {
            assert!(thrown.contains(&side), "{thrown:?}");
        }
    }
}
