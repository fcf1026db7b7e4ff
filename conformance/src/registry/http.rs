//! As much of HTTP as a registry, and who asks it, need.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::time::Duration;

use serde_json::Value;

const WITHIN: Duration = Duration::from_secs(30);

/// A request.
#[derive(Debug, Clone, Copy)]
pub struct Asked<'a> {
    method: &'static str,
    path: &'a str,
    body: Option<&'a Value>,
}

impl<'a> Asked<'a> {
    /// For what is at this path.
    pub fn get(path: &'a str) -> Self {
        Self { method: "GET", path, body: None }
    }

    /// That this is taken at this path.
    pub fn post(path: &'a str, body: &'a Value) -> Self {
        Self { method: "POST", path, body: Some(body) }
    }

    /// That what is at this path goes.
    pub fn delete(path: &'a str) -> Self {
        Self { method: "DELETE", path, body: None }
    }

    /// The status of the answer, and its body, where that is JSON.
    pub(super) fn send(self, port: u16, base: &str) -> io::Result<(u16, Value)> {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
        stream.set_read_timeout(Some(WITHIN))?;
        let body = self.body.map(Value::to_string).unwrap_or_default();
        // Of 1.0, so that the answer ends with its connection.
        write!(stream, "{} {base}{} HTTP/1.0\r\nHost: localhost\r\n", self.method, self.path)?;
        write!(stream, "Content-Type: application/vnd.schemaregistry.v1+json\r\n")?;
        write!(stream, "Content-Length: {}\r\n\r\n{body}", body.len())?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        let status = answer.split(' ').nth(1).and_then(|status| status.parse().ok());
        let (_, body) = answer.split_once("\r\n\r\n").unwrap_or_default();
        let status = status.ok_or_else(|| io::Error::other(format!("no answer of HTTP: {answer}")))?;
        Ok((status, serde_json::from_str(body).unwrap_or_default()))
    }
}

/// A request that has come: its method, its path, and its body, where that is JSON. `None` where none came.
pub(super) fn receive(stream: &TcpStream) -> io::Result<Option<(String, String, Value)>> {
    let mut lines = BufReader::new(stream);
    let mut first = String::new();
    lines.read_line(&mut first)?;
    let mut words = first.split(' ').map(str::to_owned);
    let (Some(method), Some(path)) = (words.next(), words.next()) else { return Ok(None) };
    let mut length = 0;
    loop {
        let mut line = String::new();
        lines.read_line(&mut line)?;
        let Some((name, value)) = line.trim_end().split_once(": ") else { break };
        if name.eq_ignore_ascii_case("content-length") {
            length = value.parse().map_err(io::Error::other)?;
        }
    }
    let mut body = Vec::new();
    lines.take(length).read_to_end(&mut body)?;
    Ok(Some((method, path, serde_json::from_slice(&body).unwrap_or_default())))
}

/// Answers, of which the connection ends.
pub(super) fn answer(mut stream: &TcpStream, status: u16, body: &Value) -> io::Result<()> {
    let (body, kind) = (body.to_string(), "application/vnd.schemaregistry.v1+json");
    let length = body.len();
    let head = format!("HTTP/1.1 {status} S\r\nConnection: close\r\nContent-Type: {kind}\r\n");
    write!(stream, "{head}Content-Length: {length}\r\n\r\n{body}")
}
