//! `[metrics]`: what is counted apart.

use super::section::Section;
use super::value::integer;

/// What is counted apart.
#[derive(Clone, Debug)]
pub struct Metrics {
    /// Most groups with series of their own; further ones are counted as `other`. Default 200.
    pub max_groups: usize,
}

impl Metrics {
    pub(super) fn check(mut section: Section<'_>) -> Self {
        let max_groups = section.get("max_groups", "a number from 0 to 100000", |value| {
            let number = integer(value).filter(|n| *n <= 100_000)?;
            usize::try_from(number).ok()
        });
        section.finish();
        Self {
            max_groups: max_groups.unwrap_or(200),
        }
    }
}
