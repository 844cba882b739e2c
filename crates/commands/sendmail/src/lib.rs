//! sendmail(1), mailq(1), newaliases(1): the Sendmail compatibility interface.

use std::process::ExitCode;

/// The program, from its command line to its exit status.
#[must_use]
pub fn main() -> ExitCode {
    todo!()
}
