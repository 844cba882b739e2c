//! The single loop: one client at a time in the main thread, for agents that change identity or run commands.

use std::process::ExitCode;

use crate::{Client, Error, Spec, Startup};

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
    _spec: &Spec,
    _init: impl FnOnce(&mut Startup) -> Result<H, Error>,
) -> ExitCode {
    todo!("os")
}
