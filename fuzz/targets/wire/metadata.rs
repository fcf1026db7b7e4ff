//! The text beside a committed offset.

use ottla_core::fuzzing;
use ottla_fuzz::{Input, within};

pub fn run(data: &[u8]) {
    let mut input = Input::new(data);
    let flags = input.byte();
    let base = i64::from(input.number()) << (flags >> 2 & 0x1f);
    if flags & 1 == 0 {
        let Ok(text) = std::str::from_utf8(input.rest()) else { return };
        // A bit is a range of two numbers, and a list that grows has room for as many again.
        let read = within(128 * text.len() + 8192 + 1024, || fuzzing::saved(base, text));
        let Some((done, leader_epoch, again)) = read else { return };
        assert!(
            done.is_sorted_by(|a, b| a.end < b.start) && done.iter().all(|range| range.start < range.end)
        );
        assert!(done.first().is_some_and(|first| first.start >= base));
        assert!(again.len() <= 4095);
        // What does not fit is left out from its end.
        let Some((kept, epoch, _)) = fuzzing::saved(base, &again) else {
            assert!(again.is_empty());
            return;
        };
        assert_eq!(epoch, leader_epoch);
        let offsets =
            |ranges: &[std::ops::Range<i64>]| ranges.iter().map(|range| range.end - range.start).sum::<i64>();
        if offsets(&kept) == offsets(&done) {
            assert_eq!(kept, done);
        } else {
            assert!(
                kept.iter().zip(&done).all(|(kept, done)| kept.start == done.start && kept.end <= done.end)
            );
            assert!(again.len() > 3000, "there was room for more");
        }
    } else {
        let (mut done, mut end) = (Vec::new(), base);
        while !input.is_over() && done.len() < 500 {
            let start = end + i64::from(input.byte()) + i64::from(!done.is_empty());
            end = start + i64::from(input.number() >> (flags >> 5)) + 1;
            done.push(start..end);
        }
        let epoch = (flags & 2 != 0).then_some(i32::from(flags));
        let text = fuzzing::save(base, epoch, done.clone());
        match fuzzing::saved(base, &text) {
            Some((read, read_epoch, _)) => assert_eq!((read, read_epoch), (done, epoch)),
            None => assert!(done.is_empty()),
        }
    }
}
