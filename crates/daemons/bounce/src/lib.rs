//! Bounce, defer and trace logs and the notices made from them.

use std::process::ExitCode;

/// The program, from its command line to its exit status.
#[must_use]
pub fn main() -> ExitCode {
    todo!()
}
