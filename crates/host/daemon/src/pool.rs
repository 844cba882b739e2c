//! The pool loop: blocking code, one thread a client, up to the session quota.

use std::process::ExitCode;

use crate::{Client, Error, Spec, Startup};

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
pub fn run_pool<H: PoolService>(_spec: &Spec, _init: impl FnOnce(&mut Startup) -> Result<H, Error>) -> ExitCode {
    todo!("os")
}
