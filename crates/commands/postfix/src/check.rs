//! `postfix check`: what must be so, and what should be so.

use std::fs::{self, Metadata};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use host_config::master_cf::{self, ServiceType};
use host_config::param;

use crate::instance::Instance;
use crate::layout::{self, Numbers, Owner};
use crate::{Fatal, Outcome};

/// How deep the configuration tree is looked at.
const DEPTH_LIMIT: usize = 8;
/// Most damaged messages that are named.
const DAMAGED_LIMIT: usize = 1000;

pub(crate) fn check(instance: &Instance) -> Outcome {
    check_fatal(instance)?;
    check_warn(instance)?;
    Ok(0)
}

/// What keeps the mail system from starting.
pub(crate) fn check_fatal(instance: &Instance) -> Result<(), Fatal> {
    if let Err(Fatal(text)) = layout::create_missing(instance) {
        os_log::error!("{text}");
        return Err(Fatal("unable to create missing queue directories".to_owned()));
    }
    let services = instance.config.dir().join("master.cf");
    if !services.is_file() {
        return Err(Fatal(format!("no {} file found", services.display())));
    }
    if !instance.text(param::MAILLOG_FILE)?.is_empty() {
        let name = instance.text(param::POSTLOG_SERVICE_NAME)?;
        let entries = master_cf::read(&instance.config)?;
        if !entries.iter().any(|one| one.name == name && one.kind == ServiceType::UnixDgram) {
            let text = "missing 'postlog' service in master.cf - run 'postfix upgrade-configuration'";
            return Err(Fatal(text.to_owned()));
        }
    }
    instance.run_quietly("postsuper", &[])?;
    Ok(())
}

/// What an administrator should know.
pub(crate) fn check_warn(instance: &Instance) -> Result<(), Fatal> {
    instance.run_quietly("postconf", &[])?;
    if let Some(numbers) = layout::numbers(instance)? {
        check_queue(instance, numbers)?;
        check_commands(instance, numbers)?;
        check_shared(instance)?;
    }
    let corrupt = fs::read_dir(instance.queue.join("corrupt")).into_iter().flatten().flatten();
    for message in corrupt.take(DAMAGED_LIMIT) {
        os_log::warning!("damaged message: corrupt/{}", message.file_name().to_string_lossy());
    }
    Ok(())
}

/// Calls `look` for everything below `path`, itself included. Messages name things below `shown`.
fn walk(path: &Path, shown: &Path, depth: usize, look: &mut dyn FnMut(&Path, &Metadata)) {
    let Ok(metadata) = fs::symlink_metadata(path) else { return };
    look(shown, &metadata);
    let Some(deeper) = depth.checked_sub(1).filter(|_| metadata.is_dir()) else { return };
    for entry in fs::read_dir(path).into_iter().flatten().flatten() {
        walk(&entry.path(), &shown.join(entry.file_name()), deeper, look);
    }
}

/// The top of a tree as messages name it.
fn top(directory: &Path) -> PathBuf {
    PathBuf::from(format!("{}/.", directory.display()))
}

fn owned_by_root(path: &Path, metadata: &Metadata) {
    if metadata.uid() != 0 {
        os_log::warning!("not owned by root: {}", path.display());
    }
}

fn writable_by_owner(path: &Path, metadata: &Metadata) {
    if metadata.mode() & 0o022 != 0 {
        os_log::warning!("group or other writable: {}", path.display());
    }
}

fn check_queue(instance: &Instance, numbers: Numbers) -> Result<(), Fatal> {
    let owner = instance.text(param::MAIL_OWNER)?;
    let group = instance.text(param::SETGID_GROUP)?;
    let owned_by_mail = |path: &Path, metadata: &Metadata| {
        if metadata.uid() != numbers.owner {
            os_log::warning!("not owned by {owner}: {}", path.display());
        }
    };
    let mut root_only = |path: &Path, metadata: &Metadata| {
        owned_by_root(path, metadata);
        writable_by_owner(path, metadata);
    };
    walk(&instance.queue, &top(&instance.queue), 0, &mut root_only);
    walk(&instance.data, &top(&instance.data), DEPTH_LIMIT, &mut |path, metadata| {
        owned_by_mail(path, metadata);
        writable_by_owner(path, metadata);
    });
    for (name, _, whose) in layout::QUEUE {
        let path = instance.queue.join(name);
        match whose {
            Owner::Root => walk(&path, &path, 0, &mut root_only),
            Owner::Mail => {
                walk(&path, &path, DEPTH_LIMIT, &mut |path, metadata| owned_by_mail(path, metadata))
            }
            Owner::MailAndSubmitters => {
                // Whoever submits mail owns files in maildrop.
                let depth = if *name == "maildrop" { 0 } else { DEPTH_LIMIT };
                walk(&path, &path, depth, &mut |path, metadata| owned_by_mail(path, metadata));
                check_group(&path, numbers, &group);
            }
        }
    }
    check_jail(&instance.queue);
    Ok(())
}

/// The files that chrooted services see belong to root, and those of `etc` are as outside.
fn check_jail(queue: &Path) {
    for name in ["bin", "etc", "lib", "sbin", "usr"] {
        let path = queue.join(name);
        walk(&path, &path, DEPTH_LIMIT, &mut owned_by_root);
    }
    let etc = queue.join("etc");
    walk(&etc, &etc, DEPTH_LIMIT, &mut |path, metadata| {
        let Ok(name) = path.strip_prefix(queue) else { return };
        let outside = Path::new("/").join(name);
        if metadata.is_file() && outside.is_file() && fs::read(path).ok() != fs::read(&outside).ok() {
            os_log::warning!("{} and {} differ", path.display(), outside.display());
        }
    });
}

fn check_group(path: &Path, numbers: Numbers, group: &str) {
    if fs::metadata(path).is_ok_and(|metadata| metadata.gid() != numbers.submitters) {
        os_log::warning!("not owned by group {group}: {}", path.display());
    }
}

fn check_commands(instance: &Instance, numbers: Numbers) -> Result<(), Fatal> {
    let group = instance.text(param::SETGID_GROUP)?;
    for name in layout::SET_GID {
        let path = instance.commands.join(name);
        check_group(&path, numbers, &group);
        if fs::metadata(&path).is_ok_and(|metadata| metadata.mode() & 0o2111 != 0o2111) {
            os_log::warning!("not set-gid or not owner+group+world executable: {}", path.display());
        }
    }
    Ok(())
}

/// Configuration and programs belong to root, and only root may write them.
fn check_shared(instance: &Instance) -> Result<(), Fatal> {
    walk(instance.config.dir(), &top(instance.config.dir()), DEPTH_LIMIT, &mut |path, metadata| {
        owned_by_root(path, metadata);
        writable_by_owner(path, metadata);
    });
    let mut trees = vec![instance.daemons.clone()];
    for name in [param::META_DIRECTORY, param::SHLIB_DIRECTORY] {
        let path = PathBuf::from(instance.text(name)?);
        if path.is_absolute() && path != instance.config.dir() && !trees.contains(&path) {
            trees.push(path);
        }
    }
    for tree in trees {
        walk(&tree, &top(&tree), DEPTH_LIMIT, &mut |path, metadata| {
            owned_by_root(path, metadata);
            // Links have every bit set, and programs of several names are links here.
            if !metadata.is_symlink() {
                writable_by_owner(path, metadata);
            }
        });
    }
    Ok(())
}
