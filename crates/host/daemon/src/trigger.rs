//! The trigger loop: clients that only ring the bell (unix, fifo), and datagrams (unix-dgram).

use std::io::Read;
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use crate::client::Stream;
use crate::listener::{Accepted, Listener};
use crate::startup::{AcceptLock, Runtime, Wake, begin, initialize};
use crate::{Error, Spec, Startup};

/// Longest wait for the request of a trigger.
pub(crate) const REQUEST_LIMIT: Duration = Duration::from_secs(10);
/// Longest request; longer ones are cut.
pub(crate) const REQUEST_SIZE: usize = 1024;
/// Longest datagram.
const DATAGRAM_SIZE: usize = 64 * 1024;
/// Datagrams taken between two looks at everything else.
const BURST: usize = 64;
/// How long more datagrams are awaited after some have come: taking several at once is cheaper than being woken for each.
const GATHER: Duration = Duration::from_micros(500);
/// The kernel's queue of datagrams may be no longer than this (`net.unix.max_dgram_qlen`); writers wait when it is full, so
/// nothing is gathered when it comes near that.
const NEARLY_FULL: usize = 8;
/// Times that datagrams are gathered between two looks at everything else.
const GATHERINGS: usize = 16;

/// A service that is woken up.
pub trait TriggerService {
    /// After the privilege drop and in the chroot jail, before the first trigger.
    ///
    /// # Errors
    /// Ends the daemon.
    fn post_init(&mut self) -> Result<(), Error> {
        Ok(())
    }

    /// One trigger request (without its closing NUL), or one datagram.
    fn trigger(&mut self, request: &[u8]);

    /// After the last of a burst of datagrams.
    fn flush(&mut self) {}

    /// Called when no trigger is waiting; the time until the next call (`None`: only after the next trigger).
    fn idle(&mut self) -> Option<Duration> {
        None
    }

    /// See [`crate::PoolService::tables_changed`].
    fn tables_changed(&self) -> Option<String> {
        None
    }
}

/// Runs the daemon.
pub fn run_trigger<H: TriggerService>(
    spec: &Spec,
    init: impl FnOnce(&mut Startup) -> Result<H, Error>,
) -> ExitCode {
    let (startup, mut runtime) = begin(spec, AcceptLock::Siblings);
    let standalone = startup.standalone;
    let mut service = initialize(startup, &mut runtime, init);
    if let Err(error) = service.post_init() {
        os_log::fatal!("{error}");
    }
    if standalone {
        let mut request = Vec::new();
        let limit = u64::try_from(REQUEST_SIZE).unwrap_or(u64::MAX);
        if std::io::stdin().take(limit).read_to_end(&mut request).is_ok() {
            service.trigger(without_nul(&request));
        }
        return ExitCode::SUCCESS;
    }
    serve_all(&runtime, &mut service);
    ExitCode::SUCCESS
}

fn serve_all(runtime: &Runtime, service: &mut impl TriggerService) {
    let mut served = 0;
    let mut last = Instant::now();
    let mut buffer = vec![0u8; DATAGRAM_SIZE];
    while runtime.max_use.is_none_or(|limit| served < limit) {
        let idle = service.idle();
        let left = runtime.max_idle.map(|limit| limit.saturating_sub(last.elapsed()));
        let limit = [idle, left].into_iter().flatten().min();
        runtime.lock();
        let wake = runtime.wait(limit);
        match wake {
            Wake::Stop => return take_the_rest(runtime, service, &mut buffer),
            Wake::Idle if left.is_some_and(|left| idle.is_none_or(|idle| left <= idle)) => return,
            Wake::Idle => runtime.unlock(),
            Wake::Listener(_) if runtime.must_restart(service.tables_changed()) => return,
            Wake::Listener(number) => {
                if serve(runtime, service, number, &mut buffer) {
                    served += 1;
                }
                last = Instant::now();
            }
        }
    }
}

/// Datagrams that wait when the master ends would be lost: its last words among them.
fn take_the_rest(runtime: &Runtime, service: &mut impl TriggerService, buffer: &mut [u8]) {
    for listener in &runtime.listeners {
        if let Listener::Datagram(socket) = listener {
            while take_datagrams(runtime, service, socket, buffer) == BURST {}
        }
    }
}

/// Takes one request; whether there was one. Gives the accept lock back in any case.
fn serve(runtime: &Runtime, service: &mut impl TriggerService, number: usize, buffer: &mut [u8]) -> bool {
    let Some(listener) = runtime.listeners.get(number) else { return false };
    let source = match listener {
        Listener::Datagram(socket) => {
            runtime.unlock();
            return serve_datagrams(runtime, service, socket, buffer);
        }
        Listener::Fifo(file) => {
            let room = buffer.get_mut(..REQUEST_SIZE).unwrap_or_default();
            (&*file).read(room).ok()
        }
        Listener::Inet(_) | Listener::Unix(_) | Listener::Pass(_) => {
            let accepted = listener.accept(false);
            runtime.unlock();
            let Some(accepted) = accepted else { return false };
            runtime.begin_trigger();
            let length = read_request(accepted, buffer.get_mut(..REQUEST_SIZE).unwrap_or_default());
            return run(runtime, service, buffer, length);
        }
    };
    runtime.unlock();
    let Some(length) = source else { return false };
    runtime.begin_trigger();
    run(runtime, service, buffer, length)
}

/// Takes what waits, and what comes soon after, before the next poll(2).
fn serve_datagrams(
    runtime: &Runtime,
    service: &mut impl TriggerService,
    socket: &UnixDatagram,
    buffer: &mut [u8],
) -> bool {
    for turn in 0..GATHERINGS {
        match take_datagrams(runtime, service, socket, buffer) {
            0 => return turn > 0,
            1..NEARLY_FULL => std::thread::sleep(GATHER),
            _ => {}
        }
    }
    true
}

/// Takes what waits, up to a burst; how many that were.
fn take_datagrams(
    runtime: &Runtime,
    service: &mut impl TriggerService,
    socket: &UnixDatagram,
    buffer: &mut [u8],
) -> usize {
    let mut taken = 0;
    while taken < BURST {
        let Ok(length) = socket.recv(buffer) else { break };
        if taken == 0 {
            runtime.begin_trigger();
        }
        taken += 1;
        service.trigger(without_nul(buffer.get(..length).unwrap_or_default()));
    }
    if taken > 0 {
        let watched = runtime.watchdog.watch();
        service.flush();
        drop(watched);
        runtime.end_trigger();
    }
    taken
}

fn run(runtime: &Runtime, service: &mut impl TriggerService, buffer: &[u8], length: usize) -> bool {
    let watched = runtime.watchdog.watch();
    if length > 0 {
        service.trigger(without_nul(buffer.get(..length).unwrap_or_default()));
    }
    drop(watched);
    runtime.end_trigger();
    true
}

/// Reads the request with one read and closes, as clients expect.
fn read_request(accepted: Accepted, room: &mut [u8]) -> usize {
    let read = |stream: &UnixStream, room: &mut [u8]| {
        stream.set_read_timeout(Some(REQUEST_LIMIT)).and_then(|()| (&*stream).read(room)).unwrap_or(0)
    };
    match accepted {
        Accepted::Passing(stream) => read(&stream, room),
        Accepted::Client(client) => match client.stream {
            Stream::Unix(stream) => read(&stream, room),
            Stream::Tcp(stream) => {
                stream.set_read_timeout(Some(REQUEST_LIMIT)).and_then(|()| (&stream).read(room)).unwrap_or(0)
            }
        },
    }
}

/// The request without the NUL that ends it.
pub(crate) fn without_nul(request: &[u8]) -> &[u8] {
    let end = request.iter().position(|byte| *byte == 0).unwrap_or(request.len());
    request.get(..end).unwrap_or_default()
}
