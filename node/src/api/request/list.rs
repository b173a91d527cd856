//! The query of a list.

use sluice_types::{ConsumerId, GroupId};

use super::fields::Faults;
use super::query::Query;
use crate::api::error::Problem;

/// Which sessions to list.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct List {
    /// Only those of this group.
    pub(crate) group: Option<GroupId>,
    /// Only those behind this one.
    pub(crate) after: Option<ConsumerId>,
    /// At most so many.
    pub(crate) limit: usize,
}

const DEFAULT_LIMIT: usize = 100;
const MAX_LIMIT: usize = 1_000;

/// Reads the query of a list.
pub(crate) fn parse(mut query: Query, mut faults: Faults) -> Result<List, Problem> {
    let group = query.take("group_id", &mut faults, |text| {
        text.parse::<GroupId>().map_err(|error| error.to_string())
    });
    let limit = query.take("limit", &mut faults, |text| {
        text.parse::<usize>()
            .ok()
            .filter(|limit| (1..=MAX_LIMIT).contains(limit))
            .ok_or_else(|| format!("must be an integer from 1 to {MAX_LIMIT}, not {text:?}"))
    });
    let after = query.take("cursor", &mut faults, |text| {
        text.parse::<ConsumerId>()
            .map_err(|_| "must be the next_cursor of an answer".to_owned())
    });
    query.finish(&mut faults);
    faults.into_result(Some(List {
        group,
        after,
        limit: limit.unwrap_or(DEFAULT_LIMIT),
    }))
}
