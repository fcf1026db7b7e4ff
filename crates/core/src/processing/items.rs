//! What is known of a partition's records that have arrived and are not done, by offset.

use std::{collections::VecDeque, ops::Range};

/// How many empty places are kept though there are fewer others.
const SPARE: usize = 64;

/// Records come in the order of their offsets, and most go in about that order: they stand in a queue, in which the place of one is
/// known from its offset as long as none is missing. The place of one that goes from the middle stays, empty, until those before it
/// have gone, or until there are more empty ones than others.
#[derive(Debug)]
pub(super) struct Items<T> {
    /// By offset. The first is not empty.
    places: VecDeque<(i64, Option<T>)>,
    /// How many are not empty.
    count: usize,
}

impl<T> Items<T> {
    pub(super) fn new() -> Self {
        Self { places: VecDeque::new(), count: 0 }
    }

    pub(super) fn len(&self) -> usize {
        self.count
    }

    pub(super) fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The first offset.
    pub(super) fn first(&self) -> Option<i64> {
        self.places.front().map(|(offset, _)| *offset)
    }

    /// Takes one in, in place of one with this offset.
    pub(super) fn insert(&mut self, offset: i64, item: T) {
        let before = match self.find(offset) {
            // Its place is still there, empty or not.
            Ok(index) => self.places.get_mut(index).and_then(|(_, place)| place.replace(item)),
            Err(index) => {
                self.places.insert(index, (offset, Some(item)));
                None
            }
        };
        self.count += usize::from(before.is_none());
    }

    pub(super) fn get(&self, offset: i64) -> Option<&T> {
        self.places.get(self.find(offset).ok()?)?.1.as_ref()
    }

    pub(super) fn get_mut(&mut self, offset: i64) -> Option<&mut T> {
        let index = self.find(offset).ok()?;
        self.places.get_mut(index)?.1.as_mut()
    }

    pub(super) fn remove(&mut self, offset: i64) -> Option<T> {
        let index = self.find(offset).ok()?;
        let item = self.places.get_mut(index)?.1.take()?;
        self.count -= 1;
        while self.places.front().is_some_and(|(_, place)| place.is_none()) {
            self.places.pop_front();
        }
        if self.places.len() > 2 * self.count + SPARE {
            self.places.retain(|(_, place)| place.is_some());
        }
        Some(item)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (i64, &T)> {
        self.places.iter().filter_map(|(offset, place)| Some((*offset, place.as_ref()?)))
    }

    /// Those from this offset on.
    pub(super) fn iter_mut(&mut self, from: i64) -> impl Iterator<Item = (i64, &mut T)> {
        let from = self.find(from).unwrap_or_else(|index| index);
        self.places.range_mut(from..).filter_map(|(offset, place)| Some((*offset, place.as_mut()?)))
    }

    pub(super) fn into_all(self) -> impl Iterator<Item = (i64, T)> {
        self.places.into_iter().filter_map(|(offset, place)| Some((offset, place?)))
    }

    /// Those with an offset in this range.
    pub(super) fn range(&self, range: Range<i64>) -> impl Iterator<Item = (i64, &T)> {
        let from = self.find(range.start).unwrap_or_else(|index| index);
        let places = self.places.range(from..).take_while(move |(offset, _)| *offset < range.end);
        places.filter_map(|(offset, place)| Some((*offset, place.as_ref()?)))
    }

    /// Where the place of this offset is, or would be.
    fn find(&self, offset: i64) -> Result<usize, usize> {
        match self.places.back() {
            Some((last, _)) if *last >= offset => {}
            _ => return Err(self.places.len()),
        }
        let index = self.first().and_then(|first| usize::try_from(offset.checked_sub(first)?).ok());
        match index.filter(|index| self.places.get(*index).is_some_and(|(at, _)| *at == offset)) {
            Some(index) => Ok(index),
            None => self.places.binary_search_by_key(&offset, |(at, _)| *at),
        }
    }

    /// How many places there are, the empty ones included.
    #[cfg(test)]
    pub(super) fn places(&self) -> usize {
        self.places.len()
    }
}
