//! The event loop: one thread, any number of sessions, timers, results of helper threads.

use std::io;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use crate::{Client, Error, Spec, Startup};

pub use mio::{Interest, Token};

/// What a source is ready for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Readiness {
    /// Input, or its end.
    pub readable: bool,
    /// Room for output.
    pub writable: bool,
    /// The peer is gone or the descriptor has an error.
    pub closed: bool,
}

/// A running timer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TimerId(u64);

/// What a service does when master asks it to end (reload, stop).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// Exit now.
    Now,
    /// Accept nobody any more, exit when the last session is done.
    WhenIdle,
}

/// A service that is driven by events. Sources are edge-triggered (mio): read and write until `WouldBlock`.
pub trait EventService {
    /// After the privilege drop and in the chroot jail, before the first event.
    ///
    /// # Errors
    /// Ends the daemon.
    fn post_init(&mut self, _cx: &mut Cx) -> Result<(), Error> {
        Ok(())
    }

    /// A new client (its stream is non-blocking). Call [`Cx::session_done`] once when it is gone.
    fn connected(&mut self, cx: &mut Cx, client: Client);

    /// A source registered with [`Cx::register`] is ready.
    fn ready(&mut self, cx: &mut Cx, token: Token, readiness: Readiness);

    /// A timer has run out (it is gone).
    fn timer(&mut self, _cx: &mut Cx, _timer: TimerId) {}

    /// A [`Waker`] was used since the last call.
    fn woken(&mut self, _cx: &mut Cx) {}

    /// A trigger request without its closing NUL; the clients of a service with [`Spec::triggers`] come here
    /// instead of to [`EventService::connected`].
    fn trigger(&mut self, _cx: &mut Cx, _request: &[u8]) {}

    /// Master closed the status channel.
    fn stopping(&mut self, _cx: &mut Cx) -> Stop {
        Stop::WhenIdle
    }

    /// See [`crate::PoolService::tables_changed`].
    fn tables_changed(&self) -> Option<String> {
        None
    }
}

/// Wakes the loop up from another thread. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Waker(std::sync::Arc<mio::Waker>);

impl Waker {
    /// Makes the loop call [`EventService::woken`] soon; calls may be merged.
    pub fn wake(&self) {
        // The only failure is a full counter of the eventfd, which wakes as well.
        let _ = self.0.wake();
    }
}

/// What a service may do with its loop.
#[derive(Debug)]
pub struct Cx(());

impl Cx {
    /// Starts watching; the token names the source from now on and is never used again for another one.
    ///
    /// # Errors
    /// Those of epoll_ctl(2).
    pub fn register(&mut self, _source: &mut impl mio::event::Source, _interest: Interest) -> io::Result<Token> {
        todo!("os")
    }

    /// Changes what is watched for (and reports readiness that is there already).
    ///
    /// # Errors
    /// Those of epoll_ctl(2).
    pub fn reregister(
        &mut self,
        _source: &mut impl mio::event::Source,
        _token: Token,
        _interest: Interest,
    ) -> io::Result<()> {
        todo!("os")
    }

    /// Stops watching.
    ///
    /// # Errors
    /// Those of epoll_ctl(2).
    pub fn deregister(&mut self, _source: &mut impl mio::event::Source) -> io::Result<()> {
        todo!("os")
    }

    /// Starts a timer.
    pub fn after(&mut self, _delay: Duration) -> TimerId {
        todo!("os")
    }

    /// Stops a timer; one that has run out already is ignored.
    pub fn cancel(&mut self, _timer: TimerId) {
        todo!("os")
    }

    /// Time at the start of this turn of the loop.
    #[must_use]
    pub fn now(&self) -> Instant {
        todo!("os")
    }

    /// A handle for helper threads.
    #[must_use]
    pub fn waker(&self) -> Waker {
        todo!("os")
    }

    /// A session is over: accounting of quota, `max_use`, `max_idle`. Once for each [`EventService::connected`].
    pub fn session_done(&mut self) {
        todo!("os")
    }

    /// Sessions that are open.
    #[must_use]
    pub fn sessions(&self) -> usize {
        todo!("os")
    }

    /// Ends the loop after this turn; exit status 0.
    pub fn exit(&mut self) {
        todo!("os")
    }
}

/// Runs the daemon.
pub fn run_event<H: EventService>(
    _spec: &Spec,
    _init: impl FnOnce(&mut Startup) -> Result<H, Error>,
) -> ExitCode {
    todo!("os")
}
