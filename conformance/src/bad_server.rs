//! Servers that are not Kafka brokers, though a client may be pointed at them.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};

use crate::server::Server;

/// What a bad server does with a connection, after it has seen the first bytes of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Garbage {
    /// Answers as an HTTP server does, and closes.
    Http,
    /// Answers with a TLS alert, and closes.
    TlsAlert,
    /// Answers that 2^31-1 bytes will come, and sends none.
    HugeLength,
    /// Never answers.
    Silence,
    /// Closes.
    Close,
}

impl Garbage {
    /// Every kind.
    pub const ALL: [Self; 5] = [Self::Http, Self::TlsAlert, Self::HugeLength, Self::Silence, Self::Close];

    fn bytes(self) -> &'static [u8] {
        match self {
            Self::Http => b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
            // Alert, TLS 1.2, 2 bytes: fatal, unexpected_message.
            Self::TlsAlert => &[0x15, 3, 3, 0, 2, 2, 10],
            Self::HugeLength => &[0x7f, 0xff, 0xff, 0xff],
            Self::Silence | Self::Close => &[],
        }
    }

    fn closes(self) -> bool {
        matches!(self, Self::Http | Self::TlsAlert | Self::Close)
    }
}

/// A bad server on a free port, gone when dropped.
#[derive(Debug)]
pub struct BadServer(Server);

impl BadServer {
    /// Starts one.
    pub fn start(garbage: Garbage) -> io::Result<Self> {
        Server::start(move |_, stream, _| answer(stream, garbage)).map(Self)
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.0.address()
    }
}

fn answer(mut stream: TcpStream, garbage: Garbage) -> io::Result<()> {
    let mut request = [0; 4096];
    if stream.read(&mut request)? > 0 {
        stream.write_all(garbage.bytes())?;
    }
    if !garbage.closes() {
        io::copy(&mut stream, &mut io::sink())?;
    }
    Ok(())
}
