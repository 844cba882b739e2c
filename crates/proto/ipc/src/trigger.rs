//! Triggers: a few request characters to pickup, qmgr and others, over a unix socket or a FIFO.

use std::io::{self, Write};
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::os::unix::net::UnixStream;
use std::path::Path;

/// Bytes that a server reads of one trigger.
pub const LIMIT: usize = 1024;

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
    let mut stream = UnixStream::connect(path)?;
    let mut bytes = Vec::with_capacity(request.len() + 1);
    bytes.extend_from_slice(request);
    bytes.push(0);
    match stream.write_all(&bytes) {
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
