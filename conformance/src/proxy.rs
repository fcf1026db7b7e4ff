//! A proxy before a broker: it knows Kafka's frames, and can delay, hold, tear or cut them. Before a listener with TLS it
//! sees none, and can cut.

use std::collections::{BTreeMap, HashMap};
use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use ottla_protocol::messages::{
    ProducePartitionResponse, ProduceResponse, ProduceTopicData, ProduceTopicResponse,
};
use ottla_protocol::{ApiKey, ErrorCode, Request, RequestHeader, ResponseHeader};

use crate::server::{Connections, Server};

/// What a broker would refuse anyhow.
const LARGEST_FRAME: usize = 256 << 20;

/// A proxy on a free port, gone when dropped.
#[derive(Debug)]
pub struct Proxy {
    rules: Arc<Shared>,
    server: Server,
}

/// What has passed for one API.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Requests that were passed on.
    pub requests: u64,
    /// The bytes of those requests.
    pub request_bytes: u64,
    /// Responses that came back.
    pub responses: u64,
    /// The bytes of those responses.
    pub response_bytes: u64,
}

#[derive(Debug, Default)]
struct Shared {
    rules: Mutex<Rules>,
    /// Told of each change of the rules that may end a wait.
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Rules {
    delays: BTreeMap<i16, Duration>,
    delay_of_others: Duration,
    torn: Option<i16>,
    /// How many Produce requests more are refused here, and not passed on.
    refused_produces: u32,
    /// Where new connections lead, in place of the broker behind.
    redirected: Option<SocketAddr>,
    held: bool,
    refusing: bool,
    closed: bool,
    traffic: BTreeMap<i16, Traffic>,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Rules> {
        self.rules.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Proxy {
    /// A proxy that passes everything on to `upstream`.
    pub fn start(upstream: SocketAddr) -> io::Result<Self> {
        let rules = Arc::new(Shared::default());
        let shared = Arc::clone(&rules);
        let server = Server::start(move |id, client, connections| {
            pass(id, client, upstream, connections, &shared) //
        })?;
        Ok(Self { rules, server })
    }

    /// One that passes bytes on, whatever they are: it may be told to [`cut`](Self::cut), and to [`refuse`](Self::refuse).
    pub fn start_opaque(upstream: SocketAddr) -> io::Result<Self> {
        let rules = Arc::new(Shared::default());
        let shared = Arc::clone(&rules);
        let server = Server::start(move |id, client, connections| {
            if shared.lock().refusing {
                return Ok(());
            }
            let broker = TcpStream::connect(upstream)?;
            connections.keep(id, &broker)?;
            std::thread::scope(|scope| {
                scope.spawn(|| copy(&client, &broker));
                copy(&broker, &client);
            });
            Ok(())
        })?;
        Ok(Self { rules, server })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.server.address()
    }

    /// Delivers each response so much after its arrival; responses to other APIs than `api`, if one is named,
    /// keep what they had. Responses that arrive together are delivered together: this is a latency.
    pub fn delay(&self, api: Option<i16>, by: Duration) {
        let mut rules = self.rules.lock();
        match api {
            Some(api) => drop(rules.delays.insert(api, by)),
            None => {
                rules.delays.clear();
                rules.delay_of_others = by;
            }
        }
    }

    /// Holds all responses back, or lets them go.
    pub fn hold(&self, held: bool) {
        self.rules.lock().held = held;
        self.rules.changed.notify_all();
    }

    /// Sends half of the next response to `api`, and then closes that connection.
    pub fn tear_next(&self, api: i16) {
        self.rules.lock().torn = Some(api);
    }

    /// Answers so many of the next Produce requests with NOT_LEADER_OR_FOLLOWER, and passes none of them on.
    pub fn refuse_produces(&self, count: u32) {
        self.rules.lock().refused_produces = count;
    }

    /// Lets new connections lead elsewhere, or again to the broker behind.
    pub fn redirect(&self, to: Option<SocketAddr>) {
        self.rules.lock().redirected = to;
    }

    /// Closes new connections at once, or lets them in.
    pub fn refuse(&self, refusing: bool) {
        self.rules.lock().refusing = refusing;
    }

    /// Closes all connections; how many there were.
    pub fn cut(&self) -> usize {
        self.server.connections.cut_all()
    }

    /// What has passed, by API key.
    pub fn traffic(&self) -> BTreeMap<i16, Traffic> {
        self.rules.lock().traffic.clone()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.rules.lock().closed = true;
        self.rules.changed.notify_all();
    }
}

/// A response, its API, and when it is due.
struct Response {
    frame: Vec<u8>,
    api: i16,
    due: Instant,
}

/// Which API each request that waits for its response is of, by correlation id.
type Waiting = Mutex<HashMap<[u8; 4], i16>>;

fn pass(
    id: u64,
    client: TcpStream,
    upstream: SocketAddr,
    connections: &Connections,
    shared: &Shared,
) -> io::Result<()> {
    if shared.lock().refusing {
        return Ok(());
    }
    let upstream = shared.lock().redirected.unwrap_or(upstream);
    let broker = TcpStream::connect(upstream)?;
    connections.keep(id, &broker)?;
    for stream in [&client, &broker] {
        stream.set_nodelay(true)?;
    }
    let waiting = Waiting::default();
    let (sender, receiver) = sync_channel(64);
    let refusals = sender.clone();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let _ = pass_requests(&client, &broker, &waiting, refusals, shared);
            let _ = broker.shutdown(Shutdown::Both);
        });
        scope.spawn(|| {
            let _ = read_responses(&broker, sender, &waiting, shared);
            // Else a client that only waits would not hear that the broker is gone: its requests are still read.
            let _ = client.shutdown(Shutdown::Read);
        });
        let _ = write_responses(receiver, &client, shared);
        connections.cut(id);
    });
    Ok(())
}

/// All that comes of the one goes to the other, and its end.
fn copy(mut from: &TcpStream, mut to: &TcpStream) {
    let _ = to.set_nodelay(true);
    let _ = io::copy(&mut from, &mut to);
    let _ = to.shutdown(Shutdown::Write);
}

fn pass_requests(
    mut client: &TcpStream,
    mut broker: &TcpStream,
    waiting: &Waiting,
    refusals: SyncSender<Response>,
    shared: &Shared,
) -> io::Result<()> {
    loop {
        let frame = read_frame(&mut client)?;
        if let Some(response) = refusal(&frame, shared) {
            if refusals.send(response).is_err() {
                return Ok(());
            }
            continue;
        }
        // Length, API key, version, correlation id.
        if let Some(&[_, _, _, _, api @ .., _, _, a, b, c, d]) = frame.first_chunk::<12>() {
            let api = i16::from_be_bytes(api);
            waiting.lock().unwrap_or_else(PoisonError::into_inner).insert([a, b, c, d], api);
            let mut rules = shared.lock();
            let traffic = rules.traffic.entry(api).or_default();
            traffic.requests += 1;
            traffic.request_bytes += frame.len() as u64;
        }
        broker.write_all(&frame)?;
    }
}

/// What a broker would answer that does not lead the partitions, where that is to be said of a Produce request.
fn refusal(frame: &[u8], shared: &Shared) -> Option<Response> {
    let api = i16::from_be_bytes(*frame.get(4..)?.first_chunk()?);
    let is_refused = |rules: &mut Rules| {
        let refused = api == ApiKey::Produce as i16 && rules.refused_produces > 0;
        rules.refused_produces -= u32::from(refused);
        refused
    };
    let (header, request) = is_refused(&mut shared.lock())
        .then(|| RequestHeader::decode(frame.get(4..).unwrap_or_default()))?
        .ok()?;
    let Request::Produce(request) = request else { return None };
    let partition = |index| ProducePartitionResponse {
        index,
        error_code: ErrorCode::NotLeaderOrFollower,
        base_offset: -1,
        ..Default::default()
    };
    let topic = |topic: ProduceTopicData| ProduceTopicResponse {
        name: topic.name,
        topic_id: topic.topic_id,
        partition_responses: topic.partition_data.iter().map(|data| partition(data.index)).collect(),
    };
    let responses = request.topic_data.into_iter().map(topic).collect();
    let answer = ProduceResponse { responses, ..Default::default() };
    let RequestHeader { key, version, correlation_id, .. } = header;
    let frame = ResponseHeader { key, version, correlation_id }.encode(&answer.into());
    Some(Response { frame, api, due: Instant::now() })
}

fn read_responses(
    mut broker: &TcpStream,
    sender: SyncSender<Response>,
    waiting: &Waiting,
    shared: &Shared,
) -> io::Result<()> {
    loop {
        let frame = read_frame(&mut broker)?;
        let Some(&[_, _, _, _, correlation @ ..]) = frame.first_chunk::<8>() else { return Ok(()) };
        let api = waiting.lock().unwrap_or_else(PoisonError::into_inner).remove(&correlation).unwrap_or(-1);
        let delay = {
            let mut rules = shared.lock();
            let traffic = rules.traffic.entry(api).or_default();
            traffic.responses += 1;
            traffic.response_bytes += frame.len() as u64;
            rules.delays.get(&api).copied().unwrap_or(rules.delay_of_others)
        };
        if sender.send(Response { frame, api, due: Instant::now() + delay }).is_err() {
            return Ok(());
        }
    }
}

fn write_responses(receiver: Receiver<Response>, mut client: &TcpStream, shared: &Shared) -> io::Result<()> {
    for Response { frame, api, due } in receiver {
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
        let mut rules = shared.lock();
        while rules.held && !rules.closed {
            rules = shared.changed.wait(rules).unwrap_or_else(PoisonError::into_inner);
        }
        let torn = rules.torn.take_if(|torn| *torn == api).is_some();
        drop(rules);
        if torn {
            let half = frame.get(..frame.len() / 2).unwrap_or_default();
            return client.write_all(half);
        }
        client.write_all(&frame)?;
    }
    Ok(())
}

/// A frame with its length before it.
fn read_frame(from: &mut impl Read) -> io::Result<Vec<u8>> {
    let mut length = [0; 4];
    from.read_exact(&mut length)?;
    let size = u32::from_be_bytes(length) as usize;
    if size > LARGEST_FRAME {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let mut frame = length.to_vec();
    from.take(size as u64).read_to_end(&mut frame)?;
    if frame.len() == size + 4 { Ok(frame) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn a_client_that_only_waits_hears_that_the_broker_is_gone() -> io::Result<()> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let proxy = Proxy::start(listener.local_addr()?)?;
        let mut client = TcpStream::connect(proxy.address())?;
        client.set_read_timeout(Some(Duration::from_secs(30)))?;
        let frame = [0, 0, 0, 8, 0, 1, 0, 4, 0, 0, 0, 7];
        client.write_all(&frame)?;
        let (mut broker, _) = listener.accept()?;
        let mut asked = [0; 12];
        broker.read_exact(&mut asked)?;
        assert_eq!(asked, frame);
        drop(broker);
        assert_eq!(client.read(&mut [0])?, 0, "the end, not a time-out");
        Ok(())
    }
}
