//! The supervisor: master.cf services, their sockets and processes (master(8)).

mod disable;
mod endpoint;
mod lock_file;
mod options;
mod reload;
mod service;
mod spawn;
mod startup;
mod supervisor;
mod wakeup;

use std::process::ExitCode;

/// The program, from its command line to its exit status.
#[must_use]
pub fn main() -> ExitCode {
    match startup::run() {
        Ok(status) => status,
        Err(text) => os_log::fatal!("{text}"),
    }
}
