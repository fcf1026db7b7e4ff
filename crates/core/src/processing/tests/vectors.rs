//! The text beside a committed offset. The vectors stand in `docs/processing.md`.

use crate::processing::saved::{BITS_FIT, GAPS_FIT, Saved};

fn saved(base: i64, leader_epoch: Option<i32>, done: impl IntoIterator<Item = (i64, i64)>) -> Saved {
    Saved { base, leader_epoch, done: done.into_iter().map(|(start, end)| start..end).collect() }
}

fn vectors() -> Vec<(Saved, &'static str)> {
    let each_second = (0..20).map(|n| (2 * n + 1, 2 * n + 2));
    vec![
        (saved(0, None, [(1, 10)]), "ottla1rAAABCQ"),
        (saved(0, Some(0), [(1, 3000)]), "ottla1rAAEBtxc"),
        (saved(3, None, [(4, 7), (8, 10)]), "ottla1bAwBu"),
        (saved(1_000_000, Some(7), [(1_000_001, 1_500_000)]), "ottla1rwIQ9CAGfwh4"),
        (saved(0, Some(2), each_second), "ottla1bAAOqqqqqqg"),
        (saved(5, None, [(5, 8)]), "ottla1bBQAH"),
        (saved(5, None, []), ""),
    ]
}

#[test]
fn the_vectors_are_written_and_read() {
    for (saved, text) in vectors() {
        assert_eq!(saved.encode(), text, "{saved:?}");
        let read = Saved::decode(saved.base, text);
        assert_eq!(read, Some(saved).filter(|saved| !saved.done.is_empty()), "{text}");
    }
}

#[test]
fn the_page_has_the_vectors() {
    let page = include_str!("../../../../../docs/processing.md");
    for (saved, text) in vectors().into_iter().filter(|(_, text)| !text.is_empty()) {
        assert!(page.contains(&format!("| `{text}` |")), "{saved:?}: {text}");
    }
}

#[test]
fn text_beside_another_offset_says_nothing() {
    assert!(Saved::decode(1_000_000, "ottla1rwIQ9CAGfwh4").is_some());
    assert_eq!(Saved::decode(1_000_001, "ottla1rwIQ9CAGfwh4"), None);
}

#[test]
fn text_that_is_damaged_is_read_as_nothing_and_never_panics() {
    let mut rng = fastrand::Rng::with_seed(1);
    for (saved, text) in vectors() {
        for end in 0..text.len() {
            let cut = Saved::decode(saved.base, &text[..end]);
            assert!(cut.is_none_or(|cut| cut.base == saved.base), "{text} cut at {end}");
        }
    }
    for _ in 0..10_000 {
        let len = rng.usize(..40);
        let bytes: Vec<u8> = (0..len).map(|_| rng.u8(..)).collect();
        let text = base64::Engine::encode(&base64::engine::general_purpose::STANDARD_NO_PAD, &bytes);
        for prefix in ["ottla1r", "ottla1b"] {
            for saved in Saved::decode(i64::from(rng.u8(..)), &format!("{prefix}{text}")).iter() {
                assert!(saved.done.iter().all(|range| range.start < range.end), "{saved:?}");
                assert!(saved.done.is_sorted_by(|a, b| a.end < b.start), "{saved:?}");
            }
        }
    }
}

/// In order, of lengths up to `longest`.
fn drawn(rng: &mut fastrand::Rng, base: i64, count: usize, longest: i64) -> Saved {
    let (mut end, mut done) = (base, Vec::new());
    for _ in 0..count {
        let start = end + rng.i64(1..=longest);
        end = start + rng.i64(1..=longest);
        done.push((start, end));
    }
    saved(base, Some(rng.i32(0..1000)), done)
}

#[test]
fn what_is_written_is_read_and_always_under_4096_bytes() {
    let mut rng = fastrand::Rng::with_seed(2);
    for round in 0..3000 {
        let base = rng.i64(0..1 << 60) >> rng.u32(0..60);
        let (count, longest) = (rng.usize(1..3000), 1 << rng.u32(0..16));
        let saved = drawn(&mut rng, base, count, longest);
        let text = saved.encode();
        assert!(text.len() < 4096, "round {round}: {}", text.len());
        let read = Saved::decode(base, &text).unwrap();
        assert_eq!((read.base, read.leader_epoch), (base, saved.leader_epoch));
        // What does not fit is left out from the end; one range may be cut.
        assert!(!read.done.is_empty() && read.done.len() <= saved.done.len(), "round {round}");
        for (read, saved) in read.done.iter().zip(&saved.done) {
            assert!(read.start == saved.start && read.end <= saved.end, "round {round}: {read:?}, {saved:?}");
        }
        let whole = saved.done.len() <= GAPS_FIT || saved.done.last().unwrap().end - base <= BITS_FIT;
        assert!(!whole || read == saved, "round {round}: {} of {}", read.done.len(), saved.done.len());
    }
}

#[test]
fn the_shorter_encoding_is_written() {
    let mut rng = fastrand::Rng::with_seed(3);
    let mut written = [0, 0];
    for _ in 0..300 {
        let (count, longest) = (rng.usize(1..100), 1 << rng.u32(0..8));
        let saved = drawn(&mut rng, 0, count, longest);
        let span = saved.done.last().unwrap().end;
        let text = saved.encode();
        written[usize::from(text.starts_with("ottla1b"))] += 1;
        // The front is 2 or 3 bytes; a run is at least one, and a bit set an eighth of the span.
        let bits = (span as usize).div_ceil(8) + 3;
        assert!(text.len() <= 7 + bits.div_ceil(3) * 4, "{} for {span} offsets", text.len());
    }
    assert!(written.iter().all(|count| *count > 10), "{written:?}");
}
