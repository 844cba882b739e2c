//! Non-blocking connections to other daemons: wait for the announcement, send one request, wait for one reply.

use std::io::{self, Read, Write};

use host_daemon::{Cx, Interest, Token};
use mio::net::UnixStream;
use proto_ipc::{Announcement, Error, Format, decode};
use serde::de::DeserializeOwned;

/// Bytes read at once; replies are small.
const BLOCK: usize = 4096;

/// One connection.
pub struct Link {
    stream: UnixStream,
    token: Token,
    format: Format,
    input: Vec<u8>,
    output: Vec<u8>,
    announced: bool,
    ended: bool,
    wants_write: bool,
}

impl Link {
    /// Connects to `private/SERVICE`.
    ///
    /// # Errors
    /// Those of connect(2); `WouldBlock` when the listener's queue is full.
    pub fn connect(cx: &mut Cx, service: &str, format: Format) -> io::Result<Self> {
        let mut stream = UnixStream::connect(format!("private/{service}"))?;
        let token = cx.register(&mut stream, Interest::READABLE)?;
        Ok(Self {
            stream,
            token,
            format,
            input: Vec::new(),
            output: Vec::new(),
            announced: false,
            ended: false,
            wants_write: false,
        })
    }

    /// Its name in the event loop.
    #[must_use]
    pub const fn token(&self) -> Token {
        self.token
    }

    /// Reads and writes what is possible; `closed`: the event loop says that the peer has gone, so read to the end.
    /// A failed read or write ends the link, though what came before may still be a complete reply.
    pub fn progress(&mut self, cx: &mut Cx, closed: bool) {
        if self.read(closed).and_then(|()| self.write(cx)).is_err() {
            self.ended = true;
        }
    }

    /// Whether the peer has closed, or will not say more.
    #[must_use]
    pub const fn ended(&self) -> bool {
        self.ended
    }

    /// Whether the right announcement has come; `Err`: a wrong one.
    ///
    /// # Errors
    /// [`Error::Malformed`].
    pub fn announced(&mut self, protocol: &str) -> Result<bool, Error> {
        if !self.announced
            && let Some(found) = self.take::<Announcement>()?
        {
            if found.protocol != protocol {
                return Err(Error::Malformed(format!(
                    "unexpected protocol {}",
                    proto_ipc::clean(&found.protocol)
                )));
            }
            self.announced = true;
        }
        Ok(self.announced)
    }

    /// A reply has come, and another announcement may follow.
    pub const fn expect_announcement(&mut self) {
        self.announced = false;
    }

    /// The next list, if it is complete.
    ///
    /// # Errors
    /// [`Error`] for a malformed one.
    pub fn take<T: DeserializeOwned>(&mut self) -> Result<Option<T>, Error> {
        let Some((message, used)) = decode(&self.input, self.format)? else { return Ok(None) };
        self.input.drain(..used);
        Ok(Some(message))
    }

    /// Queues bytes, and writes what is possible.
    ///
    /// # Errors
    /// Those of write(2).
    pub fn send(&mut self, cx: &mut Cx, bytes: &[u8]) -> io::Result<()> {
        self.output.extend_from_slice(bytes);
        self.write(cx)
    }

    /// Ends the connection.
    pub fn close(mut self, cx: &mut Cx) {
        // Closing takes the descriptor out of the poll set as well; a failure here changes nothing.
        let _ = cx.deregister(&mut self.stream);
    }

    fn read(&mut self, closed: bool) -> io::Result<()> {
        let mut block = [0u8; BLOCK];
        loop {
            match self.stream.read(&mut block) {
                Ok(0) => {
                    self.ended = true;
                    return Ok(());
                }
                Ok(count) => {
                    self.input.extend_from_slice(block.get(..count).unwrap_or_default());
                    // A stream socket that gave less than was asked for is empty; its next bytes make a new event.
                    if count < BLOCK && !closed {
                        return Ok(());
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    fn write(&mut self, cx: &mut Cx) -> io::Result<()> {
        while !self.output.is_empty() {
            match self.stream.write(&self.output) {
                Ok(count) => {
                    self.output.drain(..count);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    if !self.wants_write {
                        self.wants_write = true;
                        cx.reregister(&mut self.stream, self.token, Interest::READABLE | Interest::WRITABLE)?;
                    }
                    return Ok(());
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}
