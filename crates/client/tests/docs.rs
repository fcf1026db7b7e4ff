//! Pages of `docs/`, held against what is so.

use ottla::ApiKey;

const VERSIONS: &str = include_str!("../../../docs/versions.md");

#[test]
fn the_page_on_versions_lists_every_api_with_the_versions_that_are_spoken() {
    let is_row = |line: &&str| line.split('|').nth(2).is_some_and(|key| key.trim().parse::<i16>().is_ok());
    let listed: Vec<&str> = VERSIONS.lines().filter(is_row).collect();
    let spoken = ApiKey::ALL.iter().map(|&key| format!("| {key:?} | {} | {} |", key as i16, key.versions()));
    assert_eq!(listed, spoken.collect::<Vec<_>>());
}

#[test]
fn the_page_on_versions_names_the_oldest_rust_that_is_declared() {
    let declared = env!("CARGO_PKG_RUST_VERSION");
    assert!(VERSIONS.contains(&format!("**The oldest is Rust {declared}**")), "{declared}");
}
