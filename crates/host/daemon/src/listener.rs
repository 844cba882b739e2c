//! The sockets from descriptor 6 on, by the type that master.cf gives them.

use std::fs::File;
use std::io;
use std::net::TcpListener;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::{UnixDatagram, UnixListener, UnixStream};

use crate::client::{Client, Session, Stream};

/// Descriptor of the first listener.
const FIRST: i32 = 6;

/// One inherited socket.
#[derive(Debug)]
pub(crate) enum Listener {
    Inet(TcpListener),
    Unix(UnixListener),
    /// Receives connected sockets over unix connections.
    Pass(UnixListener),
    Fifo(File),
    Datagram(UnixDatagram),
}

/// What came in.
#[derive(Debug)]
pub(crate) enum Accepted {
    Client(Client),
    /// The connection over which a client is going to be passed.
    Passing(UnixStream),
}

impl Listener {
    /// Takes over the inherited sockets of a service of this type.
    ///
    /// # Errors
    /// The text of the fatal record.
    pub(crate) fn inherited(transport: &str, count: usize) -> Result<Vec<Self>, String> {
        (FIRST..).take(count).map(|number| Self::new(transport, number)).collect()
    }

    fn new(transport: &str, number: i32) -> Result<Self, String> {
        let descriptor: OwnedFd = os_sys::fd::inherited(number)
            .map_err(|error| format!("listening descriptor {number}: {error}"))?;
        Ok(match transport {
            "inet" => Self::Inet(descriptor.into()),
            "unix" => Self::Unix(descriptor.into()),
            "pass" => Self::Pass(descriptor.into()),
            "fifo" => Self::Fifo(descriptor.into()),
            "unix-dgram" => Self::Datagram(descriptor.into()),
            other => return Err(format!("unsupported transport type: {other}")),
        })
    }

    /// Accepts one client; `None`: there is none (any more). The accepted stream blocks, or not.
    pub(crate) fn accept(&self, nonblocking: bool) -> Option<Accepted> {
        self.try_accept(nonblocking).unwrap_or_else(|error| {
            os_log::error!("accept connection: {error}");
            None
        })
    }

    /// As [`Self::accept`], but the caller says what is wrong.
    ///
    /// # Errors
    /// Those of accept(2) that are not the client's: a lack of descriptors or of memory.
    pub(crate) fn try_accept(&self, nonblocking: bool) -> io::Result<Option<Accepted>> {
        let result = match self {
            Self::Inet(listener) => accept_tcp(listener, nonblocking),
            Self::Unix(listener) => accept_unix(listener, nonblocking).map(|stream| {
                Accepted::Client(Client::from_stream(Stream::Unix(stream), Session::default()))
            }),
            Self::Pass(listener) => accept_unix(listener, nonblocking).map(Accepted::Passing),
            Self::Fifo(_) | Self::Datagram(_) => return Ok(None),
        };
        match result {
            Ok(accepted) => Ok(Some(accepted)),
            Err(error) if transient(&error) => Ok(None),
            Err(error) => Err(error),
        }
    }
}

/// A client that gave up, or that a sibling took.
fn transient(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionReset, Interrupted, WouldBlock};
    matches!(error.kind(), WouldBlock | Interrupted | ConnectionAborted | ConnectionReset)
}

fn accept_tcp(listener: &TcpListener, nonblocking: bool) -> io::Result<Accepted> {
    let (stream, peer) = listener.accept()?;
    stream.set_nonblocking(nonblocking)?;
    let local = stream.local_addr().ok();
    let mut client = Client::from_stream(Stream::Tcp(stream), Session::default());
    (client.peer, client.local) = (Some(peer), local);
    Ok(Accepted::Client(client))
}

fn accept_unix(listener: &UnixListener, nonblocking: bool) -> io::Result<UnixStream> {
    let (stream, _) = listener.accept()?;
    if nonblocking {
        stream.set_nonblocking(true)?;
    }
    Ok(stream)
}

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Inet(listener) => listener.as_fd(),
            Self::Unix(listener) | Self::Pass(listener) => listener.as_fd(),
            Self::Fifo(file) => file.as_fd(),
            Self::Datagram(socket) => socket.as_fd(),
        }
    }
}
