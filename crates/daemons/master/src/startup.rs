//! From argv to the supervisor: privileges, lock files, the terminal, `-t`, `-w`.

use std::ffi::OsString;
use std::fs::{File, OpenOptions};
use std::io::{IsTerminal, Read};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use host_config::{Config, param};
use os_sys::error_text;
use os_sys::identity::{self, Identity, Root};
use os_sys::process::Exec;

use crate::lock_file;
use crate::options::Options;
use crate::supervisor::Supervisor;

/// How long `-w` waits for the initialisation.
const INITIALIZATION_LIMIT: Duration = Duration::from_secs(100);
/// Environment variable by which the waiting parent names the descriptor for the "initialised" byte.
const READY_DESCRIPTOR: &str = "POSTINO_READY_DESCRIPTOR";
/// That descriptor.
const READY: i32 = 3;

/// Runs master.
///
/// # Errors
/// The text of the fatal record.
pub(crate) fn run() -> Result<ExitCode, String> {
    let program = os_log::program_name();
    let log = os_log::Destination { stderr: true, ..os_log::Destination::from_environment() };
    os_log::open(&format!("{}/{program}", os_log::initial_name()), log);
    os_sys::signal::ignore_sigpipe();
    nix::sys::stat::umask(nix::sys::stat::Mode::from_bits_truncate(0o77));
    if nix::unistd::getuid() != nix::unistd::geteuid() {
        return Err("the master command must not run as a set-uid process".to_owned());
    }
    let arguments = std::env::args_os().skip(1).map(|word| word.to_string_lossy().into_owned());
    let options = Options::parse(&program, arguments)?;
    if options.wait {
        return wait_for_child(&options);
    }
    let ready = inherited_ready();
    let dir = options.config_directory.clone().unwrap_or_else(Config::directory_from_environment);
    let config = Config::load(&dir).map_err(|error| error.0)?;
    let owner = owner(&config)?;
    open_log(&config, &program, std::io::stderr().is_terminal())?;
    config.check("master").map_err(|error| error.0)?;
    let queue = config.queue_directory().map_err(|error| error.0)?;
    std::env::set_current_dir(&queue)
        .map_err(|error| format!("chdir({}): {}", queue.display(), error_text(&error)))?;
    if options.test {
        let held = lock_file::is_held(Path::new("pid/master.pid"))?;
        return Ok(if held { ExitCode::FAILURE } else { ExitCode::SUCCESS });
    }
    detach(&options)?;
    let locks = take_locks(&config, owner.as_ref())?;
    let mut supervisor = Supervisor::new(dir, config, owner, options)?;
    supervisor.announce_start()?;
    if let Some(mut ready) = ready {
        use std::io::Write;
        // A parent that has given up waiting needs no answer.
        let _ = ready.write_all(b"+");
    }
    let status = supervisor.run();
    drop(locks);
    status
}

/// `mail_owner`, when this is root; `None` when an ordinary user runs the suite as itself.
fn owner(config: &Config) -> Result<Option<Identity>, String> {
    let name = config.str(param::MAIL_OWNER).map_err(|error| error.0)?;
    let user = identity::user_by_name(&name)
        .map_err(|error| format!("mail_owner {name}: {}", error_text(&error)))?;
    let user = user.ok_or_else(|| {
        let file = config.dir().join("main.cf");
        format!("file {}: parameter mail_owner: unknown user name value: {name}", file.display())
    })?;
    match identity::effective_uid() {
        0 => Ok(Some(user.identity())),
        uid if uid == user.uid => Ok(None),
        _ => Err("the master command is reserved for the superuser".to_owned()),
    }
}

pub(crate) fn open_log(config: &Config, program: &str, to_stderr: bool) -> Result<(), String> {
    let mut destination = config.log_destination().map_err(|error| error.0)?;
    destination.stderr = to_stderr;
    let name = config.str(param::SYSLOG_NAME).map_err(|error| error.0)?;
    os_log::open(&format!("{name}/{program}"), destination);
    Ok(())
}

/// Leaves the terminal: descriptors 0 to 2 go to `/dev/null`, a session of its own.
fn detach(options: &Options) -> Result<(), String> {
    let failed = |error: nix::errno::Errno| format!("/dev/null: {error}");
    if !options.attached && !options.debugger {
        let null = OpenOptions::new().read(true).write(true).open("/dev/null");
        let null = null.map_err(|error| format!("/dev/null: {}", error_text(&error)))?;
        nix::unistd::dup2_stdin(&null).map_err(failed)?;
        if !options.keep_stdout && !options.init {
            nix::unistd::dup2_stdout(&null).map_err(failed)?;
        }
        nix::unistd::dup2_stderr(&null).map_err(failed)?;
        if !options.init {
            // A process group leader cannot have a new session; the signals of stop need only the group.
            let _ = nix::unistd::setsid();
        }
    }
    Ok(())
}

fn take_locks(config: &Config, owner: Option<&Identity>) -> Result<(File, File), String> {
    let pid_file = lock_file::take(Path::new("pid/master.pid"))?;
    let data: PathBuf = config.str(param::DATA_DIRECTORY).map_err(|error| error.0)?.into();
    let path = data.join("master.lock");
    let second = match (Root::claim(), owner) {
        (Some(root), Some(owner)) => root
            .acting_as(owner, || lock_file::take(&path))
            .map_err(|error| format!("mail_owner: {}", error_text(&error)))?,
        (Some(_) | None, _) => lock_file::take(&path),
    }?;
    Ok((pid_file, second))
}

/// `-w`: runs master again without `-w` and waits until it says that it is initialised.
fn wait_for_child(options: &Options) -> Result<ExitCode, String> {
    let failed = |error: std::io::Error| format!("start of the daemon: {}", error_text(&error));
    let (mut ours, theirs) = UnixStream::pair().map_err(failed)?;
    let mut env: Vec<(OsString, OsString)> = std::env::vars_os().collect();
    env.push((READY_DESCRIPTOR.into(), READY.to_string().into()));
    let exec = Exec {
        program: std::env::current_exe().map_err(failed)?,
        argv: arguments_without_wait(options),
        env,
        descriptors: vec![(READY, OwnedFd::from(theirs))],
        ..Exec::default()
    };
    exec.spawn().map_err(failed)?;
    ours.set_read_timeout(Some(INITIALIZATION_LIMIT)).map_err(failed)?;
    let mut byte = [0u8; 1];
    match ours.read(&mut byte) {
        Ok(1) => Ok(ExitCode::SUCCESS),
        Ok(_) | Err(_) => Err("daemon initialization failure -- see logs for details".to_owned()),
    }
}

fn arguments_without_wait(options: &Options) -> Vec<OsString> {
    let mut argv: Vec<OsString> = vec![std::env::args_os().next().unwrap_or_else(|| "master".into())];
    if let Some(dir) = &options.config_directory {
        argv.extend(["-c".into(), dir.clone().into_os_string()]);
    }
    if let Some(time) = options.exit_after {
        argv.extend(["-e".into(), time.as_secs().to_string().into()]);
    }
    let flags = [
        (options.attached, "-d"),
        (options.debugger, "-D"),
        (options.keep_stdout, "-s"),
        (options.verbose, "-v"),
    ];
    argv.extend(flags.iter().filter(|(set, _)| *set).map(|(_, word)| OsString::from(word)));
    argv
}

/// The way to tell the parent that waits, if one does.
fn inherited_ready() -> Option<UnixStream> {
    let number: i32 = std::env::var(READY_DESCRIPTOR).ok()?.parse().ok()?;
    os_sys::fd::inherited(number).ok().map(UnixStream::from)
}
