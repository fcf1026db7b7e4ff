//! Where a handler's stdout goes: to ours, or to a topic.

use ottla::{
    Producer, ProducerRecord,
    processor::{HandlerError, Message, Outputs},
};
use tokio::io::{AsyncRead, AsyncReadExt};

use super::{
    command::{Halt, Outcome},
    lines::Writer,
    linger::Exited,
};
use crate::failure::Failure;

/// Where it goes.
#[derive(Debug)]
pub(super) enum Output {
    Lines(Writer),
    Topic(To),
}

/// The topic whose records handlers write.
#[derive(Debug)]
pub(super) struct To {
    pub(super) topic: String,
    /// `None` where they are in the processor's transactions.
    pub(super) producer: Option<Producer>,
    /// How long a value may be: `max.request.size`.
    pub(super) most: usize,
}

/// What a handler has written.
#[derive(Debug)]
pub(super) enum Written {
    /// It is handed over to be printed.
    Lines,
    /// Nothing can be printed any more.
    Nowhere,
    Value(Vec<u8>),
    /// More than a record may have.
    TooMuch,
}

impl Output {
    /// Takes all that a handler writes.
    pub(super) async fn take(&self, from: impl AsyncRead + Unpin, exited: &Exited) -> Written {
        match self {
            Self::Lines(writer) => match writer.follow(from, exited, |_| {}).await {
                true => Written::Lines,
                false => Written::Nowhere,
            },
            Self::Topic(to) => gather(from, exited, to.most).await,
        }
    }

    /// Waits until all lines that were taken are written. False where nothing can be written any more.
    pub(super) async fn written(&self) -> bool {
        match self {
            Self::Lines(writer) => writer.written().await,
            Self::Topic(_) => true,
        }
    }

    /// Has it written where it goes, on behalf of a record whose handler has succeeded.
    pub(super) async fn put(
        &self,
        written: Written,
        message: &Message,
        out: Option<&Outputs>,
        halt: &Halt,
    ) -> Result<(), Outcome> {
        match (self, written) {
            // Who runs the handler waits for them, as for all that it wrote.
            (Self::Lines(_), Written::Lines) => Ok(()),
            // The writer has said why.
            (Self::Lines(_), _) | (_, Written::Nowhere) => Err(Outcome::Halted),
            (Self::Topic(to), Written::TooMuch) => {
                let why = format!("more than {} bytes on stdout: max.request.size takes no more", to.most);
                Err(Outcome::Failed(HandlerError::retriable(why)))
            }
            (Self::Topic(to), Written::Value(value)) if !value.is_empty() => {
                to.put(value, message, out, halt).await
            }
            (Self::Topic(_), _) => Ok(()),
        }
    }
}

impl To {
    /// Returns once the record is acknowledged, or is among those of the next transaction.
    async fn put(
        &self,
        value: Vec<u8>,
        message: &Message,
        out: Option<&Outputs>,
        halt: &Halt,
    ) -> Result<(), Outcome> {
        let record = ProducerRecord::to(self.topic.as_str()).key(message.key()).value(value);
        let sent = match (&self.producer, out) {
            (Some(producer), _) => match producer.send(record).await {
                Ok(delivery) => delivery.await.map(drop),
                Err(error) => Err(error),
            },
            (None, Some(out)) => out.push(record),
            // Where there is no producer, there are transactions.
            (None, None) => Ok(()),
        };
        sent.map_err(|error| match error.is_final() {
            true => {
                halt.with(Failure::from(error));
                Outcome::Halted
            }
            false => Outcome::Failed(HandlerError::retriable(error)),
        })
    }
}

/// All of it, as long as it is no more than `most`. What is more is read too, so that its writer is not held up.
async fn gather(mut from: impl AsyncRead + Unpin, exited: &Exited, most: usize) -> Written {
    let mut value = Vec::new();
    let mut buffer = vec![0; 64 << 10];
    let mut too_much = false;
    loop {
        let count = exited.or(from.read(&mut buffer)).await.and_then(Result::ok).unwrap_or_default();
        if count == 0 {
            break;
        }
        too_much |= value.len() + count > most;
        if !too_much {
            value.extend_from_slice(buffer.get(..count).unwrap_or_default());
        }
    }
    if too_much { Written::TooMuch } else { Written::Value(value) }
}
