//! Where bugs are planted: one in a function, so that each bends one honest decision, and the reader of that sees which.

#![expect(clippy::unwrap_used, reason = "a test's helpers")]

mod common;

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

use common::sources;

/// The bugs that each function asks for, by its place and its name.
type Asked = BTreeMap<String, BTreeSet<String>>;

fn in_source(path: &str, source: &str, asked: &mut Asked) {
    let mut function = String::new();
    for (line, number) in source.lines().zip(1..) {
        if let Some((before, name)) = line.split_once("fn ")
            && before.chars().all(|c| c.is_ascii_lowercase() || " ()_:".contains(c))
        {
            let name = name.split(['(', '<']).next().unwrap_or(name);
            function = format!("{path}:{number} {name}");
        }
        for bug in line.split("has(Planted::").skip(1) {
            let bug = bug.split(|c: char| !c.is_alphanumeric()).next().unwrap_or(bug);
            asked.entry(function.clone()).or_default().insert(bug.to_owned());
        }
    }
}

#[test]
fn no_function_asks_for_two_planted_bugs() {
    let crates = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let mut asked = Asked::new();
    for folder in ["core/src", "broker/src"] {
        sources(&crates.join(folder)).iter().for_each(|(path, text)| in_source(path, text, &mut asked));
    }
    let two: Vec<_> = asked.iter().filter(|(_, bugs)| bugs.len() > 1).collect();
    assert!(two.is_empty(), "{two:#?}");
    assert!(asked.len() > 50, "{asked:#?}");
}
