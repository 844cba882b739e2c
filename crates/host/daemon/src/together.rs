//! Idle threads that wait for clients together: each client wakes one of them, which then serves it.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};

use crate::listener::Listener;
use crate::startup::{Runtime, Wake};

/// Event number for the end of the process; those of listeners follow.
const END: u64 = 0;
const FIRST_LISTENER: u64 = 1;

/// The place where they wait.
///
/// A listener is reported to one thread and then not again until that thread has accepted ([`Together::again`]), so that
/// no thread is woken up for a client that another one takes.
pub(crate) struct Together(Epoll);

impl Together {
    /// Watches the listeners, the connection to master and `ending`.
    ///
    /// # Errors
    /// Those of epoll_create(2) and epoll_ctl(2).
    pub(crate) fn new(runtime: &Runtime, ending: &OwnedFd) -> io::Result<Self> {
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
        // These wake all threads, one after the other.
        epoll.add(ending, EpollEvent::new(EpollFlags::EPOLLIN, END))?;
        if let Some(status) = &runtime.status {
            epoll.add(status.as_fd(), EpollEvent::new(EpollFlags::EPOLLIN, END))?;
        }
        for (number, listener) in (FIRST_LISTENER..).zip(&runtime.listeners) {
            epoll.add(listener, event(number))?;
        }
        Ok(Self(epoll))
    }

    /// Waits for a client, for the end of the process, or for `limit`.
    pub(crate) fn wait(&self, limit: Option<Duration>) -> Wake {
        let timeout = limit.map_or(EpollTimeout::NONE, |limit| {
            EpollTimeout::try_from(limit + Duration::from_millis(1)).unwrap_or(EpollTimeout::MAX)
        });
        let mut events = [EpollEvent::empty()];
        loop {
            return match self.0.wait(&mut events, timeout) {
                Ok(0) => Wake::Idle,
                Ok(_) => match events.map(|event| event.data()) {
                    [END] => Wake::Stop,
                    [number] => Wake::Listener(usize::try_from(number - FIRST_LISTENER).unwrap_or(0)),
                },
                Err(Errno::EINTR) => continue,
                Err(errno) => os_log::fatal!("epoll_wait: {errno}"),
            };
        }
    }

    /// The listener may be reported to another thread.
    pub(crate) fn again(&self, number: usize, listener: &Listener) {
        let number = u64::try_from(number).unwrap_or(0) + FIRST_LISTENER;
        if let Err(errno) = self.0.modify(listener, &mut event(number)) {
            os_log::fatal!("epoll_ctl: {errno}");
        }
    }
}

fn event(number: u64) -> EpollEvent {
    EpollEvent::new(EpollFlags::EPOLLIN | EpollFlags::EPOLLONESHOT, number)
}
