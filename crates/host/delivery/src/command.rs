//! Delivery to commands: the message on standard input, the status from the exit status (sysexits.h) and the output.

use std::ffi::OsString;
use std::io::{self, BufWriter, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::Child;
use std::time::{Duration, Instant};

use mail_status::{Detail, Dsn, Outcome};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{Signal, killpg};
use os_sys::identity::Identity;
use os_sys::process::Exec;

use crate::Job;
use crate::content::{CopyError, CopyRules, copy_message};

/// Bytes of output that are kept.
const OUTPUT_LIMIT: usize = 4096;
/// Bytes collected before a write.
const BLOCK: usize = 64 * 1024;
/// Characters of a command that needs no shell.
const PLAIN: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789!@%-_=+:,./ \t";

/// What to run.
#[derive(Clone, Debug)]
pub enum Program {
    /// A command line of local(8): executed directly when it is plain, else by the shell (`local_command_shell`).
    Line {
        /// The command line.
        line: String,
        /// `local_command_shell`; empty: `/bin/sh -c` when a shell is needed.
        shell: String,
    },
    /// An argument vector of pipe(8).
    Argv(Vec<String>),
}

impl Program {
    /// As named in texts: the whole line, or `argv[0]`.
    fn shown(&self) -> &str {
        match self {
            Self::Line { line, .. } => line,
            Self::Argv(argv) => argv.first().map_or("", String::as_str),
        }
    }

    fn argv(&self) -> Vec<String> {
        let split =
            |text: &str| text.split([' ', '\t']).filter(|w| !w.is_empty()).map(str::to_owned).collect();
        match self {
            Self::Argv(argv) => argv.clone(),
            Self::Line { line, shell } if !shell.is_empty() => {
                let mut argv: Vec<String> = split(shell);
                argv.push(line.clone());
                argv
            }
            Self::Line { line, .. } if line.chars().all(|c| PLAIN.contains(c)) && !line.trim().is_empty() => {
                split(line)
            }
            Self::Line { line, .. } => shell_argv(line),
        }
    }

    /// A plain command that is not found may be a shell built-in.
    fn retry_with_shell(&self, argv: &[String], error: &io::Error) -> Option<Vec<String>> {
        match self {
            Self::Line { line, shell }
                if shell.is_empty()
                    && error.kind() == io::ErrorKind::NotFound
                    && argv.first().is_some_and(|name| !name.contains('/')) =>
            {
                Some(shell_argv(line))
            }
            Self::Line { .. } | Self::Argv(_) => None,
        }
    }
}

fn shell_argv(line: &str) -> Vec<String> {
    vec!["sh".into(), "-c".into(), line.into()]
}

/// How to run it.
#[derive(Clone, Debug)]
pub struct Rules {
    /// As whom; `None`: as this process (rootless).
    pub identity: Option<Identity>,
    /// The whole environment.
    pub environment: Vec<(OsString, OsString)>,
    /// Working directory.
    pub directory: Option<PathBuf>,
    /// chroot directory (pipe).
    pub chroot: Option<PathBuf>,
    /// `command_time_limit`, `X_time_limit`
    pub time_limit: Duration,
    /// The message as the command gets it.
    pub copy: CopyRules,
}

/// Runs the command for this message. The text of a success is the caller's; its output is given along.
pub fn run(job: &mut Job, program: &Program, rules: &Rules) -> (Outcome, String) {
    let shown = program.shown().to_owned();
    match start(program, rules) {
        Err((name, error)) => {
            let text = format!("execvp {name}: {}", crate::mailbox::os_text(&error));
            os_log::emit(os_log::Severity::Fatal, format_args!("{text}"));
            // As a child of the reference says it, on a line of its own.
            let text = format!("{}: fatal: {text} ", job.context.service_name);
            (failure(&exit_text(75, &text), &text), String::new())
        }
        Ok(running) => {
            let (end, output) = running.feed(job, rules);
            (outcome(end, &output, &shown), output)
        }
    }
}

struct Running {
    child: Child,
    stdin: OwnedFd,
    output: OwnedFd,
}

/// How a command ended.
enum End {
    Exit(i32),
    Signal(i32),
    TimeLimit,
    /// The queue file could not be read.
    Unreadable(String),
}

fn start(program: &Program, rules: &Rules) -> Result<Running, (String, io::Error)> {
    let argv = program.argv();
    let name = argv.first().cloned().unwrap_or_default();
    match spawn(&argv, rules) {
        Ok(running) => Ok(running),
        Err(error) => match program.retry_with_shell(&argv, &error) {
            Some(argv) => spawn(&argv, rules).map_err(|error| (name, error)),
            None => Err((name, error)),
        },
    }
}

fn spawn(argv: &[String], rules: &Rules) -> io::Result<Running> {
    let (stdin_read, stdin_write) = nix::unistd::pipe2(nix::fcntl::OFlag::O_CLOEXEC)?;
    let (output_read, output_write) = nix::unistd::pipe2(nix::fcntl::OFlag::O_CLOEXEC)?;
    let error_write = output_write.try_clone()?;
    let child = Exec {
        program: find(argv.first().map_or("", String::as_str)),
        argv: argv.iter().map(OsString::from).collect(),
        env: rules.environment.clone(),
        cwd: rules.directory.clone(),
        descriptors: vec![(0, stdin_read), (1, output_write), (2, error_write)],
        identity: rules.identity.clone(),
        chroot: rules.chroot.clone(),
        umask: Some(0o077),
        new_group: true,
    }
    .spawn()?;
    Ok(Running { child, stdin: stdin_write, output: output_read })
}

/// A name without slash is looked for in the default path.
fn find(name: &str) -> PathBuf {
    if name.contains('/') {
        return PathBuf::from(name);
    }
    let places = ["/usr/bin", "/bin"].map(|directory| PathBuf::from(directory).join(name));
    places.iter().find(|path| path.exists()).cloned().unwrap_or_else(|| PathBuf::from("/usr/bin").join(name))
}

impl Running {
    /// Gives it the message, takes its output, waits for its end; kills its process group at the time limit.
    fn feed(self, job: &mut Job, rules: &Rules) -> (End, String) {
        let Self { mut child, stdin, output } = self;
        let deadline = Instant::now() + rules.time_limit;
        let group = nix::unistd::Pid::from_raw(child.id().cast_signed());
        let reader = std::thread::spawn(move || collect(output, deadline));
        let offset = job.data_offset();
        let written = {
            let mut out = BufWriter::with_capacity(BLOCK, Pipe { descriptor: stdin, deadline });
            let copied = copy_message(&mut job.message, offset, &rules.copy, &mut out);
            copied.and_then(|()| out.flush().map_err(CopyError::Write))
        };
        let unreadable = match written {
            // A command need not read what it does not want; the time limit is seen below.
            Ok(()) | Err(CopyError::Write(_)) => None,
            Err(CopyError::Read(error)) => Some(error),
        };
        let (output, in_time) = reader.join().unwrap_or_default();
        let exited = in_time && wait_until(&mut child, deadline);
        if !exited || unreadable.is_some() {
            let _ = killpg(group, Signal::SIGKILL);
        }
        let status = child.wait();
        if let Some(error) = unreadable {
            if error.is_corrupt() {
                job.mark_corrupt(&error.to_string());
            }
            return (End::Unreadable(error.to_string()), output);
        }
        if !exited {
            os_log::warning!("pipe_command_read: read time limit exceeded");
            return (End::TimeLimit, output);
        }
        match status {
            Ok(status) => {
                (status.code().map_or_else(|| End::Signal(status.signal().unwrap_or(0)), End::Exit), output)
            }
            Err(error) => (End::Unreadable(error.to_string()), output),
        }
    }
}

/// Output is at its end, so the command is about to exit, unless it closed its output early.
fn wait_until(child: &mut Child, deadline: Instant) -> bool {
    let mut pause = Duration::from_millis(1);
    loop {
        match child.try_wait() {
            Ok(Some(_)) | Err(_) => return true,
            Ok(None) if Instant::now() >= deadline => return false,
            Ok(None) => std::thread::sleep(pause),
        }
        pause = (pause * 2).min(Duration::from_millis(100));
    }
}

/// Reads to the end or the deadline; keeps the first bytes. `false`: the deadline came first.
fn collect(output: OwnedFd, deadline: Instant) -> (String, bool) {
    let mut kept = Vec::new();
    let mut file = std::fs::File::from(output);
    let mut block = [0u8; 4096];
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() || !ready(&file, PollFlags::POLLIN, left) {
            return (shown_output(&kept), false);
        }
        match file.read(&mut block) {
            Ok(0) => return (shown_output(&kept), true),
            Ok(count) => {
                let room = OUTPUT_LIMIT.saturating_sub(kept.len()).min(count);
                kept.extend_from_slice(block.get(..room).unwrap_or_default());
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => return (shown_output(&kept), true),
        }
    }
}

fn ready(file: &impl std::os::fd::AsFd, flags: PollFlags, left: Duration) -> bool {
    let limit = PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX);
    poll(&mut [PollFd::new(file.as_fd(), flags)], limit).is_ok_and(|count| count > 0)
}

/// Tabs and line ends become blanks, what is not printable `_`.
fn shown_output(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    text.chars()
        .map(|c| match c {
            '\t' | '\n' | '\r' => ' ',
            c if c.is_control() || c == char::REPLACEMENT_CHARACTER => '_',
            c => c,
        })
        .collect()
}

/// Standard input of the command; writing ends at the deadline.
struct Pipe {
    descriptor: OwnedFd,
    deadline: Instant,
}

impl Write for Pipe {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let left = self.deadline.saturating_duration_since(Instant::now());
        if left.is_zero() || !ready(&self.descriptor, PollFlags::POLLOUT, left) {
            return Err(io::ErrorKind::TimedOut.into());
        }
        // A pipe that is writable takes at least PIPE_BUF (4096) bytes without blocking.
        let piece = bytes.get(..bytes.len().min(4096)).unwrap_or(bytes);
        Ok(nix::unistd::write(&self.descriptor, piece)?)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The outcome by exit status and output; a success has an empty text.
fn outcome(end: End, output: &str, shown: &str) -> Outcome {
    let with_output =
        |text: String| if output.is_empty() { text } else { format!("{text}. Command output: {output}") };
    let detail = |dsn: Dsn, text: String| {
        Outcome::from_detail(with_diagnostic(Detail::new(dsn, with_output(text)), output))
    };
    match end {
        End::Exit(0) => Outcome::Sent(Detail::new(Dsn::new(2, 0, 0), "")),
        End::Exit(status) => match Dsn::split(output) {
            Some((dsn, text)) if dsn.class != 2 => {
                Outcome::from_detail(with_diagnostic(Detail::new(dsn, text.to_owned()), output))
            }
            Some(_) | None => match sysexit(status) {
                Some(_) => failure(&exit_text(status, output), output),
                None => detail(Dsn::new(5, 3, 0), format!("Command died with status {status}: \"{shown}\"")),
            },
        },
        End::Signal(signal) => {
            detail(Dsn::new(4, 3, 0), format!("Command died with signal {signal}: \"{shown}\""))
        }
        End::TimeLimit => detail(Dsn::new(5, 3, 0), format!("Command time limit exceeded: \"{shown}\"")),
        End::Unreadable(why) => {
            Outcome::Deferred(Detail::new(Dsn::new(4, 3, 0), format!("error reading message: {why}")))
        }
    }
}

fn with_diagnostic(detail: Detail, output: &str) -> Detail {
    let text = if output.is_empty() { detail.reason.clone() } else { output.to_owned() };
    Detail { diagnostic: Some(("x-unix".into(), text)), ..detail }
}

/// Status, phrase and text of an exit status of sysexits.h.
fn exit_text(status: i32, output: &str) -> (Dsn, String, &'static str) {
    let (dsn, phrase) = sysexit(status).unwrap_or((Dsn::new(5, 3, 0), "unknown error"));
    let text =
        if output.is_empty() { phrase.to_owned() } else { format!("{phrase}. Command output: {output}") };
    (dsn, text, phrase)
}

fn failure((dsn, text, phrase): &(Dsn, String, &'static str), output: &str) -> Outcome {
    let diagnostic = if output.is_empty() { (*phrase).to_owned() } else { output.to_owned() };
    let detail =
        Detail { diagnostic: Some(("x-unix".into(), diagnostic)), ..Detail::new(*dsn, text.clone()) };
    Outcome::from_detail(detail)
}

/// sysexits.h as enhanced status codes.
const fn sysexit(status: i32) -> Option<(Dsn, &'static str)> {
    Some(match status {
        64 => (Dsn::new(5, 3, 0), "command line usage error"),
        65 => (Dsn::new(5, 6, 0), "data format error"),
        66 => (Dsn::new(5, 3, 0), "cannot open input"),
        67 => (Dsn::new(5, 1, 1), "user unknown"),
        68 => (Dsn::new(5, 1, 2), "host name unknown"),
        69 => (Dsn::new(5, 3, 0), "service unavailable"),
        70 => (Dsn::new(5, 3, 0), "internal software error"),
        71 => (Dsn::new(4, 3, 0), "system resource problem"),
        72 => (Dsn::new(5, 3, 0), "critical OS file missing"),
        73 => (Dsn::new(5, 2, 0), "can't create user output file"),
        74 => (Dsn::new(5, 3, 0), "input/output error"),
        75 => (Dsn::new(4, 3, 0), "temporary failure"),
        76 => (Dsn::new(5, 5, 0), "remote error in protocol"),
        77 => (Dsn::new(5, 7, 0), "permission denied"),
        78 => (Dsn::new(5, 3, 5), "local configuration error"),
        _ => return None,
    })
}

/// What `export_environment` lets through: `NAME` as it is here, `NAME=value` as given there (`{NAME = value}` too).
#[must_use]
pub fn exported(list: &str) -> Vec<(OsString, OsString)> {
    let mut found: Vec<(OsString, OsString)> = Vec::new();
    for word in mail_text::list::words_with_groups(list) {
        let setting = mail_text::list::braced(word).unwrap_or(word);
        match setting.split_once('=') {
            Some((name, value)) => found.push((name.trim().into(), value.trim().into())),
            None => found.extend(std::env::var_os(setting).map(|value| (setting.into(), value))),
        }
    }
    found
}
