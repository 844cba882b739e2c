//! The bounce, defer and trace services: `bounce(8)`. One program; the service's name is the directory of its logs.
//!
//! Delivery agents append what became of recipients; the queue manager asks for the notice at the end. A log is removed
//! only when its notice is queued.

mod notice;
mod original;
mod service;
mod settings;
mod templates;

use std::process::ExitCode;

use host_daemon::{ProcessLimit, Spec};
use proto_ipc::bounce::PROTOCOL;

const SPEC: Spec =
    Spec { process_limit: ProcessLimit::Zero, announce: Some(PROTOCOL), ..Spec::new("bounce") };

/// The program, from its command line to its exit status.
#[must_use]
pub fn main() -> ExitCode {
    host_daemon::run_pool(&SPEC, service::Bounce::new)
}
