//! A registry on a local socket.

use std::{
    collections::HashMap,
    io::{BufRead, BufReader, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use ottla::schema_registry::{SchemaRegistry, SchemaRegistryBuilder};
use serde_json::{Value, json};

/// What came: the path, and the other lines in lower case.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    pub(crate) path: String,
    pub(crate) headers: HashMap<String, String>,
}

/// What goes back.
pub(crate) enum Answer {
    Json(u16, Value),
    Bytes(u16, Vec<u8>),
    /// A redirection to there.
    Moved(String),
    /// Nothing, until the asker is gone.
    Silence,
    /// A body without an end, until the asker is gone.
    Endless,
}

impl Answer {
    /// As Confluent's.
    pub(crate) fn error(status: u16, error_code: i64) -> Self {
        Self::Json(status, json!({"error_code": error_code, "message": "so the stub says"}))
    }

    pub(crate) fn avro(schema: &str) -> Self {
        Self::Json(200, json!({"schema": schema}))
    }
}

pub(crate) struct Stub {
    address: SocketAddr,
    requests: Arc<Mutex<Vec<Request>>>,
    is_over: Arc<AtomicBool>,
    accepting: Option<thread::JoinHandle<()>>,
}

impl Stub {
    pub(crate) fn new(answer: impl Fn(&Request) -> Answer + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (requests, is_over): (Arc<Mutex<Vec<_>>>, Arc<AtomicBool>) = Default::default();
        let (seen, over, answer) = (requests.clone(), is_over.clone(), Arc::new(answer));
        let accepting = thread::spawn(move || {
            for stream in listener.incoming() {
                if over.load(Ordering::Relaxed) {
                    return;
                }
                let (seen, answer) = (seen.clone(), answer.clone());
                // It ends with its asker.
                thread::spawn(move || serve(stream.unwrap(), &seen, &*answer));
            }
        });
        Self { address, requests, is_over, accepting: Some(accepting) }
    }

    /// Has these schemas, by their ids: what is answered for each.
    pub(crate) fn with(schemas: impl IntoIterator<Item = (&'static str, Value)>) -> Self {
        let schemas: HashMap<_, _> = schemas.into_iter().collect();
        Self::new(move |request| match schemas.get(request.path.as_str()) {
            Some(schema) => Answer::Json(200, schema.clone()),
            None => Answer::error(404, 40403),
        })
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// A client that gives up soon.
    pub(crate) fn builder(&self) -> SchemaRegistryBuilder {
        let builder = SchemaRegistry::builder([self.url()]);
        builder
            .request_timeout(Duration::from_secs(5))
            .total_timeout(Duration::from_secs(10))
            .retry_backoff(Duration::from_millis(5), Duration::from_millis(20))
    }

    pub(crate) fn client(&self) -> SchemaRegistry {
        self.builder().build().unwrap()
    }

    pub(crate) fn requests(&self) -> Vec<Request> {
        self.requests.lock().unwrap().clone()
    }

    pub(crate) fn paths(&self) -> Vec<String> {
        self.requests().into_iter().map(|request| request.path).collect()
    }

    /// Waits until so many requests have come.
    pub(crate) fn wait_for_requests(&self, count: usize) {
        let end = Instant::now() + super::PATIENCE;
        while self.requests().len() < count {
            assert!(Instant::now() < end, "{:?}", self.paths());
            thread::sleep(Duration::from_millis(1));
        }
    }
}

impl Drop for Stub {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
        _ = TcpStream::connect(self.address);
        if let Some(accepting) = self.accepting.take() {
            _ = accepting.join();
        }
    }
}

fn serve(mut stream: TcpStream, seen: &Mutex<Vec<Request>>, answer: &dyn Fn(&Request) -> Answer) {
    let mut lines = BufReader::new(stream.try_clone().unwrap()).lines().map_while(Result::ok);
    let Some(first) = lines.next() else { return };
    let path = first.split(' ').nth(1).unwrap_or_default().to_owned();
    let headers = lines.by_ref().take_while(|line| !line.is_empty());
    let headers = headers.filter_map(|line| {
        let (name, value) = line.split_once(": ")?;
        Some((name.to_lowercase(), value.to_owned()))
    });
    let request = Request { path, headers: headers.collect() };
    seen.lock().unwrap().push(request.clone());
    let (status, more, body) = match answer(&request) {
        Answer::Json(status, body) => (status, String::new(), body.to_string().into_bytes()),
        Answer::Bytes(status, body) => (status, String::new(), body),
        Answer::Moved(there) => (301, format!("Location: {there}\r\n"), Vec::new()),
        Answer::Silence => return lines.for_each(drop),
        Answer::Endless => {
            _ = stream.write_all(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n{\"schema\": \"");
            while stream.write_all(&[b'a'; 1 << 16]).is_ok() {}
            return;
        }
    };
    let length = body.len();
    let head = format!("HTTP/1.1 {status} S\r\nConnection: close\r\n{more}Content-Length: {length}\r\n\r\n");
    // Whoever asked may be gone.
    _ = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(&body));
}
