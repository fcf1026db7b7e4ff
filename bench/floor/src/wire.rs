//! Requests and responses of versions without tagged fields, over one blocking connection.

use std::io::{self, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::version::TLS13;
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

const CUT_OFF: &str = "an answer that is cut off";

pub(crate) struct Connection {
    stream: Box<dyn Stream>,
    /// As large as the largest answer, of which the last is in front.
    buffer: Vec<u8>,
    correlation_id: i32,
}

impl Connection {
    /// By TLS 1.3, if an authority is given.
    pub(crate) fn open(address: &str, authority: Option<&Path>) -> Result<Self> {
        let stream = TcpStream::connect(address).with_context(|| address.to_owned())?;
        stream.set_nodelay(true)?;
        let stream: Box<dyn Stream> = match authority {
            Some(file) => Box::new(secure(stream, address, file)?),
            None => Box::new(stream),
        };
        Ok(Self { stream, buffer: Vec::new(), correlation_id: 0 })
    }

    /// Asks, and waits for the answer.
    pub(crate) fn ask(&mut self, api_key: i16, version: i16, question: &Question) -> Result<Answer<'_>> {
        self.correlation_id += 1;
        let mut request = Question::default();
        request.i16(api_key).i16(version).i32(self.correlation_id).string("floor");
        request.0.extend_from_slice(&question.0);
        let length = request.0.len() as i32;
        self.stream.write_all(&[&length.to_be_bytes(), request.0.as_slice()].concat())?;
        let mut length = [0; 4];
        self.stream.read_exact(&mut length)?;
        let length = u32::from_be_bytes(length) as usize;
        if self.buffer.len() < length {
            self.buffer.resize(length, 0);
        }
        let frame = self.buffer.get_mut(..length).unwrap_or_default();
        self.stream.read_exact(frame)?;
        let mut answer = Answer(frame);
        ensure!(answer.i32()? == self.correlation_id, "an answer to something else");
        Ok(answer)
    }
}

trait Stream: Read + Write {}

impl<T: Read + Write> Stream for T {}

/// rustls by itself reads some 4 KiB at once, and each question of the kernel costs more than to copy what came.
struct ReadAhead(BufReader<TcpStream>);

const READ_AHEAD: usize = 64 << 10;

impl Read for ReadAhead {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read(buffer)
    }
}

impl Write for ReadAhead {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.get_mut().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.get_mut().flush()
    }
}

fn secure(
    stream: TcpStream,
    address: &str,
    authority: &Path,
) -> Result<StreamOwned<ClientConnection, ReadAhead>> {
    let (host, _port) = address.rsplit_once(':').context("an address without a port")?;
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(authority)? {
        roots.add(certificate?)?;
    }
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_protocol_versions(&[&TLS13])?
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = ServerName::try_from(host.to_owned())?;
    let stream = ReadAhead(BufReader::with_capacity(READ_AHEAD, stream));
    Ok(StreamOwned::new(ClientConnection::new(Arc::new(config), name)?, stream))
}

/// The body of a request.
#[derive(Default)]
pub(crate) struct Question(Vec<u8>);

impl Question {
    fn put(&mut self, bytes: &[u8]) -> &mut Self {
        self.0.extend_from_slice(bytes);
        self
    }

    pub(crate) fn i8(&mut self, value: i8) -> &mut Self {
        self.put(&value.to_be_bytes())
    }

    pub(crate) fn i16(&mut self, value: i16) -> &mut Self {
        self.put(&value.to_be_bytes())
    }

    pub(crate) fn i32(&mut self, value: i32) -> &mut Self {
        self.put(&value.to_be_bytes())
    }

    pub(crate) fn i64(&mut self, value: i64) -> &mut Self {
        self.put(&value.to_be_bytes())
    }

    pub(crate) fn string(&mut self, text: &str) -> &mut Self {
        self.i16(text.len() as i16).put(text.as_bytes())
    }
}

/// What is left of a response.
pub(crate) struct Answer<'a>(&'a [u8]);

impl<'a> Answer<'a> {
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    fn take(&mut self, size: usize) -> Result<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(size).context(CUT_OFF)?;
        self.0 = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N]> {
        Ok(self.take(N)?.try_into()?)
    }

    pub(crate) fn skip(&mut self, size: usize) -> Result<()> {
        self.take(size).map(|_| ())
    }

    pub(crate) fn i8(&mut self) -> Result<i8> {
        Ok(i8::from_be_bytes(self.array()?))
    }

    pub(crate) fn i16(&mut self) -> Result<i16> {
        Ok(i16::from_be_bytes(self.array()?))
    }

    pub(crate) fn i32(&mut self) -> Result<i32> {
        Ok(i32::from_be_bytes(self.array()?))
    }

    /// Of an array's elements; a null array has none.
    pub(crate) fn count(&mut self) -> Result<usize> {
        Ok(usize::try_from(self.i32()?).unwrap_or_default())
    }

    /// Null is empty.
    pub(crate) fn bytes(&mut self) -> Result<&'a [u8]> {
        let size = self.count()?;
        self.take(size)
    }

    /// Null is empty.
    pub(crate) fn string(&mut self) -> Result<&'a str> {
        let size = usize::try_from(self.i16()?).unwrap_or_default();
        Ok(std::str::from_utf8(self.take(size)?)?)
    }
}
