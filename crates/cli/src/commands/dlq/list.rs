//! `ottla dlq list`.

use std::collections::BTreeMap;

use ottla::dead_letters::{FailedRecord, Origin};

use super::letters::{Letters, Selection};
use crate::{
    args::Common,
    common::Clients,
    failure::{Failure, tell},
    output::Table,
};

/// How many different reasons are told apart: what says an id in each of its errors is not to fill the memory.
const REASONS: usize = 1_000;
/// How much of a reason is told.
const REASON: usize = 100;

/// Where letters come from and why; of neither where it is no letter.
type Kind = (Option<String>, Option<i32>, String);

pub(super) async fn run(letters: &str, common: &Common) -> Result<(), Failure> {
    let selection = Selection::parse(letters)?;
    if selection.offset.is_some() {
        return Err(Failure::usage(format!(
            "`{letters}`: one letter is not counted; `ottla dlq show` shows it"
        )));
    }
    let mut letters = Letters::open(&Clients::new(common)?, &selection, None).await?;
    let mut counts: BTreeMap<Kind, u64> = BTreeMap::new();
    let mut others = 0_u64;
    while let Some(records) = letters.next().await? {
        for record in records.iter().filter(|record| letters.has(record)) {
            let kind = kind(&FailedRecord::from(&record));
            match counts.len() < REASONS || counts.contains_key(&kind) {
                true => *counts.entry(kind).or_default() += 1,
                false => others += 1,
            }
        }
    }
    letters.close().await;
    let mut table = Table::new(&["ORIGIN-TOPIC", "ORIGIN-PARTITION", "RECORDS", "REASON"]);
    for ((topic, partition, reason), count) in counts {
        table.push([topic.into(), partition.into(), count.into(), reason.into()]);
    }
    if others > 0 {
        tell(format!("{others} more are left out: {REASONS} reasons are told apart"));
    }
    table.print(common.is_json())
}

fn kind(letter: &FailedRecord<'_>) -> Kind {
    let Some(origin) = Origin::of(letter) else { return (None, None, "no dead letter".to_owned()) };
    let reason = match (&origin.message, &origin.error_type) {
        (Ok(message), _) => first_line(message),
        (Err(_), Ok(error_type)) => first_line(error_type),
        (Err(why), Err(_)) => why.to_string(),
    };
    (origin.topic.ok().map(ToOwned::to_owned), origin.partition.ok(), reason)
}

fn first_line(text: &str) -> String {
    text.lines().next().unwrap_or_default().chars().take(REASON).collect()
}
