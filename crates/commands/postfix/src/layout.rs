//! The directories of an instance, with owners and modes.

use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};

use host_config::param;
use os_sys::error_text;
use os_sys::identity;

use crate::Fatal;
use crate::instance::Instance;

/// To whom a directory belongs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Owner {
    /// root
    Root,
    /// `mail_owner`, any group
    Mail,
    /// `mail_owner`, group `setgid_group`
    MailAndSubmitters,
}

/// Directories below the queue directory.
pub(crate) const QUEUE: &[(&str, u32, Owner)] = &[
    ("active", 0o700, Owner::Mail),
    ("bounce", 0o700, Owner::Mail),
    ("corrupt", 0o700, Owner::Mail),
    ("defer", 0o700, Owner::Mail),
    ("deferred", 0o700, Owner::Mail),
    ("flush", 0o700, Owner::Mail),
    ("hold", 0o700, Owner::Mail),
    ("incoming", 0o700, Owner::Mail),
    ("private", 0o700, Owner::Mail),
    ("saved", 0o700, Owner::Mail),
    ("trace", 0o700, Owner::Mail),
    ("maildrop", 0o730, Owner::MailAndSubmitters),
    ("public", 0o710, Owner::MailAndSubmitters),
    ("pid", 0o755, Owner::Root),
];

/// Commands that must be set-gid `setgid_group`.
pub(crate) const SET_GID: &[&str] = &["postdrop", "postqueue"];
/// One more that is so where it can be; nothing warns if not, as it serves users only with `maillog_file`.
const MAY_BE_SET_GID: &str = "postlog";

/// Numbers of the owners; `None`: an ordinary user's instance, where everything is that user's.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Numbers {
    pub(crate) owner: u32,
    pub(crate) submitters: u32,
}

pub(crate) fn numbers(instance: &Instance) -> Result<Option<Numbers>, Fatal> {
    if Instance::is_rootless() {
        return Ok(None);
    }
    let name = instance.text(param::MAIL_OWNER)?;
    let user = identity::user_by_name(&name).map_err(|error| Fatal(error_text(&error)))?;
    let user = user.ok_or_else(|| Fatal(format!("unknown user: {name}")))?;
    let name = instance.text(param::SETGID_GROUP)?;
    let group = identity::group_by_name(&name).map_err(|error| Fatal(error_text(&error)))?;
    let submitters = group.ok_or_else(|| Fatal(format!("unknown group: {name}")))?;
    Ok(Some(Numbers { owner: user.uid, submitters }))
}

fn all(instance: &Instance) -> impl Iterator<Item = (PathBuf, u32, Owner)> {
    let below = QUEUE.iter().map(|(name, mode, owner)| (instance.queue.join(name), *mode, *owner));
    let others = [(instance.queue.clone(), 0o755, Owner::Root), (instance.data.clone(), 0o700, Owner::Mail)];
    others.into_iter().chain(below)
}

/// Creates what is missing.
pub(crate) fn create_missing(instance: &Instance) -> Result<(), Fatal> {
    let numbers = numbers(instance)?;
    for (path, mode, owner) in all(instance) {
        if !path.is_dir() {
            let made = fs::DirBuilder::new().recursive(true).mode(mode).create(&path);
            made.and_then(|()| apply(&path, mode, owner, numbers)).map_err(|error| failure(&path, &error))?;
        }
    }
    Ok(())
}

/// Gives everything its owner and mode, the set-gid commands included.
pub(crate) fn set_permissions(instance: &Instance) -> Result<(), Fatal> {
    let numbers = numbers(instance)?;
    for (path, mode, owner) in all(instance) {
        apply(&path, mode, owner, numbers).map_err(|error| failure(&path, &error))?;
    }
    let Some(numbers) = numbers else { return Ok(()) };
    let optional = Some(MAY_BE_SET_GID).filter(|name| is_own_file(&instance.commands.join(name)));
    for name in SET_GID.iter().copied().chain(optional) {
        let path = instance.commands.join(name);
        let result = chown(&path, Some(0), Some(numbers.submitters))
            .and_then(|()| fs::set_permissions(&path, Permissions::from_mode(0o2755)));
        result.map_err(|error| failure(&path, &error))?;
    }
    Ok(())
}

/// Whether this is a file under one name only: the multi-call executable must not become set-gid.
fn is_own_file(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok_and(|metadata| metadata.is_file() && metadata.nlink() == 1)
}

fn apply(path: &Path, mode: u32, owner: Owner, numbers: Option<Numbers>) -> io::Result<()> {
    if let Some(numbers) = numbers {
        // The group matters to submitters only; elsewhere it stays as it is.
        let (user, group) = match owner {
            Owner::Root => (0, None),
            Owner::Mail => (numbers.owner, None),
            Owner::MailAndSubmitters => (numbers.owner, Some(numbers.submitters)),
        };
        chown(path, Some(user), group)?;
    }
    fs::set_permissions(path, Permissions::from_mode(mode))
}

fn failure(path: &Path, error: &io::Error) -> Fatal {
    Fatal(format!("{}: {}", path.display(), error_text(error)))
}
