//! Connections that the event loop reads itself: triggers, and sockets over which clients are passed.

use std::collections::HashMap;
use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::time::Instant;

use mio::{Interest, Token};
use proto_ipc::trigger::KEEP;

use crate::EventService;
use crate::client::{PASS_LIMIT, Passing};
use crate::event::{FIRST_PENDING, FIRST_SERVICE_TOKEN, Loop};
use crate::trigger::{REQUEST_LIMIT, REQUEST_SIZE};

/// Trigger connections that are kept at most; others are closed after their request, and come again.
const KEPT_LIMIT: usize = 256;
/// Bytes read at once from a kept connection.
const KEPT_BLOCK: usize = 4096;
/// Longest word.
const WORD_LIMIT: usize = 256;

enum Pending {
    /// Has not sent its request yet.
    Trigger(mio::net::UnixStream),
    /// A trigger that stays connected (`proto_ipc::trigger::Bell`), and the beginning of its next word.
    Kept(mio::net::UnixStream, Vec<u8>),
    /// A client is passed over it.
    Passing(Passing),
}

/// All of them, each with the time when it must have spoken.
pub(crate) struct PendingClients {
    clients: HashMap<usize, (Pending, Option<Instant>)>,
    next: usize,
    kept: usize,
}

impl PendingClients {
    pub(crate) fn new() -> Self {
        Self { clients: HashMap::new(), next: FIRST_PENDING, kept: 0 }
    }

    /// The earliest of the times.
    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        if self.clients.len() == self.kept {
            return None;
        }
        self.clients.values().filter_map(|(_, deadline)| *deadline).min()
    }

    /// Drops clients that have not spoken in time.
    pub(crate) fn drop_slow(&mut self, now: Instant) {
        if self.clients.len() > self.kept {
            self.clients.retain(|_, (_, deadline)| deadline.is_none_or(|deadline| deadline > now));
        }
    }

    fn number(&mut self) -> usize {
        let number = self.next;
        self.next = if number + 1 < FIRST_SERVICE_TOKEN { number + 1 } else { FIRST_PENDING };
        number
    }
}

impl Loop {
    pub(crate) fn add_pending(&mut self, service: &mut impl EventService, stream: UnixStream, passing: bool) {
        let (mut pending, limit) = if passing {
            (Pending::Passing(Passing::new(stream)), PASS_LIMIT)
        } else {
            (Pending::Trigger(mio::net::UnixStream::from_std(stream)), REQUEST_LIMIT)
        };
        let number = self.pending.number();
        let source = match &mut pending {
            Pending::Trigger(stream) | Pending::Kept(stream, _) => stream,
            Pending::Passing(passing) => &mut passing.stream,
        };
        if let Err(error) = self.poll.registry().register(source, Token(number), Interest::READABLE) {
            return os_log::error!("accept connection: {}", os_sys::error_text(&error));
        }
        self.pending.clients.insert(number, (pending, Some(self.cx.now + limit)));
        self.advance_pending(service, number, false);
    }

    /// Reads what has come; `ended`: the client will not send more than that.
    pub(crate) fn advance_pending(&mut self, service: &mut impl EventService, number: usize, ended: bool) {
        let Some((pending, deadline)) = self.pending.clients.remove(&number) else { return };
        let waits = match pending {
            Pending::Trigger(stream) => self.read_trigger(service, stream),
            Pending::Kept(stream, begun) => self.read_words(service, stream, begun, ended),
            Pending::Passing(passing) => self.take_passed(service, passing),
        };
        let Some(pending) = waits else { return };
        let deadline = if matches!(pending, Pending::Kept(..)) { None } else { deadline };
        self.pending.clients.insert(number, (pending, deadline));
    }

    /// The request of a trigger; the connection, if it stays.
    fn read_trigger(
        &mut self,
        service: &mut impl EventService,
        mut stream: mio::net::UnixStream,
    ) -> Option<Pending> {
        let mut request = [0u8; REQUEST_SIZE];
        let length = match stream.read(&mut request) {
            Ok(length) => length,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Some(Pending::Trigger(stream)),
            Err(_) => 0,
        };
        let request = request.get(..length).filter(|request| !request.is_empty())?;
        let keeps = request.contains(&KEEP)
            && self.pending.kept < KEPT_LIMIT
            && matches!(stream.write(&[KEEP]), Ok(1));
        let kept = keeps.then(|| {
            self.pending.kept += 1;
            Pending::Kept(stream, Vec::new())
        });
        self.ring(service, request);
        kept
    }

    /// The words that have come; the connection, unless its client is gone.
    fn read_words(
        &mut self,
        service: &mut impl EventService,
        mut stream: mio::net::UnixStream,
        mut begun: Vec<u8>,
        ended: bool,
    ) -> Option<Pending> {
        let mut block = [0u8; KEPT_BLOCK];
        loop {
            let length = match stream.read(&mut block) {
                Ok(length @ 1..) => length,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Ok(_) | Err(_) => {
                    self.pending.kept = self.pending.kept.saturating_sub(1);
                    return None;
                }
            };
            begun.extend_from_slice(block.get(..length).unwrap_or_default());
            let complete = begun.iter().rposition(|byte| *byte == 0).map_or(0, |end| end + 1);
            let words: Vec<u8> = begun.drain(..complete).collect();
            for word in words.split(|byte| *byte == 0).filter(|word| !word.is_empty()) {
                self.hear(service, word);
            }
            if begun.len() > WORD_LIMIT {
                os_log::warning!("trigger connection: a word is too long");
                self.pending.kept = self.pending.kept.saturating_sub(1);
                return None;
            }
            // A stream socket that gave less than was asked for is empty; its next bytes make a new event.
            if length < KEPT_BLOCK && !ended {
                break;
            }
        }
        Some(Pending::Kept(stream, begun))
    }

    fn take_passed(&mut self, service: &mut impl EventService, mut passing: Passing) -> Option<Pending> {
        match passing.advance() {
            Ok(Some(client)) => {
                drop(passing);
                self.connect(service, client);
                None
            }
            Ok(None) => Some(Pending::Passing(passing)),
            Err(error) => {
                os_log::warning!("receive passed connection: {}", os_sys::error_text(&error));
                None
            }
        }
    }
}
