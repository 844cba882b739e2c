//! Inherited descriptors and descriptor passing.

use std::io::{self, IoSlice, IoSliceMut};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

use nix::fcntl::{FcntlArg, FdFlag, fcntl};
use nix::sys::socket::{ControlMessage, ControlMessageOwned, MsgFlags, UnixAddr, recvmsg, sendmsg};

/// Takes over a descriptor that the parent process left open (listeners, status channel, flow pipe), and makes it
/// close-on-exec. Only once a number.
///
/// # Errors
/// When the number is not open.
pub fn inherited(number: RawFd) -> io::Result<OwnedFd> {
    if number < 0 {
        return Err(io::Error::from_raw_os_error(libc::EBADF));
    }
    {
        // SAFETY: the borrow ends with this block; fcntl(2) answers EBADF for a number that is not open.
        let borrowed = unsafe { BorrowedFd::borrow_raw(number) };
        fcntl(borrowed, FcntlArg::F_GETFD)?;
        fcntl(borrowed, FcntlArg::F_SETFD(FdFlag::FD_CLOEXEC))?;
    }
    // SAFETY: the number is open (checked above) and came from the parent process, so nothing in this one owns it; the
    // caller asks for each number once.
    Ok(unsafe { OwnedFd::from_raw_fd(number) })
}

/// Sends one NUL byte with one descriptor (`SCM_RIGHTS`).
///
/// # Errors
/// Those of sendmsg(2).
pub fn send(socket: BorrowedFd<'_>, descriptor: BorrowedFd<'_>) -> io::Result<()> {
    let rights = [descriptor.as_raw_fd()];
    let message = [ControlMessage::ScmRights(&rights)];
    sendmsg::<UnixAddr>(socket.as_raw_fd(), &[IoSlice::new(&[0])], &message, MsgFlags::MSG_NOSIGNAL, None)?;
    Ok(())
}

/// Receives one byte with exactly one descriptor, made close-on-exec.
///
/// # Errors
/// Those of recvmsg(2); `InvalidData` when no descriptor came.
pub fn receive(socket: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    let mut byte = [0u8; 1];
    let mut iov = [IoSliceMut::new(&mut byte)];
    let mut space = nix::cmsg_space!([RawFd; 4]);
    let message =
        recvmsg::<UnixAddr>(socket.as_raw_fd(), &mut iov, Some(&mut space), MsgFlags::MSG_CMSG_CLOEXEC)?;
    let mut received: Vec<OwnedFd> = Vec::new();
    for control in message.cmsgs()? {
        if let ControlMessageOwned::ScmRights(numbers) = control {
            for number in numbers {
                // SAFETY: the kernel has just made this descriptor for us; nobody else owns it.
                received.push(unsafe { OwnedFd::from_raw_fd(number) });
            }
        }
    }
    match (received.pop(), received.is_empty()) {
        (Some(descriptor), true) => Ok(descriptor),
        _ => Err(io::Error::new(io::ErrorKind::InvalidData, "not exactly one descriptor received")),
    }
}

/// How many bytes can be read without waiting (`FIONREAD`).
///
/// # Errors
/// Those of ioctl(2).
pub fn readable_bytes(descriptor: &impl AsFd) -> io::Result<usize> {
    let mut count: libc::c_int = 0;
    // SAFETY: FIONREAD writes one int, and `count` is one.
    let status = unsafe { libc::ioctl(descriptor.as_fd().as_raw_fd(), libc::FIONREAD, &raw mut count) };
    if status < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(usize::try_from(count).unwrap_or(0))
}

/// Closes every descriptor from `first` on that this process inherited. Before anything else is opened.
pub fn close_from(first: RawFd) {
    let Ok(first) = u32::try_from(first) else { return };
    // SAFETY: called at the very start of a program, when no Rust value owns a descriptor above 2 yet; the numbers are
    // only closed, never used.
    unsafe {
        libc::syscall(libc::SYS_close_range, first, u32::MAX, 0u32);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};
    use std::os::unix::net::UnixStream;

    #[test]
    fn a_passed_descriptor_is_the_same_socket() {
        let (a, b) = UnixStream::pair().unwrap();
        let (mut c, d) = UnixStream::pair().unwrap();
        send(a.as_fd(), d.as_fd()).unwrap();
        drop(d);
        let got = receive(b.as_fd()).unwrap();
        UnixStream::from(got).write_all(b"hello").unwrap();
        let mut text = String::new();
        c.read_to_string(&mut text).unwrap();
        assert_eq!(text, "hello");
    }

    #[test]
    fn a_byte_without_a_descriptor_is_refused() {
        let (mut a, b) = UnixStream::pair().unwrap();
        a.write_all(&[0]).unwrap();
        assert_eq!(receive(b.as_fd()).unwrap_err().kind(), io::ErrorKind::InvalidData);
    }

    #[test]
    fn waiting_bytes_are_counted() {
        let (mut a, b) = UnixStream::pair().unwrap();
        a.write_all(b"12345").unwrap();
        assert_eq!(readable_bytes(&b).unwrap(), 5);
    }

    #[test]
    fn a_closed_number_is_not_inherited() {
        assert!(inherited(999_999).is_err());
        assert!(inherited(-1).is_err());
    }
}
