//! ARCHITECTURE.md draws the states of members and lanes: its arrows are those of the tables in the code.

#![allow(clippy::expect_used, reason = "a panic is how a test fails")]

use std::collections::BTreeSet;

use ottla_core::{ClassicState, ConsumerState, LanePhase};

type Edges = BTreeSet<(String, String)>;

/// The arrows of the `nth` state diagram, but for where it begins.
fn drawn(nth: usize) -> Edges {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../ARCHITECTURE.md");
    let page = std::fs::read_to_string(path).expect("ARCHITECTURE.md is at the root");
    let diagram = page.split("stateDiagram-v2").nth(nth + 1).expect("a state diagram");
    let lines = diagram.split("```").next().unwrap_or_default().lines();
    let arrows = lines.filter_map(|line| line.split_once("-->"));
    let state = |text: &str| text.split(':').next().unwrap_or_default().trim().to_owned();
    arrows.map(|(from, to)| (state(from), state(to))).filter(|(from, _)| from != "[*]").collect()
}

/// The arrows of a table; those to `Failed`, which the page tells in words, are checked here.
fn table<S: Copy + std::fmt::Debug + PartialEq>(
    all: &[S],
    may_follow: fn(S, S) -> bool,
    (out, failed): (S, S),
) -> Edges {
    let mut edges = Edges::new();
    for (from, to) in all.iter().flat_map(|from| all.iter().map(move |to| (*from, *to))) {
        if to == failed {
            assert_eq!(may_follow(to, from), from != out && from != failed, "{from:?} to {to:?}");
        } else if may_follow(to, from) {
            edges.insert((format!("{from:?}"), format!("{to:?}")));
        }
    }
    edges
}

#[test]
fn the_classic_states_are_drawn_as_they_are() {
    let ends = (ClassicState::Out, ClassicState::Failed);
    assert_eq!(drawn(0), table(ClassicState::ALL, ClassicState::may_follow, ends));
}

#[test]
fn the_consumer_protocols_states_are_drawn_as_they_are() {
    let ends = (ConsumerState::Out, ConsumerState::Failed);
    assert_eq!(drawn(1), table(ConsumerState::ALL, ConsumerState::may_follow, ends));
}

#[test]
fn the_lanes_phases_are_drawn_as_they_are() {
    let pairs = LanePhase::ALL.iter().flat_map(|from| LanePhase::ALL.iter().map(move |to| (*from, *to)));
    let legal = pairs.filter(|(from, to)| to.may_follow(*from));
    let table: Edges = legal.map(|(from, to)| (format!("{from:?}"), format!("{to:?}"))).collect();
    assert_eq!(drawn(2), table);
}
