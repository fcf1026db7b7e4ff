//! Where bugs are planted: one in a function, so that each bends one honest decision, and the reader of that sees which.

#![expect(clippy::unwrap_used, reason = "a test's helpers")]

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

/// The bugs that each function asks for, by its place and its name.
type Asked = BTreeMap<String, BTreeSet<String>>;

fn in_sources(folder: &Path, asked: &mut Asked) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() && !path.ends_with("tests") {
            in_sources(&path, asked);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            in_source(&path, asked);
        }
    }
}

fn in_source(path: &Path, asked: &mut Asked) {
    let source = fs::read_to_string(path).unwrap();
    let mut function = String::new();
    for (line, number) in source.lines().zip(1..) {
        if let Some((before, name)) = line.split_once("fn ")
            && before.chars().all(|c| c.is_ascii_lowercase() || " ()_:".contains(c))
        {
            let name = name.split(['(', '<']).next().unwrap_or(name);
            function = format!("{}:{number} {name}", path.display());
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
    in_sources(&crates.join("core/src"), &mut asked);
    in_sources(&crates.join("broker/src"), &mut asked);
    let two: Vec<_> = asked.iter().filter(|(_, bugs)| bugs.len() > 1).collect();
    assert!(two.is_empty(), "{two:#?}");
    assert!(asked.len() > 50, "{asked:#?}");
}
