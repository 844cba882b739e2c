//! Starting programs: daemons with inherited descriptors, commands as another user.

use std::ffi::OsString;
use std::io;
use std::os::fd::OwnedFd;
use std::path::PathBuf;

use crate::identity::Identity;

/// A program to start by fork and exec. Everything not listed is closed by close-on-exec.
#[derive(Debug, Default)]
pub struct Exec {
    /// Path of the executable.
    pub program: PathBuf,
    /// argv, its first element included.
    pub argv: Vec<OsString>,
    /// The whole environment.
    pub env: Vec<(OsString, OsString)>,
    /// Working directory.
    pub cwd: Option<PathBuf>,
    /// Descriptors of the child: (number in the child, descriptor).
    pub descriptors: Vec<(i32, OwnedFd)>,
    /// setgid, initgroups, setuid before exec (needs root).
    pub identity: Option<Identity>,
    /// chroot before the identity changes (needs root).
    pub chroot: Option<PathBuf>,
    /// umask of the child.
    pub umask: Option<u32>,
    /// Makes the child a process group leader, so that the whole group can be killed.
    pub new_group: bool,
}

impl Exec {
    /// Starts it. The child has default signal dispositions and an empty signal mask.
    ///
    /// # Errors
    /// fork(2) failure, or the failure of exec and of what precedes it, reported by the child.
    pub fn spawn(self) -> io::Result<std::process::Child> {
        todo!("os")
    }
}
