//! Transactions that hold readers of committed records back: whose they are, and whether anybody will end them.

use std::{
    collections::BTreeMap,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use ottla::{
    Admin, Timestamp, TopicPartition,
    admin::{ProducerState, TransactionDescription},
};

use super::super::{
    finding::{Finding, Kind, Severity},
    refused,
};

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

pub(super) async fn examine(admin: &Admin, held: &[Held], looks: u32) -> Vec<Finding> {
    if held.is_empty() {
        return Vec::new();
    }
    let asked = held.iter().take(ASKED).map(|held| held.at.clone());
    let mut producers = match admin.describe_producers(asked).await {
        Ok(told) => told,
        Err(error) => return vec![refused(&error)],
    };
    let known = known(admin).await;
    let mut findings = Vec::new();
    for held in held.iter().take(ASKED) {
        let opened = |producers: Vec<ProducerState>| {
            producers
                .into_iter()
                .filter(|it| it.transaction_start.is_some())
                .min_by_key(|it| it.transaction_start)
        };
        let finding = match producers.remove(&held.at) {
            // Where none is open any more, it has ended meanwhile.
            Some(Ok(producers)) => opened(producers).and_then(|producer| of(held, &producer, &known, looks)),
            Some(Err(error)) => {
                let why = format!("{error:#}");
                Some(Finding::new(
                    Kind::OpenTransaction,
                    format!("{}; whose it is cannot be told: {why}", stand(held)),
                ))
            }
            None => None,
        };
        findings.extend(finding.into_iter().flat_map(|finding| of_groups(held, &finding)));
    }
    findings
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

fn of(held: &Held, producer: &ProducerState, known: &Result<Known, String>, looks: u32) -> Option<Finding> {
    let (stands, id) = (stand(held), producer.producer_id);
    let known = match known {
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

/// The same for each group that reads the log: it is an error for those that stand there.
fn of_groups(held: &Held, finding: &Finding) -> Vec<Finding> {
    let of = |(group, stands): &(String, bool)| {
        let severity = if *stands { Severity::Error } else { finding.severity };
        finding.clone().group(group).partition(&held.at).severity(severity)
    };
    held.groups.iter().map(of).collect()
}

fn age(since: Timestamp) -> Option<Duration> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).ok()?;
    Some(now.saturating_sub(Duration::from_millis(u64::try_from(since.0).ok()?)))
}
