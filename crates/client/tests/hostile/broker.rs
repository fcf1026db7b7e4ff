//! A broker that answers what a script says: an honest embedded broker, and before it a listener that hands requests on, and the
//! answers back as the script has them.

use std::{
    collections::BTreeMap,
    io::{self, Read, Write},
    net::{TcpListener, TcpStream},
    sync::{Arc, Mutex, PoisonError},
    thread,
    time::Duration,
};

use ottla_broker::{Config, Server, TopicSpec};
use ottla_protocol::{ApiKey, RequestHeader, Response, ResponseHeader, codec::RecordData};

/// A request as a script sees it.
pub(crate) struct Call {
    pub(crate) key: ApiKey,
    pub(crate) version: i16,
    pub(crate) correlation_id: i32,
}

/// What goes back to the client.
pub(crate) enum Answer {
    /// This.
    Says(Response),
    /// These bytes, in place of a frame.
    Bytes(Vec<u8>),
    /// The frame, a byte at a time.
    Slowly(Response, Duration),
    /// Half of the frame, and nothing more.
    Half(Response),
    /// Nothing, ever.
    Silence,
    /// The end of the connection.
    Close,
}

impl From<Response> for Answer {
    fn from(response: Response) -> Self {
        Self::Says(response)
    }
}

impl Call {
    /// The whole frame of an answer to this request.
    pub(crate) fn frame(&self, response: &Response) -> Vec<u8> {
        self.frame_as(self.correlation_id, response)
    }

    pub(crate) fn frame_as(&self, correlation_id: i32, response: &Response) -> Vec<u8> {
        ResponseHeader { key: self.key, version: self.version, correlation_id }.encode(response)
    }
}

type Script = Box<dyn FnMut(&Call, Response) -> Answer + Send>;

#[derive(Default)]
struct State {
    script: Option<Script>,
    asked: BTreeMap<ApiKey, u32>,
}

/// See the module's documentation. Honest until it is told otherwise.
pub(crate) struct Hostile {
    pub(crate) server: Server,
    port: u16,
    state: Arc<Mutex<State>>,
}

impl Hostile {
    /// With topic `t` of so many partitions.
    pub(crate) fn with(partitions: u32) -> Self {
        Self::of(Config { topics: vec![TopicSpec::new("t", partitions)], ..Config::default() })
    }

    pub(crate) fn of(config: Config) -> Self {
        let server = Server::start_on_thread(config, ([127, 0, 0, 1], 0)).unwrap();
        let honest = server.addresses()[0];
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        server.with_cluster(|cluster| {
            let node = cluster.nodes().next().unwrap();
            cluster.set_address(node, "127.0.0.1".to_owned(), port);
        });
        let state = Arc::new(Mutex::new(State::default()));
        let shared = Arc::clone(&state);
        // The threads end with the process, which is the script's own.
        thread::spawn(move || {
            for client in listener.incoming().filter_map(Result::ok) {
                let state = Arc::clone(&shared);
                thread::spawn(move || serve(client, TcpStream::connect(honest)?, &state));
            }
            io::Result::Ok(())
        });
        Self { server, port, state }
    }

    pub(crate) fn bootstrap(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// From now on every answer is what the script makes of the honest one.
    pub(crate) fn does(&self, script: impl FnMut(&Call, Response) -> Answer + Send + 'static) {
        self.state().script = Some(Box::new(script));
    }

    /// From now on every answer is honest.
    pub(crate) fn repents(&self) {
        self.state().script = None;
    }

    /// How often an API was asked.
    pub(crate) fn asked(&self, key: ApiKey) -> u32 {
        self.state().asked.get(&key).copied().unwrap_or_default()
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Serves one connection until either side ends it.
fn serve(mut client: TcpStream, mut honest: TcpStream, state: &Mutex<State>) -> io::Result<()> {
    client.set_nodelay(true)?;
    honest.set_nodelay(true)?;
    loop {
        let asked = read_frame(&mut client)?;
        honest.write_all(&asked)?;
        let (header, request) = RequestHeader::decode(&asked[4..]).map_err(io::Error::other)?;
        if !request.is_answered() {
            continue;
        }
        let answered = read_frame(&mut honest)?;
        let RequestHeader { key, version, correlation_id, .. } = header;
        let answer = {
            let mut state = state.lock().unwrap_or_else(PoisonError::into_inner);
            *state.asked.entry(key).or_default() += 1;
            let response = ResponseHeader::decode(key, version, &answered[4..]);
            match (&mut state.script, response) {
                // KIP-511: what versions there are is told in version 0, whatever was asked; then it is asked for anew.
                (_, Ok((_, Response::ApiVersions(answer)))) if !answer.error_code.is_ok() => None,
                (Some(script), Ok((_, response))) => {
                    let call = Call { key, version, correlation_id };
                    Some((script(&call, own(response, &answered[4..])), call))
                }
                _ => None,
            }
        };
        let Some((answer, call)) = answer else {
            client.write_all(&answered)?;
            continue;
        };
        match answer {
            Answer::Says(response) => client.write_all(&call.frame(&response))?,
            Answer::Bytes(bytes) => client.write_all(&bytes)?,
            Answer::Slowly(response, pause) => {
                for byte in call.frame(&response) {
                    client.write_all(&[byte])?;
                    thread::sleep(pause);
                }
            }
            Answer::Half(response) => {
                let frame = call.frame(&response);
                client.write_all(&frame[..frame.len() / 2])?;
                return swallow(client);
            }
            Answer::Silence => return swallow(client),
            Answer::Close => return Ok(()),
        }
    }
}

/// Reads until the client has enough.
fn swallow(mut client: TcpStream) -> io::Result<()> {
    io::copy(&mut client, &mut io::sink()).map(|_| ())
}

/// A whole frame, with its length in front.
fn read_frame(from: &mut TcpStream) -> io::Result<Vec<u8>> {
    let mut frame = vec![0; 4];
    from.read_exact(&mut frame)?;
    let length = u32::from_be_bytes([frame[0], frame[1], frame[2], frame[3]]) as usize;
    frame.resize(4 + length, 0);
    from.read_exact(&mut frame[4..])?;
    Ok(frame)
}

/// Records of an answer lie in its frame. To be written again they have to be its own.
fn own(mut response: Response, frame: &[u8]) -> Response {
    if let Response::Fetch(fetch) = &mut response {
        for partition in fetch.responses.iter_mut().flat_map(|topic| &mut topic.partitions) {
            partition.records =
                partition.records.take().map(|records| RecordData::Owned(records.bytes(frame).to_vec()));
        }
    }
    response
}

/// What a script says of the answers of one API; the others are honest.
macro_rules! changes {
    ($broker:expr, $api:ident, |$answer:ident| $body:expr) => {
        $broker.does(move |_, mut response| {
            if let ottla_protocol::Response::$api($answer) = &mut response {
                $body;
            }
            response.into()
        })
    };
}
pub(crate) use changes;
