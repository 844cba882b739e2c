//! The wire side: one request a connection; master's wake-up is a request of one or two bytes.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use proto_ipc::flush::{Add, Plain, SendFile, SendSite};
use proto_ipc::{Format, LIST_LIMIT, StatusReply, decode, encode};

/// Longest request of master's wake-up timer, its NUL included.
const WAKE_UP_BYTES: usize = 2;
/// Bytes of one read(2).
const READ_BYTES: usize = 4096;

/// What a client wants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// `add`: remember that this message waits for this destination.
    Add {
        /// Destination.
        site: String,
        /// Queue ID.
        id: String,
    },
    /// `send_site`: make all messages for a destination due.
    SendSite(String),
    /// `send_file`: make one message due.
    SendFile(String),
    /// `rfrsh`: also what master's wake-up means.
    Refresh,
    /// `purge`: run all logs.
    Purge,
}

impl Request {
    /// Reads a complete list; `None`: more bytes are needed; `Some(None)`: no such request.
    fn parse(bytes: &[u8]) -> Option<Option<Self>> {
        let format = Format::default();
        let word = bytes.strip_prefix(b"request\0").and_then(|rest| rest.split(|b| *b == 0).next());
        if !bytes.ends_with(b"\0\0") {
            return (bytes.len() > LIST_LIMIT).then_some(None);
        }
        Some(match word {
            Some(b"add") => decode::<Add>(bytes, format)
                .ok()
                .flatten()
                .map(|(r, _)| Self::Add { site: r.site, id: r.queue_id }),
            Some(b"send_site") => {
                decode::<SendSite>(bytes, format).ok().flatten().map(|(r, _)| Self::SendSite(r.site))
            }
            Some(b"send_file") => {
                decode::<SendFile>(bytes, format).ok().flatten().map(|(r, _)| Self::SendFile(r.queue_id))
            }
            Some(b"rfrsh") => decode::<Plain>(bytes, format).ok().flatten().map(|_| Self::Refresh),
            Some(b"purge") => decode::<Plain>(bytes, format).ok().flatten().map(|_| Self::Purge),
            Some(_) | None => None,
        })
    }
}

/// One connection.
pub struct Dialogue {
    stream: UnixStream,
}

impl Dialogue {
    pub fn new(stream: UnixStream, timeout: Duration) -> Self {
        let timeout = Some(timeout.max(Duration::from_secs(1)));
        // Only a zero timeout is refused.
        let _ = stream.set_read_timeout(timeout).and_then(|()| stream.set_write_timeout(timeout));
        Self { stream }
    }

    /// The request; `None`: the client went away, or wants what we do not know.
    pub fn request(&mut self) -> Option<Request> {
        let mut bytes = Vec::new();
        let mut room = [0u8; READ_BYTES];
        loop {
            let count = self.stream.read(&mut room).ok().filter(|&count| count > 0)?;
            bytes.extend_from_slice(room.get(..count).unwrap_or_default());
            if bytes.len() <= WAKE_UP_BYTES {
                return Some(Request::Refresh);
            }
            if let Some(request) = Request::parse(&bytes) {
                return request;
            }
        }
    }

    pub fn reply(&mut self, status: i32) {
        if let Ok(bytes) = encode(&StatusReply { status }, Format::default()) {
            // The client may be gone (a wake-up always is).
            let _ = self.stream.write_all(&bytes);
        }
    }

    pub fn close(self) {}
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_told_apart() {
        let add = Request::Add { site: "a.example".into(), id: "ABC".into() };
        for (bytes, wanted) in [
            (&b"request\0add\0site\0a.example\0queue_id\0ABC\0\0"[..], Some(Some(add))),
            (b"request\0send_site\0site\0a\0\0", Some(Some(Request::SendSite("a".into())))),
            (b"request\0send_file\0queue_id\0ABC\0\0", Some(Some(Request::SendFile("ABC".into())))),
            (b"request\0rfrsh\0\0", Some(Some(Request::Refresh))),
            (b"request\0purge\0\0", Some(Some(Request::Purge))),
            (b"request\0dance\0\0", Some(None)),
            (b"request\0add\0site\0a", None),
        ] {
            assert_eq!(Request::parse(bytes), wanted);
        }
    }
}
