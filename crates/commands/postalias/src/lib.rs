//! postalias(1): alias database management. See `command_postmap`, which is the same program for another grammar.

use std::process::ExitCode;

/// The program, from its command line to its exit status.
#[must_use]
pub fn main() -> ExitCode {
    command_postmap::run(command_postmap::Tool::Postalias)
}
