//! A blocking, buffered connection: attribute lists and records on one stream, and descriptors beside it.

use std::io::{self, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use mail_record::{Kind, Parsed, Record};
use serde::{Serialize, de::DeserializeOwned};

use crate::{Announcement, Error, Format, LIST_LIMIT, decode, encode_into};

/// Bytes read at once, and written at once.
const BLOCK: usize = 64 * 1024;
/// First read of a fresh connection: most dialogues are small. A read that gets all it asked for makes the next one ask for
/// four times as much.
const FIRST_BLOCK: usize = 4 * 1024;
/// Bytes that the buffer of a unix socket takes at once.
const SURELY_TAKEN: usize = 16 * 1024;

/// One end of an internal dialogue.
#[derive(Debug)]
pub struct Connection {
    stream: UnixStream,
    format: Format,
    input: Vec<u8>,
    consumed: usize,
    /// Bytes that the next read asks for.
    block: usize,
    output: Vec<u8>,
    timeout: Option<Duration>,
    write_timeout_set: bool,
    /// Bytes written since something was read.
    unanswered: usize,
}

impl Connection {
    /// Wraps an accepted or connected blocking stream.
    #[must_use]
    pub fn from_stream(stream: UnixStream, format: Format) -> Self {
        Self {
            stream,
            format,
            input: Vec::new(),
            consumed: 0,
            block: FIRST_BLOCK,
            output: Vec::new(),
            timeout: None,
            write_timeout_set: false,
            unanswered: 0,
        }
    }

    /// Connects to a service socket; `timeout` is the limit for each later read and write.
    ///
    /// # Errors
    /// Those of connect(2).
    pub fn connect(path: &Path, format: Format, timeout: Duration) -> Result<Self, Error> {
        let mut connection = Self::from_stream(UnixStream::connect(path)?, format);
        connection.set_timeout(timeout)?;
        Ok(connection)
    }

    /// Limit for each read and each write.
    ///
    /// # Errors
    /// Those of setsockopt(2).
    pub fn set_timeout(&mut self, timeout: Duration) -> io::Result<()> {
        let timeout = timeout.max(Duration::from_millis(1));
        self.timeout = Some(timeout);
        self.write_timeout_set = false;
        self.stream.set_read_timeout(Some(timeout))
    }

    /// Whether received bytes wait to be looked at.
    #[must_use]
    pub fn has_input(&self) -> bool {
        self.consumed < self.input.len()
    }

    /// Encoding and dialect in use.
    #[must_use]
    pub const fn format(&self) -> Format {
        self.format
    }

    /// The socket.
    #[must_use]
    pub const fn stream(&self) -> &UnixStream {
        &self.stream
    }

    /// Server: writes `protocol=NAME` (buffered).
    ///
    /// # Errors
    /// As [`Self::send`].
    pub fn announce(&mut self, protocol: &str) -> Result<(), Error> {
        self.send(&Announcement { protocol: protocol.to_owned() })
    }

    /// Client: reads and checks the announcement.
    ///
    /// # Errors
    /// [`Error::Malformed`] for another protocol.
    pub fn expect_announcement(&mut self, protocol: &str) -> Result<(), Error> {
        let found: Announcement = self.receive()?;
        if found.protocol == protocol {
            Ok(())
        } else {
            Err(Error::Malformed(format!("protocol {} instead of {protocol}", crate::clean(&found.protocol))))
        }
    }

    /// Adds a list to the output buffer.
    ///
    /// # Errors
    /// As [`encode_into`], or those of a write when the buffer is full.
    pub fn send<T: Serialize>(&mut self, message: &T) -> Result<(), Error> {
        encode_into(&mut self.output, message, self.format)?;
        self.spill()
    }

    /// Adds a record to the output buffer.
    ///
    /// # Errors
    /// Those of a write when the buffer is full.
    pub fn put_record(&mut self, kind: Kind, data: &[u8]) -> Result<(), Error> {
        mail_record::put(&mut self.output, kind, data);
        self.spill()
    }

    /// Adds bytes that are already records or lists.
    ///
    /// # Errors
    /// Those of a write when the buffer is full.
    pub fn put_encoded(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.output.extend_from_slice(bytes);
        self.spill()
    }

    /// As [`Self::put_encoded`] for a stream that does not block: keeps all of it for [`Self::try_flush`].
    pub fn buffer(&mut self, bytes: &[u8]) {
        if self.output.is_empty() {
            self.output = bytes.to_vec();
        } else {
            self.output.extend_from_slice(bytes);
        }
    }

    fn spill(&mut self) -> Result<(), Error> {
        if self.output.len() >= BLOCK { self.flush() } else { Ok(()) }
    }

    /// Writes out what is buffered.
    ///
    /// # Errors
    /// Those of write(2).
    pub fn flush(&mut self) -> Result<(), Error> {
        // What a fresh socket buffer surely takes is written without a wait; only more than that needs the limit.
        self.unanswered += self.output.len();
        if self.unanswered > SURELY_TAKEN && !self.write_timeout_set {
            self.stream.set_write_timeout(self.timeout)?;
            self.write_timeout_set = true;
        }
        if !self.output.is_empty() {
            let result = self.stream.write_all(&self.output);
            self.output.clear();
            result?;
        }
        Ok(())
    }

    /// Flushes, then reads one list.
    ///
    /// # Errors
    /// [`Error::Closed`] at end of file before its first byte.
    pub fn receive<T: DeserializeOwned>(&mut self) -> Result<T, Error> {
        self.receive_with(decode)
    }

    /// As [`Self::receive`], with a decoder of the caller's: for services with several kinds of requests.
    ///
    /// # Errors
    /// As [`Self::receive`].
    pub fn receive_with<T>(
        &mut self,
        decode: impl Fn(&[u8], Format) -> Result<Option<(T, usize)>, Error>,
    ) -> Result<T, Error> {
        self.flush()?;
        loop {
            let pending = self.input.get(self.consumed..).unwrap_or_default();
            if let Some((message, used)) = decode(pending, self.format)? {
                self.consumed += used;
                return Ok(message);
            }
            let empty = pending.is_empty();
            if !self.fill(LIST_LIMIT)? {
                return Err(if empty {
                    Error::Closed
                } else {
                    Error::Io(io::ErrorKind::UnexpectedEof.into())
                });
            }
        }
    }

    /// For a stream that does not block: writes what can be written; `false` while something is left.
    ///
    /// # Errors
    /// Those of write(2).
    pub fn try_flush(&mut self) -> Result<bool, Error> {
        let mut written = 0;
        let result = loop {
            let rest = self.output.get(written..).unwrap_or_default();
            if rest.is_empty() {
                break Ok(true);
            }
            match self.stream.write(rest) {
                Ok(count) => written += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break Ok(false),
                Err(error) => break Err(error.into()),
            }
        };
        self.output.drain(..written);
        result
    }

    /// For a stream that does not block: writes and reads what is possible; the list, if it is complete.
    ///
    /// # Errors
    /// As [`Self::receive`].
    pub fn try_receive<T: DeserializeOwned>(&mut self) -> Result<Option<T>, Error> {
        self.try_flush()?;
        loop {
            let pending = self.input.get(self.consumed..).unwrap_or_default();
            if let Some((message, used)) = decode(pending, self.format)? {
                self.consumed += used;
                return Ok(Some(message));
            }
            let empty = pending.is_empty();
            match self.fill(LIST_LIMIT) {
                Ok(true) => {}
                Ok(false) if empty => return Err(Error::Closed),
                Ok(false) => return Err(Error::Io(io::ErrorKind::UnexpectedEof.into())),
                Err(Error::Io(error)) if error.kind() == io::ErrorKind::WouldBlock => return Ok(None),
                Err(error) => return Err(error),
            }
        }
    }

    /// Flushes, then reads one record; `None` at end of file between records.
    ///
    /// # Errors
    /// [`Error::Malformed`] for bytes that are no record, `UnexpectedEof` inside one.
    pub fn read_record(&mut self) -> Result<Option<Record>, Error> {
        self.flush()?;
        loop {
            let pending = self.input.get(self.consumed..).unwrap_or_default();
            match mail_record::parse(pending).map_err(|e| Error::Malformed(e.to_string()))? {
                Parsed::Record(kind, data, used) => {
                    let record = Record { kind, data: data.to_vec() };
                    self.consumed += used;
                    return Ok(Some(record));
                }
                Parsed::Incomplete => {
                    let empty = pending.is_empty();
                    if !self.fill(mail_record::PAYLOAD_LIMIT + 8)? {
                        return if empty {
                            Ok(None)
                        } else {
                            Err(Error::Io(io::ErrorKind::UnexpectedEof.into()))
                        };
                    }
                }
            }
        }
    }

    /// Flushes, then hands each record that arrives to `sink`, without copying, until `sink` says stop (`false`) or
    /// end of file. Gives `true` when `sink` stopped it.
    ///
    /// # Errors
    /// As [`Self::read_record`].
    pub fn each_record(&mut self, sink: &mut dyn FnMut(Kind, &[u8]) -> bool) -> Result<bool, Error> {
        self.flush()?;
        loop {
            let pending = self.input.get(self.consumed..).unwrap_or_default();
            match mail_record::parse(pending).map_err(|e| Error::Malformed(e.to_string()))? {
                Parsed::Record(kind, data, used) => {
                    let more = sink(kind, data);
                    self.consumed += used;
                    if !more {
                        return Ok(true);
                    }
                }
                Parsed::Incomplete => {
                    let empty = pending.is_empty();
                    if !self.fill(mail_record::PAYLOAD_LIMIT + 8)? {
                        return if empty {
                            Ok(false)
                        } else {
                            Err(Error::Io(io::ErrorKind::UnexpectedEof.into()))
                        };
                    }
                }
            }
        }
    }

    /// Reads more; `false` at end of file.
    fn fill(&mut self, limit: usize) -> Result<bool, Error> {
        if self.consumed > 0 {
            self.input.drain(..self.consumed);
            self.consumed = 0;
        }
        let held = self.input.len();
        self.unanswered = 0;
        if held > limit {
            return Err(Error::TooLarge);
        }
        let block = self.block;
        self.input.resize(held + block, 0);
        let room = self.input.get_mut(held..).unwrap_or_default();
        let result = loop {
            match self.stream.read(room) {
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                other => break other,
            }
        };
        self.input.truncate(held + *result.as_ref().unwrap_or(&0));
        let count = result?;
        if count == block {
            self.block = (block * 4).min(BLOCK);
        }
        Ok(count > 0)
    }

    /// Sends one descriptor (after flushing).
    ///
    /// # Errors
    /// Those of sendmsg(2).
    pub fn send_fd(&mut self, descriptor: impl AsFd) -> Result<(), Error> {
        self.flush()?;
        Ok(os_sys::fd::send(self.stream.as_fd(), descriptor.as_fd())?)
    }

    /// Receives one descriptor (after flushing).
    ///
    /// # Errors
    /// Those of recvmsg(2).
    pub fn receive_fd(&mut self) -> Result<OwnedFd, Error> {
        self.flush()?;
        Ok(os_sys::fd::receive(self.stream.as_fd())?)
    }

    /// Flushes and waits until the peer closes, ignoring what it still sends: how a delivery agent ends its dialogue.
    ///
    /// # Errors
    /// Those of the socket.
    pub fn wait_for_close(&mut self) -> Result<(), Error> {
        self.flush()?;
        self.input.clear();
        self.consumed = 0;
        while self.fill(LIST_LIMIT)? {
            self.input.clear();
        }
        Ok(())
    }
}
