//! Lag of the groups that have sessions here, as a metric.
//!
//! Sessions report what they last saw; nobody asks a broker for it.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use prometheus::{IntGaugeVec, Opts};
use sluice_types::{ConsumerId, GroupId, TopicName};

/// The label of groups beyond the bound.
const OTHER: &str = "other";

/// What the sessions of this node have reported. Clones share it.
#[derive(Clone)]
pub(crate) struct LagReports {
    reports: Arc<Mutex<HashMap<ConsumerId, Report>>>,
    max_groups: usize,
    described: Desc,
}

struct Report {
    group: GroupId,
    topics: BTreeMap<TopicName, i64>,
}

impl LagReports {
    /// Reports with series for `max_groups` groups; further ones are counted together.
    pub(crate) fn new(max_groups: usize) -> prometheus::Result<Self> {
        let described = gauge()?.desc().first().map(|desc| (*desc).clone());
        let described = described
            .ok_or_else(|| prometheus::Error::Msg("the lag has no description".to_owned()))?;
        Ok(Self {
            reports: Arc::default(),
            max_groups,
            described,
        })
    }

    /// Takes a session's lag by topic, in records; replaces what it reported before.
    pub(crate) fn report(
        &self,
        session: &ConsumerId,
        group: &GroupId,
        topics: BTreeMap<TopicName, i64>,
    ) {
        let mut reports = self.reports.lock().unwrap_or_else(PoisonError::into_inner);
        reports.insert(
            session.clone(),
            Report {
                group: group.clone(),
                topics,
            },
        );
    }

    /// Forgets a session that has ended: the series of a group end with its last session.
    pub(crate) fn forget(&self, session: &ConsumerId) {
        self.reports
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(session);
    }

    fn sums(&self) -> BTreeMap<(String, String), i64> {
        let reports = self.reports.lock().unwrap_or_else(PoisonError::into_inner);
        let mut groups: Vec<&GroupId> = reports.values().map(|report| &report.group).collect();
        groups.sort();
        groups.dedup();
        groups.truncate(self.max_groups);
        let mut sums = BTreeMap::new();
        for report in reports.values() {
            let shown = groups.binary_search(&&report.group).is_ok();
            for (topic, lag) in &report.topics {
                let labels = match shown {
                    true => (report.group.to_string(), topic.to_string()),
                    false => (OTHER.to_owned(), OTHER.to_owned()),
                };
                *sums.entry(labels).or_insert(0) += lag;
            }
        }
        sums
    }
}

fn gauge() -> prometheus::Result<IntGaugeVec> {
    let help = "Records between the positions of this node's sessions and the ends of the logs";
    IntGaugeVec::new(
        Opts::new("sluice_group_lag_records", help),
        &["group", "topic"],
    )
}

impl Collector for LagReports {
    fn desc(&self) -> Vec<&Desc> {
        vec![&self.described]
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let Ok(gauge) = gauge() else {
            return Vec::new();
        };
        for ((group, topic), lag) in self.sums() {
            gauge.with_label_values(&[&group, &topic]).set(lag);
        }
        gauge.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(reports: &LagReports, session: &str, group: &str, lag: i64) {
        let topics = BTreeMap::from([("t".parse().unwrap(), lag)]);
        reports.report(&session.parse().unwrap(), &group.parse().unwrap(), topics);
    }

    fn sum(reports: &LagReports, group: &str, topic: &str) -> Option<i64> {
        reports
            .sums()
            .get(&(group.to_owned(), topic.to_owned()))
            .copied()
    }

    #[test]
    fn sessions_of_a_group_are_summed_and_forgotten() {
        let reports = LagReports::new(10).unwrap();
        report(&reports, "a", "g", 3);
        report(&reports, "b", "g", 4);
        assert_eq!(sum(&reports, "g", "t"), Some(7));
        reports.forget(&"a".parse().unwrap());
        reports.forget(&"b".parse().unwrap());
        assert!(
            reports
                .collect()
                .iter()
                .all(|family| family.get_metric().is_empty())
        );
    }

    #[test]
    fn groups_beyond_the_bound_are_counted_together() {
        let reports = LagReports::new(1).unwrap();
        report(&reports, "a", "g1", 1);
        report(&reports, "b", "g2", 2);
        report(&reports, "c", "g3", 4);
        assert_eq!(sum(&reports, "g1", "t"), Some(1));
        assert_eq!(sum(&reports, OTHER, OTHER), Some(6));
    }
}
