//! What an event cost a group: read from ledgers, with no clock.

use std::collections::{HashMap, HashSet};

use super::ledger::Delivery;

/// From an event until the group was steady again.
#[derive(Debug, Clone, Copy)]
pub(super) struct Window {
    pub(super) from: u64,
    pub(super) until: u64,
}

/// What an event cost a group. Times are in milliseconds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Figures {
    /// The longest time without a new record of a partition that came to another member; none if none did.
    pub(super) moved: Option<u64>,
    /// And of one that stayed where it was.
    pub(super) stayed: Option<u64>,
    /// The same of any partition, less the time before the record that ended it was acknowledged.
    pub(super) beyond: Option<u64>,
    /// Records that were handed out again.
    pub(super) repeats: u64,
    /// Records that were acknowledged, and handed to nobody.
    pub(super) lost: u64,
}

/// Of one window. What is lost is counted up to `next`, when the next event began.
pub(super) fn figures(
    deliveries: &[Delivery],
    acknowledged: &[Delivery],
    window: Window,
    next: u64,
) -> Figures {
    let partitions = gaps(deliveries, window);
    let longest = |moved: bool| {
        let partitions = partitions.values().filter(|partition| partition.moved == moved);
        partitions.filter_map(|partition| partition.gaps.iter().map(|gap| gap.until - gap.from).max()).max()
    };
    let acknowledged_at: HashMap<u64, u64> =
        acknowledged.iter().map(|record| (record.number, record.at)).collect();
    let beyond = |gap: &Gap| {
        let acknowledged = gap.next.and_then(|number| acknowledged_at.get(&number)).copied();
        gap.until.saturating_sub(gap.from.max(acknowledged.unwrap_or_default()))
    };
    let handed_out: HashSet<u64> = deliveries.iter().map(|delivery| delivery.number).collect();
    let lost =
        |record: &&Delivery| (window.from..next).contains(&record.at) && !handed_out.contains(&record.number);
    Figures {
        moved: longest(true),
        stayed: longest(false),
        beyond: partitions.values().flat_map(|partition| &partition.gaps).map(beyond).max(),
        repeats: repeats(deliveries, window),
        lost: acknowledged.iter().filter(lost).count() as u64,
    }
}

/// Of one partition.
#[derive(Debug, Default)]
struct Gaps {
    gaps: Vec<Gap>,
    /// Whether another member has it in the end.
    moved: bool,
}

/// Between two new records.
#[derive(Debug, Clone, Copy)]
struct Gap {
    from: u64,
    until: u64,
    /// The record that ended it, if one did.
    next: Option<u64>,
}

/// Each partition's gaps in the window. The first begins with the last record before it.
fn gaps(deliveries: &[Delivery], window: Window) -> HashMap<usize, Gaps> {
    let (mut seen, mut records) = (HashSet::new(), HashMap::<usize, Vec<Delivery>>::new());
    for delivery in deliveries {
        if seen.insert(delivery.number) {
            records.entry(delivery.partition).or_default().push(*delivery);
        }
    }
    let of_partition = |(partition, records): (usize, Vec<Delivery>)| {
        let begin = records.partition_point(|record| record.at < window.from).checked_sub(1)?;
        let end = records.partition_point(|record| record.at <= window.until);
        let records = records.get(begin..end)?;
        let ends = records.iter().skip(1).map(|record| (record.at, Some(record.number)));
        let ends = ends.chain([(window.until, None)]);
        let gap = |(record, (until, next)): (&Delivery, _)| Gap { from: record.at, until, next };
        let gaps = records.iter().zip(ends).map(gap);
        let (first, last) = (records.first()?, records.last()?);
        Some((partition, Gaps { gaps: gaps.collect(), moved: first.member != last.member }))
    };
    records.into_iter().filter_map(of_partition).collect()
}

/// Records of the window that were there before.
fn repeats(deliveries: &[Delivery], window: Window) -> u64 {
    let mut seen = HashSet::new();
    let again = |delivery: &&Delivery| {
        !seen.insert(delivery.number) && (window.from..window.until).contains(&delivery.at)
    };
    deliveries.iter().filter(again).count() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn delivery(member: usize, partition: usize, number: u64, at: u64) -> Delivery {
        Delivery { member, partition, number, at }
    }

    const WINDOW: Window = Window { from: 100, until: 1_000 };

    #[test]
    fn a_gap_that_spans_the_event_counts_whole() {
        let deliveries = [delivery(0, 0, 1, 90), delivery(0, 0, 2, 1_000)];
        let figures = figures(&deliveries, &[], WINDOW, 2_000);
        assert_eq!((figures.stayed, figures.moved), (Some(910), None));
    }

    #[test]
    fn a_gap_that_goes_on_counts_up_to_the_end() {
        let deliveries = [delivery(0, 0, 1, 90), delivery(0, 0, 2, 110), delivery(0, 0, 3, 5_000)];
        assert_eq!(figures(&deliveries, &[], WINDOW, 2_000).stayed, Some(890));
    }

    #[test]
    fn a_partition_with_another_member_has_moved() {
        let deliveries = [delivery(0, 0, 1, 99), delivery(0, 0, 2, 110), delivery(1, 0, 3, 600)];
        let figures = figures(&deliveries, &[], WINDOW, 2_000);
        assert_eq!((figures.stayed, figures.moved), (None, Some(490)));
    }

    #[test]
    fn a_record_that_comes_again_ends_no_gap_and_is_a_repeat() {
        let deliveries = [delivery(0, 0, 1, 99), delivery(1, 0, 1, 400), delivery(1, 0, 2, 700)];
        let figures = figures(&deliveries, &[], WINDOW, 2_000);
        assert_eq!((figures.moved, figures.repeats), (Some(601), 1));
    }

    #[test]
    fn what_the_acknowledgements_paused_is_not_the_clients() {
        let acknowledged = [delivery(0, 0, 1, 99), delivery(0, 0, 2, 900), delivery(0, 0, 3, 980)];
        let deliveries = [delivery(0, 0, 1, 99), delivery(0, 0, 2, 950), delivery(0, 0, 3, 1_000)];
        assert_eq!(figures(&deliveries, &acknowledged, WINDOW, 2_000).beyond, Some(50));
    }

    #[test]
    fn a_record_that_was_acknowledged_long_ago_is_what_the_client_is_late_with() {
        let acknowledged = [delivery(0, 0, 1, 99), delivery(0, 0, 2, 600), delivery(0, 0, 3, 610)];
        let deliveries = [delivery(0, 0, 1, 99), delivery(0, 0, 2, 600), delivery(0, 0, 3, 1_000)];
        assert_eq!(figures(&deliveries, &acknowledged, WINDOW, 2_000).beyond, Some(390));
    }

    #[test]
    fn what_was_acknowledged_and_never_handed_out_is_lost() {
        let acknowledged = [delivery(0, 0, 1, 50), delivery(0, 0, 2, 150), delivery(0, 0, 3, 2_500)];
        assert_eq!(figures(&[], &acknowledged, WINDOW, 2_000).lost, 1);
    }
}
