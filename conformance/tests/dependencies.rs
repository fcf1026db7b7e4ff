//! What is depended on: licenses, sources, and what is banned, by the lists of `deny.toml`. `cargo deny check` looks closer, and is built
//! for longer than all of these tests run.
#![expect(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests' helpers")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;

use serde_json::Value;

const CRATES_IO: &str = "registry+https://github.com/rust-lang/crates.io-index";

/// All packages for all platforms and with all features, as the lock file has them.
fn packages() -> Vec<Value> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut metadata = Command::new(cargo);
    metadata
        .args(["metadata", "--format-version", "1", "--locked", "--all-features"])
        .current_dir(workspace());
    let output = metadata.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout).unwrap();
    let packages = metadata["packages"].as_array().unwrap().clone();
    assert!(packages.len() > 200, "only {} packages", packages.len());
    packages
}

fn workspace() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
}

/// The text of a list of `deny.toml`.
fn list(name: &str) -> String {
    let config = std::fs::read_to_string(workspace().join("deny.toml")).unwrap();
    let (_, behind) = config.split_once(&format!("\n{name} = [")).unwrap();
    let lines = behind.split("\n]").next().unwrap_or_default();
    let list =
        if behind.lines().next().unwrap().contains(']') { behind.split(']').next().unwrap() } else { lines };
    list.lines().filter(|line| !line.trim_start().starts_with('#')).collect::<Vec<_>>().join("\n")
}

fn quoted(text: &str) -> Vec<&str> {
    text.split('"').skip(1).step_by(2).collect()
}

/// Whether a license expression can be met with these: `A OR (B AND C)`, of which AND binds closer. Of an exception the license counts.
fn is_met(expression: &str, allowed: &BTreeSet<&str>) -> bool {
    let spaced = expression.replace('(', " ( ").replace(')', " ) ").replace('/', " OR ");
    let words: Vec<&str> = spaced.split_whitespace().collect();
    let mut rest = words.as_slice();
    let met = any(&mut rest, allowed);
    assert!(rest.is_empty(), "{expression}: not understood from {rest:?}");
    met
}

fn any(words: &mut &[&str], allowed: &BTreeSet<&str>) -> bool {
    let mut met = all(words, allowed);
    while let ["OR", rest @ ..] = words {
        *words = rest;
        met |= all(words, allowed);
    }
    met
}

fn all(words: &mut &[&str], allowed: &BTreeSet<&str>) -> bool {
    let mut met = one(words, allowed);
    while let ["AND", rest @ ..] = words {
        *words = rest;
        met &= one(words, allowed);
    }
    met
}

fn one(words: &mut &[&str], allowed: &BTreeSet<&str>) -> bool {
    match *words {
        ["(", rest @ ..] => {
            *words = rest;
            let met = any(words, allowed);
            assert_eq!(words.first(), Some(&")"));
            *words = &words[1..];
            met
        }
        [license, "WITH", _, rest @ ..] | [license, rest @ ..] => {
            *words = rest;
            allowed.contains(license)
        }
        [] => panic!("a license is missing"),
    }
}

#[test]
fn each_package_has_a_license_that_is_allowed_and_comes_from_where_crates_come_from() {
    let list = list("allow");
    let allowed: BTreeSet<&str> = quoted(&list).into_iter().collect();
    assert!(allowed.contains("MIT"), "{allowed:?}");
    let mut wrong = Vec::new();
    for package in packages() {
        let (name, version) = (package["name"].as_str().unwrap(), package["version"].as_str().unwrap());
        match package["license"].as_str() {
            Some(license) if is_met(license, &allowed) => {}
            license => wrong.push(format!("{name} {version}: its license is {license:?}")),
        }
        match package["source"].as_str() {
            None | Some(CRATES_IO) => {}
            Some(source) => wrong.push(format!("{name} {version}: it comes from {source}")),
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn what_is_banned_is_depended_on_by_nobody_who_may_not() {
    let list = list("deny");
    // CRATE, and who may depend on it.
    let banned: BTreeMap<&str, Vec<&str>> = list
        .lines()
        .map(quoted)
        .filter_map(|names| names.split_first().map(|(banned, wrappers)| (*banned, wrappers.to_vec())))
        .collect();
    assert_eq!(banned.get("openssl-sys"), Some(&vec!["rdkafka-sys"]));
    let (packages, mut wrong) = (packages(), Vec::new());
    let present: BTreeSet<&str> = packages.iter().filter_map(|package| package["name"].as_str()).collect();
    for package in &packages {
        let name = package["name"].as_str().unwrap();
        for dependency in package["dependencies"].as_array().unwrap() {
            let of = dependency["name"].as_str().unwrap();
            // An optional one that nobody enables is in no lock file.
            if present.contains(of) && banned.get(of).is_some_and(|wrappers| !wrappers.contains(&name)) {
                wrong.push(format!("{name} depends on {of}"));
            }
            let is_ours = package["source"].is_null() && dependency["path"].is_null();
            if is_ours && dependency["req"] == "*" {
                wrong.push(format!("{name} takes any version of {of}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn license_expressions_are_met_as_they_bind() {
    let allowed = BTreeSet::from(["MIT", "ISC", "Apache-2.0"]);
    for (expression, met) in [
        ("MIT", true),
        ("GPL-3.0", false),
        ("GPL-3.0 OR MIT", true),
        ("MIT/Apache-2.0", true),
        ("MIT AND GPL-3.0", false),
        ("(MIT OR GPL-3.0) AND ISC", true),
        ("GPL-3.0 AND MIT OR ISC", true),
        ("GPL-3.0 AND (MIT OR ISC)", false),
        ("Apache-2.0 WITH LLVM-exception OR GPL-3.0", true),
    ] {
        assert_eq!(is_met(expression, &allowed), met, "{expression}");
    }
}
