//! The pool loop: blocking code, one thread a client, up to the session quota.
//!
//! A client is served by the thread that was woken up for it: idle threads wait together. Only where processes of a
//! reference master take turns in accepting, threads do so too.

use std::os::fd::OwnedFd;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::Scope;
use std::time::{Duration, Instant};

use nix::sys::eventfd::{EfdFlags, EventFd};

use crate::client::{Client, Hooks, Session, Stream};
use crate::listener::Accepted;
use crate::standalone::Standalone;
use crate::startup::{AcceptLock, Runtime, Wake, begin, initialize};
use crate::status::State;
use crate::together::Together;
use crate::{Error, Spec, Startup};

/// Most threads of a process whose quota has no limit.
const THREAD_LIMIT: usize = 1000;
/// Pause after a failed accept, so that a lack of descriptors does not become a busy loop.
const ACCEPT_PAUSE: Duration = Duration::from_millis(10);

/// A service whose clients are served by blocking code, several at a time.
pub trait PoolService: Send + Sync {
    /// After the privilege drop and in the chroot jail, before the first client.
    ///
    /// # Errors
    /// Ends the daemon.
    fn post_init(&mut self) -> Result<(), Error> {
        Ok(())
    }

    /// Serves one client to its end.
    fn serve(&self, client: Client);

    /// The name of a table that has changed on disk, so that the daemon restarts before it takes up another client.
    fn tables_changed(&self) -> Option<String> {
        None
    }
}

/// Runs the daemon.
pub fn run_pool<H: PoolService>(
    spec: &Spec,
    init: impl FnOnce(&mut Startup) -> Result<H, Error>,
) -> ExitCode {
    let (startup, mut runtime) = begin(spec, AcceptLock::Classic);
    let standalone = startup.standalone;
    let mut service = initialize(startup, &mut runtime, init);
    if let Err(error) = service.post_init() {
        os_log::fatal!("{error}");
    }
    if standalone {
        return serve_standalone(spec, |client| service.serve(client));
    }
    os_sys::process::raise_descriptor_limit();
    runtime.announce_quota();
    let ending = match EventFd::from_value_and_flags(0, EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK) {
        Ok(ending) => ending,
        Err(errno) => os_log::fatal!("eventfd: {errno}"),
    };
    let ending = Arc::new(OwnedFd::from(ending));
    let waiting = if runtime.takes_turns() {
        Waiting::InTurn(Mutex::new(()))
    } else {
        match Together::new(&runtime, &ending) {
            Ok(together) => Waiting::Together(together),
            Err(error) => os_log::fatal!("epoll: {error}"),
        }
    };
    let pool = Pool {
        spec: *spec,
        service: &service,
        runtime: &runtime,
        ending,
        waiting,
        state: Mutex::new(Counts { threads: 1, ..Counts::default() }),
    };
    std::thread::scope(|scope| pool.work(scope));
    ExitCode::SUCCESS
}

/// Serves the client on standard input and output.
pub(crate) fn serve_standalone(spec: &Spec, serve: impl FnOnce(Client)) -> ExitCode {
    match Standalone::start(false) {
        Ok((client, standalone)) => {
            announce(spec, &client.stream);
            serve(client);
            standalone.finish();
            ExitCode::SUCCESS
        }
        Err(error) => os_log::fatal!("socketpair: {}", os_sys::error_text(&error)),
    }
}

/// Sends `protocol=NAME`. A client that is gone is noticed by the service.
pub(crate) fn announce(spec: &Spec, stream: &Stream) {
    let Some(protocol) = spec.announce else { return };
    let list = if spec.announce_plain {
        format!("protocol={protocol}\n\n")
    } else {
        format!("protocol\0{protocol}\0\0")
    };
    let _ = nix::unistd::write(stream, list.as_bytes());
}

/// What the threads count together.
#[derive(Debug, Default)]
struct Counts {
    threads: usize,
    active: usize,
    served: u64,
    ended: bool,
    /// When the last client came or went.
    last_client: Option<Instant>,
}

/// How threads wait for clients.
enum Waiting {
    Together(Together),
    /// With the lock that siblings share; held by the thread that waits.
    InTurn(Mutex<()>),
}

struct Pool<'a, H> {
    spec: Spec,
    service: &'a H,
    runtime: &'a Runtime,
    ending: Arc<OwnedFd>,
    waiting: Waiting,
    state: Mutex<Counts>,
}

impl<H: PoolService> Pool<'_, H> {
    fn counts(&self) -> std::sync::MutexGuard<'_, Counts> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The life of a thread: wait, accept, serve.
    fn work<'scope>(&'scope self, scope: &'scope Scope<'scope, '_>) {
        loop {
            let turn = match &self.waiting {
                Waiting::Together(_) => None,
                Waiting::InTurn(turn) => Some(turn.lock().unwrap_or_else(PoisonError::into_inner)),
            };
            if self.counts().ended {
                return;
            }
            let Some(accepted) = self.accept() else {
                self.end();
                return;
            };
            let reinforce = self.taken();
            drop(turn);
            if reinforce {
                let spawned = std::thread::Builder::new()
                    .name("worker".into())
                    .spawn_scoped(scope, || self.work(scope));
                if spawned.is_err() {
                    self.counts().threads -= 1;
                }
            }
            self.serve(accepted);
            self.done();
        }
    }

    /// The next client; `None`: the process ends.
    fn accept(&self) -> Option<Accepted> {
        loop {
            {
                let counts = self.counts();
                let used_up = self.runtime.max_use.is_some_and(|limit| counts.served >= limit);
                if used_up && counts.active == 0 {
                    return None;
                }
            }
            let limit = self.runtime.max_idle;
            let wake = match &self.waiting {
                Waiting::Together(together) => together.wait(limit),
                Waiting::InTurn(_) => {
                    self.runtime.lock();
                    self.runtime.wait(limit)
                }
            };
            let accepted = match wake {
                Wake::Stop => return None,
                Wake::Idle if self.is_idle() => return None,
                Wake::Idle => None,
                Wake::Listener(_) if self.runtime.must_restart(self.service.tables_changed()) => {
                    if let Some(status) = &self.runtime.status {
                        status.report_retired();
                    }
                    return None;
                }
                Wake::Listener(number) => self.accept_from(number),
            };
            if matches!(self.waiting, Waiting::InTurn(_)) {
                self.runtime.unlock();
            }
            if accepted.is_some() {
                return accepted;
            }
        }
    }

    /// Accepts one client, and lets another thread wait for the next one.
    fn accept_from(&self, number: usize) -> Option<Accepted> {
        let listener = self.runtime.listeners.get(number)?;
        let accepted = listener.try_accept(false);
        if let Waiting::Together(together) = &self.waiting {
            together.again(number, listener);
        }
        accepted.unwrap_or_else(|error| {
            os_log::error!("accept connection: {error}");
            std::thread::sleep(ACCEPT_PAUSE);
            None
        })
    }

    /// Whether there is no client, and was none for `max_idle`.
    fn is_idle(&self) -> bool {
        let counts = self.counts();
        counts.active == 0
            && self
                .runtime
                .max_idle
                .is_none_or(|limit| counts.last_client.is_none_or(|at| at.elapsed() >= limit))
    }

    /// Counts a new client; whether another thread must wait for the next one.
    fn taken(&self) -> bool {
        let quota = self.runtime.quota;
        let mut counts = self.counts();
        counts.active += 1;
        counts.last_client = Some(Instant::now());
        if counts.active == quota && !self.spec.persistent_clients {
            self.runtime.report(State::Taken);
        }
        let room = quota == 0 || self.spec.persistent_clients || counts.active < quota;
        let reinforce = room && counts.threads == counts.active && counts.threads < THREAD_LIMIT;
        counts.threads += usize::from(reinforce);
        reinforce
    }

    fn done(&self) {
        let mut counts = self.counts();
        let was_full = counts.active == self.runtime.quota && !self.spec.persistent_clients;
        counts.active -= 1;
        counts.last_client = Some(Instant::now());
        counts.served += 1;
        if was_full {
            self.runtime.report(State::Available);
        }
        if !was_full && let Some(status) = &self.runtime.status {
            status.report_first_job();
        }
    }

    fn serve(&self, accepted: Accepted) {
        let client = match accepted {
            Accepted::Client(client) => client,
            Accepted::Passing(stream) => match Client::receive(stream) {
                Ok(client) => client,
                Err(error) => {
                    os_log::warning!("receive passed connection: {}", os_sys::error_text(&error));
                    return;
                }
            },
        };
        announce(&self.spec, &client.stream);
        let watched = (!self.spec.persistent_clients).then(|| self.runtime.watchdog.watch());
        let hooks =
            Hooks { ending: Arc::clone(&self.ending), watchdog: self.runtime.watchdog.clone(), limit: None };
        let client = Client { session: Session::with_hooks(hooks), ..client };
        // One client's session must not end those of the others; the panic hook has logged it.
        let _ = catch_unwind(AssertUnwindSafe(|| self.service.serve(client)));
        drop(watched);
    }

    /// Tells all threads that the process ends.
    fn end(&self) {
        self.counts().ended = true;
        // An eventfd's counter does not overflow by one.
        let _ = nix::unistd::write(&self.ending, &1u64.to_ne_bytes());
    }
}
