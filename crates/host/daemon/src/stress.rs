//! How master tells running processes that their service is under stress (`postconf(5) stress`).
//!
//! The reference starts new processes with `-o stress=yes` for this. A process of ours that holds many sessions stays,
//! and looks at the board, a piece of shared memory, whenever a session begins.

use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt;
use std::time::Duration;

use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::time::{ClockId, clock_gettime};

/// Environment variable with the number of the board's descriptor.
const DESCRIPTOR: &str = "POSTINO_STRESS_BOARD";

/// The board of a service: until when it is under stress, in nanoseconds of the monotonic clock.
#[derive(Debug)]
pub struct StressBoard(File);

impl StressBoard {
    /// A board that says "no stress".
    ///
    /// # Errors
    /// Those of memfd_create(2).
    pub fn new() -> io::Result<Self> {
        Ok(Self(File::from(memfd_create(c"stress", MFdFlags::MFD_CLOEXEC)?)))
    }

    /// The board that master has given to this process.
    pub(crate) fn inherited() -> Option<Self> {
        let number: i32 = std::env::var(DESCRIPTOR).ok()?.parse().ok()?;
        os_sys::fd::inherited(number).ok().map(|fd| Self(File::from(fd)))
    }

    /// What a process needs to have it under descriptor `number`: the descriptor, and its environment's entry.
    ///
    /// # Errors
    /// Those of dup(2).
    pub fn share(&self, number: i32) -> io::Result<((i32, OwnedFd), (OsString, OsString))> {
        let entry = (DESCRIPTOR.into(), number.to_string().into());
        Ok(((number, OwnedFd::from(self.0.try_clone()?)), entry))
    }

    /// From now on, for `time`, the service is under stress.
    ///
    /// # Errors
    /// Those of write(2).
    pub fn raise(&self, time: Duration) -> io::Result<()> {
        let until = now().saturating_add(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX));
        self.0.write_all_at(&until.to_ne_bytes(), 0)
    }

    /// Whether the service is under stress now.
    #[must_use]
    pub fn is_raised(&self) -> bool {
        let mut until = [0u8; 8];
        self.0.read_exact_at(&mut until, 0).is_ok() && u64::from_ne_bytes(until) > now()
    }
}

/// Nanoseconds of the monotonic clock, which all processes share.
fn now() -> u64 {
    clock_gettime(ClockId::CLOCK_MONOTONIC)
        .ok()
        .and_then(|time| u64::try_from(Duration::from(time).as_nanos()).ok())
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_who_share_a_board_see_the_same() {
        let board = StressBoard::new().unwrap();
        let ((_, other), _) = board.share(9).unwrap();
        let other = StressBoard(File::from(other));
        assert!(!other.is_raised());
        board.raise(Duration::from_secs(1000)).unwrap();
        assert!(other.is_raised());
        board.raise(Duration::ZERO).unwrap();
        assert!(!other.is_raised(), "it ends");
    }
}
