//! Standard input as records, or a signal that ends the submission.

use std::io::{self, Read};
use std::os::fd::{AsFd, OwnedFd};

use mail_record::{Kind, Malformed, Parsed};
use nix::libc::{SIGHUP, SIGINT, SIGQUIT, SIGTERM};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

/// Bytes read at once.
const BLOCK: usize = 64 * 1024;

/// What comes next.
#[derive(Debug)]
pub(crate) enum Event {
    /// A record.
    Record(Kind, Vec<u8>),
    /// The client closed: it cancels.
    EndOfFile,
    /// Somebody wants this program to end.
    Signal,
    /// The bytes are no records.
    Malformed(Malformed),
}

/// The record stream.
#[derive(Debug)]
pub(crate) struct Input {
    signals: OwnedFd,
    buffer: Vec<u8>,
    consumed: usize,
}

impl Input {
    /// From now on signals do not kill, they end the stream.
    pub(crate) fn new() -> io::Result<Self> {
        os_sys::signal::ignore_sigpipe();
        let signals = os_sys::signal::as_descriptor(&[SIGHUP, SIGINT, SIGQUIT, SIGTERM])?;
        Ok(Self { signals, buffer: Vec::new(), consumed: 0 })
    }

    /// The next event.
    pub(crate) fn next_record(&mut self) -> Event {
        loop {
            match mail_record::parse(self.buffer.get(self.consumed..).unwrap_or_default()) {
                Ok(Parsed::Record(kind, data, used)) => {
                    let data = data.to_vec();
                    self.consumed += used;
                    return Event::Record(kind, data);
                }
                Ok(Parsed::Incomplete) => {}
                Err(error) => return Event::Malformed(error),
            }
            match self.fill() {
                Ok(Some(true)) => {}
                Ok(Some(false)) => return Event::EndOfFile,
                Ok(None) => return Event::Signal,
                Err(error) => {
                    os_log::warning!("error reading input: {error}");
                    return Event::EndOfFile;
                }
            }
        }
    }

    /// Reads more: `false` at end of file, `None` when a signal came.
    fn fill(&mut self) -> io::Result<Option<bool>> {
        self.buffer.drain(..self.consumed);
        self.consumed = 0;
        let mut stdin = io::stdin().lock();
        loop {
            let mut waiting = [
                PollFd::new(stdin.as_fd(), PollFlags::POLLIN),
                PollFd::new(self.signals.as_fd(), PollFlags::POLLIN),
            ];
            match poll(&mut waiting, PollTimeout::NONE) {
                Err(nix::errno::Errno::EINTR) => continue,
                Err(error) => return Err(error.into()),
                Ok(_) => {}
            }
            let [input, signals] = waiting;
            if signals.any().unwrap_or(false) {
                return Ok(None);
            }
            if input.any().unwrap_or(false) {
                break;
            }
        }
        let held = self.buffer.len();
        self.buffer.resize(held + BLOCK, 0);
        let room = self.buffer.get_mut(held..).unwrap_or_default();
        let result = stdin.read(room);
        self.buffer.truncate(held + *result.as_ref().unwrap_or(&0));
        Ok(Some(result? > 0))
    }
}
