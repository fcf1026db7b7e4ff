//! What one column's rounds were, as rows of the main table, and as notes below it.

use ottla_bench_child::{Lap, Log};

use crate::columns::Column;
use crate::compare::{Reader, What};
use crate::lap::Client;
use crate::stats::{median, middle_half};

/// What one column's laps were, and what they read.
pub(crate) struct Rounds<'a> {
    pub(crate) readers: &'a [Reader],
    /// What the ratio to the floor may be.
    pub(crate) aim: f64,
    pub(crate) log: Log,
    /// Each round's, in the readers' order.
    pub(crate) laps: Vec<Vec<Lap>>,
}

impl Rounds<'_> {
    /// The median of a figure of one reader.
    fn of(&self, reader: usize, value: impl Fn(&Lap) -> f64) -> f64 {
        median(self.laps.iter().filter_map(|laps| laps.get(reader)).map(value))
    }

    /// The rounds' own ratios of one reader's CPU to another's.
    fn ratios(&self, reader: usize, over: usize) -> impl Iterator<Item = f64> {
        let ratio = move |laps: &Vec<Lap>| {
            Some(laps.get(reader)?.micros_per_record() / laps.get(over)?.micros_per_record())
        };
        self.laps.iter().filter_map(ratio)
    }

    fn over_the_floor(&self, reader: usize) -> f64 {
        median(self.ratios(reader, 0))
    }

    /// `1.10 (1.05-1.20)`: the median, and the middle half of the rounds.
    fn range(&self, reader: usize, over: usize) -> String {
        let (low, high) = middle_half(self.ratios(reader, over));
        format!("{:.2} ({low:.2}-{high:.2})", median(self.ratios(reader, over)))
    }

    /// Readers of one kind, with their places.
    fn such(&self, is: impl Fn(&What) -> bool) -> impl Iterator<Item = (usize, &Reader)> {
        self.readers.iter().enumerate().filter(move |(_, reader)| is(&reader.what))
    }

    fn ottla(&self) -> impl Iterator<Item = (usize, &Reader)> {
        self.such(|what| matches!(what, What::Own(Client::Poll | Client::Recv)))
    }

    fn best_peer(&self) -> Option<(usize, &Reader)> {
        let over = |&(index, _): &(usize, &Reader)| self.over_the_floor(index);
        let peers = self.such(|what| matches!(what, What::Peer(_)));
        peers.min_by(|a, b| over(a).total_cmp(&over(b)))
    }

    pub(crate) fn rows(&self, column: &Column) -> Vec<String> {
        let best_peer = self.best_peer().map(|(index, _)| self.over_the_floor(index));
        let row = |(index, reader): (usize, &Reader)| {
            let over = self.over_the_floor(index);
            let is_judged = matches!(reader.what, What::Own(Client::Poll | Client::Recv));
            let fetched = self.of(index, |lap| lap.fetched.map_or(f64::NAN, |bytes| bytes as f64));
            let fetched = fetched / self.log.bytes as f64;
            format!(
                "| {} | {} | {:.3} | {over:.2}{} | {} | {:.0} | {:.0} | {} |",
                column.name,
                reader.name,
                self.of(index, Lap::micros_per_record),
                if is_judged { format!(" ({})", self.aim) } else { String::new() },
                best_peer.filter(|_| is_judged).map_or("-".to_owned(), |peer| format!("{:.2}", peer / over)),
                self.of(index, |lap| lap.records as f64 / lap.seconds),
                self.peak(index),
                if fetched.is_nan() { "-".to_owned() } else { format!("{fetched:.4}") },
            )
        };
        self.readers.iter().enumerate().map(row).collect()
    }

    fn peak(&self, reader: usize) -> f64 {
        self.of(reader, |lap| lap.vm_hwm_kib as f64 / 1024.0)
    }

    pub(crate) fn notes(&self, column: &Column) -> Vec<String> {
        let mut notes = vec![self.log(column)];
        let over = |(index, reader): (usize, &Reader)| format!("{} {}", reader.name, self.range(index, 0));
        let over: Vec<String> = self.ottla().map(over).collect();
        notes.push(format!("  over the floor: {}", over.join(", ")));
        notes.extend(self.verdict());
        notes.extend(self.ottla().filter_map(|(index, reader)| self.since(index, reader)));
        notes
    }

    /// What the topic held.
    fn log(&self, column: &Column) -> String {
        let Log { bytes, batches, .. } = self.log;
        let records = self.laps.iter().flatten().map(|lap| lap.records).max().unwrap_or_default();
        let (megabytes, rounds) = (bytes as f64 / 1e6, self.laps.len());
        format!(
            "- {}: {records} records in {batches} batches, {megabytes:.0} MB in the log; {rounds} rounds",
            column.name
        )
    }

    /// Whether Ottla, by either way to read, took less than the best of the peers.
    fn verdict(&self) -> Option<String> {
        let (best, peer) = self.best_peer()?;
        let best = self.over_the_floor(best);
        let own = self.ottla().map(|(index, reader)| {
            let over = self.over_the_floor(index);
            let ahead = if over < best { "ahead" } else { "**behind**" };
            format!("{} {ahead} ({over:.2})", reader.name)
        });
        let own: Vec<String> = own.collect();
        Some(format!("  beside the best peer, {} ({best:.2}): {}", peer.name, own.join(", ")))
    }

    /// Beside the other build, if there is one.
    fn since(&self, index: usize, reader: &Reader) -> Option<String> {
        let What::Own(own) = reader.what else { return None };
        let (before, _) =
            self.such(|what| matches!(what, What::Before(_, client) if *client == own)).next()?;
        Some(format!(
            "  {} over what it was before: CPU {}, VmHWM {:.1} MiB (before: {:.1})",
            reader.name,
            self.range(index, before),
            self.peak(index),
            self.peak(before),
        ))
    }
}
