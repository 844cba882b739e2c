//! Starting programs: daemons with inherited descriptors, commands as another user.

use std::ffi::{CString, OsString};
use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::Command;

use nix::fcntl::{FcntlArg, fcntl};

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
        let highest = self.descriptors.iter().map(|(number, _)| *number).max().unwrap_or(2).max(2);
        // The library reports a failed exec through a pipe of its own: with every low number taken, that pipe cannot
        // stand where a descriptor of the child belongs.
        let placeholders = occupy_up_to(highest)?;
        let mut moves = Vec::with_capacity(self.descriptors.len());
        for (number, descriptor) in &self.descriptors {
            let copy = fcntl(descriptor, FcntlArg::F_DUPFD_CLOEXEC(highest + 1))?;
            moves.push((*number, crate::fd::inherited(copy)?));
        }
        let mut command = self.command();
        let steps = ChildSteps::new(&self, moves)?;
        // SAFETY: between fork and exec the closure makes only system calls on values prepared beforehand; it does not
        // allocate, lock or read the user database.
        unsafe {
            command.pre_exec(move || steps.run());
        }
        let child = command.spawn();
        drop(placeholders);
        child
    }

    fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        let mut argv = self.argv.iter();
        if let Some(name) = argv.next() {
            command.arg0(name);
        }
        command.args(argv).env_clear().envs(self.env.iter().map(|(name, value)| (name, value)));
        if self.new_group {
            command.process_group(0);
        }
        command
    }
}

/// Opens `/dev/null` until all numbers up to `highest` are in use.
fn occupy_up_to(highest: i32) -> io::Result<Vec<File>> {
    let mut files = Vec::new();
    loop {
        let file = File::open("/dev/null")?;
        if file.as_raw_fd() > highest {
            return Ok(files);
        }
        files.push(file);
    }
}

/// What the child does before exec, prepared in the parent.
struct ChildSteps {
    moves: Vec<(i32, OwnedFd)>,
    groups: Option<(Vec<libc::gid_t>, libc::gid_t, libc::uid_t)>,
    chroot: Option<CString>,
    cwd: Option<CString>,
    umask: Option<libc::mode_t>,
}

impl ChildSteps {
    fn new(exec: &Exec, moves: Vec<(i32, OwnedFd)>) -> io::Result<Self> {
        let path = |path: &Option<PathBuf>| -> io::Result<Option<CString>> {
            Ok(path.as_ref().map(|path| CString::new(path.as_os_str().as_bytes())).transpose()?)
        };
        let groups = match &exec.identity {
            Some(identity) => Some((identity.groups()?, identity.gid, identity.uid)),
            None => None,
        };
        Ok(Self { moves, groups, chroot: path(&exec.chroot)?, cwd: path(&exec.cwd)?, umask: exec.umask })
    }

    fn run(&self) -> io::Result<()> {
        let check = |status: libc::c_int| if status < 0 { Err(io::Error::last_os_error()) } else { Ok(()) };
        // SAFETY: plain system calls with numbers and with NUL-terminated strings that live in `self`; this is a child
        // that has only this thread.
        unsafe {
            for (number, descriptor) in &self.moves {
                check(libc::dup2(descriptor.as_raw_fd(), *number))?;
            }
            for signal in 1..32 {
                libc::signal(signal, libc::SIG_DFL);
            }
            // The library leaves the mask as it is, and whoever reads signals from a descriptor has them blocked.
            let mut none = std::mem::zeroed::<libc::sigset_t>();
            libc::sigemptyset(&raw mut none);
            check(libc::sigprocmask(libc::SIG_SETMASK, &raw const none, std::ptr::null_mut()))?;
            if let Some(jail) = &self.chroot {
                check(libc::chroot(jail.as_ptr()))?;
                check(libc::chdir(c"/".as_ptr()))?;
            }
            if let Some((groups, gid, uid)) = &self.groups {
                check(libc::setgid(*gid))?;
                check(libc::setgroups(groups.len(), groups.as_ptr()))?;
                check(libc::setuid(*uid))?;
            }
            if let Some(directory) = &self.cwd {
                check(libc::chdir(directory.as_ptr()))?;
            }
            if let Some(mask) = self.umask {
                libc::umask(mask);
            }
        }
        Ok(())
    }
}

/// Raises the soft limit of open descriptors to the hard one, for loops with many sessions.
pub fn raise_descriptor_limit() {
    use nix::sys::resource::{Resource, getrlimit, setrlimit};
    if let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_NOFILE)
        && soft < hard
    {
        let _ = setrlimit(Resource::RLIMIT_NOFILE, hard, hard);
    }
}

/// Files that this process and its children write may not grow beyond this many bytes: writes fail with EFBIG
/// (SIGXFSZ is ignored here, and has its default action in programs that [`Exec`] starts).
///
/// # Errors
/// Those of setrlimit(2).
pub fn limit_file_size(bytes: u64) -> io::Result<()> {
    use nix::sys::resource::{Resource, getrlimit, setrlimit};
    crate::signal::ignore_file_size_limit();
    let (_, hard) = getrlimit(Resource::RLIMIT_FSIZE)?;
    Ok(setrlimit(Resource::RLIMIT_FSIZE, bytes.min(hard), hard)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;
    use std::os::unix::net::UnixStream;

    #[test]
    fn a_child_gets_its_descriptors_environment_and_directory() {
        let (mut ours, theirs) = UnixStream::pair().unwrap();
        let exec = Exec {
            program: "/bin/sh".into(),
            argv: ["tester", "-c", "echo $0 $A `pwd` `umask` >&7"].map(Into::into).to_vec(),
            env: vec![("A".into(), "b".into()), ("PATH".into(), "/bin:/usr/bin".into())],
            cwd: Some("/usr".into()),
            descriptors: vec![(7, theirs.into())],
            umask: Some(0o77),
            ..Exec::default()
        };
        let mut child = exec.spawn().unwrap();
        let mut text = String::new();
        ours.read_to_string(&mut text).unwrap();
        assert_eq!(text, "tester b /usr 0077\n");
        assert!(child.wait().unwrap().success());
    }

    #[test]
    fn a_child_has_no_signal_blocked() {
        let _signals = crate::signal::as_descriptor(&[libc::SIGTERM, libc::SIGHUP]).unwrap();
        let (mut ours, theirs) = UnixStream::pair().unwrap();
        let exec = Exec {
            program: "/bin/grep".into(),
            argv: ["grep", "SigBlk", "/proc/self/status"].map(Into::into).to_vec(),
            descriptors: vec![(1, theirs.into())],
            ..Exec::default()
        };
        assert!(exec.spawn().unwrap().wait().unwrap().success());
        let mut text = String::new();
        ours.read_to_string(&mut text).unwrap();
        assert_eq!(text, "SigBlk:\t0000000000000000\n");
    }

    #[test]
    fn a_missing_program_is_reported_though_many_descriptors_are_given() {
        let descriptors =
            (3..20).map(|number| (number, OwnedFd::from(File::open("/dev/null").unwrap()))).collect();
        let exec =
            Exec { program: "/nonexistent".into(), argv: vec!["x".into()], descriptors, ..Exec::default() };
        assert_eq!(exec.spawn().unwrap_err().kind(), io::ErrorKind::NotFound);
    }
}
