//! Buffers for responses, used again and again: a fresh megabyte costs a page fault every four kilobytes.
//!
//! A [`Buffer`] is filled by a connection. Where records stay in it, it becomes a [`Frame`], which the machine's slices
//! and the user's records share; when the last of them goes, the buffer comes back and the driver hears of the bytes.
//!
//! - A length off the wire allocates nothing: a buffer grows as its bytes arrive, at most to twice what is there.
//! - A buffer is at most a quarter (and [`STEP`]) larger than its frame, so that the machine's byte budget, which counts
//!   frames, bounds the memory too.
//! - Free buffers go before the pool holds more than its limit, those in use included.
//! - What a burst needed is not kept for good: a free buffer that no frame has had use for goes, when the driver tidies up.

use std::{
    io,
    sync::{Arc, PoisonError},
};

use ottla_core::HoldsBytes;
use tokio::io::{AsyncRead, AsyncReadExt};

use crate::sync::{AtomicUsize, Mutex, MutexGuard, Notify, Ordering};

/// The first allocation for a frame, before any of its bytes is seen.
const STEP: usize = 64 << 10;
/// A smaller buffer costs less to allocate than to keep.
const SMALLEST_KEPT: usize = 16 << 10;

/// The buffers of one client.
#[derive(Debug, Clone)]
pub(crate) struct FramePool(Arc<Pool>);

#[derive(Debug)]
struct Pool {
    limit: usize,
    buffers: Mutex<Buffers>,
    released: AtomicUsize,
    driver: Arc<Notify>,
}

#[derive(Debug, Default)]
struct Buffers {
    /// By capacity, the largest last, and of those that are the same that which came back last.
    free: Vec<Free>,
    /// The capacity of all, free or in use.
    held: usize,
}

#[derive(Debug)]
struct Free {
    bytes: Vec<u8>,
    /// Since the pool was last tidied up, at the least.
    unused: bool,
}

impl FramePool {
    /// Keeps at most `limit` bytes, and wakes `driver` when a frame is dropped.
    pub(crate) fn new(limit: usize, driver: Arc<Notify>) -> Self {
        Self(Arc::new(Pool { limit, buffers: Mutex::default(), released: AtomicUsize::new(0), driver }))
    }

    /// A buffer for a frame of `length` bytes, as yet without any.
    pub(crate) fn buffer(&self, length: usize) -> Buffer {
        let most = length.saturating_add(length / 4).saturating_add(STEP);
        let mut buffers = self.0.lock();
        let fitting = buffers.free.partition_point(|free| free.bytes.capacity() <= most);
        let bytes = match fitting.checked_sub(1) {
            Some(largest) => buffers.free.remove(largest).bytes,
            None => Vec::new(),
        };
        Buffer { bytes, pool: self.clone() }
    }

    /// Lets those buffers go that have been free since the call before.
    pub(crate) fn tidy_up(&self) {
        let mut buffers = self.0.lock();
        let Buffers { free, held } = &mut *buffers;
        free.retain_mut(|buffer| {
            let goes = std::mem::replace(&mut buffer.unused, true);
            *held -= if goes { buffer.bytes.capacity() } else { 0 };
            !goes
        });
    }

    /// The bytes of frames dropped since the last call.
    pub(crate) fn take_released(&self) -> usize {
        self.0.released.swap(0, Ordering::Relaxed)
    }

    #[cfg(test)]
    pub(crate) fn held(&self) -> usize {
        self.0.lock().held
    }
}

impl Pool {
    fn lock(&self) -> MutexGuard<'_, Buffers> {
        // Nothing under this lock panics, and free buffers have no state that a panic could break.
        self.buffers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn grew(&self, by: usize) {
        let mut buffers = self.lock();
        buffers.held += by;
        while buffers.held > self.limit
            && let Some(largest) = buffers.free.pop()
        {
            buffers.held -= largest.bytes.capacity();
        }
    }

    fn give_back(&self, mut bytes: Vec<u8>) {
        let capacity = bytes.capacity();
        let mut buffers = self.lock();
        if capacity < SMALLEST_KEPT || buffers.held > self.limit {
            buffers.held -= capacity;
            return;
        }
        bytes.clear();
        let at = buffers.free.partition_point(|free| free.bytes.capacity() <= capacity);
        buffers.free.insert(at, Free { bytes, unused: false });
    }
}

/// Bytes of a pool, on their way in.
#[derive(Debug)]
pub(crate) struct Buffer {
    bytes: Vec<u8>,
    pool: FramePool,
}

impl Buffer {
    /// Fills the buffer with the next `length` bytes.
    pub(crate) async fn read_from(
        &mut self,
        source: &mut (impl AsyncRead + Unpin),
        length: usize,
    ) -> io::Result<()> {
        while self.bytes.len() < length {
            let missing = length - self.bytes.len();
            if self.bytes.len() == self.bytes.capacity() {
                self.grow(missing);
            }
            if (&mut *source).take(missing as u64).read_buf(&mut self.bytes).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
        Ok(())
    }

    fn grow(&mut self, missing: usize) {
        let before = self.bytes.capacity();
        self.bytes.reserve_exact(missing.min(before.max(STEP)));
        self.pool.0.grew(self.bytes.capacity() - before);
    }

    /// What has arrived.
    #[inline]
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The buffer is whole, and records in it are kept.
    pub(crate) fn into_frame(self) -> Frame {
        Frame(self)
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        self.pool.0.give_back(std::mem::take(&mut self.bytes));
    }
}

/// The bytes of one response, kept for the records in them.
#[derive(Debug)]
pub(crate) struct Frame(Buffer);

impl HoldsBytes for Frame {
    #[inline]
    fn bytes(&self) -> &[u8] {
        self.0.bytes()
    }
}

impl Drop for Frame {
    fn drop(&mut self) {
        let pool = &self.0.pool.0;
        pool.released.fetch_add(self.bytes().len(), Ordering::Relaxed);
        pool.driver.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: usize = 4 << 20;

    fn pool() -> FramePool {
        FramePool::new(LIMIT, Arc::new(Notify::new()))
    }

    async fn filled(pool: &FramePool, bytes: &[u8]) -> Buffer {
        let mut buffer = pool.buffer(bytes.len());
        buffer.read_from(&mut &bytes[..], bytes.len()).await.unwrap();
        assert_eq!(buffer.bytes(), bytes);
        buffer
    }

    #[tokio::test]
    async fn a_buffer_is_used_again() {
        let pool = pool();
        let first = filled(&pool, &vec![1; 1 << 20]).await;
        let address = first.bytes().as_ptr();
        drop(first);
        let second = filled(&pool, &vec![2; 1_000_000]).await;
        assert_eq!(second.bytes().as_ptr(), address);
        assert_eq!(pool.held(), 1 << 20);
    }

    #[tokio::test]
    async fn a_buffer_takes_no_byte_of_the_next_frame() {
        let pool = pool();
        drop(filled(&pool, &vec![0; 1 << 20]).await);
        let bytes: Vec<u8> = (0..2_000_000_u32).map(|i| i as u8).collect();
        let mut source = &bytes[..];
        let mut buffer = pool.buffer(900_000);
        buffer.read_from(&mut source, 900_000).await.unwrap();
        assert_eq!(buffer.bytes(), &bytes[..900_000]);
        assert_eq!(source.len(), 1_100_000);
    }

    #[tokio::test]
    async fn a_length_that_lies_allocates_little() {
        let pool = pool();
        let mut buffer = pool.buffer(1 << 30);
        let error = buffer.read_from(&mut &[0; 100][..], 1 << 30).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
        assert_eq!(pool.held(), STEP);
    }

    #[tokio::test]
    async fn a_small_frame_does_not_pin_a_large_buffer() {
        let pool = pool();
        drop(filled(&pool, &vec![0; 1 << 20]).await);
        let small = filled(&pool, &[0; 100]).await;
        assert_eq!(small.bytes.capacity(), 100);
    }

    #[tokio::test]
    async fn the_pool_holds_no_more_than_its_limit() {
        let pool = pool();
        let many = [filled(&pool, &vec![0; 3 << 20]).await, filled(&pool, &vec![0; 3 << 20]).await];
        drop(many);
        assert_eq!(pool.held(), 3 << 20);
        let other = filled(&pool, &vec![0; 2 << 20]).await;
        assert_eq!(pool.held(), 2 << 20, "the free buffer went when the other grew");
        drop(other);
    }

    #[tokio::test]
    async fn what_a_burst_needed_goes_once_no_frame_has_use_for_it() {
        let pool = pool();
        let burst = [filled(&pool, &vec![0; 1 << 20]).await, filled(&pool, &vec![0; 1 << 20]).await];
        pool.tidy_up();
        pool.tidy_up();
        drop(burst);
        for _ in 0..3 {
            pool.tidy_up();
            drop(filled(&pool, &vec![0; 1 << 20]).await);
        }
        assert_eq!(pool.held(), 1 << 20, "one of the two goes on being used");
        pool.tidy_up();
        assert_eq!(pool.held(), 1 << 20);
        pool.tidy_up();
        assert_eq!(pool.held(), 0);
    }

    #[tokio::test]
    async fn the_last_holder_of_a_frame_releases_its_bytes() {
        let driver = Arc::new(Notify::new());
        let pool = FramePool::new(LIMIT, driver.clone());
        let frame = Arc::new(filled(&pool, &[7; 1000]).await.into_frame());
        let other = frame.clone();
        drop(frame);
        assert_eq!(pool.take_released(), 0);
        drop(other);
        driver.notified().await;
        assert_eq!((pool.take_released(), pool.take_released()), (1000, 0));
    }
}
