//! The table in docs/logs.md has every event that core and client log, with its target and level, and no other.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a panic is how a test fails"
)]

mod common;

use std::{collections::BTreeSet, fs, path::Path};

use common::sources;

/// Target, level and name.
type Events = BTreeSet<(String, String, String)>;

/// What stands in the parentheses that `text` begins behind.
fn within(text: &str) -> &str {
    let mut depth = 1;
    let end = text.find(|letter| {
        depth += i32::from(letter == '(') - i32::from(letter == ')');
        depth == 0
    });
    &text[..end.expect("a closing parenthesis")]
}

fn target(arguments: &str) -> Option<String> {
    let name = arguments.split_once("log::")?.1;
    let name = name.split(|letter: char| !letter.is_ascii_uppercase()).next()?;
    Some(format!("ottla::{}", name.to_lowercase()))
}

fn in_text(text: &str, events: &mut Events) {
    for level in ["error", "warn", "info", "debug", "trace"] {
        for (at, begin) in text.match_indices(&format!("tracing::{level}!(")) {
            let arguments = within(&text[at + begin.len()..]);
            // Those of the macro `refused` have a target of its caller's.
            let Some(target) = target(arguments) else { continue };
            let name = arguments.rsplit('"').nth(1).expect("a name");
            events.insert((target, level.to_owned(), name.to_owned()));
        }
    }
    for (at, begin) in text.match_indices(" refused!(") {
        let Some(target) = target(within(&text[at + begin.len()..])) else { continue };
        for level in ["info", "warn"] {
            events.insert((target.clone(), level.to_owned(), "refused".to_owned()));
        }
    }
}

fn in_table(text: &str) -> Events {
    let mut events = Events::new();
    let mut target = None;
    for line in text.lines() {
        if let Some(heading) = line.strip_prefix('#') {
            target = heading.split('`').nth(1);
        }
        let Some(target) = target.filter(|_| line.starts_with("| ")) else { continue };
        let cells: Vec<_> = line.split('|').map(str::trim).collect();
        for name in cells[1].split(", ").filter(|name| *name != "event") {
            for level in cells[2].split(", ") {
                events.insert((target.to_owned(), level.to_owned(), name.to_owned()));
            }
        }
    }
    events
}

#[test]
fn the_table_of_the_log_has_every_event_and_no_other() {
    let crates = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let mut logged = Events::new();
    for folder in ["core/src", "client/src"] {
        sources(&crates.join(folder)).iter().for_each(|(_, text)| in_text(text, &mut logged));
    }
    let table = in_table(&fs::read_to_string(crates.join("../docs/logs.md")).unwrap());
    let missing: Vec<_> = logged.difference(&table).collect();
    let surplus: Vec<_> = table.difference(&logged).collect();
    assert!(missing.is_empty() && surplus.is_empty(), "missing: {missing:#?}\nsurplus: {surplus:#?}");
    assert!(logged.len() > 30, "{logged:#?}");
}
