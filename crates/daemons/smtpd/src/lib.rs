//! The SMTP server: any number of sessions in one event loop; what may block runs on a small thread pool.
//!
//! `serve` is the loop, `drive` moves one session along, `backend` answers its questions: `connect` (names, rate limits),
//! `envelope` (MAIL, RCPT, VRFY, ETRN), `queue` (the cleanup stream, never waited for) and `outcome` (its end), `notice`
//! (transcripts); `quick` knows what may block; `world` is what restriction lists look at.

mod anvil;
mod backend;
mod connect;
mod drive;
mod envelope;
mod notice;
mod outcome;
mod pool;
mod queue;
mod quick;
mod serve;
mod services;
mod settings;
mod world;

use std::process::ExitCode;

use host_daemon::Spec;

const SPEC: Spec = Spec::new("smtpd");

/// The program, from its command line to its exit status.
#[must_use]
pub fn main() -> ExitCode {
    host_daemon::run_event(&SPEC, serve::Smtpd::new)
}
