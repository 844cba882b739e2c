//! What a test needs and may not find. A test that does not run says so and why; `tests/run` prints the list.

use std::io::Write as _;
use std::path::{Path, PathBuf};

/// Says that the current test does not run, and why. `$HARNESS_SKIPS` names a file that gets a line `TEST<tab>REASON`.
pub fn skip(reason: &str) {
    let name = test_name();
    println!("NOT RUN: {name}: {reason}");
    if let Some(path) = std::env::var_os("HARNESS_SKIPS")
        && let Ok(mut file) = std::fs::OpenOptions::new().append(true).create(true).open(path)
    {
        // One write, so that lines of other test processes do not get mixed in.
        let _ = file.write_all(format!("{name}\t{reason}\n").as_bytes());
    }
}

/// True, after recording it, when the test needs root and does not have it; `why` is what root is needed for.
#[must_use]
pub fn needs_root(why: &str) -> bool {
    let missing = !nix::unistd::Uid::effective().is_root();
    if missing {
        skip(&format!("needs root: {why}"));
    }
    missing
}

/// True, after recording it, when the reference is not installed or may not be started; `why` is what it is needed for.
#[must_use]
pub fn needs_reference(why: &str) -> bool {
    if !Path::new(crate::images::THEIR_DAEMONS).join("master").exists() {
        skip(&format!("needs the reference, which is not installed (Debian: postfix): {why}"));
        return true;
    }
    let missing = !nix::unistd::Uid::effective().is_root();
    if missing {
        skip(&format!("needs root: the reference refuses to run without; needed {why}"));
    }
    missing
}

/// Where a program is, the first of `names` in the directories of programs; without any, that is recorded.
#[must_use]
pub fn needs_program(names: &[&str]) -> Option<PathBuf> {
    let directories =
        ["/usr/local/bin", "/usr/bin", "/bin", "/usr/sbin", "/sbin", crate::images::THEIR_DAEMONS];
    let paths = names.iter().flat_map(|name| directories.iter().map(move |dir| Path::new(dir).join(name)));
    let found = paths.into_iter().find(|path| path.exists());
    if found.is_none() {
        skip(&format!("needs a program that is not installed: {}", names.join(" or ")));
    }
    found
}

/// True, after recording it, when no directory /etc/postfix is there: set-gid commands read their rules from no other.
#[must_use]
pub fn needs_default_configuration() -> bool {
    let missing = !Path::new("/etc/postfix").is_dir();
    if missing {
        skip("needs a directory /etc/postfix, where set-gid commands look for alternate_config_directories");
    }
    missing
}

/// The name of the running test: of its thread, or of the command line when tests run in the main thread.
fn test_name() -> String {
    let thread = std::thread::current();
    match thread.name() {
        Some(name) if name != "main" => name.to_owned(),
        Some(_) | None => {
            std::env::args().skip(1).find(|word| !word.starts_with('-')).unwrap_or_else(|| "?".to_owned())
        }
    }
}
