//! Stdout, in large writes.

use std::io::{self, Write};

use ottla::Record;

use crate::format::Format;

/// How much is gathered before it is written.
const WRITE: usize = 256 << 10;

pub(super) struct Sink {
    format: Format,
    buffer: Vec<u8>,
    /// How much is gathered.
    most: usize,
}

impl Sink {
    pub(super) fn new(format: Format) -> Self {
        Self { format, buffer: Vec::with_capacity(WRITE + (16 << 10)), most: WRITE }
    }

    /// Each record by itself.
    pub(super) fn unbuffered(self) -> Self {
        Self { most: 0, ..self }
    }

    #[inline]
    pub(super) fn write(&mut self, record: &Record<'_>) -> io::Result<()> {
        self.format.write(record, &mut self.buffer);
        match self.buffer.len() >= self.most {
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
