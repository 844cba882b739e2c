//! Starting a process of a service: argv, environment, descriptors (`internal-protocols.md` §2.1).

use std::ffi::OsString;
use std::io;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::time::Instant;

use os_sys::process::Exec;

use crate::service::Service;

/// What all processes have in common.
#[derive(Debug)]
pub(crate) struct Common {
    pub(crate) daemon_directory: PathBuf,
    pub(crate) environment: Vec<(OsString, OsString)>,
    /// The in-flow token pipe: read end, write end.
    pub(crate) flow: (OwnedFd, OwnedFd),
    pub(crate) attached: bool,
    pub(crate) verbose: bool,
    /// `postino_session_quota`
    pub(crate) quotas: bool,
}

/// Starts one; its process number.
///
/// # Errors
/// Those of fork(2) and exec(2).
pub(crate) fn spawn(service: &Service, common: &Common, generation: u32, quota: usize) -> io::Result<i32> {
    let entry = &service.entry;
    let mut env = common.environment.clone();
    env.push(("GENERATION".into(), format!("{generation:o}").into()));
    if common.quotas {
        env.push((host_daemon::SESSION_QUOTA.into(), quota.to_string().into()));
    }
    let mut descriptors = vec![
        (3, common.flow.0.try_clone()?),
        (4, common.flow.1.try_clone()?),
        (5, OwnedFd::from(service.status.1.try_clone()?)),
    ];
    let mut number = 6;
    for socket in &service.sockets {
        descriptors.push((number, socket.try_clone()?));
        number += 1;
    }
    if let Some(board) = service.stress_board.as_ref().filter(|_| common.quotas) {
        let (descriptor, entry) = board.share(number)?;
        descriptors.push(descriptor);
        env.push(entry);
    }
    let exec = Exec {
        program: common.daemon_directory.join(entry.command.trim_start_matches('/')),
        argv: arguments(service, common).into_iter().map(OsString::from).collect(),
        env,
        descriptors,
        umask: Some(0o77),
        ..Exec::default()
    };
    let child = exec.spawn()?;
    i32::try_from(child.id()).map_err(io::Error::other)
}

/// argv in the reference's order.
pub(crate) fn arguments(service: &Service, common: &Common) -> Vec<String> {
    let entry = &service.entry;
    let mut argv = vec![entry.command.clone()];
    let mut push = |word: &str| argv.push(word.to_owned());
    match service.limit {
        0 => push("-z"),
        1 => push("-l"),
        _ => {}
    }
    let basename = entry.command.rsplit('/').next().unwrap_or_default();
    if entry.name != basename {
        push("-n");
        push(&entry.name);
    }
    push("-t");
    push(entry.kind.word());
    let flags =
        [(common.attached, "-d"), (common.verbose, "-v"), (entry.unprivileged, "-u"), (entry.chroot, "-c")];
    for (_, word) in flags.iter().filter(|(wanted, _)| *wanted) {
        push(word);
    }
    if service.knows_stress() {
        push("-o");
        push(if service.is_under_stress(Instant::now()) { "stress=yes" } else { "stress=" });
    }
    if service.sockets.len() > 1 {
        push("-s");
        push(&service.sockets.len().to_string());
    }
    argv.extend(entry.arguments.iter().cloned());
    argv
}
