//! Advisory file locks: flock(2) for the spool, fcntl(2) for lmdb and mailboxes.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, fcntl};

/// Shared or exclusive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// For readers.
    Shared,
    /// For writers.
    Exclusive,
}

fn flock_operation(file: &File, operation: libc::c_int) -> Result<(), Errno> {
    loop {
        // SAFETY: flock(2) takes a number and flags; the descriptor is open as long as `file` is borrowed.
        let status = unsafe { libc::flock(file.as_raw_fd(), operation) };
        match Errno::result(status) {
            Ok(_) => return Ok(()),
            Err(Errno::EINTR) => {}
            Err(errno) => return Err(errno),
        }
    }
}

/// flock(2), waiting.
///
/// # Errors
/// Those of flock(2).
pub fn flock(file: &File, mode: Mode) -> io::Result<()> {
    let operation = match mode {
        Mode::Shared => libc::LOCK_SH,
        Mode::Exclusive => libc::LOCK_EX,
    };
    Ok(flock_operation(file, operation)?)
}

/// flock(2) without waiting; `false`: held by somebody else. The lock goes with the last descriptor.
///
/// # Errors
/// Those of flock(2) other than "would block".
pub fn try_flock(file: &File, mode: Mode) -> io::Result<bool> {
    let operation = match mode {
        Mode::Shared => libc::LOCK_SH,
        Mode::Exclusive => libc::LOCK_EX,
    };
    match flock_operation(file, operation | libc::LOCK_NB) {
        Ok(()) => Ok(true),
        Err(Errno::EWOULDBLOCK) => Ok(false),
        Err(errno) => Err(errno.into()),
    }
}

/// Gives a flock(2) back.
///
/// # Errors
/// Those of flock(2).
pub fn unlock(file: &File) -> io::Result<()> {
    Ok(flock_operation(file, libc::LOCK_UN)?)
}

/// fcntl(2) record lock on the whole file without waiting; `false`: held by somebody else.
///
/// # Errors
/// Those of fcntl(2).
pub fn try_fcntl(file: &File, mode: Mode) -> io::Result<bool> {
    let kind = match mode {
        Mode::Shared => libc::F_RDLCK,
        Mode::Exclusive => libc::F_WRLCK,
    };
    let lock = libc::flock {
        l_type: i16::try_from(kind).unwrap_or_default(),
        l_whence: i16::try_from(libc::SEEK_SET).unwrap_or_default(),
        l_start: 0,
        l_len: 0,
        l_pid: 0,
    };
    match fcntl(file, FcntlArg::F_SETLK(&lock)) {
        Ok(_) => Ok(true),
        Err(Errno::EAGAIN | Errno::EACCES) => Ok(false),
        Err(errno) => Err(errno.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_exclusive_flock_excludes_another_open_file() {
        let path = std::env::temp_dir().join(format!("os-sys-lock-{}", std::process::id()));
        let first = File::create(&path).unwrap();
        let second = File::open(&path).unwrap();
        assert!(try_flock(&first, Mode::Exclusive).unwrap());
        assert!(!try_flock(&second, Mode::Shared).unwrap());
        unlock(&first).unwrap();
        assert!(try_flock(&second, Mode::Shared).unwrap());
        assert!(try_fcntl(&first, Mode::Exclusive).unwrap());
        std::fs::remove_file(&path).unwrap();
    }
}
