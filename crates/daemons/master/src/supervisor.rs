//! The main loop: clients, status messages, signals, timers.

use std::collections::HashMap;
use std::io::Read;
use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use host_config::{Config, param};
use host_daemon::{MESSAGE_SIZE, State, Watchdog};
use nix::libc::{SIGCHLD, SIGHUP, SIGINT, SIGQUIT, SIGTERM};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;
use os_sys::identity::Identity;

use crate::options::Options;
use crate::service::{Child, STRESS_TIME, Service};
use crate::spawn::{self, Common};
use crate::wakeup;

/// Time limit for one turn of the loop.
const WATCHDOG: Duration = Duration::from_secs(1000);

/// How long the children may take to die when master does.
const TERMINATION_LIMIT: Duration = Duration::from_secs(1);
/// How often it is looked at.
const TERMINATION_PAUSE: Duration = Duration::from_millis(5);

/// What master knows.
pub(crate) struct Supervisor {
    pub(crate) config_directory: PathBuf,
    pub(crate) config: Config,
    pub(crate) owner: Option<Identity>,
    pub(crate) options: Options,
    pub(crate) common: Common,
    pub(crate) services: Vec<Service>,
    pub(crate) children: HashMap<i32, Child>,
    pub(crate) throttle_time: Duration,
    forks: u32,
    signals: OwnedFd,
    exit_at: Option<Instant>,
}

/// What a turn of the loop found to do.
#[derive(Default)]
struct Found {
    signal: bool,
    /// Services with a message on the status channel.
    messages: Vec<usize>,
    /// Services with a client waiting.
    clients: Vec<usize>,
}

impl Supervisor {
    /// Reads master.cf and creates the sockets.
    ///
    /// # Errors
    /// The text of the fatal record.
    pub(crate) fn new(
        config_directory: PathBuf,
        config: Config,
        owner: Option<Identity>,
        options: Options,
    ) -> Result<Self, String> {
        let signals = os_sys::signal::as_descriptor(&[SIGHUP, SIGTERM, SIGINT, SIGQUIT, SIGCHLD])
            .map_err(|error| format!("signalfd: {error}"))?;
        let flags = nix::fcntl::OFlag::O_NONBLOCK | nix::fcntl::OFlag::O_CLOEXEC;
        let flow = nix::unistd::pipe2(flags).map_err(|errno| format!("pipe: {errno}"))?;
        let common = Common {
            daemon_directory: PathBuf::new(),
            environment: Vec::new(),
            flow,
            attached: options.attached,
            verbose: options.verbose,
            quotas: true,
        };
        let exit_at = options.exit_after.map(|delay| Instant::now() + delay);
        let mut supervisor = Self {
            config_directory,
            config,
            owner,
            options,
            common,
            services: Vec::new(),
            children: HashMap::new(),
            throttle_time: Duration::from_secs(60),
            forks: 0,
            signals,
            exit_at,
        };
        supervisor.apply_config()?;
        supervisor.apply_services()?;
        Ok(supervisor)
    }

    /// Logs the start.
    ///
    /// # Errors
    /// A bad `mail_version`.
    pub(crate) fn announce_start(&mut self) -> Result<(), String> {
        self.announce("daemon started")
    }

    pub(crate) fn announce(&self, what: &str) -> Result<(), String> {
        let version = self.config.str(param::MAIL_VERSION).map_err(|error| error.0)?;
        os_log::info!("{what} -- version {version}, configuration {}", self.config_directory.display());
        Ok(())
    }

    /// Supervises until a signal ends it.
    ///
    /// # Errors
    /// The text of the fatal record.
    pub(crate) fn run(&mut self) -> Result<ExitCode, String> {
        let watchdog = Watchdog::start(WATCHDOG);
        loop {
            self.run_timers();
            let found = self.wait()?;
            let turn = watchdog.watch();
            if self.exit_at.is_some_and(|at| at <= Instant::now()) {
                os_log::bypass_postlogd();
                os_log::info!("master exit time has arrived");
                return Ok(ExitCode::SUCCESS);
            }
            for number in found.messages {
                self.read_status(number);
            }
            if found.signal
                && let Some(status) = self.handle_signals()?
            {
                return Ok(status);
            }
            for number in found.clients {
                self.client_waits(number);
            }
            drop(turn);
        }
    }

    fn wait(&self) -> Result<Found, String> {
        let mut watched = vec![PollFd::new(self.signals.as_fd(), PollFlags::POLLIN)];
        let mut meaning = Vec::new();
        for (number, service) in self.services.iter().enumerate() {
            watched.push(PollFd::new(service.status.0.as_fd(), PollFlags::POLLIN));
            meaning.push((number, false));
            if !service.is_throttled() && service.has_room(self.children_of(service)) {
                for socket in &service.sockets {
                    watched.push(PollFd::new(socket.as_fd(), PollFlags::POLLIN));
                    meaning.push((number, true));
                }
            }
        }
        match poll(&mut watched, self.timeout()) {
            Ok(_) | Err(nix::errno::Errno::EINTR) => {}
            Err(errno) => return Err(format!("poll: {errno}")),
        }
        let is_ready = |one: &PollFd| one.any().unwrap_or(false);
        let mut found = Found { signal: watched.first().is_some_and(is_ready), ..Found::default() };
        for (one, (number, is_client)) in watched.iter().skip(1).zip(meaning) {
            if is_ready(one) {
                let list = if is_client { &mut found.clients } else { &mut found.messages };
                list.push(number);
            }
        }
        found.clients.dedup();
        Ok(found)
    }

    fn timeout(&self) -> PollTimeout {
        let of_services = self.services.iter().flat_map(|one| [one.throttled_until, one.next_wakeup]);
        let Some(next) = of_services.chain([self.exit_at]).flatten().min() else { return PollTimeout::NONE };
        let left = next.saturating_duration_since(Instant::now()) + Duration::from_millis(1);
        PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX)
    }

    fn run_timers(&mut self) {
        let now = Instant::now();
        for service in &mut self.services {
            if service.throttled_until.is_some_and(|until| until <= now) {
                service.throttled_until = None;
            }
            if service.next_wakeup.is_some_and(|at| at <= now) {
                let interval = Duration::from_secs(u64::from(service.entry.wakeup_seconds));
                service.next_wakeup = Some(now + interval);
                let wanted = service.used || !service.entry.wakeup_if_used;
                if wanted && !service.is_throttled() {
                    wakeup::wake(service);
                }
            }
        }
    }

    fn children_of<'a>(&'a self, service: &'a Service) -> impl Iterator<Item = &'a Child> + Clone {
        let of_this =
            |child: &&Child| child.service.1 == service.entry.kind && child.service.0 == service.entry.name;
        self.children.values().filter(of_this)
    }

    /// Somebody waits at a service: one process is started.
    fn client_waits(&mut self, number: usize) {
        let Some(service) = self.services.get(number) else { return };
        let Some(room) = service.room(self.children_of(service)) else { return };
        let is_classic = !self.children_of(service).any(|child| child.shares_quota);
        if service.knows_stress() && is_classic && self.children_of(service).count() + 1 >= service.limit {
            self.enter_stress(number, true);
        }
        let Some(service) = self.services.get_mut(number) else { return };
        service.used = true;
        let quota = quota(service.limit, room);
        self.forks += 1;
        match spawn::spawn(service, &self.common, self.forks, quota) {
            Ok(pid) => {
                let child = Child {
                    service: service.key(),
                    generation: self.forks,
                    epoch: service.epoch,
                    available: true,
                    jobs: 0,
                    shares_quota: false,
                    quota,
                    retired: false,
                    dismissed: false,
                };
                self.children.insert(pid, child);
            }
            Err(error) => {
                let text = os_sys::error_text(&error);
                let path = self.common.daemon_directory.join(&service.entry.command);
                if error.raw_os_error() == Some(nix::libc::EAGAIN) {
                    os_log::warning!("master_spawn: fork: {text} -- throttling");
                } else {
                    let shown = path.display();
                    os_log::emit(os_log::Severity::Fatal, format_args!("master_spawn: exec {shown}: {text}"));
                    os_log::warning!("{shown}: bad command startup -- throttling");
                }
                service.throttled_until = Some(Instant::now() + self.throttle_time);
            }
        }
    }

    /// The process that is about to start reaches the limit, or those that run have all the sessions that it allows.
    /// `by_restart`: running processes cannot be told, new ones must take their place.
    fn enter_stress(&mut self, number: usize, by_restart: bool) {
        let Some(service) = self.services.get_mut(number) else { return };
        let now = Instant::now();
        if let Some(board) = &service.stress_board
            && let Err(error) = board.raise(STRESS_TIME)
        {
            os_log::warning!("memfd: {}", os_sys::error_text(&error));
        }
        if by_restart
            && !service.is_under_stress(now)
            && let Err(error) = service.dismiss_all()
        {
            os_log::warning!("socketpair: {}", os_sys::error_text(&error));
        }
        service.stress_until = Some(now + STRESS_TIME);
        if service.stress_logged.is_none_or(|at| at + STRESS_TIME <= now) {
            service.stress_logged = Some(now);
            let (name, internal) = (&service.entry.name, service.internal_name());
            os_log::warning!(
                "service \"{name}\" ({internal}) has reached its process limit \"{}\": new clients may experience \
                 noticeable delays",
                service.limit
            );
            os_log::warning!(
                "to avoid this condition, increase the process count in master.cf or reduce the service time per \
                 client"
            );
            os_log::warning!(
                "see https://www.postfix.org/STRESS_README.html for examples of stress-adapting configuration \
                 settings"
            );
        }
    }

    fn read_status(&mut self, number: usize) {
        let Some(service) = self.services.get(number) else { return };
        let mut message = [0u8; MESSAGE_SIZE];
        while let Ok(length) = (&service.status.0).read(&mut message) {
            let (words, _) = message.as_chunks::<4>();
            let &[pid, generation, state] = words else { return };
            let pid = i32::from_ne_bytes(pid);
            let (name, internal) = (&service.entry.name, service.internal_name());
            if length != MESSAGE_SIZE {
                os_log::warning!(
                    "master_status_event: service {name}({internal}): child (pid {pid}) sent partial status update \
                     ({length} bytes)"
                );
                return;
            }
            let Some(child) = self.children.get_mut(&pid) else { continue };
            if child.generation != u32::from_ne_bytes(generation) || child.service != service.key() {
                continue;
            }
            match State::from_number(i32::from_ne_bytes(state)) {
                Some(state) => child.learn(state),
                None => os_log::warning!(
                    "master_status_event: service {name}({internal}): child (pid {pid}) sent bad status"
                ),
            }
        }
        let Some(service) = self.services.get(number) else { return };
        if service.knows_stress() && service.is_full_of_sessions(self.children_of(service)) {
            self.enter_stress(number, false);
        }
    }

    /// What the signals ask for; a status: master ends.
    fn handle_signals(&mut self) -> Result<Option<ExitCode>, String> {
        while let Some(signal) = os_sys::signal::next(&self.signals).map_err(|error| error.to_string())? {
            match signal {
                SIGCHLD => self.reap(),
                SIGHUP => self.reload()?,
                signal => return Ok(Some(self.terminate(signal))),
            }
        }
        Ok(None)
    }

    fn terminate(&mut self, signal: i32) -> ExitCode {
        os_log::bypass_postlogd();
        // This process has the signal blocked, so the group's copy of it does not count.
        if kill(Pid::from_raw(-own_pid()), Signal::SIGTERM).is_err() {
            for pid in self.children.keys() {
                let _ = kill(Pid::from_raw(*pid), Signal::SIGTERM);
            }
        }
        os_log::info!("terminating on signal {signal}");
        // Those that have something to write end when their status channel does.
        self.services.clear();
        self.wait_for_children();
        if self.options.init {
            return ExitCode::SUCCESS;
        }
        os_sys::signal::die_of(signal);
        ExitCode::FAILURE
    }

    /// The listeners stay open in the children: who starts the system right after its end must find the ports free.
    fn wait_for_children(&self) {
        let deadline = Instant::now() + TERMINATION_LIMIT;
        while Instant::now() < deadline {
            match waitpid(None, Some(WaitPidFlag::WNOHANG)) {
                Ok(WaitStatus::StillAlive) => std::thread::sleep(TERMINATION_PAUSE),
                Ok(_) => {}
                Err(_) => return,
            }
        }
    }

    fn reap(&mut self) {
        loop {
            match waitpid(None, Some(WaitPidFlag::WNOHANG | WaitPidFlag::WUNTRACED)) {
                Ok(WaitStatus::Exited(pid, status)) => {
                    let bad = (status != 0).then(|| format!("exit status {status}"));
                    self.ended(pid.as_raw(), bad);
                }
                Ok(WaitStatus::Signaled(pid, signal, _)) => {
                    let number = signal as i32;
                    let dismissed = self.children.get(&pid.as_raw()).is_some_and(|child| child.dismissed);
                    let expected = dismissed && signal == Signal::SIGTERM;
                    self.ended(pid.as_raw(), (!expected).then(|| format!("killed by signal {number}")));
                }
                Ok(WaitStatus::Stopped(pid, signal)) => {
                    let number = signal as i32;
                    if let Some(path) = self.children.get(&pid.as_raw()).map(|child| self.path_of(child)) {
                        os_log::warning!("process {path} pid {pid} stopped by signal {number}");
                    }
                }
                Ok(_) | Err(_) => return,
            }
        }
    }

    fn path_of(&self, child: &Child) -> String {
        let service = self.services.iter().find(|service| service.key() == child.service);
        let command = service.map_or(child.service.0.as_str(), |service| service.entry.command.as_str());
        self.common.daemon_directory.join(command).display().to_string()
    }

    /// A process is gone; `bad`: how it ended, if not well.
    fn ended(&mut self, pid: i32, bad: Option<String>) {
        if let Some(number) = self
            .children
            .get(&pid)
            .and_then(|child| self.services.iter().position(|service| service.key() == child.service))
        {
            // What it said last may still be unread.
            self.read_status(number);
        }
        let Some(child) = self.children.remove(&pid) else { return };
        let Some(how) = bad else { return };
        let path = self.path_of(&child);
        os_log::warning!("process {path} pid {pid} {how}");
        let until = Instant::now() + self.throttle_time;
        let service = self.services.iter_mut().find(|service| service.key() == child.service);
        if child.jobs == 0
            && let Some(service) = service
        {
            os_log::warning!("{path}: bad command startup -- throttling");
            service.throttled_until = Some(until);
        }
    }
}

impl Child {
    fn learn(&mut self, state: State) {
        match state {
            State::Taken => self.available = false,
            State::Available => {
                self.jobs += u64::from(!self.available);
                self.available = true;
            }
            State::Retired => self.retired = true,
            State::Served => self.jobs += 1,
            State::SharesQuota => self.shares_quota = true,
        }
    }
}

/// The session quota of a new process: about one process a CPU shares the limit. 0: no limit.
fn quota(limit: usize, room: usize) -> usize {
    if limit == 0 {
        return 0;
    }
    let cpus = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    limit.div_ceil(cpus.min(limit)).min(room.max(1))
}

fn own_pid() -> i32 {
    std::process::id().try_into().unwrap_or(i32::MAX)
}
