//! Signals as descriptors.

use std::io;
use std::os::fd::OwnedFd;

/// Ignores SIGPIPE, so that writes to closed sockets fail with EPIPE.
pub fn ignore_sigpipe() {
    todo!("os")
}

/// Blocks these signals and gives a signalfd(2) that reports them, non-blocking.
///
/// # Errors
/// Those of signalfd(2).
pub fn as_descriptor(_signals: &[i32]) -> io::Result<OwnedFd> {
    todo!("os")
}
