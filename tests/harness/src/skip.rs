//! Skips that are seen: printed, and recorded for the summary of `tests/run`.

use std::io::Write as _;

/// Says that the current test is skipped, and why. The line is also appended to the file `$HARNESS_SKIPS`.
pub fn skip(reason: &str) {
    let name = std::thread::current().name().unwrap_or("?").to_owned();
    println!("SKIP: {name}: {reason}");
    if let Some(path) = std::env::var_os("HARNESS_SKIPS")
        && let Ok(mut file) = std::fs::OpenOptions::new().append(true).create(true).open(path)
    {
        let _ = writeln!(file, "{name}: {reason}");
    }
}

/// True when running as root; otherwise skips the test with `reason`.
pub fn only_root(reason: &str) -> bool {
    let root = nix::unistd::Uid::effective().is_root();
    if !root {
        skip(&format!("needs root: {reason}"));
    }
    root
}

/// True, after recording the skip, when the reference is not installed or may not be started; `why` says what for.
pub fn needs_reference(why: &str) -> bool {
    let usable = nix::unistd::Uid::effective().is_root()
        && std::path::Path::new(crate::images::THEIR_DAEMONS).join("master").exists();
    if !usable {
        skip(&format!("needs the reference, installed, and root: {why}"));
    }
    !usable
}
