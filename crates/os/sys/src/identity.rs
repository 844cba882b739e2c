//! Privilege as a value: only startup code and the agents that act for users hold a [`Root`] token.

use std::io;
use std::path::Path;

/// Proof that this process runs with effective uid 0 and may change its identity.
#[derive(Debug)]
pub struct Root(());

/// A user's numeric identity. For a user of the password file its supplementary groups are used as well.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// User name, for initgroups(3); `None`: no supplementary groups.
    pub name: Option<String>,
    /// User ID.
    pub uid: u32,
    /// Group ID.
    pub gid: u32,
}

impl Root {
    /// The token, if the effective user is root.
    #[must_use]
    pub fn claim() -> Option<Self> {
        todo!("os")
    }

    /// Gives root up for good: chroot (if any), setgid, initgroups, setuid. Order: gid, chroot, uid.
    ///
    /// # Errors
    /// The first call that fails; the process must then end.
    pub fn drop_to(self, _identity: &Identity, _chroot: Option<&Path>) -> io::Result<()> {
        todo!("os")
    }

    /// Runs `work` with these effective ids (and groups), then takes root back. Single-threaded processes only.
    ///
    /// # Errors
    /// When the ids cannot be changed; panics never. Failing to come back ends the process.
    pub fn acting_as<T>(&self, _identity: &Identity, _work: impl FnOnce() -> T) -> io::Result<T> {
        todo!("os")
    }
}

/// A user of the password file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// Login name.
    pub name: String,
    /// User ID.
    pub uid: u32,
    /// Group ID.
    pub gid: u32,
    /// Full name field.
    pub gecos: String,
    /// Home directory.
    pub home: std::path::PathBuf,
    /// Login shell.
    pub shell: String,
}

/// Looks a user up by name.
///
/// # Errors
/// When the password database cannot tell (never to be taken for "unknown user").
pub fn user_by_name(_name: &str) -> io::Result<Option<User>> {
    todo!("os")
}

/// Looks a user up by number.
///
/// # Errors
/// As [`user_by_name`].
pub fn user_by_uid(_uid: u32) -> io::Result<Option<User>> {
    todo!("os")
}

/// Group ID by name.
///
/// # Errors
/// As [`user_by_name`].
pub fn group_by_name(_name: &str) -> io::Result<Option<u32>> {
    todo!("os")
}
