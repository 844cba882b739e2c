//! Privilege as a value: only startup code and the agents that act for users hold a [`Root`] token.

use std::ffi::CString;
use std::io;
use std::path::Path;

use nix::errno::Errno;
use nix::unistd::{self, Gid, Uid};

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

impl Identity {
    /// All groups of this identity, the first being its own.
    ///
    /// # Errors
    /// Those of getgrouplist(3).
    pub fn groups(&self) -> io::Result<Vec<u32>> {
        let own = Gid::from_raw(self.gid);
        let Some(name) = &self.name else { return Ok(vec![self.gid]) };
        let name = CString::new(name.as_str())?;
        Ok(unistd::getgrouplist(&name, own)?.into_iter().map(Gid::as_raw).collect())
    }

    fn set_groups(&self) -> io::Result<()> {
        let groups: Vec<Gid> = self.groups()?.into_iter().map(Gid::from_raw).collect();
        Ok(unistd::setgroups(&groups)?)
    }
}

/// Takes root back when it goes out of scope, even if the work panicked.
struct Comeback {
    groups: Vec<Gid>,
    gid: Gid,
}

impl Drop for Comeback {
    fn drop(&mut self) {
        let back = unistd::seteuid(Uid::from_raw(0))
            .and_then(|()| unistd::setegid(self.gid))
            .and_then(|()| unistd::setgroups(&self.groups));
        if back.is_err() {
            // A privileged program that does not know who it is must not run on.
            std::process::abort();
        }
    }
}

impl Root {
    /// The token, if the effective user is root.
    #[must_use]
    pub fn claim() -> Option<Self> {
        unistd::geteuid().is_root().then_some(Self(()))
    }

    /// Gives root up for good: chroot (if any), setgid, initgroups, setuid. Order: gid, chroot, uid.
    ///
    /// # Errors
    /// The first call that fails; the process must then end.
    pub fn drop_to(self, identity: &Identity, chroot: Option<&Path>) -> io::Result<()> {
        unistd::setgid(Gid::from_raw(identity.gid))?;
        identity.set_groups()?;
        if let Some(jail) = chroot {
            unistd::chroot(jail)?;
            unistd::chdir("/")?;
        }
        unistd::setuid(Uid::from_raw(identity.uid))?;
        if identity.uid != 0 && unistd::setuid(Uid::from_raw(0)).is_ok() {
            return Err(io::Error::other("root could be taken back"));
        }
        Ok(())
    }

    /// Goes into a chroot jail and stays root.
    ///
    /// # Errors
    /// Those of chroot(2), chdir(2).
    pub fn enter(&self, jail: &Path) -> io::Result<()> {
        unistd::chroot(jail)?;
        Ok(unistd::chdir("/")?)
    }

    /// Runs `work` with these effective ids (and groups), then takes root back. The ids are those of all threads.
    ///
    /// # Errors
    /// When the ids cannot be changed; panics never. Failing to come back ends the process.
    pub fn acting_as<T>(&self, identity: &Identity, work: impl FnOnce() -> T) -> io::Result<T> {
        let comeback = Comeback { groups: unistd::getgroups()?, gid: unistd::getegid() };
        identity.set_groups()?;
        unistd::setegid(Gid::from_raw(identity.gid))?;
        unistd::seteuid(Uid::from_raw(identity.uid))?;
        let result = work();
        drop(comeback);
        Ok(result)
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

impl User {
    fn from_database(user: unistd::User) -> Self {
        Self {
            name: user.name,
            uid: user.uid.as_raw(),
            gid: user.gid.as_raw(),
            gecos: user.gecos.to_string_lossy().into_owned(),
            home: user.dir,
            shell: user.shell.to_string_lossy().into_owned(),
        }
    }

    /// Its identity, with supplementary groups.
    #[must_use]
    pub fn identity(&self) -> Identity {
        Identity { name: Some(self.name.clone()), uid: self.uid, gid: self.gid }
    }
}

/// Some name services say "no such entry" by an error number (getpwnam(3), ERRORS).
fn absent_is_none<T>(result: Result<Option<T>, Errno>) -> io::Result<Option<T>> {
    match result {
        Ok(found) => Ok(found),
        Err(Errno::ESRCH) => Ok(None),
        Err(errno) => Err(errno.into()),
    }
}

/// Looks a user up by name.
///
/// # Errors
/// When the password database cannot tell (never to be taken for "unknown user").
pub fn user_by_name(name: &str) -> io::Result<Option<User>> {
    if name.contains('\0') {
        return Ok(None);
    }
    Ok(absent_is_none(unistd::User::from_name(name))?.map(User::from_database))
}

/// Looks a user up by number.
///
/// # Errors
/// As [`user_by_name`].
pub fn user_by_uid(uid: u32) -> io::Result<Option<User>> {
    Ok(absent_is_none(unistd::User::from_uid(Uid::from_raw(uid)))?.map(User::from_database))
}

/// Group ID by name.
///
/// # Errors
/// As [`user_by_name`].
pub fn group_by_name(name: &str) -> io::Result<Option<u32>> {
    if name.contains('\0') {
        return Ok(None);
    }
    Ok(absent_is_none(unistd::Group::from_name(name))?.map(|group| group.gid.as_raw()))
}

/// The effective user of this process.
#[must_use]
pub fn effective_uid() -> u32 {
    unistd::geteuid().as_raw()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn root_is_in_the_password_file_and_nonsense_is_not() {
        let root = user_by_name("root").unwrap().unwrap();
        assert_eq!((root.uid, root.home.as_path()), (0, Path::new("/root")));
        assert_eq!(user_by_uid(0).unwrap().unwrap().name, "root");
        assert_eq!(user_by_name("no-such-user-here").unwrap(), None);
        assert_eq!(group_by_name("root").unwrap(), Some(0));
    }

    #[test]
    fn root_acts_as_somebody_and_comes_back() {
        let Some(root) = Root::claim() else { return };
        let nobody = Identity { name: None, uid: 65534, gid: 65534 };
        let seen =
            root.acting_as(&nobody, || (unistd::geteuid().as_raw(), unistd::getegid().as_raw())).unwrap();
        assert_eq!(seen, (65534, 65534));
        assert_eq!(effective_uid(), 0);
    }
}
