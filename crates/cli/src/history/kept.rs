//! What is kept of looks on disk: their bytes, and what is believed of bytes that come from there. Nothing is added up or taken away
//! that could overflow, and no more is kept than looks themselves would have left.

/// No offset and no lag of a log is as large, in either direction, so that the difference of two is a number.
const LARGEST: i64 = 1 << 62;

/// Bytes to be kept.
#[derive(Debug, Default)]
pub(super) struct Kept(Vec<u8>);

impl Kept {
    pub(super) fn end(self) -> Vec<u8> {
        self.0
    }

    pub(super) fn byte(&mut self, byte: u8) -> &mut Self {
        self.0.push(byte);
        self
    }

    pub(super) fn short(&mut self, number: u32) -> &mut Self {
        self.0.extend(number.to_le_bytes());
        self
    }

    pub(super) fn long(&mut self, number: i64) -> &mut Self {
        self.0.extend(number.to_le_bytes());
        self
    }

    pub(super) fn real(&mut self, number: f32) -> &mut Self {
        self.0.extend(number.to_le_bytes());
        self
    }

    /// How many follow. Lists here are short.
    pub(super) fn count(&mut self, count: usize) -> &mut Self {
        self.short(u32::try_from(count).unwrap_or(u32::MAX))
    }
}

/// Bytes that were kept. Each part is nothing where they are too few, or say what no look could.
#[derive(Debug)]
pub(super) struct Found<'a>(&'a [u8]);

impl<'a> Found<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (taken, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*taken)
    }

    pub(super) fn byte(&mut self) -> Option<u8> {
        self.take().map(|[byte]| byte)
    }

    pub(super) fn short(&mut self) -> Option<u32> {
        self.take().map(u32::from_le_bytes)
    }

    pub(super) fn real(&mut self) -> Option<f32> {
        self.take().map(f32::from_le_bytes)
    }

    /// An offset, a lag, or a time in milliseconds.
    pub(super) fn long(&mut self) -> Option<i64> {
        self.take().map(i64::from_le_bytes).filter(|number| (-LARGEST..LARGEST).contains(number))
    }

    /// The same, or the number that stands for none.
    pub(super) fn long_or(&mut self, none: i64) -> Option<i64> {
        let number = self.take().map(i64::from_le_bytes)?;
        (number == none || (-LARGEST..LARGEST).contains(&number)).then_some(number)
    }

    /// As many as are told, and no more than there may be.
    pub(super) fn list<T>(&mut self, most: usize, each: impl Fn(&mut Self) -> Option<T>) -> Option<Vec<T>> {
        let count = usize::try_from(self.short()?).ok().filter(|count| *count <= most)?;
        (0..count).map(|_| each(self)).collect()
    }

    /// All has been read.
    pub(super) fn end(self) -> Option<()> {
        self.0.is_empty().then_some(())
    }
}
