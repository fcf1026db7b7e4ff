//! Records in hand are found by their offsets, whatever has gone from among them.

use super::{super::items::Items, *};

/// Held against a map, with gaps, and with records that go in any order.
#[test]
fn items_are_those_of_a_map_whatever_comes_and_goes() {
    random::seeded("items_are_those", 300, |rng| {
        let (mut items, mut model, mut next) = (Items::new(), BTreeMap::new(), rng.i64(..1 << 40));
        for _ in 0..rng.usize(1..400) {
            match rng.u8(..8) {
                0..4 => {
                    items.insert(next, next);
                    model.insert(next, next);
                    next += if rng.u8(..4) == 0 { rng.i64(1..1000) } else { 1 };
                }
                // One that is there already, or has been.
                4 => {
                    let offset = next - rng.i64(1..20);
                    items.insert(offset, -offset);
                    model.insert(offset, -offset);
                }
                _ => {
                    let known: Vec<i64> = model.keys().copied().collect();
                    let some = rng.choice(&known).copied().unwrap_or(next);
                    let offset = if rng.u8(..4) == 0 { next - rng.i64(-5..50) } else { some };
                    assert_eq!(items.remove(offset), model.remove(&offset));
                }
            }
            assert_eq!((items.len(), items.is_empty()), (model.len(), model.is_empty()));
            assert_eq!(items.first(), model.keys().next().copied());
            let (from, to) = (next - rng.i64(..100), next - rng.i64(-5..100));
            let (from, to) = (from.min(to), from.max(to));
            assert_eq!(items.get(from).copied(), model.get(&from).copied());
            let ranged: Vec<_> = items.range(from..to).map(|(offset, item)| (offset, *item)).collect();
            assert!(ranged.into_iter().eq(model.range(from..to).map(|(offset, item)| (*offset, *item))));
            for ((_, item), (_, modelled)) in items.iter_mut(from).zip(model.range_mut(from..)) {
                *item += 1;
                *modelled += 1;
            }
        }
        assert!(items.iter().map(|(offset, item)| (offset, *item)).eq(model.clone()));
        assert!(items.into_all().eq(model));
    });
}

#[test]
fn what_has_gone_behind_one_that_stays_keeps_no_room() {
    let mut items = Items::new();
    items.insert(0, 0);
    for offset in 1..100_000 {
        items.insert(offset, 0);
        items.remove(offset);
    }
    assert!(items.places() < 200, "{}", items.places());
}
