//! Stdout, in large writes.

use std::io::{self, Write};

use ottla::Record;

use crate::format::Format;

/// How much is gathered before it is written.
const WRITE: usize = 256 << 10;

pub(super) struct Sink {
    format: Format,
    /// Written as soon as it is this long, or flushed.
    buffer: Vec<u8>,
}

impl Sink {
    pub(super) fn new(format: Format) -> Self {
        Self { format, buffer: Vec::with_capacity(WRITE + (16 << 10)) }
    }

    #[inline]
    pub(super) fn write(&mut self, record: &Record<'_>) -> io::Result<()> {
        self.format.write(record, &mut self.buffer);
        match self.buffer.len() >= WRITE {
            true => self.flush(),
            false => Ok(()),
        }
    }

    /// When it returns, everything has left the process.
    pub(super) fn flush(&mut self) -> io::Result<()> {
        if self.buffer.is_empty() {
            return Ok(());
        }
        let mut stdout = io::stdout().lock();
        stdout.write_all(&self.buffer)?;
        stdout.flush()?;
        self.buffer.clear();
        Ok(())
    }
}
