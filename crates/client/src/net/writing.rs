//! How a request goes into a connection: its own bytes and the records of its batches in one call, from where they lie.

use std::io::{self, IoSlice};

use ottla_protocol::codec::RequestFrame;
use tokio::io::{AsyncWrite, AsyncWriteExt as _};

/// So many slices go in one call. Linux takes 1,024 at the most, other systems no fewer than 16.
const SLICES: usize = 64;

/// Writes all of it. Not cancel-safe: a part may have been written.
///
/// A writer that takes one slice at a time gets one run of bytes, as TLS would make a record of each slice.
pub(super) async fn write_frame(
    writer: &mut (impl AsyncWrite + Unpin),
    frame: RequestFrame,
) -> io::Result<()> {
    if !frame.is_apart() || !writer.is_write_vectored() {
        return writer.write_all(&frame.into_bytes()).await;
    }
    let mut slices: Vec<_> = frame.slices().map(IoSlice::new).collect();
    let mut rest = slices.as_mut_slice();
    while !rest.is_empty() {
        let next = rest.get(..SLICES).unwrap_or(rest);
        let written = writer.write_vectored(next).await?;
        if written == 0 {
            return Err(io::ErrorKind::WriteZero.into());
        }
        IoSlice::advance_slices(&mut rest, written);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::{
        pin::Pin,
        task::{Context, Poll},
    };

    use ottla_protocol::{
        ApiKey, Request, RequestHeader,
        codec::RecordData,
        messages::{ProducePartitionData, ProduceRequest, ProduceTopicData},
        records::{BatchBuilder, Compression},
    };

    use super::*;

    /// Takes so many bytes at a time, and only each second time that it is asked.
    struct Slow {
        taken: Vec<u8>,
        at_once: usize,
        is_vectored: bool,
        is_ready: bool,
        calls: usize,
    }

    impl Slow {
        fn new(at_once: usize, is_vectored: bool) -> Self {
            Self { taken: Vec::new(), at_once, is_vectored, is_ready: false, calls: 0 }
        }
    }

    impl AsyncWrite for Slow {
        fn poll_write(
            self: Pin<&mut Self>,
            context: &mut Context<'_>,
            bytes: &[u8],
        ) -> Poll<io::Result<usize>> {
            self.poll_write_vectored(context, &[IoSlice::new(bytes)])
        }

        fn poll_write_vectored(
            mut self: Pin<&mut Self>,
            context: &mut Context<'_>,
            slices: &[IoSlice<'_>],
        ) -> Poll<io::Result<usize>> {
            assert!(slices.len() <= SLICES);
            self.is_ready = !self.is_ready;
            if self.is_ready {
                context.waker().wake_by_ref();
                return Poll::Pending;
            }
            let before = self.taken.len();
            let at_once = self.at_once;
            self.taken.extend(slices.iter().flat_map(|slice| slice.iter()).take(at_once));
            self.calls += 1;
            Poll::Ready(Ok(self.taken.len() - before))
        }

        fn is_write_vectored(&self) -> bool {
            self.is_vectored
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    /// Its frame, and the same in one run.
    fn frame(partitions: i32) -> (RequestFrame, Vec<u8>) {
        let data = |index: i32| {
            let mut builder = BatchBuilder::new(Compression::None, 1 << 20);
            builder.append(0, None, Some(&vec![index as u8; 5000]), []).unwrap();
            ProducePartitionData { index, records: Some(RecordData::Closed(builder.close())) }
        };
        let topic =
            ProduceTopicData { partition_data: (0..partitions).map(data).collect(), ..Default::default() };
        let request = Request::from(ProduceRequest { topic_data: vec![topic], ..Default::default() });
        let header = RequestHeader { key: ApiKey::Produce, version: 12, correlation_id: 1, client_id: None };
        let whole = header.encode(&request);
        (header.frame(request), whole)
    }

    #[tokio::test]
    async fn a_frame_arrives_whole_however_little_is_taken_at_a_time() {
        for at_once in [1, 7, 61, 4999, 5000, 5001, 5061, 100_000] {
            for is_vectored in [true, false] {
                let mut slow = Slow::new(at_once, is_vectored);
                let (frame, whole) = frame(3);
                write_frame(&mut slow, frame).await.unwrap();
                assert!(slow.taken == whole, "{at_once} at a time, vectored: {is_vectored}");
            }
        }
    }

    #[tokio::test]
    async fn many_slices_go_in_several_calls() {
        let mut slow = Slow::new(usize::MAX, true);
        let (frame, whole) = frame(1000);
        let slices = frame.slices().count();
        write_frame(&mut slow, frame).await.unwrap();
        assert!(slow.taken == whole);
        assert_eq!((slices, slow.calls), (2001, 32));
    }

    #[tokio::test]
    async fn a_writer_of_one_slice_at_a_time_gets_one_run() {
        let mut slow = Slow::new(usize::MAX, false);
        write_frame(&mut slow, frame(3).0).await.unwrap();
        assert_eq!(slow.calls, 1);
    }

    #[tokio::test]
    async fn a_writer_that_takes_nothing_is_an_error() {
        let mut slow = Slow::new(0, true);
        let error = write_frame(&mut slow, frame(3).0).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::WriteZero);
    }
}
