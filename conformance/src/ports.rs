//! Free TCP ports on 127.0.0.1.
//!
//! They lie below the range from which Linux takes the local ports of outgoing connections (32768 and up). A
//! port of that range is not safe for a server that stops and starts again: a client that retries it may be
//! given the very same local port, and is then connected to itself.

use std::hash::{BuildHasher, RandomState};
use std::io;
use std::net::{Ipv4Addr, TcpListener};
use std::sync::{Mutex, PoisonError};

const FIRST: u16 = 10_000;
const COUNT: u16 = 20_000;

/// The last port handed out; each process starts at random, so that two at once seldom meet.
static LAST: Mutex<Option<u16>> = Mutex::new(None);

/// A port that nobody listens on, and that this process is not given a second time.
pub fn free() -> io::Result<u16> {
    bound().and_then(|listener| Ok(listener.local_addr()?.port()))
}

/// A listener on a port as [`free`] gives them.
pub fn bound() -> io::Result<TcpListener> {
    let mut last = LAST.lock().unwrap_or_else(PoisonError::into_inner);
    let start = last.unwrap_or_else(|| FIRST + (RandomState::new().hash_one(0) % u64::from(COUNT)) as u16);
    for step in 1..=COUNT {
        let port = FIRST + (start - FIRST + step) % COUNT;
        if let Ok(listener) = TcpListener::bind((Ipv4Addr::LOCALHOST, port)) {
            *last = Some(port);
            return Ok(listener);
        }
    }
    Err(io::Error::new(io::ErrorKind::AddrNotAvailable, "no free port on 127.0.0.1"))
}
