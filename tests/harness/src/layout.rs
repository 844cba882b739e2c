//! The directories of an instance: configuration, spool, and symlinks to the executables under test.

use crate::images::{self, COMMANDS, DAEMONS};
use crate::target::Target;
use nix::unistd::{Group, User, chown};
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};

/// Where the parts of one instance are.
#[derive(Clone, Debug)]
pub(crate) struct Layout {
    pub config: PathBuf,
    pub queue: PathBuf,
    pub data: PathBuf,
    pub daemons: PathBuf,
    pub commands: PathBuf,
    pub log: PathBuf,
    pub mail: PathBuf,
}

impl Layout {
    pub(crate) fn new(dir: &Path) -> Self {
        Self {
            config: dir.join("etc"),
            queue: dir.join("spool"),
            data: dir.join("data"),
            daemons: dir.join("libexec"),
            commands: dir.join("sbin"),
            log: dir.join("maillog"),
            mail: dir.join("mail"),
        }
    }

    /// Creates what the reference's `postfix check` creates, with its owners and modes (as far as we may).
    pub(crate) fn create(&self, root: bool) {
        let owner = if root { User::from_name("postfix").ok().flatten() } else { None };
        let group = if root { Group::from_name("postdrop").ok().flatten() } else { None };
        let uid = owner.as_ref().map(|user| user.uid);
        let gid = group.map(|group| group.gid);
        if root {
            assert!(uid.is_some() && gid.is_some(), "user postfix and group postdrop must exist");
        }
        for dir in [&self.config, &self.queue, &self.daemons, &self.commands, &self.mail] {
            make(dir, 0o755, None, None);
        }
        make(&self.mail, 0o1777, None, None);
        make(&self.data, 0o700, uid, None);
        make(&self.queue.join("pid"), 0o755, None, None);
        for name in [
            "incoming", "active", "deferred", "hold", "corrupt", "defer", "bounce", "trace", "flush",
            "saved", "private",
        ] {
            make(&self.queue.join(name), 0o700, uid, None);
        }
        make(&self.queue.join("maildrop"), 0o730, uid, gid);
        make(&self.queue.join("public"), 0o710, uid, gid);
    }

    /// Fills the directories of daemons and commands by symlinks to the executables of `target`.
    pub(crate) fn link(&self, target: &Target, root: bool) {
        if target.base_is_ours() {
            for name in DAEMONS {
                symlink(images::ours(name), self.daemons.join(name)).expect("symlink");
            }
            for name in COMMANDS {
                self.our_command(name, root);
            }
        } else {
            for entry in std::fs::read_dir(images::THEIR_DAEMONS).expect("the reference's daemons").flatten()
            {
                symlink(entry.path(), self.daemons.join(entry.file_name())).expect("symlink");
            }
            for name in COMMANDS {
                symlink(images::their_command(name), self.commands.join(name)).expect("symlink");
            }
        }
        if let Target::Chimera(name) | Target::Reverse(name) = target {
            let image = if target.base_is_ours() { images::their_daemon(name) } else { images::ours(name) };
            let link = self.daemons.join(name);
            let _ = std::fs::remove_file(&link);
            symlink(image, link).expect("symlink");
        }
    }

    /// Set-gid commands are copies, because their mode must not change in cargo's target directory.
    fn our_command(&self, name: &str, root: bool) {
        let (image, link) = (images::ours(name), self.commands.join(name));
        if root && matches!(name, "postdrop" | "postlog" | "postqueue") {
            std::fs::copy(image, &link).expect("copy set-gid command");
            let group = Group::from_name("postdrop").ok().flatten().expect("group postdrop");
            chown(&link, None, Some(group.gid)).expect("chgrp");
            std::fs::set_permissions(&link, std::fs::Permissions::from_mode(0o2755)).expect("chmod");
        } else {
            symlink(image, link).expect("symlink");
        }
    }
}

fn make(path: &Path, mode: u32, uid: Option<nix::unistd::Uid>, gid: Option<nix::unistd::Gid>) {
    std::fs::create_dir_all(path).expect("create directory");
    chown(path, uid, gid).expect("chown");
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).expect("chmod");
}
