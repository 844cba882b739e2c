//! postqueue(1): lists and flushes the queue. Installed set-gid, so it trusts neither arguments nor environment:
//! a configuration directory must be a listed one, users must be authorized, and no other program is run unless for root.

mod flush;
mod list;
mod options;
mod source;

use std::io::{self, BufWriter, Write};
use std::path::Path;
use std::process::ExitCode;

use host_config::{Config, param};
use options::{Action, Options};

/// Exit status of every failure (EX_UNAVAILABLE).
const UNAVAILABLE: u8 = 69;

/// Why the program ends.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The text after `fatal: `.
    Fatal(String),
    /// Standard output is gone.
    Output,
}

impl From<io::Error> for Failure {
    fn from(_: io::Error) -> Self {
        Self::Output
    }
}

/// A fatal text.
pub(crate) fn fatal(text: impl std::fmt::Display) -> Failure {
    Failure::Fatal(text.to_string())
}

/// The program, from its command line to its exit status.
#[must_use]
pub fn main() -> ExitCode {
    let arguments: Vec<String> =
        std::env::args_os().skip(1).map(|argument| argument.to_string_lossy().into_owned()).collect();
    open_log(None);
    match run(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure::Output) => ExitCode::from(UNAVAILABLE),
        Err(Failure::Fatal(text)) => {
            os_log::emit(os_log::Severity::Fatal, format_args!("{text}"));
            ExitCode::from(UNAVAILABLE)
        }
    }
}

fn run(arguments: &[String]) -> Result<(), Failure> {
    let options = Options::parse(arguments)?;
    let config = match &options.config_directory {
        Some(directory) => Config::from_directory(Path::new(directory)),
        None => Config::from_environment(),
    };
    let config = config.map_err(fatal)?;
    open_log(Some(&config));
    let queue = config.queue_directory().map_err(fatal)?;
    std::env::set_current_dir(&queue)
        .map_err(|error| fatal(format!("chdir {}: {}", queue.display(), os_sys::error_text(&error))))?;
    match options.action {
        Action::List(format) => {
            authorize(&config, param::AUTHORIZED_MAILQ_USERS, "view the mail queue")?;
            let mut out = BufWriter::with_capacity(64 * 1024, io::stdout().lock());
            let mut source = source::Source::open(&config)?;
            list::print(&config, format, &mut source, &mut out)?;
            out.flush()?;
            Ok(())
        }
        Action::Flush(what) => {
            authorize(&config, param::AUTHORIZED_FLUSH_USERS, "flush the mail queue")?;
            flush::run(&config, &what)
        }
    }
}

fn open_log(config: Option<&Config>) {
    let destination = config.and_then(|config| config.log_destination().ok());
    let mut destination = destination.unwrap_or_else(os_log::Destination::from_environment);
    destination.stderr = true;
    let name =
        config.and_then(|config| config.str(param::SYSLOG_NAME).ok()).unwrap_or_else(os_log::initial_name);
    os_log::open(&format!("{name}/{}", os_log::program_name()), destination);
}

/// `authorized_mailq_users`, `authorized_flush_users`; root and the mail system itself always may.
fn authorize(config: &Config, parameter: param::Str, what: &str) -> Result<(), Failure> {
    let uid = nix::unistd::getuid().as_raw();
    let user = os_sys::identity::user_by_uid(uid).ok().flatten().map(|user| user.name);
    let owner = config.str(param::MAIL_OWNER).map_err(fatal)?;
    if uid == 0 || user.as_deref() == Some(owner.as_str()) {
        return Ok(());
    }
    host_tables::authorize(config, parameter, uid, what).map_err(fatal)
}
