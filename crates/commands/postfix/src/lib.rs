//! postfix(1): start, stop and maintain the mail system.

mod check;
mod control;
mod instance;
mod layout;
mod logrotate;
mod upgrade;

use std::path::Path;
use std::process::ExitCode;

use host_config::{Config, param};
use mail_text::getopt::{self, Item};
use os_log::Severity;
use os_sys::identity;

use instance::Instance;

/// How a command ends; texts have been logged.
pub(crate) type Outcome = Result<u8, Fatal>;

/// A reason to end with status 1, still to be logged.
#[derive(Debug)]
pub(crate) struct Fatal(pub(crate) String);

impl From<host_config::ConfigError> for Fatal {
    fn from(error: host_config::ConfigError) -> Self {
        Self(error.0)
    }
}

const USAGE: &str = "usage: postfix [-c config_dir] [-Dv] command";

/// The program, from its command line to its exit status.
#[must_use]
pub fn main() -> ExitCode {
    let arguments: Vec<String> =
        std::env::args_os().skip(1).map(|word| word.to_string_lossy().into_owned()).collect();
    let log = os_log::Destination { stderr: true, ..os_log::Destination::from_environment() };
    os_log::open(&format!("{}/postfix", os_log::initial_name()), log);
    match run(&arguments) {
        Ok(status) => ExitCode::from(status),
        Err(Fatal(text)) => {
            os_log::emit(Severity::Fatal, format_args!("{text}"));
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &[String]) -> Outcome {
    if arguments.first().is_some_and(|word| word == "--version") {
        println!("Postino {}", env!("CARGO_PKG_VERSION"));
        return Ok(0);
    }
    let (items, command) = getopt::parse(arguments, "+c:Dv");
    let (mut dir, mut verbose) = (None, 0);
    for item in items {
        match item {
            Item::Value('c', value) if value.starts_with('/') => dir = Some(value),
            Item::Value('c', _) => return Err(Fatal("-c requires absolute pathname".to_owned())),
            Item::Flag('v') => verbose += 1,
            Item::Flag('D') => {}
            other => {
                if let Some(complaint) = other.complaint() {
                    eprintln!("{}: {complaint}", os_log::program_name());
                }
                return Err(Fatal(USAGE.to_owned()));
            }
        }
    }
    let Some((verb, rest)) = command.split_first() else { return Err(Fatal(USAGE.to_owned())) };
    if nix::unistd::getuid() != nix::unistd::geteuid() {
        return Err(Fatal("the postfix command must not run as a set-uid process".to_owned()));
    }
    let chosen = dir.is_some() || std::env::var_os("MAIL_CONFIG").is_some();
    let dir = dir.map_or_else(Config::directory_from_environment, Into::into);
    let config = match Config::load(&dir) {
        // Without a configuration nobody knows whose mail system this is.
        Err(_) if identity::effective_uid() != 0 => return Err(reserved()),
        other => other?,
    };
    check_user(&config)?;
    let instance = Instance::new(config, verbose)?;
    instance.open_log("postfix", false)?;
    instance.config.check("postfix")?;
    instance.check_directories()?;
    if !chosen && !instance.text(param::MULTI_INSTANCE_DIRECTORIES)?.is_empty() {
        return instance.run_wrapper(&command);
    }
    instance.open_log("postfix-script", true)?;
    dispatch(&instance, verb, rest)
}

fn reserved() -> Fatal {
    os_log::error!("to submit mail, use the Postfix sendmail command");
    Fatal("the postfix command is reserved for the superuser".to_owned())
}

/// Root, or the ordinary user who runs an instance of their own (`mail_owner`).
fn check_user(config: &Config) -> Result<(), Fatal> {
    let uid = identity::effective_uid();
    let owner = identity::user_by_name(&config.str(param::MAIL_OWNER)?).ok().flatten();
    if uid == 0 || owner.is_some_and(|owner| owner.uid == uid) { Ok(()) } else { Err(reserved()) }
}

fn dispatch(instance: &Instance, verb: &str, rest: &[String]) -> Outcome {
    instance.check_installation()?;
    match verb {
        "start" => control::start(instance),
        "start-fg" => control::start_foreground(instance),
        "stop" => control::stop(instance),
        "quick-stop" => control::quick_stop(instance),
        "drain" => control::drain(instance),
        "abort" => control::abort(instance),
        "reload" => control::reload(instance),
        "flush" => instance.run_command("postqueue", &["-f"]),
        "status" => control::status(instance),
        "check" => check::check(instance),
        "set-permissions" => {
            layout::create_missing(instance)?;
            layout::set_permissions(instance)?;
            Ok(0)
        }
        "upgrade-configuration" => {
            layout::create_missing(instance)?;
            upgrade::upgrade(instance)
        }
        "logrotate" => logrotate::rotate(instance, rest),
        "tls" => instance.run_script("postfix-tls-script", rest),
        "non-bdb" => instance.run_script("postfix-non-bdb-script", rest),
        "start_msg" => {
            println!("Start postfix");
            Ok(0)
        }
        "stop_msg" => {
            println!("Stop postfix");
            Ok(0)
        }
        path if path.starts_with('/') => instance.run_program(Path::new(path), rest),
        other => Err(Fatal(format!(
            "unknown command: '{other}'. Usage: postfix start (or stop, reload, abort, flush, check, status, \
             set-permissions, upgrade-configuration, logrotate, tls, non-bdb)"
        ))),
    }
}
