//! A partition of a group, as all looks together show it.

use ottla::{TopicPartition, admin::MemberDescription};

use super::{
    look::Log,
    named::{NAMED, shown},
    unread::MOST,
};
use crate::history::Status;

/// A partition of a group, as the looks show it.
#[derive(Debug)]
pub(super) struct Seen<'a> {
    pub(super) at: TopicPartition,
    pub(super) committed: Option<i64>,
    pub(super) log: Log,
    pub(super) lag: Option<i64>,
    /// The members that have it: several of a share group, or one.
    pub(super) owners: Vec<&'a MemberDescription>,
    pub(super) status: Option<Status>,
    /// By how much the lag that its commits leave has grown.
    pub(super) grown: Option<i64>,
    /// Nobody had it at any look, of two at least.
    pub(super) is_unowned: bool,
    /// From there on the log has markers of transactions alone: all is read.
    pub(super) is_bare: bool,
    /// The group stands where a transaction begins that is told of.
    pub(super) is_held_back: bool,
}

impl Seen<'_> {
    /// It does not move, and what is left is so little that it may be nothing.
    pub(super) fn is_near_the_end(&self) -> bool {
        let stands = match self.status {
            Some(Status::Stall | Status::Stop) => true,
            None => self.owners.is_empty(),
            Some(_) => false,
        };
        stands && self.lag.is_some_and(|lag| (1..=MOST).contains(&lag))
    }

    /// Who has it, and the verb that goes with them.
    pub(super) fn who(&self) -> Option<(String, &'static str)> {
        let all: Vec<String> = self.owners.iter().take(NAMED).map(|member| shown(member)).collect();
        let has = if self.owners.len() == 1 { "has" } else { "have" };
        let more = if self.owners.len() > NAMED { ", …" } else { "" };
        (!all.is_empty()).then(|| (format!("{}{more}", all.join(", ")), has))
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in super::super) fn seen(
        partition: i32,
        committed: i64,
        end: i64,
        status: Option<Status>,
    ) -> Seen<'static> {
        Seen {
            at: TopicPartition::new("t", partition),
            committed: Some(committed),
            log: Log { begin: Some(5), end: Some(end), stable: Some(end) },
            lag: Some(end - committed),
            owners: Vec::new(),
            status,
            grown: None,
            is_unowned: false,
            is_bare: false,
            is_held_back: false,
        }
    }

    #[test]
    fn what_stands_little_before_the_end_is_looked_at_and_nothing_else() {
        for (committed, status, expected) in [
            (29, Some(Status::Stall), true),
            (29, None, true),
            (29, Some(Status::Ok), false),
            (30, Some(Status::Stall), false),
            (30 - MOST - 1, Some(Status::Stop), false),
        ] {
            assert_eq!(seen(0, committed, 30, status).is_near_the_end(), expected, "{committed} {status:?}");
        }
    }
}
