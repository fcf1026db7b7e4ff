//! The metrics, in the order in which they are written.
//!
//! Names and labels of other exporters are theirs, so that dashboards and alerts that people have go on: danielqsj/kafka_exporter
//! (1.10, its README), and of what that one has not seglo/kafka-lag-exporter (its README), but for its `cluster_name`,
//! which a scrape's own labels say. The two of kafka_exporter that end with `_sum` are left out: `promtool check metrics` refuses gauges of such
//! names.

use std::{collections::BTreeMap, fmt};

use super::{Exposition, Metric, Samples};
use crate::{
    commands::{
        lag::{Log, Row},
        looks::{Group, Look},
    },
    history::Status,
};

const KAFKA_EXPORTER: &str = "kafka_exporter";
const LAG_EXPORTER: &str = "kafka-lag-exporter";
const OWN: &str = "";

pub(in super::super) const METRICS: &[Metric] = &[
    Metric {
        name: "kafka_consumergroup_current_offset",
        labels: &["consumergroup", "topic", "partition"],
        help: "What the group has committed",
        from: KAFKA_EXPORTER,
        samples: |it, to| of_rows(it, to, |row| row.place.offset),
    },
    Metric {
        name: "kafka_consumergroup_lag",
        labels: &["consumergroup", "topic", "partition"],
        help: "How many records the group has not done yet; negative where its commit is beyond the log's end",
        from: KAFKA_EXPORTER,
        samples: |it, to| of_rows(it, to, |row| row.lag),
    },
    Metric {
        name: "kafka_consumergroup_members",
        labels: &["consumergroup"],
        help: "How many members the group has",
        from: KAFKA_EXPORTER,
        samples: |it, to| of_groups(it, |name, group| to.put([name], group.description.members.len())),
    },
    Metric {
        name: "kafka_topic_partition_current_offset",
        labels: &["topic", "partition"],
        help: "Where the log ends, of partitions that groups read",
        from: KAFKA_EXPORTER,
        samples: |it, to| of_logs(it, to, |log| log.end),
    },
    Metric {
        name: "kafka_topic_partition_oldest_offset",
        labels: &["topic", "partition"],
        help: "Where the log begins, of partitions that groups read",
        from: KAFKA_EXPORTER,
        samples: |it, to| of_logs(it, to, |log| log.begin),
    },
    Metric {
        name: "kafka_consumergroup_group_lag_seconds",
        labels: &["group", "topic", "partition", "member_host", "consumer_id", "client_id"],
        help: "How old the record is that the group reads next",
        from: LAG_EXPORTER,
        samples: lag_seconds,
    },
    Metric {
        name: "kafka_consumergroup_group_max_lag",
        labels: &["group"],
        help: "The largest lag of the group in any partition",
        from: LAG_EXPORTER,
        samples: |it, to| {
            of_groups(it, |name, group| {
                let largest = group.rows.iter().filter_map(|row| row.lag).max();
                largest.map_or(Ok(()), |lag| to.put([name], lag))
            })
        },
    },
    Metric {
        name: "kafka_consumergroup_group_max_lag_seconds",
        labels: &["group"],
        help: "How old the oldest record is that the group reads next in any partition",
        from: LAG_EXPORTER,
        samples: |it, to| of_groups(it, |name, group| group.age.map_or(Ok(()), |age| to.put([name], age))),
    },
    Metric {
        name: "kafka_consumergroup_group_sum_lag",
        labels: &["group"],
        help: "The sum of the group's lag in all partitions",
        from: LAG_EXPORTER,
        samples: |it, to| of_groups(it, |name, group| group.lag.map_or(Ok(()), |lag| to.put([name], lag))),
    },
    Metric {
        name: "kafka_consumergroup_group_topic_sum_lag",
        labels: &["group", "topic"],
        help: "The sum of the group's lag in the topic's partitions",
        from: LAG_EXPORTER,
        samples: |it, to| of_topics(it, to, |row| row.lag),
    },
    Metric {
        name: "ottla_group_status",
        labels: &["group", "status"],
        help: "1 for the status that the group has: that of its worst partition; 0 for the others",
        from: OWN,
        samples: |it, to| {
            of_groups(it, |name, group| {
                let mut each = Status::ALL.iter();
                each.try_for_each(|status| {
                    to.put([name, status.name()], i64::from(group.status == Some(*status)))
                })
            })
        },
    },
    Metric {
        name: "ottla_group_partitions",
        labels: &["group", "status"],
        help: "How many partitions of the group have the status; unknown before there were enough looks",
        from: OWN,
        samples: |it, to| {
            of_groups(it, |name, group| {
                for status in Status::ALL {
                    to.put([name, status.name()], group.count(Some(status)))?;
                }
                to.put([name, "unknown"], group.count(None))
            })
        },
    },
    Metric {
        name: "ottla_group_state",
        labels: &["group", "state", "type"],
        help: "1 for the state that the group has by its coordinator",
        from: OWN,
        samples: |it, to| {
            of_groups(it, |name, group| {
                to.put([name, &group.description.state, group.description.kind.name()], 1_i64)
            })
        },
    },
    Metric {
        name: "ottla_group_rebalances_total",
        labels: &["group"],
        help: "Rebalances of the group that looks have shown; several between two looks count as one",
        from: OWN,
        samples: |it, to| of_groups(it, |name, group| to.put([name], group.rebalances)),
    },
    Metric {
        name: "ottla_look_timestamp_seconds",
        labels: &[],
        help: "When the last look at the cluster was that succeeded",
        from: OWN,
        samples: |it, to| of_look(it, |look| to.put([], look.at as f64 / 1_000.0)),
    },
    Metric {
        name: "ottla_look_duration_seconds",
        labels: &[],
        help: "How long that look took",
        from: OWN,
        samples: |it, to| of_look(it, |look| to.put([], look.took.as_secs_f64())),
    },
    Metric {
        name: "ottla_looks_total",
        labels: &[],
        help: "Looks at the cluster that succeeded",
        from: OWN,
        samples: |it, to| to.put([], it.looks),
    },
    Metric {
        name: "ottla_look_failures_total",
        labels: &[],
        help: "Looks at the cluster that failed",
        from: OWN,
        samples: |it, to| to.put([], it.failures),
    },
    Metric {
        name: "ottla_http_requests_total",
        labels: &[],
        help: "Requests that could be read",
        from: OWN,
        samples: |it, to| to.put([], it.requests),
    },
    Metric {
        name: "ottla_http_refused_total",
        labels: &[],
        help: "Requests that were refused as wrong",
        from: OWN,
        samples: |it, to| to.put([], it.refused),
    },
    Metric {
        name: "ottla_event_readers",
        labels: &[],
        help: "Those who read the stream of events",
        from: OWN,
        samples: |it, to| to.put([], it.readers),
    },
    Metric {
        name: "ottla_event_readers_dropped_total",
        labels: &[],
        help: "Those who were let go because they did not keep up with the stream of events",
        from: OWN,
        samples: |it, to| to.put([], it.dropped),
    },
    Metric {
        name: "ottla_history_bytes",
        labels: &[],
        help: "How large the file is that keeps the history, with --data-dir",
        from: OWN,
        samples: |it, to| it.stored.map_or(Ok(()), |bytes| to.put([], bytes)),
    },
    Metric {
        name: "ottla_history_saved_timestamp_seconds",
        labels: &[],
        help: "When the history was written last, with --data-dir",
        from: OWN,
        samples: |it, to| it.saved.map_or(Ok(()), |at| to.put([], at as f64 / 1_000.0)),
    },
    Metric {
        name: "ottla_build_info",
        labels: &["version"],
        help: "1, with the version of ottla",
        from: OWN,
        samples: |_, to| to.put([env!("CARGO_PKG_VERSION")], 1_i64),
    },
];

fn of_look(it: &Exposition, mut each: impl FnMut(&Look) -> fmt::Result) -> fmt::Result {
    it.look.as_deref().map_or(Ok(()), &mut each)
}

fn of_groups(it: &Exposition, mut each: impl FnMut(&str, &Group) -> fmt::Result) -> fmt::Result {
    let mut groups = it.look.iter().flat_map(|look| &look.groups);
    groups.try_for_each(|(name, group)| each(name, group))
}

/// A partition without a number has no sample.
fn of_rows(it: &Exposition, to: &mut Samples<'_, '_>, of: fn(&Row) -> Option<i64>) -> fmt::Result {
    of_groups(it, |name, group| {
        let mut known = group.rows.iter().filter_map(|row| Some((row, of(row)?)));
        known.try_for_each(|(row, number)| {
            to.put([name, &row.at.topic, &row.at.partition.to_string()], number)
        })
    })
}

/// The sum of those partitions of a topic that have a number.
fn of_topics(it: &Exposition, to: &mut Samples<'_, '_>, of: fn(&Row) -> Option<i64>) -> fmt::Result {
    of_groups(it, |name, group| {
        let mut sums: BTreeMap<&str, i64> = BTreeMap::new();
        for (row, number) in group.rows.iter().filter_map(|row| Some((row, of(row)?))) {
            let sum = sums.entry(&row.at.topic).or_default();
            *sum = sum.saturating_add(number);
        }
        sums.into_iter().try_for_each(|(topic, sum)| to.put([name, topic], sum))
    })
}

fn of_logs(it: &Exposition, to: &mut Samples<'_, '_>, of: fn(&Log) -> Option<i64>) -> fmt::Result {
    of_look(it, |look| {
        let mut known = look.logs.iter().filter_map(|(at, log)| Some((at, of(log)?)));
        known.try_for_each(|(at, number)| to.put([&at.topic, &at.partition.to_string()], number))
    })
}

fn lag_seconds(it: &Exposition, to: &mut Samples<'_, '_>) -> fmt::Result {
    of_groups(it, |name, group| {
        let mut known = group.rows.iter().filter_map(|row| Some((row, row.age?)));
        known.try_for_each(|(row, age)| {
            // Of several owners the first: a partition has one series.
            let owner = row.owners.first().and_then(|at| group.description.members.get(*at as usize));
            let of = |text: fn(&ottla::admin::MemberDescription) -> &String| {
                owner.map_or("", |owner| text(owner).as_str())
            };
            let (host, id, client) = (of(|it| &it.host), of(|it| &it.member_id), of(|it| &it.client_id));
            to.put([name, &row.at.topic, &row.at.partition.to_string(), host, id, client], age)
        })
    })
}
