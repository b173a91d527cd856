//! `[metrics]`: what is counted apart.

use super::key::{Heading, Key, Preset};
use super::section::Section;
use super::value::number_within;

pub(super) const METRICS: Heading = Heading {
    name: "metrics",
    about: "",
    keys: &[&MAX_GROUPS],
};

const MAX_GROUPS: Key = Key {
    name: "max_groups",
    default: Preset::Is("200"),
    allowed: "a number from 0 to 100000",
    about: "Most consumer groups with series of their own; further ones are counted as `other`.",
};

/// What is counted apart.
#[derive(Clone, Debug)]
pub struct Metrics {
    /// Most groups with series of their own; further ones are counted as `other`.
    pub max_groups: usize,
}

impl Metrics {
    pub(super) fn check(mut section: Section<'_>) -> Self {
        let max_groups = section.value(&MAX_GROUPS, |value| number_within(value, 0..=100_000));
        section.finish();
        Self { max_groups }
    }
}
