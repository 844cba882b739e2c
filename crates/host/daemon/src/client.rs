//! A client that was accepted.

use std::io::{self, Read};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use crate::watchdog::{Watchdog, Watched};

/// How long a passed connection may take to arrive.
pub(crate) const PASS_LIMIT: Duration = Duration::from_secs(100);
/// Longest list of attributes of a passed connection, in bytes.
const ATTRIBUTE_LIMIT: usize = 4096;

/// The connection. Non-blocking in event loops, blocking elsewhere; close-on-exec.
#[derive(Debug)]
pub enum Stream {
    /// From a `unix` service; also the client of a stand-alone program (`-S`), behind which standard input and output
    /// are copied.
    Unix(UnixStream),
    /// From an `inet` or `pass` service.
    Tcp(TcpStream),
}

impl AsFd for Stream {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Unix(stream) => stream.as_fd(),
            Self::Tcp(stream) => stream.as_fd(),
        }
    }
}

/// What came with a connection that was passed (`pass` services).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PassAttributes {
    /// name, value in the order sent: client_address, client_port, server_address, server_port.
    pub pairs: Vec<(String, String)>,
}

impl PassAttributes {
    /// The value of an attribute.
    #[must_use]
    pub fn value(&self, name: &str) -> Option<&str> {
        self.pairs.iter().find(|(found, _)| found == name).map(|(_, value)| value.as_str())
    }

    /// Reads `name NUL value NUL … NUL`; `None`: not complete yet.
    pub(crate) fn parse(bytes: &[u8]) -> Option<Self> {
        let mut found = Self::default();
        let mut words = bytes.split_inclusive(|byte| *byte == 0);
        loop {
            let name = words.next()?.strip_suffix(b"\0")?;
            if name.is_empty() {
                return Some(found);
            }
            let value = words.next()?.strip_suffix(b"\0")?;
            let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
            found.pairs.push((text(name), text(value)));
        }
    }
}

/// One client.
#[derive(Debug)]
pub struct Client {
    /// The connection.
    pub stream: Stream,
    /// Remote end; `None` for unix sockets.
    pub peer: Option<SocketAddr>,
    /// Own end; `None` for unix sockets.
    pub local: Option<SocketAddr>,
    /// Attributes of a passed connection, when any came.
    pub passed: Option<PassAttributes>,
    /// For blocking services with persistent clients.
    pub session: Session,
}

impl Client {
    pub(crate) fn from_stream(stream: Stream, session: Session) -> Self {
        Self { stream, peer: None, local: None, passed: None, session }
    }

    /// A client that was passed.
    pub(crate) fn from_passed(descriptor: OwnedFd, passed: Option<PassAttributes>) -> Self {
        let stream = TcpStream::from(descriptor);
        let (peer, local) = (stream.peer_addr().ok(), stream.local_addr().ok());
        Self { stream: Stream::Tcp(stream), peer, local, passed, session: Session::default() }
    }

    /// Receives a client over `passing`, blocking.
    ///
    /// # Errors
    /// Time limit, end of file, no descriptor.
    pub(crate) fn receive(mut passing: UnixStream) -> io::Result<Self> {
        passing.set_read_timeout(Some(PASS_LIMIT))?;
        let descriptor = os_sys::fd::receive(passing.as_fd())?;
        let mut bytes = Vec::new();
        let started = Instant::now();
        loop {
            if let Some(attributes) = PassAttributes::parse(&bytes) {
                return Ok(Self::from_passed(descriptor, Some(attributes)));
            }
            let mut chunk = [0u8; 512];
            let length = passing.read(&mut chunk)?;
            if length == 0 {
                return Ok(Self::from_passed(descriptor, None));
            }
            bytes.extend_from_slice(chunk.get(..length).unwrap_or_default());
            if bytes.len() > ATTRIBUTE_LIMIT || started.elapsed() > PASS_LIMIT {
                return Err(io::ErrorKind::InvalidData.into());
            }
        }
    }
}

/// A client on its way through a pass connection, for the event loop.
#[derive(Debug)]
pub(crate) struct Passing {
    pub(crate) stream: mio::net::UnixStream,
    descriptor: Option<OwnedFd>,
    bytes: Vec<u8>,
}

impl Passing {
    pub(crate) fn new(stream: UnixStream) -> Self {
        Self { stream: mio::net::UnixStream::from_std(stream), descriptor: None, bytes: Vec::new() }
    }

    /// Reads what is there; `None`: more must come.
    ///
    /// # Errors
    /// The connection is of no use.
    pub(crate) fn advance(&mut self) -> io::Result<Option<Client>> {
        if self.descriptor.is_none() {
            match os_sys::fd::receive(self.stream.as_fd()) {
                Ok(descriptor) => self.descriptor = Some(descriptor),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(None),
                Err(error) => return Err(error),
            }
        }
        loop {
            let mut chunk = [0u8; 512];
            let attributes = match self.stream.read(&mut chunk) {
                Ok(0) => None,
                Ok(length) => {
                    self.bytes.extend_from_slice(chunk.get(..length).unwrap_or_default());
                    match PassAttributes::parse(&self.bytes) {
                        Some(attributes) => Some(attributes),
                        None if self.bytes.len() > ATTRIBUTE_LIMIT => {
                            return Err(io::ErrorKind::InvalidData.into());
                        }
                        None => continue,
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(None),
                Err(error) => return Err(error),
            };
            return match self.descriptor.take() {
                Some(descriptor) => {
                    let client = Client::from_passed(descriptor, attributes);
                    if let Stream::Tcp(stream) = &client.stream {
                        stream.set_nonblocking(true)?;
                    }
                    Ok(Some(client))
                }
                None => Err(io::ErrorKind::UnexpectedEof.into()),
            };
        }
    }
}

/// Tells the loop when a persistent client has a request in work (pool loops only).
#[derive(Debug, Default)]
pub struct Session {
    pub(crate) hooks: Option<Hooks>,
    watched: Option<Watched>,
}

/// What a session shares with its pool.
#[derive(Clone, Debug)]
pub(crate) struct Hooks {
    /// Becomes readable when the daemon ends.
    pub(crate) ending: Arc<OwnedFd>,
    pub(crate) watchdog: Watchdog,
    /// Longest wait for a request; `None`: no limit.
    pub(crate) limit: Option<Duration>,
}

impl Session {
    pub(crate) fn with_hooks(hooks: Hooks) -> Self {
        Self { hooks: Some(hooks), watched: None }
    }

    /// Waits until `stream` can be read (a request, or its end). `false`: leave the client now, because the daemon ends.
    /// From `true` until the next call the daemon does not end. Call it only when no input is buffered.
    ///
    /// # Errors
    /// Those of poll(2).
    pub fn wait_for_request(&mut self, stream: &impl AsFd) -> io::Result<bool> {
        self.watched = None;
        let Some(hooks) = self.hooks.clone() else { return Ok(true) };
        let mut watched = [
            PollFd::new(stream.as_fd(), PollFlags::POLLIN),
            PollFd::new(hooks.ending.as_fd(), PollFlags::POLLIN),
        ];
        let timeout = hooks
            .limit
            .map_or(PollTimeout::NONE, |limit| PollTimeout::try_from(limit).unwrap_or(PollTimeout::MAX));
        loop {
            match poll(&mut watched, timeout) {
                Ok(0) => return Ok(false),
                Ok(_) => break,
                Err(nix::errno::Errno::EINTR) => {}
                Err(errno) => return Err(errno.into()),
            }
        }
        // A request that is there already is served even at the end.
        let [requests, _] = &watched;
        let readable = requests.any().unwrap_or(false);
        if readable {
            self.watched = Some(hooks.watchdog.watch());
        }
        Ok(readable)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    #[test]
    fn passed_attributes_are_read_when_complete() {
        let bytes = b"client_address\x00127.0.0.1\0client_port\x0025\0\0";
        let found = PassAttributes::parse(bytes).unwrap();
        assert_eq!(found.value("client_address"), Some("127.0.0.1"));
        assert_eq!(found.value("client_port"), Some("25"));
        for length in 0..bytes.len() {
            assert_eq!(PassAttributes::parse(&bytes[..length]), None);
        }
    }

    #[test]
    fn a_client_is_received_with_its_attributes() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let far = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let near = listener.accept().unwrap().0;
        let (mut a, b) = UnixStream::pair().unwrap();
        os_sys::fd::send(a.as_fd(), near.as_fd()).unwrap();
        a.write_all(b"client_address\x001.2.3.4\0\0").unwrap();
        let client = Client::receive(b).unwrap();
        assert_eq!(client.peer, Some(far.local_addr().unwrap()));
        assert_eq!(client.passed.unwrap().value("client_address"), Some("1.2.3.4"));
    }
}
