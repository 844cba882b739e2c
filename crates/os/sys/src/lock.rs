//! Advisory file locks: flock(2) for the spool, fcntl(2) for lmdb and mailboxes.

use std::fs::File;
use std::io;

/// Shared or exclusive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// For readers.
    Shared,
    /// For writers.
    Exclusive,
}

/// flock(2), waiting.
///
/// # Errors
/// Those of flock(2).
pub fn flock(_file: &File, _mode: Mode) -> io::Result<()> {
    todo!("os")
}

/// flock(2) without waiting; `false`: held by somebody else. The lock goes with the last descriptor.
///
/// # Errors
/// Those of flock(2) other than "would block".
pub fn try_flock(_file: &File, _mode: Mode) -> io::Result<bool> {
    todo!("os")
}

/// Gives a flock(2) back.
///
/// # Errors
/// Those of flock(2).
pub fn unlock(_file: &File) -> io::Result<()> {
    todo!("os")
}

/// fcntl(2) record lock on the whole file without waiting; `false`: held by somebody else.
///
/// # Errors
/// Those of fcntl(2).
pub fn try_fcntl(_file: &File, _mode: Mode) -> io::Result<bool> {
    todo!("os")
}
