//! The pages that name tests, compared with the tests that are there.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use crate::cases::{Case, Outcome};

/// They have a test in backticks as `module::sentence`.
const PAGES: [&str; 3] = ["docs/transactions-observed.md", "docs/java-behaviours.md", FAULTS];

/// It has a table of faults, each with its class, the finding that names it, and the test that injects it.
const FAULTS: &str = "docs/doctor.md";

/// Where a test may be that is not of the suite.
const CRATES: [&str; 6] =
    ["crates/broker", "crates/client", "crates/core", "crates/cli", "crates/protocol", "sim"];

pub(crate) fn cases() -> Vec<Case> {
    vec![
        Case::alone("the_tests_that_pages_name_are_there", named),
        Case::alone("the_faults_of_doctors_page_are_injected_and_two_or_more_are_of_each_class", faults),
    ]
}

/// The suite's own cases: where each runs.
fn places() -> BTreeMap<String, BTreeSet<&'static str>> {
    let mut cases: BTreeMap<String, BTreeSet<&'static str>> = BTreeMap::new();
    for trial in crate::all().into_iter().flat_map(Case::trials) {
        let (place, case) = match trial.name().split_once("::") {
            Some(("embedded", case)) => ("embedded", case),
            Some(("kafka", case)) => ("4.4.0", case),
            Some(("kafka39", case)) => ("3.9.2", case),
            Some(("kafka43" | "secured" | "secured39", case)) => ("", case),
            // It starts what it needs.
            _ => ("alone", trial.name()),
        };
        cases.entry(case.to_owned()).or_default().insert(place);
    }
    cases
}

fn sources(folder: &Path, found: &mut Vec<PathBuf>) -> std::io::Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            sources(&path, found)?;
        } else if path.extension().is_some_and(|it| it == "rs") {
            found.push(path);
        }
    }
    Ok(())
}

fn named() -> Outcome {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let (cases, mut files) = (places(), Vec::new());
    for name in CRATES {
        sources(&root.join(name), &mut files)?;
    }
    let suite = root.join("conformance/tests/suite");
    let mut wrong = Vec::new();
    for page in PAGES {
        let text = std::fs::read_to_string(root.join(page))?;
        let mut count = 0;
        for line in text.lines() {
            let mut runs = BTreeSet::new();
            for name in line.split('`').skip(1).step_by(2).filter(|it| is_a_test(it)) {
                count += 1;
                match find(name, &cases, &suite, &files)? {
                    Some(places) => runs.extend(places),
                    None => wrong.push(format!("{page}: there is no test {name}")),
                }
            }
            // The last column of a row says where its tests pass.
            let last = line.trim_end_matches([' ', '|']).rsplit('|').next().unwrap_or_default().trim();
            let said: BTreeSet<&str> = last.split(", ").filter(|it| PLACES.contains(it)).collect();
            if page == PAGES[1] && !runs.is_empty() && said.iter().any(|place| !runs.contains(place)) {
                wrong.push(format!("{page}: {line}: these tests run on {runs:?}"));
            }
        }
        if count < 20 {
            wrong.push(format!("{page} names {count} tests"));
        }
    }
    if wrong.is_empty() { Ok(()) } else { Err(wrong.join("\n").into()) }
}

/// What must have faults.
const CLASSES: [&str; 7] =
    ["network", "brokers", "groups", "transactions", "quotas", "authorization", "user's code"];

fn faults() -> Outcome {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let text = std::fs::read_to_string(root.join(FAULTS))?;
    let (mut classes, mut wrong) = (BTreeMap::new(), Vec::new());
    for line in text.lines().filter(|line| line.contains("::doctor_names_")) {
        let cells: Vec<&str> = line.trim_matches(['|', ' ']).split(" | ").collect();
        let [fault, class, finding, test] = cells[..] else {
            return Err(format!("{FAULTS}: not a fault: {line}").into());
        };
        *classes.entry(class).or_insert(0) += 1;
        let module = test.trim_start_matches('`').split("::").next().unwrap_or_default();
        let source = std::fs::read_to_string(root.join(format!("conformance/tests/suite/{module}.rs")))?;
        let finding = finding.split('`').nth(1).unwrap_or_default();
        for told in [fault, finding] {
            if !source.contains(&format!("\"{told}\"")) {
                wrong.push(format!("{FAULTS}: {module} has no \"{told}\""));
            }
        }
    }
    let few = CLASSES.iter().filter(|class| classes.get(*class).is_none_or(|count| *count < 2));
    wrong.extend(few.map(|class| format!("{FAULTS}: too few faults of {class}")));
    if classes.values().sum::<usize>() < 20 || classes.len() > CLASSES.len() {
        wrong.push(format!("{FAULTS}: {classes:?}"));
    }
    if wrong.is_empty() { Ok(()) } else { Err(wrong.join("\n").into()) }
}

const PLACES: [&str; 4] = ["4.4.0", "3.9.2", "embedded", "alone"];

/// A module, and a sentence with underscores.
fn is_a_test(name: &str) -> bool {
    let part = |it: &str| {
        !it.is_empty() && it.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
    };
    name.split_once("::").is_some_and(|(module, rest)| part(module) && rest.split("::").all(part))
}

/// Where it runs, if it is there.
fn find(
    name: &str,
    cases: &BTreeMap<String, BTreeSet<&'static str>>,
    suite: &Path,
    files: &[PathBuf],
) -> std::io::Result<Option<BTreeSet<&'static str>>> {
    let Some((module, rest)) = name.split_once("::") else { return Ok(None) };
    if let Some(places) = cases.get(name) {
        return Ok(Some(places.clone()));
    }
    let file = suite.join(format!("{module}.rs"));
    let sentence = rest.split("::").next().unwrap_or_default();
    // As it is, or in several forms.
    if file.exists() && std::fs::read_to_string(&file)?.contains(sentence) {
        let forms = cases.iter().filter(|(case, _)| case.contains(sentence));
        let places: BTreeSet<&'static str> = forms.flat_map(|(_, places)| places).copied().collect();
        if !places.is_empty() {
            return Ok(Some(places));
        }
    }
    for path in files.iter().filter(|path| path.file_stem().is_some_and(|stem| stem == module)) {
        if std::fs::read_to_string(path)?.contains(&format!("fn {rest}(")) {
            return Ok(Some(BTreeSet::from(["embedded"])));
        }
    }
    Ok(None)
}
