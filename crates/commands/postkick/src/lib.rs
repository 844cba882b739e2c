//! postkick(1): sends a trigger to a service.

use std::process::ExitCode;

/// The program, from its command line to its exit status.
#[must_use]
pub fn main() -> ExitCode {
    todo!()
}
