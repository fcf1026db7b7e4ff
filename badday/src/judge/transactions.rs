//! Transactions: all of their records are read, or none.

use std::{
    collections::{BTreeSet, HashMap},
    time::Instant,
};

use super::{Shades, Violations, WHOLE, numbers::Numbers};
use crate::line::{End, LARGEST_TRANSACTION, Value};

/// Whom a fault concerns that has transactions read late.
pub(super) const TRANSACTIONS: &str = "transactions";

#[derive(Debug)]
struct Transaction {
    /// A bit for each record that was read.
    read: u32,
    /// How many it has, once anybody said so.
    records: Option<u64>,
    end: Option<End>,
    /// When anything was last heard of it.
    since: Instant,
}

/// By the writer's number, its life, and its own number.
type Key = (u16, u16, u64);

/// How many aborted ones of a life are remembered.
const MOST: usize = 8192;

/// The transactions of a life that are over.
#[derive(Debug, Default)]
struct Done {
    /// All of their records were read.
    whole: Numbers,
    aborted: BTreeSet<u64>,
}

#[derive(Debug, Default)]
pub(super) struct Transactions {
    open: HashMap<Key, Transaction>,
    done: HashMap<(u16, u16), Done>,
}

impl Transactions {
    pub(super) fn open(&self) -> usize {
        self.open.values().filter(|transaction| transaction.end == Some(End::Committed)).count()
    }

    fn entry(&mut self, key: Key, now: Instant) -> &mut Transaction {
        let fresh = Transaction { read: 0, records: None, end: None, since: now };
        self.open.entry(key).or_insert(fresh)
    }

    /// A reader of what is committed has read a record.
    pub(super) fn read(&mut self, value: &Value, now: Instant, violations: &mut Violations) {
        let key @ (writer, life, number) = (value.id.writer, value.id.life, value.id.transaction());
        if let Some(done) = self.done.get(&(writer, life)) {
            if done.whole.has(number) {
                let text = format!("{}: again, and its transaction was read in whole", value.id);
                return violations.add("doubled", text, now);
            }
            if done.aborted.contains(&number) {
                let text = format!("{} is read, and was aborted long ago", value.id);
                return violations.add("aborted", text, now);
            }
        }
        let transaction = self.entry(key, now);
        let bit = 1 << (value.id.number % LARGEST_TRANSACTION);
        if transaction.read & bit != 0 {
            violations.add("doubled", format!("{}: twice in what is committed", value.id), now);
        }
        if transaction.end == Some(End::Aborted) {
            violations.add("aborted", format!("{} is read, and was aborted", value.id), now);
        }
        transaction.read |= bit;
        transaction.records = Some(value.key);
        transaction.since = now;
        self.forget_whole(key);
    }

    /// Its writer tells of its end.
    pub(super) fn ended(
        &mut self,
        actor: &str,
        number: u64,
        end: End,
        records: u64,
        now: Instant,
        violations: &mut Violations,
    ) {
        let Some((writer, life)) = self.writers(actor) else { return };
        let key = (writer, life, number);
        let transaction = self.entry(key, now);
        transaction.end = Some(end);
        transaction.records = Some(records);
        transaction.since = now;
        if end == End::Aborted && transaction.read != 0 {
            violations.add("aborted", format!("{actor}: {key:?} was read, and is aborted"), now);
        }
        self.forget_whole(key);
    }

    /// An actor is called by its writer's number and its life: `ledger-7.2`.
    fn writers(&self, actor: &str) -> Option<(u16, u16)> {
        let (_, numbers) = actor.rsplit_once('-')?;
        let (writer, life) = numbers.split_once('.')?;
        Some((writer.parse().ok()?, life.parse().ok()?))
    }

    fn forget_whole(&mut self, key @ (writer, life, number): Key) {
        let is_over =
            |transaction: &Transaction| transaction.end == Some(End::Committed) && transaction.is_whole();
        if self.open.get(&key).is_some_and(is_over) {
            self.open.remove(&key);
            self.done.entry((writer, life)).or_default().whole.add(number);
        }
    }

    pub(super) fn look(&mut self, now: Instant, shades: &Shades, violations: &mut Violations) {
        let is_due = |_: &Key, transaction: &mut Transaction| {
            shades.calm(TRANSACTIONS, transaction.since, now) >= WHOLE
        };
        for (key, transaction) in self.open.extract_if(is_due) {
            transaction.judge(&key, now, violations);
            let done = self.done.entry((key.0, key.1)).or_default();
            if transaction.end == Some(End::Aborted) {
                done.aborted.insert(key.2);
                if done.aborted.len() > MOST {
                    done.aborted.pop_first();
                }
            } else if transaction.is_whole() {
                done.whole.add(key.2);
            }
        }
    }

    pub(super) fn close(&self, now: Instant, violations: &mut Violations) {
        for (key, transaction) in &self.open {
            transaction.judge(key, now, violations);
        }
    }
}

impl Transaction {
    fn is_whole(&self) -> bool {
        self.records.is_some_and(|records| u64::from(self.read.count_ones()) == records)
    }

    fn judge(&self, key: &Key, now: Instant, violations: &mut Violations) {
        let (read, records) = (u64::from(self.read.count_ones()), self.records.unwrap_or_default());
        match self.end {
            Some(End::Committed) if read == 0 => {
                violations.add(
                    "lost",
                    format!("transaction {key:?} is committed, and not one of its {records} was read"),
                    now,
                );
            }
            // Some of an aborted one was told when it was read.
            Some(End::Aborted) => {}
            _ if read != 0 && read != records => {
                violations.add("torn", format!("transaction {key:?}: {read} of {records} were read"), now);
            }
            _ => {}
        }
    }
}
