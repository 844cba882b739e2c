//! The trigger loop: clients that only ring the bell (unix, fifo), and datagrams (unix-dgram).

use std::process::ExitCode;
use std::time::Duration;

use crate::{Error, Spec, Startup};

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
    _spec: &Spec,
    _init: impl FnOnce(&mut Startup) -> Result<H, Error>,
) -> ExitCode {
    todo!("os")
}
