//! What one column's rounds were, as rows of the main table, and as notes below it.

use ottla_bench_child::{Lap, Log};

use crate::columns::Column;
use crate::compare::{Reader, What};
use crate::lap::Client;
use crate::laps::Laps;
use crate::stats::median;

/// What one column's laps were, and what they read.
pub(crate) struct Rounds<'a> {
    pub(crate) readers: &'a [Reader],
    /// What the ratio to the floor may be.
    pub(crate) aim: f64,
    pub(crate) log: Log,
    /// In the readers' order.
    pub(crate) laps: Laps,
}

impl Rounds<'_> {
    fn over_the_floor(&self, reader: usize) -> f64 {
        median(self.laps.ratios(reader, 0, Lap::micros_per_record))
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
            let fetched = self.laps.of(index, |lap| lap.fetched.map_or(f64::NAN, |bytes| bytes as f64));
            let fetched = fetched / self.log.bytes as f64;
            format!(
                "| {} | {} | {:.3} | {over:.2}{} | {} | {:.0} | {:.0} | {} |",
                column.name,
                reader.name,
                self.laps.of(index, Lap::micros_per_record),
                if is_judged { format!(" ({})", self.aim) } else { String::new() },
                best_peer.filter(|_| is_judged).map_or("-".to_owned(), |peer| format!("{:.2}", peer / over)),
                self.laps.of(index, |lap| lap.records as f64 / lap.seconds),
                self.laps.peak(index),
                if fetched.is_nan() { "-".to_owned() } else { format!("{fetched:.4}") },
            )
        };
        self.readers.iter().enumerate().map(row).collect()
    }

    pub(crate) fn notes(&self, column: &Column) -> Vec<String> {
        let mut notes = vec![self.log(column)];
        let over = |(index, reader): (usize, &Reader)| {
            format!("{} {}", reader.name, self.laps.range(index, 0, Lap::micros_per_record))
        };
        let over: Vec<String> = self.ottla().map(over).collect();
        notes.push(format!("  over the floor: {}", over.join(", ")));
        notes.extend(self.verdict());
        notes.extend(self.ottla().filter_map(|(index, reader)| self.since(index, reader)));
        notes
    }

    /// What the topic held.
    fn log(&self, column: &Column) -> String {
        let Log { bytes, batches, .. } = self.log;
        let records = self.laps.each(0).map(|lap| lap.records).max().unwrap_or_default();
        let (megabytes, rounds) = (bytes as f64 / 1e6, self.laps.rounds());
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
            self.laps.range(index, before, Lap::micros_per_record),
            self.laps.peak(index),
            self.laps.peak(before),
        ))
    }
}
