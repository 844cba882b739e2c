//! The local delivery agent: aliases, .forward, commands, mailboxes.

use std::process::ExitCode;

/// The program, from its command line to its exit status.
#[must_use]
pub fn main() -> ExitCode {
    todo!()
}
