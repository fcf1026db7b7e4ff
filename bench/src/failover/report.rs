//! The table: a row for each figure of each event, a column for each client, and whether Ottla's is no worse.

use std::fmt::Write as _;

use ottla_bench_child::Protocol;

use super::Event;
use super::client::{Client, Product};
use super::figures::Figures;

/// What one event cost one group once.
#[derive(Debug)]
pub(super) struct Measured {
    pub(super) event: Event,
    pub(super) client: Client,
    /// Whether it was steady again.
    pub(super) settled: bool,
    pub(super) figures: Figures,
}

#[derive(Debug, Default)]
pub(super) struct Report(Vec<Measured>);

/// What a row is about.
struct Row {
    name: &'static str,
    event: Event,
    figure: fn(&Figures) -> Option<u64>,
    judged: Judged,
}

enum Judged {
    /// At most the best peer's median and a tenth, or within that peer's own range.
    BesideThePeers,
    /// Never anything.
    None,
    /// Reported alone.
    Not,
}

const fn row(name: &'static str, event: Event, figure: fn(&Figures) -> Option<u64>, judged: Judged) -> Row {
    Row { name, event, figure, judged }
}

const ROWS: [Row; 15] = [
    row("join: partitions that move", Event::Join, |f| f.moved, Judged::BesideThePeers),
    row("join: partitions that stay", Event::Join, |f| f.stayed, Judged::BesideThePeers),
    row("close of one of three: its partitions", Event::Close, |f| f.moved, Judged::BesideThePeers),
    row("close: the others'", Event::Close, |f| f.stayed, Judged::BesideThePeers),
    row("SIGKILL of one of two: its partitions", Event::Kill, |f| f.moved, Judged::BesideThePeers),
    row("SIGKILL: the survivor's", Event::Kill, |f| f.stayed, Judged::BesideThePeers),
    row(
        "SIGKILL of a broker: beyond the producer's wait",
        Event::Broker,
        |f| f.beyond,
        Judged::BesideThePeers,
    ),
    row("repeats: join", Event::Join, |f| Some(f.repeats), Judged::None),
    row("repeats: close", Event::Close, |f| Some(f.repeats), Judged::None),
    row("repeats: SIGKILL of one", Event::Kill, |f| Some(f.repeats), Judged::Not),
    row("repeats: SIGKILL of a broker", Event::Broker, |f| Some(f.repeats), Judged::Not),
    row("lost: join", Event::Join, |f| Some(f.lost), Judged::None),
    row("lost: close", Event::Close, |f| Some(f.lost), Judged::None),
    row("lost: SIGKILL of one", Event::Kill, |f| Some(f.lost), Judged::None),
    row("lost: SIGKILL of a broker", Event::Broker, |f| Some(f.lost), Judged::None),
];

/// A figure over the runs.
#[derive(Debug, Clone, Copy)]
struct Spread {
    least: u64,
    median: u64,
    most: u64,
}

impl Spread {
    fn of(mut values: Vec<u64>) -> Option<Self> {
        values.sort_unstable();
        let (least, most) = (*values.first()?, *values.last()?);
        Some(Self { least, median: *values.get(values.len() / 2)?, most })
    }
}

impl Report {
    pub(super) fn add(&mut self, measured: Measured) {
        eprintln!("{} {:?}: {:?}", measured.client, measured.event, measured.figures);
        self.0.push(measured);
    }

    pub(super) fn table(&self, clients: &[Client]) -> String {
        let names: String = clients.iter().map(|client| format!(" {client} |")).collect();
        let mut table = format!("| ms, or records |{names} verdict: classic | 848 |\n|---|");
        table.push_str(&"---|".repeat(clients.len() + 2));
        for row in ROWS {
            let cells: Vec<String> = clients.iter().map(|client| self.cell(&row, *client)).collect();
            if cells.iter().all(|cell| cell == "-") {
                continue;
            }
            let verdicts =
                [Protocol::Classic, Protocol::Consumer].map(|protocol| self.verdict(&row, clients, protocol));
            let _ = write!(table, "\n| {} | {} | {} |", row.name, cells.join(" | "), verdicts.join(" | "));
        }
        let unsettled: Vec<String> = self.0.iter().filter(|measured| !measured.settled).map(name).collect();
        if !unsettled.is_empty() {
            let _ = write!(table, "\n\nNot steady again in time: {}.", unsettled.join(", "));
        }
        table
    }

    fn cell(&self, row: &Row, client: Client) -> String {
        match self.spread(row, client) {
            Some(Spread { least, median, most }) if least < most => format!("{median} ({least}-{most})"),
            Some(Spread { median, .. }) => median.to_string(),
            None => "-".to_owned(),
        }
    }

    fn spread(&self, row: &Row, client: Client) -> Option<Spread> {
        let of = self.0.iter().filter(|measured| (measured.event, measured.client) == (row.event, client));
        Spread::of(of.filter_map(|measured| (row.figure)(&measured.figures)).collect())
    }

    fn verdict(&self, row: &Row, clients: &[Client], protocol: Protocol) -> String {
        let of = |client: &&Client| client.protocol == protocol;
        let (ottla, peers): (Vec<&Client>, Vec<&Client>) =
            clients.iter().filter(of).partition(|client| client.product == Product::Ottla);
        let ours = ottla.first().and_then(|client| self.spread(row, **client));
        let best = peers.iter().filter_map(|peer| self.spread(row, **peer)).min_by_key(|peer| peer.median);
        match (&row.judged, ours, best) {
            (Judged::None, Some(ours), _) if ours.most == 0 => "yes".to_owned(),
            (Judged::None, Some(_), _) => "**no**".to_owned(),
            (Judged::BesideThePeers, Some(ours), Some(best)) => beside(ours, best),
            _ => "-".to_owned(),
        }
    }
}

fn beside(ours: Spread, best: Spread) -> String {
    if ours.median * 10 <= best.median * 11 {
        "yes".to_owned()
    } else if ours.median <= best.most {
        "in its range".to_owned()
    } else {
        format!("**no**, +{} ms", ours.median - best.median)
    }
}

fn name(measured: &Measured) -> String {
    format!("{} ({:?})", measured.client, measured.event)
}
