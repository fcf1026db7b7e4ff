//! What logs hold that are written in transactions, by their markers.

use std::collections::BTreeMap;

use ottla_broker::Cluster;
use ottla_protocol::records::ControlType;

use crate::logs::walk;

/// A record of a log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Settled {
    pub(crate) offset: i64,
    pub(crate) value: String,
    /// Whether its transaction was committed; `None` while that is open.
    pub(crate) committed: Option<bool>,
}

/// Every record of a log, but for markers.
pub(crate) fn settled(log: &[u8]) -> Vec<Settled> {
    let mut found: Vec<Settled> = Vec::new();
    let mut open: BTreeMap<i64, Vec<usize>> = BTreeMap::new();
    walk(log, |header, record| {
        if header.is_control() {
            let control = record.key.and_then(|key| ControlType::decode(key).ok());
            for index in open.remove(&header.producer_id).unwrap_or_default() {
                found[index].committed = Some(control == Some(ControlType::Commit));
            }
            return;
        }
        if header.is_transactional() {
            open.entry(header.producer_id).or_default().push(found.len());
        }
        found.push(Settled {
            offset: record.offset,
            value: String::from_utf8_lossy(record.value.unwrap_or_default()).into_owned(),
            committed: (!header.is_transactional()).then_some(true),
        });
    });
    found
}

/// Whether no transaction is open whose id begins so.
pub(crate) fn is_settled(cluster: &Cluster, prefix: &str) -> bool {
    let states = cluster.transactional_ids().filter(|id| id.starts_with(prefix));
    states
        .filter_map(|id| cluster.transaction(id))
        .all(|it| matches!(it.state, "Empty" | "CompleteCommit" | "CompleteAbort"))
}
