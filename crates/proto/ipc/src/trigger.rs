//! Triggers: a few request characters to pickup, qmgr and others, over a unix socket or a FIFO.

use std::io::{self, Read, Write};
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

/// Bytes that a server reads of one trigger.
pub const LIMIT: usize = 1024;

/// In a request: the client would like to keep the connection. In the answer: it may. Other servers ignore the character,
/// say nothing, and close.
pub const KEEP: u8 = b'+';

/// A trigger connection that is kept, so that one write says what otherwise takes a connection: each word on it (ended by
/// NUL) names what the server should look at. A server that does not keep connections gets plain triggers.
///
/// A word that was written and not read is lost with its server; the next server looks at everything when it starts.
#[derive(Debug)]
pub struct Bell {
    path: PathBuf,
    kept: Mutex<Option<Kept>>,
}

#[derive(Debug)]
struct Kept {
    stream: UnixStream,
    confirmed: bool,
}

/// What a kept connection can do now.
enum Said {
    Yes,
    /// The server has not answered yet.
    Unconfirmed,
    /// The server closed the connection, or does not read.
    Lost,
}

impl Bell {
    /// Nothing is connected yet.
    #[must_use]
    pub const fn new(path: PathBuf) -> Self {
        Self { path, kept: Mutex::new(None) }
    }

    /// The path of the socket or FIFO.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Tells the server `word`; one that keeps no connection gets `request` instead.
    ///
    /// # Errors
    /// When the service is not there.
    pub fn ring(&self, word: &str, request: &[u8]) -> io::Result<()> {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        match kept.as_mut().map_or(Said::Lost, |kept| kept.say(word)) {
            Said::Yes => return Ok(()),
            Said::Unconfirmed => {
                drop(kept);
                return send_socket(&self.path, request);
            }
            Said::Lost => *kept = None,
        }
        if std::fs::metadata(&self.path)?.file_type().is_fifo() {
            return send_fifo(&self.path, request);
        }
        let stream = UnixStream::connect(&self.path)?;
        write_request(&stream, &[request, &[KEEP]].concat())?;
        stream.set_nonblocking(true)?;
        *kept = Some(Kept { stream, confirmed: false });
        Ok(())
    }
}

impl Kept {
    fn say(&mut self, word: &str) -> Said {
        if !self.confirmed {
            match self.stream.read(&mut [0]) {
                Ok(1..) => self.confirmed = true,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Said::Unconfirmed,
                Ok(_) | Err(_) => return Said::Lost,
            }
        }
        let bytes = [word.as_bytes(), &[0]].concat();
        match self.stream.write(&bytes) {
            Ok(count) if count == bytes.len() => Said::Yes,
            Ok(_) | Err(_) => Said::Lost,
        }
    }
}

/// Sends `request`. A full backlog is no error: the service is awake and will look again.
///
/// # Errors
/// When the service is not there.
pub fn send(path: &Path, request: &[u8]) -> io::Result<()> {
    if std::fs::metadata(path)?.file_type().is_fifo() {
        return send_fifo(path, request);
    }
    send_socket(path, request)
}

/// As [`send`], for a path known to be a socket (no stat).
///
/// # Errors
/// When the service is not there.
pub fn send_socket(path: &Path, request: &[u8]) -> io::Result<()> {
    write_request(&UnixStream::connect(path)?, request)
}

fn write_request(mut stream: &UnixStream, request: &[u8]) -> io::Result<()> {
    match stream.write_all(&[request, &[0]].concat()) {
        Err(e) if e.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        other => other,
    }
}

fn send_fifo(path: &Path, request: &[u8]) -> io::Result<()> {
    let mut fifo = std::fs::OpenOptions::new()
        .write(true)
        .custom_flags(nix::fcntl::OFlag::O_NONBLOCK.bits())
        .open(path)?;
    fifo.write_all(request)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::net::UnixListener;

    /// A path for a socket of one test.
    fn place(name: &str) -> PathBuf {
        let path = std::env::temp_dir().join(format!("postino-bell-{name}-{}", std::process::id()));
        let _ = std::fs::remove_file(&path);
        path
    }

    fn heard(stream: &mut UnixStream, count: usize) -> Vec<u8> {
        let mut bytes = vec![0; count];
        stream.read_exact(&mut bytes).unwrap();
        bytes
    }

    #[test]
    fn a_server_that_keeps_the_connection_hears_words() {
        let path = place("kept");
        let server = UnixListener::bind(&path).unwrap();
        let bell = Bell::new(path.clone());
        bell.ring("ONE", b"W").unwrap();
        let mut kept = server.accept().unwrap().0;
        assert_eq!(heard(&mut kept, 3), b"W+\0");
        // Not yet confirmed: a plain trigger, on a connection of its own.
        bell.ring("TWO", b"W").unwrap();
        assert_eq!(heard(&mut server.accept().unwrap().0, 2), b"W\0");
        kept.write_all(&[KEEP]).unwrap();
        bell.ring("THREE", b"W").unwrap();
        bell.ring("FOUR", b"W").unwrap();
        assert_eq!(heard(&mut kept, 11), b"THREE\0FOUR\0");
        // The server has ended: the next one is told in the usual way.
        drop(kept);
        bell.ring("FIVE", b"W").unwrap();
        assert_eq!(heard(&mut server.accept().unwrap().0, 3), b"W+\0");
        std::fs::remove_file(path).unwrap();
    }

    #[test]
    fn a_server_that_closes_is_triggered_each_time() {
        let path = place("closed");
        let server = UnixListener::bind(&path).unwrap();
        let bell = Bell::new(path.clone());
        for word in ["ONE", "TWO", "THREE"] {
            bell.ring(word, b"W").unwrap();
            assert_eq!(heard(&mut server.accept().unwrap().0, 3), b"W+\0", "{word}");
        }
        drop(server);
        std::fs::remove_file(&path).unwrap();
        assert!(bell.ring("FOUR", b"W").is_err(), "nobody is there");
    }
}
