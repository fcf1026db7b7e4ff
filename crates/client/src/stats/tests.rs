//! One table: `docs/metrics.md` is written from it, snapshots have nothing beside it, and the dashboard nothing that is not in it.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write,
};

use ottla_core::{LACKING, METRICS, REQUIRED};
use serde_json::Value as Json;

use super::{
    ConsumerStats, PartitionStats, ProcessorStats,
    table::{CONSUMER, HEALTH, Metric, PARTITION, PROCESSOR, Unit},
};

const DOCS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs");
const WRITE: &str = "OTTLA_BLESS=1 cargo test -p ottla metrics_page";

/// A row as it is written.
#[derive(Debug)]
struct Row {
    name: &'static str,
    kind: &'static str,
    unit: Unit,
    from: &'static str,
    java: &'static str,
    what: &'static str,
}

fn rows<T>(metrics: &'static [Metric<T>]) -> Vec<Row> {
    let row = |metric: &'static Metric<T>| {
        let Metric { name, unit, from, java, what, value } = metric;
        Row { name, kind: value.kind(), unit: *unit, from, java, what }
    };
    metrics.iter().map(row).collect()
}

fn all() -> Vec<Row> {
    [rows(CONSUMER), rows(PARTITION), rows(HEALTH), rows(PROCESSOR)].into_iter().flatten().collect()
}

fn table(page: &mut String, heading: &str, text: &str, rows: &[Row]) {
    write!(page, "\n## {heading}\n\n{text}\n\n").unwrap();
    page.push_str("| metric | kind | where | what | Java's |\n|---|---|---|---|---|\n");
    for Row { name, kind, from, java, what, .. } in rows {
        let java: Vec<String> =
            java.split(", ").filter(|java| !java.is_empty()).map(|java| format!("`{java}`")).collect();
        writeln!(page, "| `{name}` | {kind} | `{from}` | {what} | {} |", java.join(", ")).unwrap();
    }
}

fn page() -> String {
    let mut page = format!(
        "# Metrics\n\n<!-- Written by `{WRITE}` from the tables in crates/client/src/stats. -->\n\n{}",
        include_str!("introduction.md")
    );
    table(&mut page, "A consumer", "By `Recorder::record`, from `ConsumerStats`.", &rows(CONSUMER));
    table(
        &mut page,
        "Each partition",
        "With the labels `topic` and `partition`, unless `Recorder::without_partitions` says otherwise. 0 once the partition is another's.",
        &rows(PARTITION),
    );
    table(
        &mut page,
        "Health",
        "By `Recorder::record_health`, from `Health` ([health.md](health.md)).",
        &rows(HEALTH),
    );
    table(
        &mut page,
        "A processor",
        "By `Recorder::record_processor`, from `ProcessorStats`, with those of its consumer. Java's client has no processor.",
        &rows(PROCESSOR),
    );
    pushed(&mut page);
    page
}

/// What is pushed to brokers: core has the table.
fn pushed(page: &mut String) {
    write!(page, "\n## Pushed to brokers (KIP-714)\n\n{}\n", include_str!("pushed.md")).unwrap();
    page.push_str(
        "Names are those that the Java client pushes. Bold: KIP-714 requires them of a consumer.\n\n",
    );
    page.push_str("| metric | form | where | what |\n|---|---|---|---|\n");
    for metric in METRICS {
        let bold = if REQUIRED.contains(&metric.name) { "**" } else { "" };
        let from = if metric.from.is_empty() { String::new() } else { format!("`{}`", metric.from) };
        writeln!(page, "| {bold}`{}`{bold} | {} | {from} | {} |", metric.name, metric.kind(), metric.what)
            .unwrap();
    }
    page.push_str("\nOf those that are required there is not:\n\n");
    for (name, why) in LACKING {
        writeln!(page, "- `{name}`: {why}.").unwrap();
    }
}

#[test]
fn the_metrics_page_is_the_table() {
    let (page, path) = (page(), format!("{DOCS}/metrics.md"));
    if std::env::var_os("OTTLA_BLESS").is_some() {
        std::fs::write(&path, &page).unwrap();
    }
    let written = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(written == page, "docs/metrics.md is not the table of metrics; write it with `{WRITE}`");
}

#[test]
fn a_name_says_what_it_is_and_stands_once() {
    let mut names = BTreeSet::new();
    for Row { name, kind, unit, what, .. } in all() {
        assert!(names.insert(name), "{name} stands twice");
        assert!(name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_'), "{name}");
        assert_eq!(name.ends_with("_total"), kind == "counter", "{name}");
        let of = name.trim_end_matches("_total");
        let suffix =
            [(Unit::Bytes, "_bytes"), (Unit::Milliseconds, "_milliseconds"), (Unit::Seconds, "_seconds")];
        for (other, suffix) in suffix {
            assert_eq!(of.ends_with(suffix), unit == other, "{name} is in {unit:?}");
        }
        let of_time = ["Milliseconds", "Seconds"].contains(&&*format!("{unit:?}"));
        assert!(!of_time || (unit == Unit::Milliseconds) == (kind == "counter"), "{name}");
        assert!(!what.is_empty() && !what.ends_with('.') && !what.contains(['|', '\n']), "{name}");
    }
}

/// The paths of all numbers in a snapshot. A time is one.
fn leaves(path: &str, value: &Json, found: &mut BTreeSet<String>) {
    match value {
        Json::Object(fields) if !fields.contains_key("nanos") => {
            for (name, value) in fields {
                leaves(&format!("{path}{name}."), value, found);
            }
        }
        _ => drop(found.insert(path.trim_end_matches('.').to_owned())),
    }
}

#[test]
fn every_number_of_a_snapshot_is_a_metric() {
    let told: BTreeSet<String> = all().into_iter().map(|row| row.from.to_owned()).collect();
    let mut numbers = BTreeSet::new();
    leaves("", &serde_json::to_value(ConsumerStats::default()).unwrap(), &mut numbers);
    let mut processor = serde_json::to_value(ProcessorStats::default()).unwrap();
    processor.as_object_mut().unwrap().remove("consumer");
    leaves("", &processor, &mut numbers);
    let missing: Vec<_> = numbers.difference(&told).collect();
    assert!(missing.is_empty(), "in no table: {missing:?}");
    let gone: Vec<_> = told
        .iter()
        .filter(|from| from.contains('.') && !from.contains("[]") && !numbers.contains(*from))
        .collect();
    assert!(gone.is_empty(), "in no snapshot: {gone:?}");
}

/// The names in a query, and whether each is the argument of `rate` or `increase`.
fn names(query: &str) -> Vec<(String, bool)> {
    let mut found = Vec::new();
    for (start, _) in query.match_indices("ottla_") {
        let name: String =
            query[start..].chars().take_while(|c| c.is_ascii_lowercase() || *c == '_').collect();
        let before = &query[..start];
        found.push((name, before.ends_with("rate(") || before.ends_with("increase(")));
    }
    found
}

/// Every text under this key, however deep.
fn texts<'a>(value: &'a Json, key: &str, found: &mut Vec<&'a str>) {
    match value {
        Json::Object(fields) => {
            for (name, value) in fields {
                match value {
                    Json::String(text) if name == key => found.push(text),
                    _ => texts(value, key, found),
                }
            }
        }
        Json::Array(values) => values.iter().for_each(|value| texts(value, key, found)),
        _ => {}
    }
}

fn dashboards() -> Vec<(String, Json)> {
    let files = std::fs::read_dir(format!("{DOCS}/grafana")).unwrap();
    let dashboards = files.map(|file| file.unwrap().path()).filter(|path| path.extension().is_some());
    let read = |path: std::path::PathBuf| {
        let text = std::fs::read_to_string(&path).unwrap();
        (path.display().to_string(), serde_json::from_str(&text).unwrap())
    };
    dashboards.map(read).collect()
}

#[test]
fn dashboards_ask_for_metrics_that_there_are_and_for_rates_of_counters_alone() {
    let kinds: BTreeMap<&str, &str> = all().into_iter().map(|row| (row.name, row.kind)).collect();
    let dashboards = dashboards();
    assert!(!dashboards.is_empty());
    for (path, dashboard) in dashboards {
        let mut queries = Vec::new();
        texts(&dashboard, "expr", &mut queries);
        assert!(queries.len() > 10, "{path}: {queries:?}");
        for query in queries {
            let names = names(query);
            assert!(!names.is_empty(), "{path}: {query}");
            for (name, is_rate) in names {
                let kind = kinds.get(name.as_str()).unwrap_or_else(|| panic!("{path}: there is no {name}"));
                assert_eq!(*kind == "counter", is_rate, "{path}: {query}");
            }
        }
        let mut others = Vec::new();
        ["query", "definition"].iter().for_each(|key| texts(&dashboard, key, &mut others));
        for (name, _) in others.into_iter().flat_map(names) {
            assert!(kinds.contains_key(name.as_str()), "{path}: there is no {name}");
        }
    }
}

#[test]
fn panels_of_a_dashboard_lie_beside_each_other() {
    for (path, dashboard) in dashboards() {
        let mut places = BTreeMap::new();
        let mut ids = BTreeSet::new();
        for panel in dashboard["panels"].as_array().unwrap() {
            let title = panel["title"].as_str().unwrap();
            assert!(ids.insert(panel["id"].as_u64().unwrap()), "{path}: {title} has another's id");
            let place = |of: &str| panel["gridPos"][of].as_u64().unwrap();
            let (x, y, w, h) = (place("x"), place("y"), place("w"), place("h"));
            assert!(x + w <= 24, "{path}: {title}");
            for cell in (y..y + h).flat_map(|y| (x..x + w).map(move |x| (x, y))) {
                let other = places.insert(cell, title);
                assert_eq!(other, None, "{path}: {title}");
            }
        }
    }
}

#[test]
fn a_lag_that_is_not_known_is_no_number_and_without_partitions_there_is_none() {
    let read = |stats: &ConsumerStats| {
        let lag = CONSUMER.iter().find(|metric| metric.name == "ottla_consumer_lag").unwrap();
        match lag.value {
            super::table::Value::Level(read) => read(stats),
            super::table::Value::Total(_) => panic!("it is a level"),
        }
    };
    let mut stats = ConsumerStats::default();
    assert_eq!(read(&stats), Some(0.0));
    stats.partitions.push(PartitionStats::new(("t", 0)));
    assert_eq!(read(&stats), None);
    stats.partitions[0].lag = Some(7);
    assert_eq!(read(&stats), Some(7.0));
}
