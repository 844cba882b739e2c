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
        let mut budget = DEPTH_LIMIT;
        check_tree(instance.config.dir(), &mut budget);
    }
    let corrupt = fs::read_dir(instance.queue.join("corrupt")).into_iter().flatten().flatten();
    for message in corrupt.take(DAMAGED_LIMIT) {
        os_log::warning!("damaged message: corrupt/{}", message.file_name().to_string_lossy());
    }
    Ok(())
}

fn is_writable_by_others(metadata: &Metadata) -> bool {
    !metadata.is_symlink() && metadata.mode() & 0o022 != 0
}

fn check_root_owned(path: &Path) {
    let Ok(metadata) = fs::symlink_metadata(path) else { return };
    if metadata.uid() != 0 {
        os_log::warning!("not owned by root: {}", path.display());
    }
    if is_writable_by_others(&metadata) {
        os_log::warning!("group or other writable: {}", path.display());
    }
}

fn check_queue(instance: &Instance, numbers: Numbers) -> Result<(), Fatal> {
    let owner = instance.text(param::MAIL_OWNER)?;
    let group = instance.text(param::SETGID_GROUP)?;
    check_root_owned(&instance.queue);
    let check_owner = |path: &Path| {
        if fs::metadata(path).is_ok_and(|metadata| metadata.uid() != numbers.owner) {
            os_log::warning!("not owned by {owner}: {}", path.display());
        }
    };
    check_owner(&instance.data);
    if fs::metadata(&instance.data).is_ok_and(|metadata| is_writable_by_others(&metadata)) {
        os_log::warning!("group or other writable: {}", instance.data.display());
    }
    for (name, _, whose) in layout::QUEUE {
        let path = instance.queue.join(name);
        match whose {
            Owner::Root => check_root_owned(&path),
            Owner::Mail => check_owner(&path),
            Owner::MailAndSubmitters => {
                check_owner(&path);
                check_group(&path, numbers, &group);
            }
        }
    }
    Ok(())
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

/// The configuration files belong to root, and only root may write them.
fn check_tree(directory: &Path, depth: &mut usize) {
    check_root_owned(directory);
    let Some(deeper) = depth.checked_sub(1) else { return };
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    let paths: Vec<PathBuf> = entries.map(|entry| entry.path()).collect();
    for path in paths {
        if path.is_dir() && !path.is_symlink() {
            check_tree(&path, &mut deeper.clone());
        } else {
            check_root_owned(&path);
        }
    }
}
