//! Signals as descriptors.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};

use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, sigaction};
use nix::sys::signalfd::{SfdFlags, SignalFd};

fn dispose(signal: Signal, handler: SigHandler) {
    let action = SigAction::new(handler, SaFlags::empty(), SigSet::empty());
    // SAFETY: only SIG_IGN and SIG_DFL are installed here, so no Rust code ever runs in signal context.
    let result = unsafe { sigaction(signal, &action) };
    debug_assert!(result.is_ok());
}

/// Ignores SIGPIPE, so that writes to closed sockets fail with EPIPE.
pub fn ignore_sigpipe() {
    dispose(Signal::SIGPIPE, SigHandler::SigIgn);
}

/// Ignores SIGXFSZ, so that writes beyond the file size limit fail with EFBIG.
pub fn ignore_file_size_limit() {
    dispose(Signal::SIGXFSZ, SigHandler::SigIgn);
}

/// Keeps SIGTERM from ending this process.
pub fn hold_termination() {
    let mut set = SigSet::empty();
    set.add(Signal::SIGTERM);
    // It cannot fail with a valid set.
    let _ = set.thread_block();
}

/// Gives the signal its default action and sends it to this process: dies of it.
pub fn die_of(signal: i32) {
    if let Ok(signal) = Signal::try_from(signal) {
        dispose(signal, SigHandler::SigDfl);
        let mut set = SigSet::empty();
        set.add(signal);
        let _ = set.thread_unblock();
        let _ = nix::sys::signal::raise(signal);
    }
}

/// Blocks these signals and gives a signalfd(2) that reports them, non-blocking.
///
/// # Errors
/// Those of signalfd(2).
pub fn as_descriptor(signals: &[i32]) -> io::Result<OwnedFd> {
    let mut set = SigSet::empty();
    for &number in signals {
        set.add(Signal::try_from(number)?);
    }
    set.thread_block()?;
    let signals = SignalFd::with_flags(&set, SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC)?;
    let copy = nix::fcntl::fcntl(&signals, nix::fcntl::FcntlArg::F_DUPFD_CLOEXEC(3))?;
    crate::fd::inherited(copy)
}

/// The next signal of a descriptor that [`as_descriptor`] made; `None`: no more.
///
/// # Errors
/// Those of read(2).
pub fn next(descriptor: &OwnedFd) -> io::Result<Option<i32>> {
    let mut info = [0u8; size_of::<libc::signalfd_siginfo>()];
    debug_assert!(descriptor.as_raw_fd() >= 0);
    match nix::unistd::read(descriptor, &mut info) {
        Ok(length) if length == info.len() => {
            let number = info.first_chunk::<4>().map_or(0, |bytes| i32::from_ne_bytes(*bytes));
            Ok(Some(number))
        }
        Ok(_) | Err(nix::errno::Errno::EAGAIN) => Ok(None),
        Err(errno) => Err(errno.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_blocked_signal_is_read_from_the_descriptor() {
        let descriptor = as_descriptor(&[libc::SIGUSR2]).unwrap();
        assert_eq!(next(&descriptor).unwrap(), None);
        nix::sys::signal::raise(Signal::SIGUSR2).unwrap();
        assert_eq!(next(&descriptor).unwrap(), Some(libc::SIGUSR2));
    }
}
