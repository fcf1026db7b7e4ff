//! What is answered to whom: the paths, and what a request must not be.

use std::{fmt, net::SocketAddr, sync::Arc};

use hyper::{
    Method, Request, StatusCode,
    body::{Body as _, Incoming},
    header::{ACCEPT, ALLOW, CONNECTION, CONTENT_SECURITY_POLICY, HOST, HeaderMap, HeaderValue, RETRY_AFTER},
    http::request::Parts,
};
use serde_json::json;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::{
    api,
    board::{Board, Counts},
    events::Seen,
    http::{Answer, Body, Hosts, answer},
    metrics::{self, Exposition},
    page::Page,
    writes::{Step, Writes},
};
use crate::{commands::looks::Look, signals::Stop};

/// Whose request it is, and where it came to.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ends {
    pub(super) local: SocketAddr,
    pub(super) peer: SocketAddr,
}

/// What is written to, where writes are allowed.
#[cfg(test)]
pub(super) const WRITES: [&str; 2] = ["/api/groups/NAME/reset", "/api/groups/NAME/reset-plan"];

/// The paths, with what is there.
#[cfg(test)]
pub(super) const PATHS: [&str; 11] = [
    "/",
    "/api/events",
    "/api/groups",
    "/api/groups/NAME",
    "/api/groups/NAME/history",
    "/api/lag",
    "/api/status",
    "/api/topics",
    "/healthz",
    "/metrics",
    "/readyz",
];

const JSON: &str = "application/json; charset=utf-8";
const TEXT: &str = "text/plain; charset=utf-8";
/// How many answers are written at once; each takes a thread while it is read.
const WRITERS: usize = 8;

/// Answers requests from what is on the board.
#[derive(Debug)]
pub(super) struct Routes {
    board: Arc<Board>,
    hosts: Hosts,
    page: Page,
    writers: Arc<Semaphore>,
    /// Where they are allowed.
    writes: Option<Writes>,
    stop: Stop,
}

impl Routes {
    pub(super) fn new(board: Arc<Board>, hosts: Hosts, writes: Option<Writes>, stop: Stop) -> Self {
        let writers = Arc::new(Semaphore::new(WRITERS));
        Self { board, hosts, page: Page::new(), writers, writes, stop }
    }

    /// Waits for what is being written.
    pub(super) async fn end(&self) {
        if let Some(writes) = &self.writes {
            writes.end().await;
        }
    }

    /// The answer to a request.
    pub(super) async fn answer(&self, request: Request<Incoming>, ends: Ends) -> Answer {
        Counts::one_more(&self.board.counts.requests);
        let (parts, body) = request.into_parts();
        let has_body = !body.is_end_stream();
        let answer = match self.misdirection(&parts, ends.local) {
            Some(refusal) => refusal,
            None => match (&self.writes, step(parts.uri.path())) {
                (Some(writes), Some((step, name))) => {
                    self.write(writes, step, name, &parts, body, ends).await
                }
                _ => self.refusal(&parts, has_body).unwrap_or_else(|| self.route(&parts)),
            },
        };
        if answer.status().is_client_error() {
            Counts::one_more(&self.board.counts.refused);
        }
        answer
    }

    async fn write(
        &self,
        writes: &Writes,
        step: Step,
        name: &str,
        parts: &Parts,
        body: Incoming,
        ends: Ends,
    ) -> Answer {
        if parts.method != Method::POST {
            return not_allowed("it takes a POST", "POST", !body.is_end_stream());
        }
        let Some(group) = decoded(name) else { return closing(not_a_name(), true) };
        writes.answer(step, group, &parts.headers, body, (&self.hosts, ends)).await
    }

    /// Why a request is not for this server.
    fn misdirection(&self, parts: &Parts, local: SocketAddr) -> Option<Answer> {
        let hosts: Vec<&HeaderValue> = parts.headers.get_all(HOST).iter().collect();
        let [host] = hosts.as_slice() else {
            return Some(error(StatusCode::BAD_REQUEST, "a request needs one Host header"));
        };
        // A proxy's form of the address says a host, too.
        let meant =
            [host.to_str().ok(), parts.uri.authority().map(|authority| authority.as_str()).or(Some(""))];
        let [Some(host), Some(in_uri)] = meant else {
            return Some(error(StatusCode::BAD_REQUEST, "Host: no name"));
        };
        if !self.hosts.are_own(host, local) || !(in_uri.is_empty() || self.hosts.are_own(in_uri, local)) {
            let why =
                "this is another server; `ottla serve --host NAME` says under which names it is reached";
            return Some(error(StatusCode::MISDIRECTED_REQUEST, why));
        }
        None
    }

    /// Why a request is not looked at.
    fn refusal(&self, parts: &Parts, has_body: bool) -> Option<Answer> {
        if parts.method != Method::GET && parts.method != Method::HEAD {
            return Some(not_allowed("it only shows: GET and HEAD", "GET, HEAD", has_body));
        }
        has_body.then(|| closing(error(StatusCode::PAYLOAD_TOO_LARGE, "a request has no body here"), true))
    }

    fn route(&self, parts: &Parts) -> Answer {
        let path: Vec<&str> = parts.uri.path().split('/').skip(1).collect();
        match path.as_slice() {
            [""] => self.page(),
            ["healthz"] => answer(StatusCode::OK, TEXT, Body::whole("ok\n")),
            ["readyz"] => match self.board.looks.not_ready() {
                None => answer(StatusCode::OK, TEXT, Body::whole("ok\n")),
                Some(why) => answer(StatusCode::SERVICE_UNAVAILABLE, TEXT, Body::whole(format!("{why}\n"))),
            },
            ["metrics"] => self.metrics(&parts.headers),
            ["api", "status"] => json(&api::status(&self.board, self.writes.is_some())),
            ["api", "events"] => self.events(&parts.headers),
            ["api", "groups"] => self.written(JSON, api::groups),
            ["api", "lag"] => self.written(JSON, api::lag),
            ["api", "topics"] => self.written(JSON, api::topics),
            ["api", "groups", name] => self.group(name),
            ["api", "groups", name, "history"] => self.history(name),
            _ => error(StatusCode::NOT_FOUND, "there is nothing here; the paths are in docs/serve.md"),
        }
    }

    fn page(&self) -> Answer {
        let mut answer =
            answer(StatusCode::OK, "text/html; charset=utf-8", Body::whole(Page::text().as_bytes()));
        answer.headers_mut().insert(CONTENT_SECURITY_POLICY, self.page.policy());
        answer
    }

    fn group(&self, name: &str) -> Answer {
        let Some(name) = decoded(name) else { return not_a_name() };
        match self.board.look() {
            Some(look) if look.groups.contains_key(&name) => {
                self.written_of(look, JSON, move |look, out| api::group(look, &name, out))
            }
            Some(_) => no_such_group(),
            None => self.not_yet(),
        }
    }

    fn history(&self, name: &str) -> Answer {
        let Some(name) = decoded(name) else { return not_a_name() };
        match self.board.looks.trend(&name) {
            Some(trend) => {
                let Some(seat) = self.seat() else { return busy() };
                let storage = self.board.storage.clone();
                let write =
                    move |out: &mut dyn fmt::Write| api::history(storage.as_deref(), &name, &trend, out);
                answer(StatusCode::OK, JSON, Body::written(seat, write))
            }
            None if self.board.look().is_none() => self.not_yet(),
            None => no_such_group(),
        }
    }

    fn metrics(&self, headers: &HeaderMap) -> Answer {
        let format =
            metrics::Format::wanted(headers.get_all(ACCEPT).iter().filter_map(|it| it.to_str().ok()));
        let Some(seat) = self.seat() else { return busy() };
        let exposition = Exposition::of(&self.board);
        let body = Body::written(seat, move |out| metrics::write(exposition, format, out));
        answer(StatusCode::OK, format.content_type(), body)
    }

    fn events(&self, headers: &HeaderMap) -> Answer {
        let seen = headers.get("last-event-id").and_then(|seen| Seen::parse(seen.to_str().ok()?));
        match self.board.events.reader(seen, self.stop.clone()) {
            Some(reader) => answer(StatusCode::OK, "text/event-stream; charset=utf-8", Body::events(reader)),
            None => busy(),
        }
    }

    /// What is written from the last look.
    fn written(
        &self,
        kind: &'static str,
        write: impl FnOnce(&Look, &mut dyn fmt::Write) -> fmt::Result + Send + 'static,
    ) -> Answer {
        match self.board.look() {
            Some(look) => self.written_of(look, kind, write),
            None => self.not_yet(),
        }
    }

    fn written_of(
        &self,
        look: Arc<Look>,
        kind: &'static str,
        write: impl FnOnce(&Look, &mut dyn fmt::Write) -> fmt::Result + Send + 'static,
    ) -> Answer {
        let Some(seat) = self.seat() else { return busy() };
        answer(StatusCode::OK, kind, Body::written(seat, move |out| write(&look, out)))
    }

    fn seat(&self) -> Option<OwnedSemaphorePermit> {
        self.writers.clone().try_acquire_owned().ok()
    }

    fn not_yet(&self) -> Answer {
        let why = self.board.looks.not_ready().unwrap_or_default();
        later(error(StatusCode::SERVICE_UNAVAILABLE, &why))
    }
}

/// What a path stands for that is written to, and the group that it names.
fn step(path: &str) -> Option<(Step, &str)> {
    match path.strip_prefix("/api/groups/")?.split_once('/')? {
        (name, "reset-plan") => Some((Step::Plan, name)),
        (name, "reset") => Some((Step::Execute, name)),
        _ => None,
    }
}

fn not_allowed(why: &str, allowed: &'static str, has_body: bool) -> Answer {
    let mut refusal = error(StatusCode::METHOD_NOT_ALLOWED, why);
    refusal.headers_mut().insert(ALLOW, HeaderValue::from_static(allowed));
    closing(refusal, has_body)
}

pub(super) fn json(value: &serde_json::Value) -> Answer {
    answer(StatusCode::OK, JSON, Body::whole(format!("{value}\n")))
}

pub(super) fn error(status: StatusCode, why: &str) -> Answer {
    answer(status, JSON, Body::whole(format!("{}\n", json!({ "error": why }))))
}

fn no_such_group() -> Answer {
    error(StatusCode::NOT_FOUND, "no such group at the last look; /api/groups has those that there are")
}

fn not_a_name() -> Answer {
    error(StatusCode::BAD_REQUEST, "a group's name is UTF-8 in percent-encoding")
}

pub(super) fn busy() -> Answer {
    later(error(StatusCode::SERVICE_UNAVAILABLE, "too many are being answered: come again"))
}

fn later(mut answer: Answer) -> Answer {
    answer.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("1"));
    answer
}

/// What is left of the request is not read.
fn closing(mut answer: Answer, has_body: bool) -> Answer {
    if has_body {
        answer.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
    answer
}

/// A segment of a path, as it was before it was encoded.
fn decoded(segment: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(segment.len());
    let mut rest = segment.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'%' => {
                let mut digit = || char::from(rest.next()?).to_digit(16);
                u8::try_from(digit()? * 16 + digit()?).ok()?
            }
            byte => byte,
        });
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_in_a_path_is_decoded_or_refused() {
        for (segment, name) in
            [("a", "a"), ("a%2Fb", "a/b"), ("%e2%82%ac+", "\u{20ac}+"), ("", ""), ("%00", "\0")]
        {
            assert_eq!(decoded(segment).as_deref(), Some(name), "{segment}");
        }
        for wrong in ["%", "%4", "%zz", "%ff", "%+1"] {
            assert_eq!(decoded(wrong), None, "{wrong}");
        }
    }
}
