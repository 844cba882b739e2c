//! Where the executables are: ours in cargo's target directory, the reference's where Debian puts them.

use std::path::{Path, PathBuf};

/// Directory of the reference's daemons.
pub(crate) const THEIR_DAEMONS: &str = "/usr/lib/postfix/sbin";
const THEIR_COMMANDS: [&str; 2] = ["/usr/sbin", "/usr/bin"];

/// Our images that are executables of their own; every other name is the multi-call image.
const OWN_IMAGES: [&str; 8] =
    ["master", "local", "virtual", "pipe", "spawn", "postdrop", "postqueue", "postlog"];

/// Names under which our daemons are installed.
pub(crate) const DAEMONS: &[&str] = &[
    "anvil",
    "bounce",
    "cleanup",
    "discard",
    "error",
    "flush",
    "lmtp",
    "local",
    "master",
    "pickup",
    "pipe",
    "postlogd",
    "proxymap",
    "qmgr",
    "scache",
    "showq",
    "smtp",
    "smtpd",
    "trivial-rewrite",
    "verify",
    "virtual",
];

/// Names under which our commands are installed.
pub(crate) const COMMANDS: &[&str] = &[
    "mailq",
    "newaliases",
    "postalias",
    "postcat",
    "postconf",
    "postdrop",
    "postfix",
    "postkick",
    "postlock",
    "postlog",
    "postmap",
    "postqueue",
    "postsuper",
    "sendmail",
];

/// The directory of our executables: `POSTINO_BIN_DIR`, else the profile directory the test runs from.
pub(crate) fn our_directory() -> PathBuf {
    if let Some(dir) = std::env::var_os("POSTINO_BIN_DIR") {
        return PathBuf::from(dir);
    }
    let test = std::env::current_exe().expect("path of the test executable");
    test.parent().and_then(Path::parent).expect("target directory").to_owned()
}

/// Our image for the program `name`.
pub(crate) fn ours(name: &str) -> PathBuf {
    let dir = our_directory();
    let own = dir.join(name);
    let image = if OWN_IMAGES.contains(&name) && own.exists() { own } else { dir.join("postino") };
    assert!(
        image.exists(),
        "{} is missing: build it first (cargo build --workspace --bins)",
        image.display()
    );
    image
}

/// The reference's daemon `name`.
pub(crate) fn their_daemon(name: &str) -> PathBuf {
    Path::new(THEIR_DAEMONS).join(name)
}

/// The reference's command `name`.
pub(crate) fn their_command(name: &str) -> PathBuf {
    THEIR_COMMANDS
        .iter()
        .map(|dir| Path::new(dir).join(name))
        .find(|path| path.exists())
        .unwrap_or_else(|| panic!("the reference's command {name} is not installed"))
}
