//! The queue manager: incoming, active and deferred queues, delivery scheduling.

use std::process::ExitCode;

/// The program, from its command line to its exit status.
#[must_use]
pub fn main() -> ExitCode {
    todo!()
}
