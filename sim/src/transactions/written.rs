//! What logs hold, by their markers.

use std::collections::BTreeMap;

use ottla_protocol::records::ControlType;

use crate::logs::walk;

/// A record of a log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Written {
    pub(super) offset: i64,
    pub(super) value: String,
    /// Whether its transaction was committed; `None` while that is open.
    pub(super) committed: Option<bool>,
}

/// Every record of a log, but for markers.
pub(super) fn written(log: &[u8]) -> Vec<Written> {
    let mut found: Vec<Written> = Vec::new();
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
        found.push(Written {
            offset: record.offset,
            value: String::from_utf8_lossy(record.value.unwrap_or_default()).into_owned(),
            committed: (!header.is_transactional()).then_some(true),
        });
    });
    found
}
