//! Inherited descriptors and descriptor passing.

use std::io;
use std::os::fd::{BorrowedFd, OwnedFd, RawFd};

/// Takes over a descriptor that the parent process left open (listeners, status channel, flow pipe). Only once a number.
///
/// # Errors
/// When the number is not open.
pub fn inherited(_number: RawFd) -> io::Result<OwnedFd> {
    todo!("os")
}

/// Sends one NUL byte with one descriptor (`SCM_RIGHTS`).
///
/// # Errors
/// Those of sendmsg(2).
pub fn send(_socket: BorrowedFd<'_>, _descriptor: BorrowedFd<'_>) -> io::Result<()> {
    todo!("os")
}

/// Receives one byte with exactly one descriptor, made close-on-exec.
///
/// # Errors
/// Those of recvmsg(2); `InvalidData` when no descriptor came.
pub fn receive(_socket: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    todo!("os")
}
