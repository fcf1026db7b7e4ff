//! What messages are written into: one run of bytes, or a frame whose large batches stay where they are.

use super::RecordData;

/// From so many bytes on, records cost less as a part of their own than copied.
const APART: usize = 4096;

/// What a message is written into.
pub trait Writable {
    /// The bytes so far, to append to.
    fn bytes(&mut self) -> &mut Vec<u8>;

    /// Takes record batches, whose length is written already.
    fn put_records(&mut self, records: &RecordData);
}

impl Writable for Vec<u8> {
    fn bytes(&mut self) -> &mut Vec<u8> {
        self
    }

    fn put_records(&mut self, records: &RecordData) {
        records.append_to(self);
    }
}

/// A request as it is sent: the bytes that were written for it, and between them the records that were not copied.
///
/// A closed batch's records are shared with its clones, and not changed: its header, which is another each time that the batch
/// is sent under another identity, is among the written bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestFrame {
    written: Vec<u8>,
    /// In order, each with how much is written in front of it.
    apart: Vec<(usize, RecordData)>,
}

impl RequestFrame {
    /// All bytes in order, in as many slices as they lie in.
    pub fn slices(&self) -> impl Iterator<Item = &[u8]> {
        let ends = self.apart.iter().map(|(end, _)| *end).chain([self.written.len()]);
        let starts = [0].into_iter().chain(self.apart.iter().map(|(end, _)| *end));
        let written = starts.zip(ends).map(|(start, end)| self.written.get(start..end).unwrap_or_default());
        let apart = self.apart.iter().map(|(_, records)| records.tail()).chain([&[][..]]);
        written.zip(apart).flat_map(|(written, apart)| [written, apart]).filter(|slice| !slice.is_empty())
    }

    /// Whether some of the bytes lie elsewhere.
    pub fn is_apart(&self) -> bool {
        !self.apart.is_empty()
    }

    /// All bytes in one run. They are copied where they are not.
    pub fn into_bytes(self) -> Vec<u8> {
        if !self.is_apart() {
            return self.written;
        }
        let mut bytes = Vec::with_capacity(self.slices().map(<[u8]>::len).sum());
        self.slices().for_each(|slice| bytes.extend_from_slice(slice));
        bytes
    }
}

/// A frame that is being written. Records are left out, and put in their places at the end, when they need not be copied.
pub(crate) struct FrameBuilder {
    written: Vec<u8>,
    /// Where records were left out.
    gaps: Vec<usize>,
}

impl FrameBuilder {
    /// For a request with so many partitions' records.
    pub(crate) fn new(partitions: usize) -> Self {
        let head = 256 + partitions.saturating_mul(128);
        Self { written: Vec::with_capacity(head), gaps: Vec::with_capacity(partitions) }
    }

    fn is_apart(records: &RecordData) -> bool {
        records.len() >= APART
    }

    /// The frame, given all records that the message has, in order. The first four bytes become its length.
    pub(crate) fn finish(self, records: impl IntoIterator<Item = RecordData>) -> RequestFrame {
        let Self { mut written, gaps } = self;
        let apart: Vec<_> = gaps.into_iter().zip(records.into_iter().filter(Self::is_apart)).collect();
        let elsewhere: usize = apart.iter().map(|(_, records)| records.tail().len()).sum();
        let length = (written.len() - 4 + elsewhere) as u32;
        if let Some(head) = written.first_chunk_mut() {
            *head = length.to_be_bytes();
        }
        RequestFrame { written, apart }
    }
}

impl Writable for FrameBuilder {
    fn bytes(&mut self) -> &mut Vec<u8> {
        &mut self.written
    }

    fn put_records(&mut self, records: &RecordData) {
        if Self::is_apart(records) {
            records.append_head_to(&mut self.written);
            self.gaps.push(self.written.len());
        } else {
            records.append_to(&mut self.written);
        }
    }
}
