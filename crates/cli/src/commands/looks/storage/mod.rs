//! What looks saw, in a file, so that a process finds it that is started anew.
//!
//! Logs, places and the last looks at groups are kept as they are in memory, each written over by the next; of the time before there
//! is for each group and day a list of spans, as [`Trend`] has them. All is written in one transaction. Whoever calls blocks: none of
//! it is for the threads that serve.
//!
//! - `opening`: the file, and what is wrong with one that cannot be had.
//! - `days`: the spans of a day.

mod days;
mod opening;
#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeMap, btree_map::Entry},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use ottla::TopicPartition;
use redb::{Database, Error, ReadableDatabase, ReadableTable, ReadableTableMetadata, TableDefinition};

use self::days::{DAY, Spans};
use super::board::Board;
use crate::{
    commands::lag::Watch,
    failure::{Failure, tell},
    history::{Ends, Looks, Point, Trend},
};

const META: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("meta");
const LOGS: TableDefinition<'_, (&str, i32), &[u8]> = TableDefinition::new("logs");
const PLACES: TableDefinition<'_, (&str, &str, i32), &[u8]> = TableDefinition::new("places");
const TRENDS: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("trends");
/// By the day, counted since 1970, and the group.
const SPANS: TableDefinition<'_, (i64, &str), &[u8]> = TableDefinition::new("spans");
/// The kind of each, and its text.
const EVENTS: TableDefinition<'_, u32, (&str, &str)> = TableDefinition::new("events");

/// In `META`.
const FORMAT: &str = "format";
const CLUSTER: &str = "cluster";
const SAVED: &str = "saved";
/// Since when the clock has gone on evenly, where it has not always.
const STEADY: &str = "steady";

/// How many days of groups there are at the most, of 2.9 KB each: those of the oldest day make room.
const DAYS: u64 = 65_536;
/// Not less than that is a pause after which statuses begin anew, as looks may be further apart than that.
const PAUSE: i64 = 30_000;
/// So many intervals are one, where they are longer.
const MISSED: i64 = 3;

/// The file, open for as long as it can be written.
#[derive(Debug)]
pub(in crate::commands) struct Storage {
    folder: PathBuf,
    /// For how long spans are kept, in milliseconds.
    keep: i64,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    database: Option<Arc<Database>>,
    /// What is in there is of another cluster.
    is_foreign: bool,
    /// How large it was when it was opened, or written last.
    bytes: Option<u64>,
    /// When it was written last.
    saved: Option<i64>,
    /// Why it could not be, since.
    failure: Option<String>,
}

/// What is to be kept.
#[derive(Debug)]
pub(in crate::commands) struct Now<'a> {
    pub(in crate::commands) at: i64,
    pub(in crate::commands) interval: Duration,
    pub(in crate::commands) cluster: Option<&'a str>,
    pub(in crate::commands) watch: &'a Watch,
    pub(in crate::commands) board: &'a Board,
    pub(in crate::commands) events: &'a [Event],
}

/// What kind of event it was, and its text.
pub(in crate::commands) type Event = (String, String);

/// What was kept.
#[derive(Debug, Default)]
pub(in crate::commands) struct Before {
    pub(in crate::commands) watch: Watch,
    pub(in crate::commands) trends: BTreeMap<String, Trend>,
    pub(in crate::commands) events: Vec<Event>,
    /// By how many milliseconds the clock has been put back since.
    pub(in crate::commands) is_back: Option<i64>,
}

/// How the file is, for those who ask.
#[derive(Debug)]
pub(in crate::commands) struct Condition {
    pub(in crate::commands) bytes: Option<u64>,
    pub(in crate::commands) saved: Option<i64>,
    pub(in crate::commands) failure: Option<String>,
}

impl Storage {
    /// In this folder. What of it was no file of ours, or is damaged, is put aside, and told.
    pub(in crate::commands) fn open(
        folder: &Path,
        keep: Duration,
    ) -> Result<(Self, Option<String>), Failure> {
        let (database, note) = opening::open(folder)?;
        let keep = i64::try_from(keep.as_millis()).unwrap_or(i64::MAX);
        let (database, bytes) = (Some(Arc::new(database)), opening::size(folder));
        let state = State { database, bytes, ..State::default() };
        Ok((Self { folder: folder.to_owned(), keep, state: Mutex::new(state) }, note))
    }

    pub(in crate::commands) fn folder(&self) -> &Path {
        &self.folder
    }

    pub(in crate::commands) fn condition(&self) -> Condition {
        let state = self.lock();
        Condition { bytes: state.bytes, saved: state.saved, failure: state.failure.clone() }
    }

    /// Of which cluster it is, where that was known.
    pub(in crate::commands) fn cluster(&self) -> Result<Option<String>, Error> {
        let Some(database) = self.database() else { return Ok(None) };
        let meta = database.begin_read()?.open_table(META)?;
        let id = meta.get(CLUSTER)?.map(|id| String::from_utf8_lossy(id.value()).into_owned());
        Ok(id)
    }

    /// Nothing of it is read or written yet.
    pub(in crate::commands) fn wait(&self, why: String) {
        self.lock().failure = Some(why);
    }

    /// It is of another cluster: nothing of it is told, and nothing is written any more.
    pub(in crate::commands) fn leave(&self, why: String) {
        let mut state = self.lock();
        *state = State { is_foreign: true, failure: Some(why), bytes: state.bytes, ..State::default() };
    }

    /// What was kept, as far as it can have been seen before this time.
    pub(in crate::commands) fn before(&self, now: i64, interval: Duration) -> Result<Before, Error> {
        let mut before = Before::default();
        let Some(database) = self.database() else { return Ok(before) };
        let transaction = database.begin_read()?;
        let meta = transaction.open_table(META)?;
        let Some(Saved { at, interval: was }) = meta.get(SAVED)?.and_then(|it| Saved::found(it.value()))
        else {
            return Ok(before);
        };
        before.is_back = now.checked_sub(at).filter(|passed| *passed < 0).map(i64::saturating_neg);
        let mut logs = BTreeMap::new();
        for entry in transaction.open_table(LOGS)?.iter()? {
            let (at, bytes) = entry?;
            let (topic, partition) = at.value();
            if let Some(ends) = Ends::found(bytes.value(), now) {
                logs.insert(TopicPartition::new(topic, partition), ends);
            }
        }
        let mut groups: BTreeMap<String, BTreeMap<TopicPartition, Looks>> = BTreeMap::new();
        // Rules count looks: over a pause, or where they are further apart than they were, they would take it for one.
        let limit = millis(interval).saturating_mul(MISSED).max(PAUSE);
        if was == millis(interval) && (0..=limit).contains(&now.saturating_sub(at)) {
            for entry in transaction.open_table(PLACES)?.iter()? {
                let (at, bytes) = entry?;
                let (group, topic, partition) = at.value();
                if let Some(looks) = Looks::found(bytes.value()) {
                    let of_group = groups.entry(group.to_owned()).or_default();
                    of_group.insert(TopicPartition::new(topic, partition), looks);
                }
            }
        }
        before.watch = Watch::again(logs, groups);
        for entry in transaction.open_table(TRENDS)?.iter()? {
            let (group, bytes) = entry?;
            if let Some(trend) = Trend::found(bytes.value(), now) {
                before.trends.insert(group.value().to_owned(), trend);
            }
        }
        for entry in transaction.open_table(EVENTS)?.iter()? {
            let event = entry?.1;
            let (kind, text) = event.value();
            before.events.push((kind.to_owned(), text.to_owned()));
        }
        Ok(before)
    }

    /// Writes all of it. What could not be written is told, and what was there before stays.
    pub(in crate::commands) fn save(&self, now: &Now<'_>) -> Result<(), Failure> {
        if self.lock().is_foreign {
            return Ok(());
        }
        let (saved, bytes) = (self.try_save(now), opening::size(&self.folder));
        let mut state = self.lock();
        state.bytes = bytes;
        match saved {
            Ok(()) => (state.saved, state.failure) = (Some(now.at), None),
            Err(failure) => {
                // After a failure it takes nothing before it is opened again.
                (state.database, state.failure) = (None, Some(failure.to_string()));
                return Err(failure);
            }
        }
        Ok(())
    }

    fn try_save(&self, now: &Now<'_>) -> Result<(), Failure> {
        let database = match self.database() {
            Some(database) => database,
            None => {
                let (database, note) = opening::open(&self.folder)?;
                note.iter().for_each(tell);
                let database = Arc::new(database);
                self.lock().database = Some(database.clone());
                database
            }
        };
        self.write(&database, now).map_err(|error| opening::failure(&self.folder, &error))
    }

    fn write(&self, database: &Database, now: &Now<'_>) -> Result<(), Error> {
        // Whatever happens in the middle of it leaves what was there.
        let transaction = database.begin_write()?;
        {
            let mut meta = transaction.open_table(META)?;
            let before = meta.get(SAVED)?.and_then(|it| Saved::found(it.value())).map(|saved| saved.at);
            let has_jumped = before.is_some_and(|before| !(0..=DAY).contains(&now.at.saturating_sub(before)));
            if has_jumped {
                meta.insert(STEADY, now.at.to_le_bytes().as_slice())?;
            }
            let steady = meta.get(STEADY)?.and_then(|it| it.value().try_into().ok()).map(i64::from_le_bytes);
            if let Some(id) = now.cluster {
                meta.insert(CLUSTER, id.as_bytes())?;
            }
            meta.insert(SAVED, Saved { at: now.at, interval: millis(now.interval) }.kept().as_slice())?;
            let mut logs = transaction.open_table(LOGS)?;
            logs.retain(|(topic, partition), _| {
                now.watch.ends(&TopicPartition::new(topic, partition)).is_some()
            })?;
            for (at, ends) in now.watch.logs() {
                logs.insert((at.topic.as_str(), at.partition), ends.kept().as_slice())?;
            }
            let mut places = transaction.open_table(PLACES)?;
            places.retain(|(group, topic, partition), _| {
                now.watch.looks(group, &TopicPartition::new(topic, partition)).is_some()
            })?;
            for (group, at, looks) in now.watch.places() {
                let key = (group, at.topic.as_str(), at.partition);
                places.insert(key, looks.kept().as_slice())?;
            }
            let mut events = transaction.open_table(EVENTS)?;
            events.retain(|_, _| false)?;
            for (number, (kind, text)) in (0..).zip(now.events) {
                events.insert(number, (kind.as_str(), text.as_str()))?;
            }
            let mut trends = transaction.open_table(TRENDS)?;
            let names = now.board.groups();
            trends.retain(|group, _| names.contains(group))?;
            let mut spans = transaction.open_table(SPANS)?;
            for group in &names {
                let since = before.filter(|_| !has_jumped).unwrap_or(i64::MIN);
                let Some(trend) = now.board.kept(group, since) else { continue };
                trends.insert(group.as_str(), trend.looks.as_slice())?;
                add(&mut spans, group, &trend.spans)?;
            }
            // Of a clock that is wrong for a while, all would be old, or ahead of it.
            if steady.is_none_or(|steady| now.at.saturating_sub(steady) >= DAY) {
                self.forget_old(&mut spans, now.at)?;
            }
            while spans.len()? > DAYS {
                spans.pop_first()?;
            }
        }
        transaction.commit()?;
        Ok(())
    }

    /// What is older than it is to be kept, and what lies ahead of a clock that was put back. What is between is not looked at.
    fn forget_old(
        &self,
        spans: &mut redb::Table<'_, (i64, &'static str), &'static [u8]>,
        now: i64,
    ) -> Result<(), Error> {
        let (first, next) = (now.saturating_sub(self.keep).div_euclid(DAY), now.div_euclid(DAY) + 1);
        spans.retain_in(..(first, ""), |_, _| false)?;
        spans.retain_in((next, "").., |_, _| false)?;
        Ok(())
    }

    /// A group's spans, the oldest first.
    pub(in crate::commands) fn spans(&self, group: &str, now: i64) -> Result<Vec<Point>, Error> {
        let Some(database) = self.database() else { return Ok(Vec::new()) };
        let spans = database.begin_read()?.open_table(SPANS)?;
        let since = now.saturating_sub(self.keep);
        let mut points = Vec::new();
        for day in since.div_euclid(DAY)..=now.div_euclid(DAY) {
            if let Some(bytes) = spans.get((day, group))? {
                points.extend(Spans::found(bytes.value()).points(day));
            }
        }
        points.retain(|point| (since..=now).contains(&point.at));
        Ok(points)
    }

    fn database(&self) -> Option<Arc<Database>> {
        self.lock().database.clone()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Adds spans to the days that they are of.
fn add(
    spans: &mut redb::Table<'_, (i64, &'static str), &'static [u8]>,
    group: &str,
    points: &[Point],
) -> Result<(), Error> {
    let mut days: BTreeMap<i64, Spans> = BTreeMap::new();
    for point in points {
        let day = point.at.div_euclid(DAY);
        let of_day = match days.entry(day) {
            Entry::Occupied(of_day) => of_day.into_mut(),
            Entry::Vacant(place) => {
                let found = spans.get((day, group))?;
                place.insert(found.map(|bytes| Spans::found(bytes.value())).unwrap_or_default())
            }
        };
        of_day.add(point);
    }
    for (day, of_day) in days {
        spans.insert((day, group), of_day.kept().as_slice())?;
    }
    Ok(())
}

/// When it was written, and how far looks were apart, in milliseconds.
#[derive(Debug, Clone, Copy)]
struct Saved {
    at: i64,
    interval: i64,
}

impl Saved {
    fn kept(self) -> [u8; 16] {
        (i128::from(self.at) << 64 | i128::from(self.interval)).to_le_bytes()
    }

    fn found(bytes: &[u8]) -> Option<Self> {
        let both = i128::from_le_bytes(bytes.try_into().ok()?);
        Some(Self { at: (both >> 64) as i64, interval: both as i64 })
    }
}

fn millis(time: Duration) -> i64 {
    i64::try_from(time.as_millis()).unwrap_or(i64::MAX)
}
