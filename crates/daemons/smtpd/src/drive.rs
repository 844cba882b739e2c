//! Moves one session along until it would block, on whatever thread this is.

use std::cell::RefCell;
use std::io::{self, Read, Write};
use std::sync::Arc;
use std::time::Instant;

use host_daemon::Stream;
use proto_smtp::server::{Note, Session, Step};

use crate::backend::Backend;

/// Bytes read at once.
const BLOCK: usize = 64 * 1024;
/// Blocks read for nothing from a client that is cut off.
const DISCARDED_BLOCKS: usize = 16;

thread_local! {
    static BUFFER: RefCell<Vec<u8>> = RefCell::new(vec![0; BLOCK]);
}

/// A session with its connection.
pub(crate) struct Conn {
    pub session: Session,
    pub backend: Backend,
    pub stream: Arc<Stream>,
    /// The client is gone; nothing can be sent.
    broken: bool,
    /// Output waits for room: the loop has to watch for it.
    pub blocked: bool,
    /// The last read emptied the socket: until the loop has news there is nothing to read.
    drained: bool,
    /// The client has sent its last byte, which only a read at the end shows.
    ending: bool,
}

/// Why the session does not go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stopped {
    /// Until there is input (or room for output), or this instant.
    Idle(Instant),
    /// Until this instant.
    Paused(Instant),
    /// Until it is on a thread that may block.
    MayBlock,
    /// Until cleanup has something to say.
    Waits,
    /// For good.
    Closed,
}

impl Conn {
    pub fn new(session: Session, backend: Backend, stream: Arc<Stream>) -> Self {
        Self { session, backend, stream, broken: false, blocked: false, drained: false, ending: false }
    }

    /// The event loop has news of the connection. `ended`: the client will not say more.
    pub fn news(&mut self, ended: bool) {
        self.drained = false;
        self.ending |= ended;
    }

    /// Input that is there already, before the first step: a client must not talk first.
    pub fn look_ahead(&mut self) {
        let _ = self.read();
    }

    /// Runs the session. `may_block`: questions that may block are answered here and now.
    pub fn run(&mut self, may_block: bool) -> Stopped {
        loop {
            let step = self.session.step(Instant::now());
            self.log();
            match step {
                Step::Ask => {
                    if !may_block && self.backend.may_block(&self.session) {
                        return Stopped::MayBlock;
                    }
                    match self.backend.answer(&mut self.session, may_block) {
                        Some(answer) => self.session.answer(answer, Instant::now()),
                        None if !may_block && self.backend.may_block(&self.session) => {
                            return Stopped::MayBlock;
                        }
                        None => return Stopped::Waits,
                    }
                }
                Step::Pause(until) => return Stopped::Paused(until),
                Step::Read(deadline) => {
                    if !self.write() || !self.broken && self.drained || !self.read() {
                        return Stopped::Idle(deadline);
                    }
                }
                Step::Close => {
                    self.write();
                    if self.session.is_cut_off() {
                        self.discard();
                    }
                    return Stopped::Closed;
                }
            }
        }
    }

    /// Takes what the client has sent already: closing over unread bytes would tear down the last reply as well.
    fn discard(&self) {
        BUFFER.with_borrow_mut(|buffer| {
            for _ in 0..DISCARDED_BLOCKS {
                if !matches!(read(&self.stream, buffer), Ok(1..)) {
                    break;
                }
            }
        });
    }

    fn log(&mut self) {
        for note in self.session.notes() {
            match note {
                Note::Info(text) => os_log::info!("{text}"),
                Note::Warning(text) => os_log::warning!("{text}"),
            }
        }
    }

    /// Nothing was heard in time.
    pub fn timed_out(&mut self) {
        self.session.timed_out(Instant::now());
        self.log();
        self.write();
    }

    /// The connection is closed: last words.
    pub fn farewell(&mut self) {
        self.backend.disconnected(&self.session);
        crate::notice::send(&self.backend.services, &mut self.session);
        os_log::info!("{}", self.session.farewell());
    }

    /// Sends what can be sent; `false` while something is left.
    fn write(&mut self) -> bool {
        let output = self.session.output();
        while !output.is_empty() {
            if self.broken {
                output.clear();
                break;
            }
            match write(&self.stream, output) {
                Ok(0) => self.broken = true,
                Ok(count) => {
                    output.drain(..count);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.blocked = true;
                    return false;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => self.broken = true,
            }
        }
        *output = Vec::new();
        true
    }

    /// Reads once; `false` when there is nothing yet.
    fn read(&mut self) -> bool {
        if self.broken {
            self.session.ended();
            return true;
        }
        BUFFER.with_borrow_mut(|buffer| {
            loop {
                match read(&self.stream, buffer) {
                    Ok(0) => self.session.ended(),
                    Ok(count) => {
                        self.drained = count < buffer.len() && !self.ending;
                        self.session.received(buffer.get(..count).unwrap_or_default(), Instant::now())
                    }
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                        self.drained = true;
                        return false;
                    }
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                    Err(_) => {
                        self.broken = true;
                        self.session.ended();
                    }
                }
                return true;
            }
        })
    }
}

fn read(stream: &Stream, buffer: &mut [u8]) -> io::Result<usize> {
    match stream {
        Stream::Unix(stream) => (&*stream).read(buffer),
        Stream::Tcp(stream) => (&*stream).read(buffer),
    }
}

fn write(stream: &Stream, bytes: &[u8]) -> io::Result<usize> {
    match stream {
        Stream::Unix(stream) => (&*stream).write(bytes),
        Stream::Tcp(stream) => (&*stream).write(bytes),
    }
}
