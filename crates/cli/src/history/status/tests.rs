//! The rules of STATUS: those of the table in docs/groups.md, and what holds of any history.

use super::*;
use crate::history::seeds::{replay, seeds};

fn look(committed: i64, end: i64) -> Look {
    Look {
        committed: Some(committed),
        begin: Some(0),
        end: Some(end),
        lag: Some(end - committed),
        is_owned: true,
    }
}

fn status(looks: impl IntoIterator<Item = Look>) -> Option<Status> {
    let mut of = Looks::default();
    looks.into_iter().for_each(|look| of.saw(look));
    of.status()
}

/// The table of docs/groups.md: commits and ends, look by look.
#[test]
fn each_rule_has_a_history_that_shows_it() {
    use Status::*;
    type History = fn(i64) -> (i64, i64);
    let cases: [(&str, History, Status, Status); 15] = [
        ("at the end each time", |n| (n * 10, n * 10), Ok, Ok),
        ("one look behind", |n| (n * 10, n * 10 + 10), Ok, Ok),
        ("further behind each time", |n| (n * 5, 99 + n * 10), Warn, Warn),
        ("as far behind each time", |n| (n * 5, 99 + n * 5), Ok, Ok),
        ("it catches up", |n| (n * 10, 999 + n * 5), Ok, Ok),
        ("it commits now and then, and as much as is written", |n| (n / 4 * 40, 99 + n * 10), Ok, Ok),
        ("it commits now and then, and less than is written", |n| (n / 4 * 20, 99 + n * 10), Warn, Warn),
        ("it falls behind, and once it did not", |n| (n * 5 + 50 * (n / 5), 500 + n * 10), Ok, Ok),
        ("it stands while the log grows", |n| (50, 99 + n * 10), Stall, Stop),
        ("it stands, and nothing is written", |_| (50, 99), Stall, Stop),
        ("back by 60", |n| (n * 10 + 40 - 60 * (n / 5), 999), Rewind, Rewind),
        ("back, and forward again", |n| (if n == 5 { 1 } else { n * 10 }, 999), Ok, Ok),
        ("beyond the end", |n| (n * 10, if n == 9 { 5 } else { 99 }), Err, Err),
        ("it was at the end, and stands since", |n| (10, 10 + n), Ok, Ok),
        ("it is at the end at last", |n| (50 * (n / 9), 50), Ok, Ok),
    ];
    for (what, history, owned, with_nobody) in cases {
        for (is_owned, expected) in [(true, owned), (false, with_nobody)] {
            let looks = (0..WINDOW as i64).map(history);
            let told = status(looks.map(|(committed, end)| Look { is_owned, ..look(committed, end) }));
            assert_eq!(told, Some(expected), "{what}; a member has it: {is_owned}");
        }
    }
}

#[test]
fn nothing_is_said_before_there_were_enough_looks_but_what_one_shows() {
    assert_eq!(status([look(5, 9)]), None);
    assert_eq!(status((0..9).map(|n| look(5, 9 + n))), None);
    assert_eq!(status([look(9, 9)]), Some(Status::Ok));
    assert_eq!(status([look(5, 9), look(8, 11)]), Some(Status::Ok), "it catches up");
    assert_eq!(status([look(10, 9)]), Some(Status::Err));
    assert_eq!(status([Look { begin: Some(7), ..look(5, 9) }]), Some(Status::Err), "some of its lag is gone");
    assert_eq!(status([look(9, 9), Look { end: None, lag: None, ..look(9, 9) }]), Some(Status::Err));
    assert_eq!(status([]), None);
}

#[test]
fn a_partition_without_a_commit_is_told_only_while_records_come() {
    let without = |end| Look { committed: None, lag: None, ..look(0, end) };
    assert_eq!(status((0..10).map(|_| without(9))), None, "there may be nothing to do");
    assert_eq!(status((0..9).map(without)), None);
    assert_eq!(status((0..10).map(without)), Some(Status::Stop));
    let commits_once = (0..10).map(|n| if n == 5 { look(1, 9) } else { without(9) });
    assert_eq!(status(commits_once), None);
}

/// A log that grows at random, and a reader that behaves in one way.
fn history(
    rng: &mut fastrand::Rng,
    looks: usize,
    mut reads: impl FnMut(&mut fastrand::Rng, i64, i64) -> i64,
) -> Vec<Look> {
    let (mut end, mut committed) = (rng.i64(500..1_000), rng.i64(0..400));
    let mut history = Vec::new();
    for _ in 0..looks {
        committed = reads(rng, committed, end);
        end += rng.i64(1..100);
        history.push(look(committed, end));
    }
    history
}

#[test]
fn readers_are_told_by_how_they_behave() {
    for seed in seeds(2_000) {
        let mut rng = fastrand::Rng::with_seed(seed);
        let looks = rng.usize(WINDOW..40);
        let mut told =
            |what: &str, expected: Status, reads: &mut dyn FnMut(&mut fastrand::Rng, i64, i64) -> i64| {
                let history = history(&mut rng, looks, reads);
                assert_eq!(status(history.clone()), Some(expected), "{what}: {history:?}; {}", replay(seed));
            };
        told("it reads all that was there at the look before", Status::Ok, &mut |_, _, end| end);
        told("it stands", Status::Stall, &mut |_, committed, _| committed);
        // The log grows by less than 100 a look.
        told("it catches up", Status::Ok, &mut |rng, committed, end| end.min(committed + rng.i64(100..200)));
        let mut by = 0;
        told("it crawls", Status::Warn, &mut |_, committed, _| {
            by = 1 - by;
            committed + if by == 1 { 0 } else { 1 }
        });
    }
}

/// The rules once more, each by itself and from all looks.
#[test]
fn what_is_told_holds_for_any_history() {
    for seed in seeds(2_000) {
        let mut rng = fastrand::Rng::with_seed(seed);
        let (mut end, mut committed) = (rng.i64(0..50), 0);
        let mut looks = Vec::new();
        for _ in 0..rng.usize(1..30) {
            end += if rng.bool() { rng.i64(0..5) } else { 0 };
            committed = match rng.u32(0..8) {
                0 => rng.i64(0..=end),
                1 => end,
                2..=4 => (committed + rng.i64(0..5)).min(end),
                _ => committed,
            };
            looks.push(Look { is_owned: rng.bool(), ..look(committed, end) });
        }
        let told = status(looks.clone());
        let window: Vec<Look> = looks.iter().rev().take(WINDOW).rev().copied().collect();
        let last = window[window.len() - 1];
        let lags: Vec<i64> = window.iter().filter_map(|look| look.lag).collect();
        let stands = window.iter().all(|look| look.committed == last.committed);
        let reached = lags.contains(&0) || window.windows(2).any(|pair| pair[1].committed >= pair[0].end);
        // A commit of before the window counts where they are few.
        let moved = |pair: &[Look]| pair[1].committed > pair[0].committed;
        let mut lows: Vec<i64> =
            looks.windows(2).filter(|pair| moved(pair)).filter_map(|pair| pair[1].lag).collect();
        lows.insert(0, looks[0].lag.unwrap());
        let holds = match told {
            Some(Status::Ok) => {
                reached
                    || !stands && (window.len() == WINDOW || lags.windows(2).any(|pair| pair[1] < pair[0]))
            }
            Some(Status::Warn) => {
                !stands && !reached && window.len() == WINDOW && lows.last() > lows.iter().min()
            }
            Some(Status::Rewind) => {
                window.iter().any(|look| look.committed > last.committed) && lags.last() != Some(&0)
            }
            Some(Status::Stall | Status::Stop) => {
                stands && window.len() == WINDOW && last.is_owned == (told == Some(Status::Stall))
            }
            Some(Status::Err) => false,
            None => window.len() < WINDOW,
        };
        assert!(holds, "{told:?}: {window:?}; {}", replay(seed));
        let moved = looks.iter().map(|look| Look {
            begin: Some(1_000),
            end: look.end.map(|end| end + 1_000),
            committed: look.committed.map(|committed| committed + 1_000),
            ..*look
        });
        assert_eq!(status(moved), told, "where a log begins counts; {}", replay(seed));
    }
}
