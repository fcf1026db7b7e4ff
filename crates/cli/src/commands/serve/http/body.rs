//! What is answered: a text, one that is written while it is sent, or events as they come.

use std::{
    fmt,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::{Duration, Instant},
};

use hyper::{
    Response, StatusCode,
    body::{Body as HttpBody, Bytes, Frame, SizeHint},
    header::{HeaderName, HeaderValue},
};
use tokio::sync::{
    OwnedSemaphorePermit,
    mpsc::{self, Receiver, Sender},
};

use super::super::events::Reader;

/// How much of a text is written at once, and how many such blocks may wait to be sent.
const BLOCK: usize = 32 * 1024;
const BLOCKS: usize = 2;
/// How long a text may take to be sent.
const SENDING: Duration = Duration::from_secs(60);

/// An answer.
pub(in crate::commands::serve) type Answer = Response<Body>;

/// The headers of every answer: a browser guesses no type, tells nobody where it was, keeps nothing, and gives no other site any of it.
const ALWAYS: [(&str, &str); 4] = [
    ("x-content-type-options", "nosniff"),
    ("referrer-policy", "no-referrer"),
    ("cache-control", "no-store"),
    ("cross-origin-resource-policy", "same-origin"),
];

/// An answer of this type.
pub(in crate::commands::serve) fn answer(status: StatusCode, kind: &'static str, body: Body) -> Answer {
    let mut answer = Response::new(body);
    *answer.status_mut() = status;
    let headers = answer.headers_mut();
    headers.insert("content-type", HeaderValue::from_static(kind));
    for (name, value) in ALWAYS {
        headers.insert(HeaderName::from_static(name), HeaderValue::from_static(value));
    }
    answer
}

/// The body of an answer.
pub(in crate::commands::serve) enum Body {
    Whole(Bytes),
    Written { blocks: Receiver<Block>, deadline: Instant },
    Events(Next),
    Over,
}

/// What has been written since the last; nothing, when it was all.
type Block = Option<Bytes>;

/// The event to come, with who reads those behind it.
type Next = Pin<Box<dyn Future<Output = Option<(Arc<str>, Reader)>> + Send>>;

impl Body {
    pub(in crate::commands::serve) fn whole(text: impl Into<Bytes>) -> Self {
        Self::Whole(text.into())
    }

    pub(in crate::commands::serve) fn events(reader: Reader) -> Self {
        Self::Events(next(reader))
    }

    /// A text that may be of tens of megabytes, and is never there as a whole: it is written on a thread that waits for who reads.
    pub(in crate::commands::serve) fn written(
        seat: OwnedSemaphorePermit,
        write: impl FnOnce(&mut dyn fmt::Write) -> fmt::Result + Send + 'static,
    ) -> Self {
        let (sender, blocks) = mpsc::channel(BLOCKS);
        // It ends by itself: when all is written, or when nobody reads any more.
        tokio::task::spawn_blocking(move || {
            let mut blocks = Blocks { block: String::new(), sender };
            // Where the end is not told, the answer counts as cut.
            _ = write(&mut blocks).and_then(|()| blocks.end());
            drop(seat);
        });
        Self::Written { blocks, deadline: Instant::now() + SENDING }
    }
}

fn next(mut reader: Reader) -> Next {
    Box::pin(async move {
        let text = reader.next().await?;
        Some((text, reader))
    })
}

/// Collects what is written into blocks.
struct Blocks {
    block: String,
    sender: Sender<Block>,
}

impl Blocks {
    fn send(&mut self) -> fmt::Result {
        let block = std::mem::take(&mut self.block);
        self.sender.blocking_send(Some(block.into())).map_err(|_| fmt::Error)
    }

    fn end(mut self) -> fmt::Result {
        if !self.block.is_empty() {
            self.send()?;
        }
        self.sender.blocking_send(None).map_err(|_| fmt::Error)
    }
}

impl fmt::Write for Blocks {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        if self.block.capacity() == 0 {
            self.block.reserve(BLOCK);
        }
        self.block.push_str(text);
        match self.block.len() >= BLOCK {
            true => self.send(),
            false => Ok(()),
        }
    }
}

/// Why an answer is cut short.
#[derive(Debug)]
pub(in crate::commands::serve) enum Cut {
    TooSlow,
    /// It could not be written to its end.
    Unfinished,
}

impl fmt::Display for Cut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::TooSlow => "the reader is too slow",
            Self::Unfinished => "not written to its end",
        })
    }
}

impl std::error::Error for Cut {}

impl HttpBody for Body {
    type Data = Bytes;
    type Error = Cut;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Cut>>> {
        let bytes = match &mut *self {
            Self::Whole(bytes) => Some(std::mem::take(bytes)).filter(|bytes| !bytes.is_empty()),
            Self::Written { deadline, .. } if *deadline < Instant::now() => {
                *self = Self::Over;
                return Poll::Ready(Some(Err(Cut::TooSlow)));
            }
            Self::Written { blocks, .. } => match ready!(blocks.poll_recv(context)) {
                Some(Some(block)) => Some(block),
                Some(None) => {
                    *self = Self::Over;
                    None
                }
                None => {
                    *self = Self::Over;
                    return Poll::Ready(Some(Err(Cut::Unfinished)));
                }
            },
            Self::Events(event) => match ready!(event.as_mut().poll(context)) {
                Some((text, reader)) => {
                    *self = Self::Events(next(reader));
                    Some(Bytes::copy_from_slice(text.as_bytes()))
                }
                None => {
                    *self = Self::Over;
                    None
                }
            },
            Self::Over => None,
        };
        Poll::Ready(bytes.map(|bytes| Ok(Frame::data(bytes))))
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Whole(bytes) => bytes.is_empty(),
            Self::Over => true,
            Self::Written { .. } | Self::Events(_) => false,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Whole(bytes) => SizeHint::with_exact(bytes.len() as u64),
            _ => SizeHint::default(),
        }
    }
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Body")
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::Semaphore;

    use super::*;

    /// What a reader gets, and how it ends.
    fn read(write: impl FnOnce(&mut dyn fmt::Write) -> fmt::Result + Send + 'static) -> (String, bool) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let seat = Arc::new(Semaphore::new(1)).acquire_owned().await.unwrap();
            let mut body = Body::written(seat, write);
            let mut text = String::new();
            loop {
                match std::future::poll_fn(|context| Pin::new(&mut body).poll_frame(context)).await {
                    Some(Ok(frame)) => {
                        let block = frame.into_data().unwrap();
                        assert!(!block.is_empty(), "an empty chunk would end the answer");
                        text.push_str(std::str::from_utf8(&block).unwrap());
                    }
                    Some(Err(_)) => return (text, false),
                    None => return (text, true),
                }
            }
        })
    }

    #[test]
    fn what_is_written_to_its_end_is_whole_and_what_fails_on_the_way_is_cut() {
        assert_eq!(read(|_| Ok(())), (String::new(), true));
        assert_eq!(read(|out| out.write_str("all")), ("all".to_owned(), true));
        let exactly = "x".repeat(BLOCK);
        let written = exactly.clone();
        assert_eq!(read(move |out| out.write_str(&written)), (exactly.clone(), true));
        let fails = |out: &mut dyn fmt::Write| write!(out, "{}", "x".repeat(BLOCK)).and(Err(fmt::Error));
        assert_eq!(read(fails), (exactly, false));
    }
}
