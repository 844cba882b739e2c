//! postlock(1): locks a mailbox and runs a command.

use std::io;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Command, ExitCode};

use host_config::{Config, param};
use host_delivery::mailbox::{LockStyle, lock_mailbox};
use mail_text::getopt::{self, Item};

/// `EX_TEMPFAIL` of sysexits.h: the folder cannot be locked.
const TEMPORARY: u8 = 75;

/// The program, from its command line to its exit status.
#[must_use]
pub fn main() -> ExitCode {
    let arguments: Vec<String> =
        std::env::args_os().skip(1).map(|word| word.to_string_lossy().into_owned()).collect();
    match run(&arguments) {
        Ok(status) => ExitCode::from(status),
        Err(Failure { status, text }) => {
            os_log::emit(os_log::Severity::Fatal, format_args!("{text}"));
            ExitCode::from(status)
        }
    }
}

struct Failure {
    status: u8,
    text: String,
}

impl From<host_config::ConfigError> for Failure {
    fn from(error: host_config::ConfigError) -> Self {
        Self { status: 1, text: error.0 }
    }
}

const USAGE: &str = "usage: postlock [-c config_dir] [-l lock_style] [-v] folder command...";

fn run(arguments: &[String]) -> Result<u8, Failure> {
    let log = os_log::Destination { stderr: true, ..os_log::Destination::from_environment() };
    os_log::open(&format!("{}/postlock", os_log::initial_name()), log);
    let usage = || Failure { status: 75, text: USAGE.to_owned() };
    let (items, operands) = getopt::parse(arguments, "+c:l:v");
    let (mut dir, mut style) = (None, None);
    for item in items {
        match item {
            Item::Value('c', value) => dir = Some(value),
            Item::Value('l', value) => style = Some(value),
            Item::Flag('v') => {}
            other => {
                if let Some(complaint) = other.complaint() {
                    eprintln!("{}: {complaint}", os_log::program_name());
                }
                return Err(usage());
            }
        }
    }
    let [folder, command @ ..] = operands.as_slice() else { return Err(usage()) };
    let [program, rest @ ..] = command else { return Err(usage()) };
    let mut config = match dir {
        Some(dir) => Config::load(Path::new(&dir))?,
        None => Config::from_environment()?,
    };
    if let Some(style) = style {
        config.set("mailbox_delivery_lock", &style);
    }
    let style = lock_style(&config)?;
    let locked =
        lock_mailbox(Path::new(folder), &style).map_err(|text| Failure { status: TEMPORARY, text })?;
    let status = execute(program, rest, &config);
    drop(locked);
    status
}

fn lock_style(config: &Config) -> Result<LockStyle, Failure> {
    let words = config.str(param::MAILBOX_DELIVERY_LOCK)?;
    let attempts = u32::try_from(config.int(param::DELIVER_LOCK_ATTEMPTS)?).unwrap_or(1);
    let (delay, stale) = (config.time(param::DELIVER_LOCK_DELAY)?, config.time(param::STALE_LOCK_TIME)?);
    LockStyle::parse(&words, attempts, delay, stale).map_err(|word| Failure {
        status: TEMPORARY,
        text: format!("unknown mailbox_delivery_lock value \"{word}\" in \"{words}\""),
    })
}

/// Runs the command with `import_environment` and a standard search path.
fn execute(program: &str, arguments: &[String], config: &Config) -> Result<u8, Failure> {
    let env = config.environment(param::IMPORT_ENVIRONMENT)?;
    let result = Command::new(program)
        .args(arguments)
        .env_clear()
        .envs(env)
        .env("PATH", config.str(param::COMMAND_DIRECTORY)? + ":/bin:/usr/bin:/sbin:/usr/sbin")
        .status();
    match result {
        Ok(status) => Ok(status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or_else(|| {
            os_log::warning!("{program}: killed by signal {}", status.signal().unwrap_or_default());
            1
        })),
        Err(error) => Err(Failure { status: 1, text: exec_failure(program, &error) }),
    }
}

fn exec_failure(program: &str, error: &io::Error) -> String {
    format!("execvp {program}: {}", os_sys::error_text(error))
}
