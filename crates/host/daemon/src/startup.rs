//! From argv to a daemon that is ready to serve.

use std::fs::{File, OpenOptions};
use std::io::IsTerminal;
use std::os::fd::AsFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use host_config::{Config, param};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use os_sys::error_text;
use os_sys::identity::{self, Identity, Root};

use crate::listener::Listener;
use crate::options::Options;
use crate::status::{State, Status};
use crate::stress::StressBoard;
use crate::watchdog::Watchdog;
use crate::{Error, FlowPipe, Privilege, ProcessLimit, Spec};

/// Environment variable in which our master gives the session quota.
pub const SESSION_QUOTA: &str = "POSTINO_SESSION_QUOTA";

/// What `init` gets. Everything here is as root and outside the chroot jail.
#[derive(Debug)]
pub struct Startup {
    /// main.cf with the `-o name=value` settings applied.
    pub config: Config,
    /// First field of the master.cf line (`-n`), e.g. `smtp`, `relay`, `[::1]:10025`; else the program name.
    pub service_name: String,
    /// The name that the program is called by (`smtp`, `lmtp`).
    pub program: String,
    /// Second field of the master.cf line (`-t`): inet, unix, pass, fifo, unix-dgram. Empty when stand-alone.
    pub transport_type: String,
    /// Arguments after the options.
    pub arguments: Vec<String>,
    /// `-S`: one client on standard input and output, no master.
    pub standalone: bool,
    /// How many sessions this process may hold at a time; 0 = no limit; 1 = classic.
    pub quota: usize,
    /// The right to change identity; present in services that keep root (and only when run as root).
    pub root: Option<Root>,
    /// Where it stands that the service has come to its process limit, when master tells it to running processes.
    pub stress: Option<StressBoard>,
    /// Number of `-v` options.
    pub verbose: usize,
    /// The in-flow tokens.
    pub flow: FlowPipe,
}

/// What the loops need besides the service.
#[derive(Debug)]
pub(crate) struct Runtime {
    pub(crate) listeners: Vec<Listener>,
    pub(crate) status: Option<Status>,
    pub(crate) watchdog: Watchdog,
    /// Clients until the process ends; `None`: no limit.
    pub(crate) max_use: Option<u64>,
    /// Time without clients until the process ends; `None`: no limit.
    pub(crate) max_idle: Option<Duration>,
    pub(crate) quota: usize,
    lock: Option<File>,
    /// Held for life by a process that must be alone.
    _alone: Option<File>,
    owner: Option<Identity>,
    jail: Option<PathBuf>,
}

/// Why a blocking loop woke up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wake {
    /// This listener may have something.
    Listener(usize),
    /// Master is gone or wants this process to end.
    Stop,
    /// Nothing came within the time.
    Idle,
}

/// Whether siblings take turns in accepting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AcceptLock {
    /// As single and trigger servers do.
    Siblings,
    /// Only when this process is a classic one of one session.
    Classic,
    /// Never.
    Nobody,
}

/// Everything before `init`. Problems end the process.
pub(crate) fn begin(spec: &Spec, accept_lock: AcceptLock) -> (Startup, Runtime) {
    os_sys::signal::ignore_sigpipe();
    if spec.ends_with_master {
        os_sys::signal::hold_termination();
    }
    let program = os_log::program_name();
    let to_stderr = std::io::stderr().is_terminal();
    let destination = os_log::Destination { stderr: to_stderr, ..os_log::Destination::from_environment() };
    os_log::open(&format!("{}/{program}", os_log::initial_name()), destination);
    log_panics();
    match prepare(spec, program, accept_lock) {
        Ok(ready) => ready,
        Err(text) => os_log::fatal!("{text}"),
    }
}

/// A panic is a defect; its place goes to the log, since standard error goes nowhere.
fn log_panics() {
    std::panic::set_hook(Box::new(|info| {
        os_log::emit(os_log::Severity::Panic, format_args!("{info}"));
    }));
}

fn prepare(spec: &Spec, program: String, accept_lock: AcceptLock) -> Result<(Startup, Runtime), Error> {
    let arguments = std::env::args_os().skip(1).map(|word| word.to_string_lossy().into_owned());
    let options = Options::parse(arguments)?;
    let service_name = options.name.clone().unwrap_or_else(|| program.clone());
    let own_master = std::env::var(SESSION_QUOTA).ok().and_then(|text| text.parse::<usize>().ok());
    let mut config = Config::from_environment()?;
    config.set_process_name(&program);
    config.set("service_name", &service_name);
    for setting in &options.settings {
        config.set_override(setting)?;
    }
    open_log(&config, &program, options.stderr)?;
    config.check(&program)?;
    check(spec, &options, &service_name)?;
    let generation = generation()?;
    let status = if options.standalone { None } else { Status::inherited(generation, own_master.is_some()) };
    if status.is_none() && !options.standalone {
        return Err("do not run this command by hand".into());
    }
    let queue = config.queue_directory()?;
    std::env::set_current_dir(&queue)
        .map_err(|error| format!("chdir(\"{}\"): {}", queue.display(), error_text(&error)))?;
    let quota = if options.standalone { 1 } else { own_master.unwrap_or(1) };
    let runtime = runtime(spec, &options, &config, status, quota, accept_lock, &service_name)?;
    let keeps_root = spec.privilege == Privilege::Keeps;
    let startup = Startup {
        config,
        service_name,
        program,
        transport_type: options.transport.clone().unwrap_or_default(),
        arguments: options.arguments,
        standalone: options.standalone,
        quota,
        root: if keeps_root { Root::claim() } else { None },
        stress: if own_master.is_some() && !options.standalone { StressBoard::inherited() } else { None },
        verbose: options.verbose,
        flow: if options.standalone { FlowPipe::default() } else { FlowPipe::inherited() },
    };
    Ok((startup, runtime))
}

fn open_log(config: &Config, program: &str, to_stderr: bool) -> Result<(), Error> {
    let mut destination = config.log_destination()?;
    let name = format!("{}/{program}", config.str(param::SYSLOG_NAME)?);
    destination.stderr = to_stderr || std::io::stderr().is_terminal();
    if to_stderr {
        destination.stderr_name = Some(name.clone());
    }
    os_log::open(&name, destination);
    Ok(())
}

/// What the daemon wants of its master.cf line.
fn check(spec: &Spec, options: &Options, service: &str) -> Result<(), Error> {
    if options.standalone {
        return Ok(());
    }
    if options.transport.is_none() {
        return Err("no transport type specified".into());
    }
    let limit = match spec.process_limit {
        ProcessLimit::One if !options.single => Some("1"),
        ProcessLimit::Zero if !options.unlimited => Some("0"),
        ProcessLimit::Any | ProcessLimit::One | ProcessLimit::Zero => None,
    };
    if let Some(limit) = limit {
        return Err(format!("service {service} requires a process limit of {limit}").into());
    }
    if spec.privilege == Privilege::Keeps && options.drop {
        return Err(format!("service {service} requires privileged operation").into());
    }
    match options.arguments.first() {
        Some(argument) if !spec.takes_arguments => {
            Err(format!("unexpected command-line argument: {argument}").into())
        }
        Some(_) | None => Ok(()),
    }
}

/// `GENERATION`, an octal number.
fn generation() -> Result<u32, Error> {
    match std::env::var("GENERATION") {
        Ok(text) => u32::from_str_radix(&text, 8).map_err(|_| format!("bad generation: {text}").into()),
        Err(_) => Ok(0),
    }
}

#[allow(clippy::too_many_arguments)]
fn runtime(
    spec: &Spec,
    options: &Options,
    config: &Config,
    status: Option<Status>,
    quota: usize,
    accept_lock: AcceptLock,
    service: &str,
) -> Result<Runtime, Error> {
    let mut settings = config.clone();
    for (name, value) in [("max_idle", &options.max_idle), ("max_use", &options.max_use)] {
        if let Some(value) = value {
            settings.set(name, value);
        }
    }
    let limit = match spec.watchdog_seconds {
        Some(seconds) => Duration::from_secs(seconds),
        None => config.time(param::DAEMON_TIMEOUT)?,
    };
    let max_use = u64::try_from(settings.int(param::MAX_USE)?).unwrap_or(1);
    let max_idle = settings.time(param::MAX_IDLE)?;
    let transport = options.transport.as_deref().unwrap_or_default();
    let locks = match accept_lock {
        AcceptLock::Siblings => true,
        AcceptLock::Classic => quota == 1 && std::env::var_os(SESSION_QUOTA).is_none(),
        AcceptLock::Nobody => false,
    };
    let locks = locks && !options.standalone && !options.single && !spec.persistent_clients;
    let lock_file = format!("pid/{transport}.{service}");
    Ok(Runtime {
        listeners: match options.standalone {
            true => Vec::new(),
            false => Listener::inherited(transport, options.sockets)?,
        },
        status,
        watchdog: Watchdog::start(limit),
        max_use: (!spec.ignores_max_use)
            .then(|| max_use.saturating_mul(u64::try_from(quota.max(1)).unwrap_or(1))),
        max_idle: (!spec.ignores_max_idle).then_some(max_idle),
        quota,
        lock: if locks { Some(open_lock(&lock_file)?) } else { None },
        _alone: if spec.alone && !options.standalone { Some(wait_alone(&lock_file)?) } else { None },
        owner: owner(options, config)?,
        jail: (options.chroot && identity::effective_uid() == 0)
            .then(|| config.queue_directory())
            .transpose()?,
    })
}

fn open_lock(path: &str) -> Result<File, Error> {
    let opened =
        OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path);
    Ok(opened.map_err(|error| format!("open lock file {path}: {}", error_text(&error)))?)
}

/// Waits until nobody else holds the lock.
fn wait_alone(path: &str) -> Result<File, Error> {
    let file = open_lock(path)?;
    os_sys::lock::flock(&file, os_sys::lock::Mode::Exclusive)
        .map_err(|error| format!("lock {path}: {}", error_text(&error)))?;
    Ok(file)
}

/// Whom the process becomes: `mail_owner`, if it was told to and is root now.
fn owner(options: &Options, config: &Config) -> Result<Option<Identity>, Error> {
    if !options.drop || identity::effective_uid() != 0 {
        return Ok(None);
    }
    let name = config.str(param::MAIL_OWNER)?;
    let user = identity::user_by_name(&name)?;
    let user = user.ok_or_else(|| {
        let file = config.dir().join("main.cf");
        format!("file {}: parameter mail_owner: unknown user name value: {name}", file.display())
    })?;
    Ok(Some(user.identity()))
}

/// Runs `init`, then gives up what the service does not need.
pub(crate) fn initialize<H>(
    mut startup: Startup,
    runtime: &mut Runtime,
    init: impl FnOnce(&mut Startup) -> Result<H, Error>,
) -> H {
    let result = init(&mut startup).and_then(|service| {
        drop(startup);
        runtime.give_up_root()?;
        Ok(service)
    });
    match result {
        Ok(service) => service,
        Err(error) => os_log::fatal!("{error}"),
    }
}

impl Runtime {
    fn give_up_root(&mut self) -> Result<(), Error> {
        let (owner, jail) = (self.owner.take(), self.jail.take());
        let Some(root) = Root::claim() else { return Ok(()) };
        match (owner, jail) {
            (Some(owner), jail) => root
                .drop_to(&owner, jail.as_deref())
                .map_err(|error| format!("cannot become the mail_owner: {}", error_text(&error)).into()),
            (None, Some(jail)) => root
                .enter(&jail)
                .map_err(|error| format!("chroot({}): {}", jail.display(), error_text(&error)).into()),
            (None, None) => Ok(()),
        }
    }

    /// Waits until it is this process's turn to accept.
    pub(crate) fn lock(&self) {
        if let Some(lock) = &self.lock
            && let Err(error) = os_sys::lock::flock(lock, os_sys::lock::Mode::Exclusive)
        {
            os_log::fatal!("select lock: {}", error_text(&error));
        }
    }

    /// Whether this process and its siblings take turns in accepting.
    pub(crate) const fn takes_turns(&self) -> bool {
        self.lock.is_some()
    }

    /// Lets a sibling accept.
    pub(crate) fn unlock(&self) {
        if let Some(lock) = &self.lock
            && let Err(error) = os_sys::lock::unlock(lock)
        {
            os_log::fatal!("select unlock: {}", error_text(&error));
        }
    }

    /// Waits for clients, for the end of master, or for `limit`.
    pub(crate) fn wait(&self, limit: Option<Duration>) -> Wake {
        let Some(status) = &self.status else { return Wake::Stop };
        let mut watched = vec![PollFd::new(status.as_fd(), PollFlags::POLLIN)];
        watched.extend(self.listeners.iter().map(|one| PollFd::new(one.as_fd(), PollFlags::POLLIN)));
        let deadline = limit.map(|limit| Instant::now() + limit);
        loop {
            let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
            let timeout = left.map_or(PollTimeout::NONE, |left| {
                PollTimeout::try_from(left + Duration::from_millis(1)).unwrap_or(PollTimeout::MAX)
            });
            match poll(&mut watched, timeout) {
                Ok(0) => return Wake::Idle,
                Ok(_) => {}
                Err(nix::errno::Errno::EINTR) => continue,
                Err(errno) => os_log::fatal!("poll: {errno}"),
            }
            let ready = watched.iter().position(|one| one.any().unwrap_or(false));
            match ready {
                Some(0) => return Wake::Stop,
                Some(number) => return Wake::Listener(number - 1),
                None => {}
            }
        }
    }

    /// Reports to master, if there is one.
    pub(crate) fn report(&self, state: State) {
        if let Some(status) = &self.status {
            status.report(state);
        }
    }

    /// Tells our own master that this loop holds several sessions.
    pub(crate) fn announce_quota(&self) {
        if let Some(status) = &self.status {
            status.report_shares_quota();
        }
    }

    /// A trigger is going to be served. Our own master has no use for the news: one process serves them all.
    pub(crate) fn begin_trigger(&self) {
        if let Some(status) = self.status.as_ref().filter(|status| !status.is_own_master()) {
            status.report(State::Taken);
        }
    }

    /// The trigger has been served.
    pub(crate) fn end_trigger(&self) {
        if let Some(status) = &self.status {
            if status.is_own_master() {
                status.report_first_job();
            } else {
                status.report(State::Available);
            }
        }
    }

    /// Logs a changed table; whether there is one.
    pub(crate) fn must_restart(&self, changed: Option<String>) -> bool {
        if let Some(table) = &changed {
            os_log::info!("table {table} has changed -- restarting");
        }
        changed.is_some()
    }
}
