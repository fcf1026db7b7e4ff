//! One connection: resolves, connects, writes what the driver hands it, reads and decodes the answers.
//!
//! A broker answers in order, so the requests written and not answered yet tell how to read what comes. Decoding, and
//! the walk over the batch headers of a Fetch, are done before the machine is locked.

use std::{
    collections::VecDeque,
    future::poll_fn,
    io,
    pin::pin,
    sync::{Arc, Mutex, PoisonError},
    task::Poll,
    time::Duration,
};

use ottla_core::{ConnId, Disconnected, Fetched, Machine, Reply, RequestId, spans};
use ottla_protocol::{ApiKey, Response, ResponseHeader, codec::RequestFrame};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt as _},
    sync::mpsc,
};

use super::{
    frame_pool::{Buffer, Frame},
    opening::{Opening, Transport, connect},
    writing::write_frame,
};
use crate::shared::Shared;

/// What bounds a connection.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    /// The largest response that is believed.
    pub(crate) receive_max: usize,
    /// The time to connect in, shared among the addresses of a name.
    pub(crate) setup_timeout: Duration,
}

/// A request on its way out.
#[derive(Debug)]
pub(crate) struct Encoded {
    /// How to read its answer.
    pub(crate) awaited: Awaited,
    /// Whether there will be one. If not, the machine is told when it is written.
    pub(crate) is_answered: bool,
    /// All its bytes.
    pub(crate) frame: RequestFrame,
}

/// A request that is to be answered.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Awaited {
    pub(crate) id: RequestId,
    pub(crate) key: ApiKey,
    pub(crate) version: i16,
}

/// The requests written and not answered yet, oldest first.
type InFlight = Mutex<VecDeque<Awaited>>;

/// Lives as long as the connection, and returns why it ended.
pub(crate) async fn run<M>(
    shared: Arc<Shared<M>>,
    conn: ConnId,
    (host, port): (String, u16),
    queue: mpsc::Receiver<Encoded>,
    limits: Limits,
    opening: Opening,
) -> Disconnected
where
    M: Machine<Frame = Arc<Frame>>,
{
    let talk = Talk { shared: &shared, conn, host: &host, receive_max: limits.receive_max };
    if let Some(connector) = &opening.connector {
        return match connector.open(&host, port).await {
            Ok(stream) => talk.over(stream, queue, &opening).await,
            Err(why) => why,
        };
    }
    let mut stream = match connect(&host, port, limits.setup_timeout).await {
        Ok(stream) => stream,
        Err(why) => return why,
    };
    if opening.is_secured() {
        return talk.over(stream, queue, &opening).await;
    }
    let (reader, writer) = stream.split();
    talk.run(reader, writer, queue, failed).await
}

/// A connection that stands.
struct Talk<'a, M> {
    shared: &'a Shared<M>,
    conn: ConnId,
    host: &'a str,
    receive_max: usize,
}

/// How long a broker's last word is waited for that takes no more: under TLS 1.3 it says so why it refuses a certificate.
const LAST_WORD: Duration = Duration::from_millis(500);

impl<M: Machine<Frame = Arc<Frame>>> Talk<'_, M> {
    /// Over whatever carries bytes, by TLS where that is configured.
    async fn over<S: Transport>(
        &self,
        stream: S,
        queue: mpsc::Receiver<Encoded>,
        opening: &Opening,
    ) -> Disconnected {
        #[cfg(feature = "tls")]
        if let Some(tls) = &opening.tls {
            let secured = match tls.secure(self.host, stream).await {
                Ok(secured) => secured,
                Err(why) => return why,
            };
            secured.tell(self.shared.span(), self.conn, self.host);
            let (reader, writer) = tokio::io::split(secured.stream);
            let failed = |error: &io::Error| match super::tls::of_error(error, secured.has_certificate) {
                Some(failure) => Disconnected::Tls(failure),
                None => failed(error),
            };
            return self.run(reader, writer, queue, failed).await;
        }
        #[cfg(not(feature = "tls"))]
        let _ = (self.host, opening);
        let (reader, writer) = tokio::io::split(stream);
        self.run(reader, writer, queue, failed).await
    }

    async fn run(
        &self,
        reader: impl AsyncRead + Unpin,
        writer: impl AsyncWrite + Unpin,
        queue: mpsc::Receiver<Encoded>,
        failed: impl Fn(&io::Error) -> Disconnected,
    ) -> Disconnected {
        self.shared.feed(|machine, now| machine.handle_connected(self.conn, now));
        let in_flight = InFlight::default();
        let mut reading = pin!(self.read(reader, &in_flight, &failed));
        let mut writing = pin!(self.write(writer, &in_flight, queue, &failed));
        let ended = poll_fn(|context| match reading.as_mut().poll(context) {
            Poll::Ready(why) => Poll::Ready(Ok(why)),
            Poll::Pending => writing.as_mut().poll(context).map(Err),
        });
        match ended.await {
            Ok(why) => why,
            Err(Disconnected::Closed) => Disconnected::Closed,
            Err(why) => tokio::time::timeout(LAST_WORD, reading).await.unwrap_or(why),
        }
    }

    async fn read(
        &self,
        mut reader: impl AsyncRead + Unpin,
        in_flight: &InFlight,
        failed: &impl Fn(&io::Error) -> Disconnected,
    ) -> Disconnected {
        loop {
            match read_reply(&mut reader, in_flight, self.shared, self.receive_max, failed).await {
                Ok(reply) => self.shared.feed(|machine, now| machine.handle_reply(self.conn, reply, now)),
                Err(why) => return why,
            }
        }
    }

    async fn write(
        &self,
        mut writer: impl AsyncWrite + Unpin,
        in_flight: &InFlight,
        mut queue: mpsc::Receiver<Encoded>,
        failed: &impl Fn(&io::Error) -> Disconnected,
    ) -> Disconnected {
        while let Some(Encoded { awaited, is_answered, frame }) = queue.recv().await {
            if is_answered {
                lock(in_flight).push_back(awaited);
            }
            let written = async {
                write_frame(&mut writer, frame).await?;
                // TLS keeps what does not make a record.
                writer.flush().await
            };
            if let Err(error) = written.await {
                return failed(&error);
            }
            if !is_answered {
                self.shared.feed(|machine, now| machine.handle_written(self.conn, awaited.id, now));
            }
        }
        Disconnected::Closed
    }
}

async fn read_reply<M>(
    reader: &mut (impl AsyncRead + Unpin),
    in_flight: &InFlight,
    shared: &Shared<M>,
    receive_max: usize,
    failed: &impl Fn(&io::Error) -> Disconnected,
) -> Result<Reply<Arc<Frame>>, Disconnected> {
    let mut head = [0; 4];
    reader.read_exact(&mut head).await.map_err(|error| failed(&error))?;
    let length = frame_length(head, receive_max)?;
    let Some(awaited) = lock(in_flight).pop_front() else {
        return Err(Disconnected::NotKafka("it answers what was not asked".to_owned()));
    };
    let mut buffer = shared.frames().buffer(length);
    buffer.read_from(reader, length).await.map_err(|error| failed(&error))?;
    decode(awaited, buffer)
}

/// The length of the frame that begins with these bytes, unless they show that no Kafka broker sent them.
fn frame_length(head: [u8; 4], receive_max: usize) -> Result<usize, Disconnected> {
    let length = i32::from_be_bytes(head);
    let not_kafka = |what: String| Err(Disconnected::NotKafka(what));
    match head {
        [b'H', b'T', b'T', b'P'] => not_kafka("an HTTP server's answer".to_owned()),
        [0x15, 0x03, ..] => {
            not_kafka("a TLS alert: the port speaks TLS; set security.protocol to SSL or SASL_SSL".to_owned())
        }
        _ if usize::try_from(length).is_ok_and(|length| length <= receive_max) => Ok(length as usize),
        _ if head.iter().all(u8::is_ascii_graphic) => {
            not_kafka(format!("it begins with the text `{}`", head.escape_ascii()))
        }
        _ => not_kafka(format!("it announces {length} bytes, {receive_max} are the limit")),
    }
}

fn decode(awaited: Awaited, buffer: Buffer) -> Result<Reply<Arc<Frame>>, Disconnected> {
    let Awaited { id, key, version } = awaited;
    let undecodable = |error| Disconnected::Undecodable(key, error);
    let answered = ResponseHeader::correlation_id(buffer.bytes()).map_err(undecodable)?;
    if answered != id.0 {
        return Err(Disconnected::NotKafka(format!("it answers request {answered} where {id} was asked")));
    }
    let (_, response) = ResponseHeader::decode(key, version, buffer.bytes()).map_err(undecodable)?;
    let fetched = matches!(response, Response::Fetch(_)).then(|| {
        let (size, spans) = (buffer.bytes().len(), spans(&response, buffer.bytes()));
        Fetched { frame: Arc::new(buffer.into_frame()), size, spans }
    });
    Ok(Reply { id, response, fetched })
}

fn failed(error: &io::Error) -> Disconnected {
    match error.kind() {
        io::ErrorKind::UnexpectedEof => Disconnected::Closed,
        _ => Disconnected::Failed(error.to_string()),
    }
}

fn lock(in_flight: &InFlight) -> std::sync::MutexGuard<'_, VecDeque<Awaited>> {
    // Both halves run in one task: a panic of one ends the other too.
    in_flight.lock().unwrap_or_else(PoisonError::into_inner)
}
