//! Pages of `docs/`, held against what is so.

use ottla::ApiKey;

const VERSIONS: &str = include_str!("../../../../docs/versions.md");

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

/// The pages on guarantees: each with the example that it shows.
const GUARANTEES: [(&str, &str); 4] = [
    (include_str!("../../../../docs/at-most-once.md"), include_str!("../../examples/at_most_once.rs")),
    (include_str!("../../../../docs/at-least-once.md"), include_str!("../../examples/at_least_once.rs")),
    (include_str!("../../../../docs/exactly-once.md"), include_str!("../../examples/exactly_once.rs")),
    (
        include_str!("../../../../docs/offsets-in-a-database.md"),
        include_str!("../../examples/offsets_in_a_database.rs"),
    ),
];

#[test]
fn the_code_of_the_pages_on_guarantees_is_that_of_their_examples() {
    for (page, example) in GUARANTEES {
        let title = page.lines().next();
        let shown: Vec<&str> =
            page.split("```rust\n").skip(1).filter_map(|rest| rest.split("```").next()).collect();
        assert!(!shown.is_empty(), "{title:?}");
        for code in shown {
            assert!(example.contains(code.trim_end()), "{title:?} shows what is not in its example:\n{code}");
        }
    }
}
