//! The single loop: one client at a time in the main thread, for agents that change identity or run commands.

use std::process::ExitCode;

use crate::client::Client;
use crate::listener::Accepted;
use crate::pool::{announce, serve_standalone};
use crate::startup::{AcceptLock, Runtime, Wake, begin, initialize};
use crate::status::State;
use crate::{Error, Spec, Startup};

/// A service with one client at a time.
pub trait SingleService {
    /// After the privilege drop (if any), before the first client.
    ///
    /// # Errors
    /// Ends the daemon.
    fn post_init(&mut self) -> Result<(), Error> {
        Ok(())
    }

    /// Serves one client to its end.
    fn serve(&mut self, client: Client);

    /// See [`crate::PoolService::tables_changed`].
    fn tables_changed(&self) -> Option<String> {
        None
    }
}

/// Runs the daemon.
pub fn run_single<H: SingleService>(
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
        return serve_standalone(spec, |client| service.serve(client));
    }
    let mut served = 0;
    while runtime.max_use.is_none_or(|limit| served < limit) {
        match next(&runtime, &service) {
            Next::Client(accepted) => {
                serve(spec, &runtime, &mut service, accepted);
                served += 1;
            }
            Next::Nobody => {}
            Next::End => break,
        }
    }
    ExitCode::SUCCESS
}

enum Next {
    Client(Accepted),
    Nobody,
    End,
}

fn next(runtime: &Runtime, service: &impl SingleService) -> Next {
    runtime.lock();
    let next = match runtime.wait(runtime.max_idle) {
        Wake::Stop | Wake::Idle => Next::End,
        Wake::Listener(_) if runtime.must_restart(service.tables_changed()) => Next::End,
        Wake::Listener(number) => {
            let accepted = runtime.listeners.get(number).and_then(|one| one.accept(false));
            accepted.map_or(Next::Nobody, Next::Client)
        }
    };
    runtime.unlock();
    next
}

fn serve(spec: &Spec, runtime: &Runtime, service: &mut impl SingleService, accepted: Accepted) {
    runtime.report(State::Taken);
    let watched = runtime.watchdog.watch();
    let client = match accepted {
        Accepted::Client(client) => Ok(client),
        Accepted::Passing(stream) => Client::receive(stream),
    };
    match client {
        Ok(client) => {
            announce(spec, &client.stream);
            service.serve(client);
        }
        Err(error) => os_log::warning!("receive passed connection: {}", os_sys::error_text(&error)),
    }
    drop(watched);
    runtime.report(State::Available);
}
