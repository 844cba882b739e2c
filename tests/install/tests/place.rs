//! A copy of what the script needs, in a directory that any user can reach.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

use nix::unistd::{Gid, Uid, User};

/// Our executables.
pub(crate) const EXECUTABLES: &[&str] =
    &["postino", "local", "master", "pipe", "virtual", "postdrop", "postlog", "postqueue"];

/// What a run said.
#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) ok: bool,
    pub(crate) out: String,
    pub(crate) err: String,
}

/// A source tree as far as the script looks at it, `bin` with executables, and room for results.
pub(crate) struct Place {
    pub(crate) dir: PathBuf,
    user: Option<User>,
}

impl Place {
    /// For whoever runs the test; `None`: nothing was built (the skip is recorded).
    pub(crate) fn new() -> Option<Self> {
        Self::of(None)
    }

    /// For the ordinary user `nobody`, when root runs the test; else for the ordinary user that runs it.
    pub(crate) fn rootless() -> Option<Self> {
        let nobody = User::from_name("nobody").unwrap();
        Self::of(if is_root() { Some(nobody.unwrap()) } else { None })
    }

    fn of(user: Option<User>) -> Option<Self> {
        let built = std::env::var_os("POSTINO_BIN_DIR").map_or_else(beside_the_test, PathBuf::from);
        if let Some(name) = EXECUTABLES.iter().find(|name| !built.join(name).exists()) {
            harness::skip(&format!(
                "{name} is not built (cargo build --workspace --bins, or set POSTINO_BIN_DIR)"
            ));
            return None;
        }
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let dir = harness::temporary().join(format!("postino-install-{}-{number}", std::process::id()));
        fs::create_dir(&dir).unwrap();
        fs::set_permissions(&dir, Permissions::from_mode(0o755)).unwrap();
        fs::create_dir(dir.join("bin")).unwrap();
        for name in EXECUTABLES {
            fs::copy(built.join(name), dir.join("bin").join(name)).unwrap();
        }
        let source = harness::source();
        for name in ["install", "main.cf.example", "master.cf.example"] {
            fs::copy(source.join(name), dir.join(name)).unwrap();
        }
        let man = source.join("man");
        if man.is_dir() {
            assert!(Command::new("cp").arg("-r").arg(man).arg(&dir).status().unwrap().success());
        }
        if let Some(user) = &user {
            chown(&dir, Some(user.uid.as_raw()), Some(user.gid.as_raw())).unwrap();
        }
        Some(Self { dir, user })
    }

    /// Runs the script, with a HOME and a PATH of little.
    pub(crate) fn install(&self, arguments: &[&str]) -> Said {
        let mut command = Command::new("bash");
        command.arg(self.dir.join("install")).args(arguments).env_clear().current_dir(&self.dir);
        command.env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").env("HOME", self.dir.join("home"));
        command.env("POSTINO_BIN_DIR", self.dir.join("bin"));
        if let Some(user) = &self.user {
            command.uid(user.uid.as_raw()).gid(user.gid.as_raw());
        }
        let output = command.output().unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        Said { ok: output.status.success(), out: text(output.stdout), err: text(output.stderr) }
    }

    /// A path below the place, as text.
    pub(crate) fn path(&self, name: &str) -> String {
        self.dir.join(name).display().to_string()
    }

    /// Numbers of the user that runs the script.
    pub(crate) fn ids(&self) -> (Uid, Gid) {
        self.user.as_ref().map_or((Uid::effective(), Gid::effective()), |user| (user.uid, user.gid))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let running = fs::read_dir(&self.dir).into_iter().flatten().flatten();
        for instance in running.map(|entry| entry.path()).filter(|path| path.join(".postino-try").exists()) {
            // Fails when it was stopped already.
            self.install(&["try", "--stop", "--dir", &instance.display().to_string()]);
        }
        let _ = fs::remove_dir_all(&self.dir);
    }
}

pub(crate) fn is_root() -> bool {
    Uid::effective().is_root()
}

fn beside_the_test() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    test.parent().and_then(Path::parent).unwrap().to_owned()
}
