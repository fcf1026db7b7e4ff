//! What became of the records of a batch: the same of all, or of each piece where the batch was split.

use std::sync::OnceLock;

use super::{SendFailure, outcomes::Acked};

/// Empty until something is known. A batch that is not split has no memory of its own here.
#[derive(Debug, Default)]
pub(super) struct Fate(OnceLock<Known>);

#[derive(Debug)]
enum Known {
    All(Result<Acked, SendFailure>),
    /// The batch was split into these, in order.
    Split(Box<[Piece]>),
}

#[derive(Debug)]
struct Piece {
    /// The index in the whole batch of its first record.
    first: i32,
    fate: Fate,
}

impl Fate {
    /// What became of the record at this index, and its index in the piece that it was sent in.
    pub(super) fn of(&self, index: i32) -> Option<(&Result<Acked, SendFailure>, i32)> {
        let (fate, first) = self.piece_with(index);
        match fate.0.get()? {
            Known::All(result) => Some((result, index - first)),
            // Split since.
            Known::Split(_) => None,
        }
    }

    /// The piece that begins at `first` is split into those that begin at these records, `first` among them.
    pub(super) fn split(&self, pieces: &[i32]) {
        let Some(first) = pieces.first() else { return };
        let pieces = pieces.iter().map(|first| Piece { first: *first, fate: Self::default() }).collect();
        self.set(*first, Known::Split(pieces));
    }

    /// The piece that begins at `first` is decided.
    pub(super) fn decide(&self, first: i32, result: Result<Acked, SendFailure>) {
        self.set(first, Known::All(result));
    }

    fn set(&self, first: i32, known: Known) {
        // What is known first stands.
        _ = self.piece_with(first).0.0.set(known);
    }

    /// The smallest piece that the record at this index is in, and the index of its first record.
    fn piece_with(&self, index: i32) -> (&Self, i32) {
        let (mut fate, mut first) = (self, 0);
        while let Some(Known::Split(pieces)) = fate.0.get()
            && let before = pieces.partition_point(|piece| piece.first <= index)
            && let Some(piece) = before.checked_sub(1).and_then(|last| pieces.get(last))
        {
            (fate, first) = (&piece.fate, piece.first);
        }
        (fate, first)
    }
}
