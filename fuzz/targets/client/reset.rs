//! Plans and times of `reset-offsets`. Its files are seen by what is around them alone.

use ottla_fuzz::{Input, within};

use crate::duration;

#[path = "../../../crates/cli/src/commands/groups/reset/csv.rs"]
mod csv;
#[path = "../../../crates/cli/src/commands/groups/reset/time.rs"]
mod time;

pub fn plans(input: &mut Input<'_>) {
    let mut groups = Vec::new();
    for _ in 0..input.byte() % 4 {
        groups.extend(input.text().map(str::to_owned));
    }
    let Ok(text) = std::str::from_utf8(input.rest()) else { return };
    // What is read has the names of the groups, too.
    let names: usize = groups.iter().map(String::len).sum();
    let Ok(read) = within(names + 512 * text.len() + 4096, || csv::read(text, &groups)) else { return };
    // As Kafka calls topics: others are not written.
    let mut plans = read;
    plans.values_mut().for_each(|plan| plan.retain(|at, _| ottla::config::is_topic_name(&at.topic)));
    // A group without a row is none, where none is named.
    plans.retain(|group, plan| !plan.is_empty() && !group.is_empty());
    let groups: Vec<_> = plans.keys().cloned().collect();
    let again = csv::read(&csv::write(&plans, true), &groups);
    assert_eq!(again, Ok(plans));
}

pub fn times(input: &mut Input<'_>) {
    let Ok(text) = std::str::from_utf8(input.rest()) else { return };
    if let Ok(millis) = time::millis(text) {
        // Years have four digits, and a zone is at most 18 hours away.
        assert!((-64_800_000..253_402_300_800_000 + 64_800_000).contains(&millis), "{millis}");
    }
    let positive = duration::parse(text);
    let signed = time::duration(text);
    if let (Ok(positive), Ok(signed)) = (&positive, &signed) {
        assert_eq!(i64::try_from(positive.as_millis()), Ok(*signed));
    }
    assert!(positive.is_err() || text.bytes().next().is_some_and(|byte| byte.is_ascii_digit()));
}
