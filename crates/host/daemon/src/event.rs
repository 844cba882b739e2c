//! The event loop: one thread, any number of sessions, timers, results of helper threads.

use std::collections::BTreeSet;
use std::io::{self, Read};
use std::os::fd::{AsFd, AsRawFd};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use mio::unix::SourceFd;
use mio::{Events, Poll};

use crate::client::Stream;
use crate::listener::{Accepted, Listener};
use crate::pending::PendingClients;
use crate::pool::announce;
use crate::standalone::Standalone;
use crate::startup::{AcceptLock, Runtime, begin, initialize};
use crate::status::State;
use crate::trigger::{REQUEST_SIZE, without_nul};
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
    /// The peer will not send more than what can be read now.
    pub ended: bool,
}

/// A running timer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TimerId {
    at: Instant,
    number: u64,
}

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

    /// A word of a trigger client that has stayed connected.
    fn word(&mut self, _cx: &mut Cx, _word: &[u8]) {}

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
pub struct Waker(Arc<mio::Waker>);

impl Waker {
    /// Makes the loop call [`EventService::woken`] soon; calls may be merged.
    pub fn wake(&self) {
        // The only failure is a full counter of the eventfd, which wakes as well.
        let _ = self.0.wake();
    }
}

/// Most clients accepted by one turn of the loop, so that running sessions get their turn too.
const ACCEPT_BURST: usize = 16;
/// Tokens below this one belong to the loop.
pub(crate) const FIRST_SERVICE_TOKEN: usize = 1 << 32;
/// The status channel.
const STATUS: Token = Token(0);
/// The waker.
const WAKER: Token = Token(1);
/// The first listener.
const FIRST_LISTENER: usize = 2;
/// The first connection that the loop itself reads (triggers, passed clients).
pub(crate) const FIRST_PENDING: usize = 1 << 20;

/// What a service may do with its loop.
#[derive(Debug)]
pub struct Cx {
    registry: mio::Registry,
    waker: Waker,
    timers: BTreeSet<TimerId>,
    timer_count: u64,
    next_token: usize,
    pub(crate) now: Instant,
    sessions: usize,
    served: u64,
    exit: bool,
}

impl Cx {
    fn new(poll: &Poll) -> io::Result<Self> {
        Ok(Self {
            registry: poll.registry().try_clone()?,
            waker: Waker(Arc::new(mio::Waker::new(poll.registry(), WAKER)?)),
            timers: BTreeSet::new(),
            timer_count: 0,
            next_token: FIRST_SERVICE_TOKEN,
            now: Instant::now(),
            sessions: 0,
            served: 0,
            exit: false,
        })
    }

    /// Starts watching; the token names the source from now on and is never used again for another one.
    ///
    /// # Errors
    /// Those of epoll_ctl(2).
    pub fn register(
        &mut self,
        source: &mut impl mio::event::Source,
        interest: Interest,
    ) -> io::Result<Token> {
        let token = Token(self.next_token);
        self.next_token += 1;
        self.registry.register(source, token, interest)?;
        Ok(token)
    }

    /// Changes what is watched for (and reports readiness that is there already).
    ///
    /// # Errors
    /// Those of epoll_ctl(2).
    pub fn reregister(
        &mut self,
        source: &mut impl mio::event::Source,
        token: Token,
        interest: Interest,
    ) -> io::Result<()> {
        self.registry.reregister(source, token, interest)
    }

    /// Stops watching.
    ///
    /// # Errors
    /// Those of epoll_ctl(2).
    pub fn deregister(&mut self, source: &mut impl mio::event::Source) -> io::Result<()> {
        self.registry.deregister(source)
    }

    /// Starts a timer.
    pub fn after(&mut self, delay: Duration) -> TimerId {
        self.timer_count += 1;
        let timer = TimerId { at: Instant::now() + delay, number: self.timer_count };
        self.timers.insert(timer);
        timer
    }

    /// Stops a timer; one that has run out already is ignored.
    pub fn cancel(&mut self, timer: TimerId) {
        self.timers.remove(&timer);
    }

    /// Time at the start of this turn of the loop.
    #[must_use]
    pub fn now(&self) -> Instant {
        self.now
    }

    /// A handle for helper threads.
    #[must_use]
    pub fn waker(&self) -> Waker {
        self.waker.clone()
    }

    /// A session is over: accounting of quota, `max_use`, `max_idle`. Once for each [`EventService::connected`].
    pub fn session_done(&mut self) {
        self.sessions = self.sessions.saturating_sub(1);
        self.served += 1;
    }

    /// Sessions that are open.
    #[must_use]
    pub fn sessions(&self) -> usize {
        self.sessions
    }

    /// Ends the loop after this turn; exit status 0.
    pub fn exit(&mut self) {
        self.exit = true;
    }

    /// The next timer that has run out.
    fn expired(&mut self) -> Option<TimerId> {
        let first = self.timers.first().copied().filter(|timer| timer.at <= self.now)?;
        self.timers.remove(&first);
        Some(first)
    }
}

/// Runs the daemon.
pub fn run_event<H: EventService>(
    spec: &Spec,
    init: impl FnOnce(&mut Startup) -> Result<H, Error>,
) -> ExitCode {
    let (startup, mut runtime) = begin(spec, AcceptLock::Nobody);
    let standalone = startup.standalone;
    let mut service = initialize(startup, &mut runtime, init);
    os_sys::process::raise_descriptor_limit();
    runtime.announce_quota();
    let result = Loop::new(*spec, runtime).and_then(|mut event_loop| {
        service.post_init(&mut event_loop.cx)?;
        let copier = if standalone { Some(event_loop.connect_standalone(&mut service)?) } else { None };
        event_loop.run(&mut service)?;
        drop(service);
        if let Some(copier) = copier {
            copier.finish();
        }
        Ok(())
    });
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => os_log::fatal!("{error}"),
    }
}

/// The loop and what belongs to it.
pub(crate) struct Loop {
    spec: Spec,
    pub(crate) runtime: Runtime,
    pub(crate) poll: Poll,
    pub(crate) cx: Cx,
    /// Listeners that may have more to accept.
    ready: Vec<bool>,
    pub(crate) pending: PendingClients,
    idle_since: Instant,
    taken: bool,
    /// No client is taken any more; the loop ends when the last session is done.
    draining: bool,
}

impl Loop {
    fn new(spec: Spec, runtime: Runtime) -> Result<Self, Error> {
        let poll = Poll::new()?;
        let cx = Cx::new(&poll)?;
        if let Some(status) = &runtime.status {
            poll.registry().register(
                &mut SourceFd(&status.as_fd().as_raw_fd()),
                STATUS,
                Interest::READABLE,
            )?;
        }
        for (number, listener) in runtime.listeners.iter().enumerate() {
            let token = Token(FIRST_LISTENER + number);
            poll.registry().register(
                &mut SourceFd(&listener.as_fd().as_raw_fd()),
                token,
                Interest::READABLE,
            )?;
        }
        Ok(Self {
            spec,
            ready: vec![false; runtime.listeners.len()],
            runtime,
            poll,
            cx,
            pending: PendingClients::new(),
            idle_since: Instant::now(),
            taken: false,
            draining: false,
        })
    }

    fn connect_standalone(&mut self, service: &mut impl EventService) -> Result<Standalone, Error> {
        let (client, copier) = Standalone::start(true)?;
        self.draining = true;
        self.connect(service, client);
        Ok(copier)
    }

    fn run(&mut self, service: &mut impl EventService) -> Result<(), Error> {
        let mut events = Events::with_capacity(1024);
        while !self.is_over() {
            match self.poll.poll(&mut events, self.timeout()) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                other => other?,
            }
            let turn = self.runtime.watchdog.watch();
            self.cx.now = Instant::now();
            for event in &events {
                self.dispatch(service, event);
            }
            self.accept(service);
            while let Some(timer) = self.cx.expired() {
                service.timer(&mut self.cx, timer);
            }
            self.pending.drop_slow(self.cx.now);
            self.account();
            drop(turn);
        }
        Ok(())
    }

    fn is_over(&self) -> bool {
        if self.cx.exit {
            return true;
        }
        if self.cx.sessions > 0
            && !(self.draining && self.spec.persistent_clients && self.runtime.status.is_some())
        {
            return false;
        }
        let used_up = self.runtime.max_use.is_some_and(|limit| self.cx.served >= limit);
        let idle = self.runtime.max_idle.is_some_and(|limit| self.idle_since.elapsed() >= limit);
        self.draining || used_up || (idle && self.runtime.status.is_some())
    }

    /// How long to wait: for the next timer, for the idle limit; not at all if there is more to accept.
    fn timeout(&self) -> Option<Duration> {
        if self.may_accept() && self.ready.contains(&true) {
            return Some(Duration::ZERO);
        }
        let timer = self.cx.timers.first().map(|timer| timer.at);
        let idle =
            self.runtime.max_idle.filter(|_| self.cx.sessions == 0).map(|limit| self.idle_since + limit);
        let pending = self.pending.next_deadline();
        let next = [timer, idle, pending].into_iter().flatten().min()?;
        // Rounded up, so that the loop does not turn idly in the last millisecond.
        Some(next.saturating_duration_since(Instant::now()) + Duration::from_micros(999))
    }

    fn may_accept(&self) -> bool {
        let quota = self.runtime.quota;
        let room = self.spec.persistent_clients || quota == 0 || self.cx.sessions < quota;
        !self.draining && !self.cx.exit && room
    }

    fn dispatch(&mut self, service: &mut impl EventService, event: &mio::event::Event) {
        let number = event.token().0;
        match event.token() {
            STATUS => self.master_is_gone(service),
            WAKER => service.woken(&mut self.cx),
            token if number >= FIRST_SERVICE_TOKEN => {
                let readiness = Readiness {
                    readable: event.is_readable() || event.is_read_closed(),
                    writable: event.is_writable(),
                    closed: event.is_error() || event.is_write_closed(),
                    ended: event.is_read_closed() || event.is_error(),
                };
                service.ready(&mut self.cx, token, readiness);
            }
            _ if number >= FIRST_PENDING => {
                self.advance_pending(service, number, event.is_read_closed() || event.is_error());
            }
            _ => {
                if let Some(ready) = self.ready.get_mut(number - FIRST_LISTENER) {
                    *ready = true;
                }
            }
        }
    }

    fn master_is_gone(&mut self, service: &mut impl EventService) {
        if self.draining {
            return;
        }
        self.stop_accepting();
        match service.stopping(&mut self.cx) {
            Stop::Now => self.cx.exit = true,
            Stop::WhenIdle => {}
        }
    }

    fn stop_accepting(&mut self) {
        self.draining = true;
        for listener in &self.runtime.listeners {
            // Failing leaves a listener that is not served, which is what is wanted.
            let _ = self.poll.registry().deregister(&mut SourceFd(&listener.as_fd().as_raw_fd()));
        }
    }

    fn accept(&mut self, service: &mut impl EventService) {
        for number in 0..self.ready.len() {
            let waiting = self.ready.get(number).copied().unwrap_or(false) && self.may_accept();
            if waiting && self.runtime.must_restart(service.tables_changed()) {
                return self.retire();
            }
            for _ in 0..ACCEPT_BURST {
                if !self.ready.get(number).copied().unwrap_or(false) || !self.may_accept() {
                    break;
                }
                let more = self.accept_one(service, number);
                if let Some(ready) = self.ready.get_mut(number) {
                    *ready = more;
                }
            }
        }
    }

    /// Takes one client of a listener; `false`: there was none.
    fn accept_one(&mut self, service: &mut impl EventService, number: usize) -> bool {
        let Some(listener) = self.runtime.listeners.get(number) else { return false };
        if let Listener::Fifo(_) | Listener::Datagram(_) = listener {
            return self.read_direct(service, number);
        }
        let Some(accepted) = listener.accept(true) else { return false };
        match accepted {
            Accepted::Client(client) if self.spec.triggers => match client.stream {
                Stream::Unix(stream) => self.add_pending(service, stream, false),
                Stream::Tcp(_) => {}
            },
            Accepted::Client(client) => self.connect(service, client),
            Accepted::Passing(stream) => self.add_pending(service, stream, true),
        }
        true
    }

    fn retire(&mut self) {
        if let Some(status) = &self.runtime.status {
            status.report_retired();
        }
        self.stop_accepting();
    }

    pub(crate) fn connect(&mut self, service: &mut impl EventService, client: Client) {
        self.cx.sessions += 1;
        let full = self.runtime.quota != 0 && self.cx.sessions >= self.runtime.quota;
        if full && !self.spec.persistent_clients && !self.taken {
            self.taken = true;
            self.runtime.report(State::Taken);
        }
        announce(&self.spec, &client.stream);
        service.connected(&mut self.cx, client);
    }

    fn read_direct(&mut self, service: &mut impl EventService, number: usize) -> bool {
        let mut buffer = vec![0u8; REQUEST_SIZE];
        let length = match self.runtime.listeners.get(number) {
            Some(Listener::Fifo(file)) => (&*file).read(&mut buffer).ok(),
            Some(Listener::Datagram(socket)) => socket.recv(&mut buffer).ok(),
            Some(Listener::Inet(_) | Listener::Unix(_) | Listener::Pass(_)) | None => None,
        };
        let Some(length) = length.filter(|length| *length > 0) else { return false };
        self.ring(service, buffer.get(..length).unwrap_or_default());
        true
    }

    /// A word of a kept trigger connection.
    pub(crate) fn hear(&mut self, service: &mut impl EventService, word: &[u8]) {
        self.runtime.begin_trigger();
        service.word(&mut self.cx, word);
        self.runtime.end_trigger();
        self.idle_since = self.cx.now;
    }

    /// A trigger.
    pub(crate) fn ring(&mut self, service: &mut impl EventService, request: &[u8]) {
        self.runtime.begin_trigger();
        service.trigger(&mut self.cx, without_nul(request));
        self.runtime.end_trigger();
        self.idle_since = self.cx.now;
    }

    /// Reports what has changed in this turn.
    fn account(&mut self) {
        if self.cx.sessions > 0 {
            self.idle_since = self.cx.now;
        }
        if self.taken && self.cx.sessions < self.runtime.quota {
            self.taken = false;
            if !self.draining {
                self.runtime.report(State::Available);
            }
        }
        if self.cx.served > 0
            && !self.taken
            && let Some(status) = &self.runtime.status
        {
            status.report_first_job();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timers_run_out_in_order_and_can_be_stopped() {
        let poll = Poll::new().unwrap();
        let mut cx = Cx::new(&poll).unwrap();
        let late = cx.after(Duration::from_secs(20));
        let soon = cx.after(Duration::from_secs(10));
        let stopped = cx.after(Duration::from_secs(5));
        cx.cancel(stopped);
        assert_eq!(cx.expired(), None);
        cx.now += Duration::from_secs(30);
        assert_eq!([cx.expired(), cx.expired(), cx.expired()], [Some(soon), Some(late), None]);
    }
}
