//! Turns a submitted record stream into a complete queue file: the only program that writes to `incoming`.
//!
//! * [`service`]: the dialogue with one client;
//! * [`message`]: what is known about the message, and every write to its file;
//! * [`envelope`], [`content`], [`extracted`]: the three segments of the stream;
//! * [`header`]: rewriting and completing the primary header;
//! * [`recipient`]: from an address as received to recipient records;
//! * [`mapping`], [`masquerade`]: address mappings;
//! * [`finish`]: commit, refusal, bounce.

use std::process::ExitCode;

mod bounce;
mod content;
mod envelope;
mod extracted;
mod finish;
mod header;
mod mapping;
mod masquerade;
mod message;
mod recipient;
mod service;
mod settings;

use host_daemon::{ProcessLimit, Spec};

/// Started by master only; any number of processes.
const SPEC: Spec = Spec { process_limit: ProcessLimit::Zero, ..Spec::new("cleanup") };

/// The program, from its command line to its exit status.
#[must_use]
pub fn main() -> ExitCode {
    host_daemon::run_pool(&SPEC, service::Cleanup::new)
}
