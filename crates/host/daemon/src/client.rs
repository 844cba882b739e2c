//! A client that was accepted.

use std::io;
use std::net::{SocketAddr, TcpStream};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;

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

/// Tells the loop when a persistent client has a request in work (pool loops only).
#[derive(Debug)]
pub struct Session(());

impl Session {
    /// Waits until `stream` can be read (a request, or its end). `false`: leave the client now, because the daemon ends.
    /// From `true` until the next call the daemon does not end. Call it only when no input is buffered.
    ///
    /// # Errors
    /// Those of poll(2).
    pub fn wait_for_request(&mut self, _stream: &impl AsFd) -> io::Result<bool> {
        todo!("os")
    }
}
