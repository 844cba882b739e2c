//! A buffered, blocking connection to a server, with a limit for each wait.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use proto_smtp::client::{Reply, ReplyReader};
use proto_smtp::transcript::Transcript;

/// Bytes written at once.
const OUTPUT_BLOCK: usize = 64 * 1024;
/// Bytes read at once: replies are short.
const INPUT_BLOCK: usize = 4 * 1024;
/// A reply line longer than this ends the conversation.
const LINE_LIMIT: usize = 64 * 1024;
/// Bytes that a socket buffer takes without a wait.
const SURELY_TAKEN: usize = 16 * 1024;

/// TCP, or a unix socket (LMTP).
#[derive(Debug)]
enum Socket {
    Tcp(TcpStream),
    Unix(UnixStream),
}

/// Why the conversation cannot go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Broken {
    /// Closed or reset by the server.
    Lost,
    /// Nothing happened within the limit.
    TimedOut,
}

/// The connection.
#[derive(Debug)]
pub struct Stream {
    socket: Socket,
    timeout: Duration,
    /// What the socket knows of it.
    read_timeout: Duration,
    write_timeout: Duration,
    input: Vec<u8>,
    consumed: usize,
    output: Vec<u8>,
    /// Commands and replies, where somebody wants to know.
    pub transcript: Option<Box<Transcript>>,
}

impl Stream {
    pub fn tcp(socket: TcpStream) -> Self {
        Self::new(Socket::Tcp(socket))
    }

    pub fn unix(socket: UnixStream) -> Self {
        Self::new(Socket::Unix(socket))
    }

    fn new(socket: Socket) -> Self {
        let zero = Duration::ZERO;
        Self {
            socket,
            timeout: zero,
            read_timeout: zero,
            write_timeout: zero,
            input: Vec::new(),
            consumed: 0,
            output: Vec::new(),
            transcript: None,
        }
    }

    /// Limit for each read and write from now on; the socket is told when it matters.
    pub fn set_timeout(&mut self, timeout: Duration) {
        self.timeout = timeout.max(Duration::from_secs(1));
    }

    fn limit_reads(&mut self) -> io::Result<()> {
        if self.read_timeout != self.timeout {
            match &self.socket {
                Socket::Tcp(s) => s.set_read_timeout(Some(self.timeout))?,
                Socket::Unix(s) => s.set_read_timeout(Some(self.timeout))?,
            }
            self.read_timeout = self.timeout;
        }
        Ok(())
    }

    fn limit_writes(&mut self) -> io::Result<()> {
        if self.output.len() > SURELY_TAKEN && self.write_timeout != self.timeout {
            match &self.socket {
                Socket::Tcp(s) => s.set_write_timeout(Some(self.timeout))?,
                Socket::Unix(s) => s.set_write_timeout(Some(self.timeout))?,
            }
            self.write_timeout = self.timeout;
        }
        Ok(())
    }

    /// Buffers a command line.
    pub fn command(&mut self, line: &str) {
        self.transcript.iter_mut().for_each(|transcript| transcript.sent(line.as_bytes()));
        self.output.extend_from_slice(line.as_bytes());
        self.output.extend_from_slice(b"\r\n");
    }

    /// Buffers content; written out when there is a block of it.
    pub fn content(&mut self, bytes: &[u8]) -> Result<(), Broken> {
        self.output.extend_from_slice(bytes);
        if self.output.len() >= OUTPUT_BLOCK { self.flush() } else { Ok(()) }
    }

    pub fn flush(&mut self) -> Result<(), Broken> {
        if self.output.is_empty() {
            return Ok(());
        }
        self.limit_writes().map_err(|error| broken(&error))?;
        let result = match &mut self.socket {
            Socket::Tcp(s) => s.write_all(&self.output),
            Socket::Unix(s) => s.write_all(&self.output),
        };
        self.output.clear();
        result.map_err(|error| broken(&error))
    }

    /// Bytes that wait for [`Stream::flush`].
    pub fn pending_output(&self) -> usize {
        self.output.len()
    }

    /// Flushes and reads one reply.
    pub fn reply(&mut self) -> Result<Reply, Broken> {
        self.flush()?;
        let mut reader = ReplyReader::default();
        loop {
            let pending = self.input.get(self.consumed..).unwrap_or_default();
            match pending.iter().position(|&b| b == b'\n') {
                Some(end) => {
                    let line = pending.get(..end).unwrap_or_default();
                    let line = line.strip_suffix(b"\r").unwrap_or(line);
                    self.transcript.iter_mut().for_each(|transcript| transcript.received(line));
                    let reply = reader.line(line);
                    self.consumed += end + 1;
                    if let Some(reply) = reply.map_err(|_| Broken::Lost)? {
                        return Ok(reply);
                    }
                }
                None if pending.len() > LINE_LIMIT => return Err(Broken::Lost),
                None => self.fill()?,
            }
        }
    }

    fn fill(&mut self) -> Result<(), Broken> {
        self.input.drain(..self.consumed);
        self.consumed = 0;
        self.limit_reads().map_err(|error| broken(&error))?;
        let held = self.input.len();
        self.input.resize(held + INPUT_BLOCK, 0);
        let room = self.input.get_mut(held..).unwrap_or_default();
        let result = loop {
            let result = match &mut self.socket {
                Socket::Tcp(s) => s.read(room),
                Socket::Unix(s) => s.read(room),
            };
            match result {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                other => break other,
            }
        };
        self.input.truncate(held + *result.as_ref().unwrap_or(&0));
        match result {
            Ok(0) => Err(Broken::Lost),
            Ok(_) => Ok(()),
            Err(error) => Err(broken(&error)),
        }
    }

    /// Whether the server has said something, or hung up, that nobody asked for.
    pub fn is_readable(&self) -> bool {
        use nix::sys::socket::{MsgFlags, recv};
        use std::os::fd::AsRawFd;
        let descriptor = match &self.socket {
            Socket::Tcp(s) => s.as_raw_fd(),
            Socket::Unix(s) => s.as_raw_fd(),
        };
        let peeked = recv(descriptor, &mut [0u8], MsgFlags::MSG_PEEK | MsgFlags::MSG_DONTWAIT);
        !matches!(peeked, Err(nix::errno::Errno::EAGAIN))
    }
}

fn broken(error: &io::Error) -> Broken {
    match error.kind() {
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => Broken::TimedOut,
        _ => Broken::Lost,
    }
}
