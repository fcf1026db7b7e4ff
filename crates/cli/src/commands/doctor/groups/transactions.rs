//! Transactions that hold readers of committed records back: whose they are, and whether anybody will end them.

use std::{collections::BTreeMap, time::Duration};

use ottla::{
    Admin, Timestamp, TopicPartition,
    admin::{ProducerState, TransactionDescription},
    error::{AdminError, AdminErrorKind},
};

use super::super::{
    finding::{Finding, Kind, Severity},
    refused,
};
use crate::epoch;

/// Where coordinators keep what they know of transactions.
const COORDINATED: &str = "__transaction_state";
/// How many partitions are asked for their producers.
const ASKED: usize = 100;
/// A single look cannot tell one that goes on from one that is in the way: the latter is older than this.
const LONG: Duration = Duration::from_secs(10);

/// A log in which readers of committed records got no further while it was looked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Held {
    pub(super) at: TopicPartition,
    /// Where they stand.
    pub(super) stable: i64,
    pub(super) end: i64,
    /// The groups that read it, and whether each stands there.
    pub(super) groups: Vec<(String, bool)>,
}

/// Transactional ids by their producers.
type Known = BTreeMap<i64, (String, Option<TransactionDescription>)>;

/// The producers with an open transaction, by the log that was asked for them.
type Told = BTreeMap<TopicPartition, Result<Vec<ProducerState>, AdminError>>;

pub(super) async fn examine(admin: &Admin, held: &[Held], looks: u32) -> Vec<Finding> {
    if held.is_empty() {
        return Vec::new();
    }
    let mut findings = Vec::new();
    let asked = held.iter().take(ASKED).map(|held| held.at.clone());
    let producers = match admin.describe_producers(asked).await {
        Ok(told) => told,
        // That readers stand is known all the same.
        Err(error) => {
            findings.push(refused(&error));
            Told::new()
        }
    };
    let known = known(admin).await;
    // One that commits between both questions is in the first answer, and not in the second: it is asked once more.
    let again = match suspects(&producers, &known) {
        none if none.is_empty() => Told::new(),
        suspects => admin.describe_producers(suspects).await.unwrap_or_default(),
    };
    let is_whole = again.is_empty() || coordinators_are_there(admin).await;
    findings.extend(told(held, producers, &Asked { known, again, is_whole }, looks));
    findings
}

/// Where nobody was asked: what readers show by themselves.
pub(super) fn unasked(held: &[Held], looks: u32) -> Vec<Finding> {
    let asked = Asked { known: Ok(Known::new()), again: Told::new(), is_whole: false };
    told(held, Told::new(), &asked, looks)
}

/// What was asked about those who are in the way.
struct Asked {
    /// Transactional ids by their producers; `Err` where coordinators cannot be asked.
    known: Result<Known, String>,
    /// Logs in which one stands of which no coordinator knows, asked again after coordinators were.
    again: Told,
    /// Each coordinator could tell. Those of a log without a leader are in no list.
    is_whole: bool,
}

/// The logs in which the one that is in the way is known to no coordinator.
fn suspects(producers: &Told, known: &Result<Known, String>) -> Vec<TopicPartition> {
    let Ok(known) = known else { return Vec::new() };
    let is_suspect = |told: &Result<Vec<ProducerState>, AdminError>| {
        let producer = told.as_ref().ok().and_then(|producers| opened(producers));
        producer.is_some_and(|producer| !known.contains_key(&producer.producer_id))
    };
    producers.iter().filter(|(_, told)| is_suspect(told)).map(|(at, _)| at.clone()).collect()
}

/// Whether each transactional id has a coordinator now, as far as that may be seen.
async fn coordinators_are_there(admin: &Admin) -> bool {
    let Ok(told) = admin.describe_topics([COORDINATED]).await else { return false };
    told.into_values().all(|told| match told {
        Ok(topic) => topic.partitions.values().all(|partition| partition.leader.is_some()),
        // Who may not see it is told nothing else either; where it is not there nobody has written in transactions.
        Err(error) => error.missing_permission().is_some() || error.kind() == AdminErrorKind::UnknownTopic,
    })
}

/// Of each log what is known: of one that was not asked it is told all the same that readers stand there.
fn told(held: &[Held], mut producers: Told, asked: &Asked, looks: u32) -> Vec<Finding> {
    let each = |held: &Held| {
        let finding = match producers.remove(&held.at) {
            Some(Ok(producers)) => match opened(&producers) {
                Some(producer) => of(held, producer, asked, looks),
                None => several(looks, || ended(held)),
            },
            Some(Err(error)) => several(looks, || unknown(held, &format!("{error:#}"))),
            None => several(looks, || unknown(held, "its leader was not asked")),
        };
        finding.into_iter().flat_map(|finding| of_groups(held, &finding)).collect::<Vec<_>>()
    };
    held.iter().flat_map(each).collect()
}

/// The one that is in the way.
fn opened(producers: &[ProducerState]) -> Option<&ProducerState> {
    let open = producers.iter().filter(|it| it.transaction_start.is_some());
    open.min_by_key(|it| it.transaction_start)
}

/// A single look sees any transaction that is under way, and most are for a moment.
fn several(looks: u32, finding: impl FnOnce() -> Finding) -> Option<Finding> {
    (looks >= 2).then(finding)
}

fn unknown(held: &Held, why: &str) -> Finding {
    Finding::new(Kind::OpenTransaction, format!("{}; whose it is cannot be told: {why}", stand(held)))
}

/// It held the group back while it was looked, which is why that did not move.
fn ended(held: &Held) -> Finding {
    let seen = format!(
        "a transaction that began at offset {} held readers of committed records back while it was looked, and has ended since",
        held.stable
    );
    Finding::new(Kind::OpenTransaction, seen).severity(Severity::Info).todo("look again")
}

/// What coordinators know of transactions that are open; `Err` where they cannot be asked.
async fn known(admin: &Admin) -> Result<Known, String> {
    let listed = admin.list_transactions().await.map_err(|error| format!("{error:#}"))?;
    let open = |state: &str| matches!(state, "Ongoing" | "PrepareCommit" | "PrepareAbort");
    let open: BTreeMap<String, i64> =
        listed.into_iter().filter(|(_, it)| open(&it.state)).map(|(id, it)| (id, it.producer_id)).collect();
    let mut described = admin.describe_transactions(open.keys().cloned()).await.unwrap_or_default();
    let known = |(id, producer): (String, i64)| {
        let description = described.remove(&id).and_then(Result::ok);
        (producer, (id, description))
    };
    Ok(open.into_iter().map(known).collect())
}

fn stand(held: &Held) -> String {
    format!(
        "a transaction is open since offset {}: readers of committed records get no further, and {} offsets wait behind it",
        held.stable,
        held.end - held.stable
    )
}

fn of(held: &Held, producer: &ProducerState, asked: &Asked, looks: u32) -> Option<Finding> {
    let (stands, id) = (stand(held), producer.producer_id);
    let known = match &asked.known {
        Ok(known) => known,
        Err(why) => {
            let seen = format!("{stands}; it is of producer {id}; who that is cannot be told: {why}");
            return Some(Finding::new(Kind::OpenTransaction, seen));
        }
    };
    let last = producer.last_timestamp.and_then(age);
    match known.get(&id) {
        Some((name, description)) => {
            let started = description.as_ref().and_then(|it| it.started).and_then(age);
            if looks < 2 && started.is_none_or(|age| age < LONG) {
                return None;
            }
            let mut seen = format!("{stands}; it is of transactional id `{name}` (producer {id})");
            if let Some(age) = started {
                seen.push_str(&format!(", begun {} s ago", age.as_secs()));
            }
            if let Some(description) = description {
                seen.push_str(&format!(", with a time-out of {:?}", description.timeout));
            }
            Some(Finding::new(Kind::OpenTransaction, seen))
        }
        None => {
            if looks < 2 && last.is_none_or(|age| age < LONG) {
                return None;
            }
            if let Some(doubt) = doubt(held, producer, asked) {
                return Some(doubt);
            }
            let mut seen = format!(
                "{stands}; it is of producer {id} (epoch {}), and no coordinator has a transaction of that producer open",
                producer.producer_epoch
            );
            if let Some(age) = last {
                seen.push_str(&format!("; its last record is {} s old", age.as_secs()));
            }
            seen.push_str(" (one whose transactional id may not be seen here looks the same)");
            Some(Finding::new(Kind::HangingTransaction, seen))
        }
    }
}

/// Why it may be that somebody will end it, though it is in no coordinator's list: to abort it by force would lose what it wrote.
fn doubt(held: &Held, producer: &ProducerState, asked: &Asked) -> Option<Finding> {
    let (stands, id) = (stand(held), producer.producer_id);
    let is_it = |other: &ProducerState| {
        (other.producer_id, other.transaction_start) == (id, producer.transaction_start)
    };
    let why = match asked.again.get(&held.at) {
        Some(Ok(again)) if again.iter().any(is_it) => match asked.is_whole {
            true => return None,
            false => format!("a coordinator is missing, as `{COORDINATED}` has partitions without a leader"),
        },
        Some(Ok(_)) => return Some(ended(held)),
        Some(Err(error)) => format!("{error:#}"),
        None => "its leader told nothing when it was asked again".to_owned(),
    };
    let seen = format!("{stands}; it is of producer {id}; whether anybody will end it cannot be told: {why}");
    Some(Finding::new(Kind::OpenTransaction, seen))
}

/// The same for each group that reads the log: it is an error for those that stand there.
fn of_groups(held: &Held, finding: &Finding) -> Vec<Finding> {
    let of = |(group, stands): &(String, bool)| {
        let is_bad = finding.severity > Severity::Info;
        let severity = if *stands && is_bad { Severity::Error } else { finding.severity };
        finding.clone().group(group).partition(&held.at).severity(severity)
    };
    held.groups.iter().map(of).collect()
}

fn age(since: Timestamp) -> Option<Duration> {
    let age = epoch::now().saturating_sub(since.0);
    (since.0 >= 0).then(|| Duration::from_millis(u64::try_from(age).unwrap_or_default()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn held(partition: i32) -> Held {
        let groups = vec![("stands".to_owned(), true), ("reads".to_owned(), false)];
        Held { at: TopicPartition::new("t", partition), stable: 10, end: 15, groups }
    }

    #[test]
    fn a_log_whose_producers_nobody_told_of_is_told_to_hold_its_readers_back() {
        let all: Vec<Held> = (0..150).map(held).collect();
        let found = unasked(&all, 2);
        assert_eq!(found.len(), 300, "each with each of its groups");
        for of_log in found.chunks(2) {
            assert!(of_log.iter().all(|it| it.kind == Kind::OpenTransaction), "{of_log:?}");
            let severities: Vec<Severity> = of_log.iter().map(|it| it.severity).collect();
            assert_eq!(severities, [Severity::Error, Severity::Warning]);
        }
        assert!(
            found[0].seen.contains("since offset 10") && found[0].seen.contains("not asked"),
            "{:?}",
            found[0]
        );
        assert!(unasked(&all, 1).is_empty(), "any transaction looks like that once");
    }

    #[test]
    fn a_transaction_that_has_ended_since_is_told_and_is_no_error() {
        let producers = Told::from([(held(0).at, Ok(Vec::new()))]);
        let asked = Asked { known: Ok(Known::new()), again: Told::new(), is_whole: true };
        let found = told(&[held(0)], producers, &asked, 10);
        assert_eq!(found.len(), 2);
        assert!(
            found.iter().all(|it| it.severity == Severity::Info && it.seen.contains("ended")),
            "{found:?}"
        );
    }
}
