//! postsuper(1): queue maintenance. For the superuser; the work is done as the mail owner.
//!
//! First the structure of the queue is put right (`-s`, `-S`, `-p`), then messages are worked on, in command-line order.

mod messages;
mod options;
mod structure;

use std::path::Path;
use std::process::ExitCode;

use host_config::{Config, param};
use host_spool::Spool;
use os_sys::identity::{Identity, Root, user_by_name};

use messages::Messages;
use options::Options;

const RENAMED: &str = "QUEUE FILE NAMES WERE CHANGED TO MATCH INODE NUMBERS";

/// Directories worked on when none is named.
const DEFAULT_DIRECTORIES: [&str; 8] =
    ["defer", "bounce", "maildrop", "incoming", "active", "deferred", "hold", "flush"];
/// One more that may be named.
const OPTIONAL_DIRECTORY: &str = "trace";

/// The program, from its command line to its exit status.
#[must_use]
pub fn main() -> ExitCode {
    let arguments: Vec<String> =
        std::env::args_os().skip(1).map(|argument| argument.to_string_lossy().into_owned()).collect();
    open_log(None);
    match run(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(text) => {
            os_log::emit(os_log::Severity::Fatal, format_args!("{text}"));
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &[String]) -> Result<(), String> {
    let options = Options::parse(arguments)?;
    let config = load(&options)?;
    open_log(Some(&config));
    let queue = config.queue_directory().map_err(|error| error.to_string())?;
    std::env::set_current_dir(&queue)
        .map_err(|error| format!("chdir {}: {}", queue.display(), os_sys::error_text(&error)))?;
    become_owner(&config)?;
    let directories = directories(&options)?;
    let spool = Spool::open(&config).map_err(|error| error.to_string())?;
    let renamed = if options.needs_structure() { structure::run(&spool, &directories, &options)? } else { 0 };
    if renamed > 0 && options.names_messages() {
        os_log::error!("{RENAMED}");
        os_log::emit(os_log::Severity::Fatal, format_args!("CHECK YOUR QUEUE IDS AND RE-ISSUE THE COMMAND"));
        os_log::warning!("OPERATION INCOMPLETE -- RERUN COMMAND TO FIX THE QUEUE FIRST");
        std::process::exit(1);
    }
    let mut messages = Messages::new(&spool, &directories);
    for action in &options.actions {
        messages.act(action)?;
    }
    messages.report();
    if renamed > 0 {
        os_log::info!("Renamed to match inode number: {renamed} message{}", plural(renamed));
        os_log::warning!("{RENAMED}");
    }
    Ok(())
}

/// `s` unless there is one.
fn plural(count: u64) -> &'static str {
    if count == 1 { "" } else { "s" }
}

fn load(options: &Options) -> Result<Config, String> {
    let config = match &options.config_directory {
        Some(directory) => Config::load(Path::new(directory)),
        None => Config::from_environment(),
    };
    let owner = |config: &Config| {
        config.str(param::MAIL_OWNER).ok().and_then(|name| user_by_name(&name).ok().flatten())
    };
    let me = nix::unistd::geteuid();
    let rootless = config.as_ref().ok().and_then(owner).is_some_and(|user| user.uid == me.as_raw());
    if !me.is_root() && !rootless {
        return Err("use of this command is reserved for the superuser".to_owned());
    }
    config.map_err(|error| error.to_string())
}

/// Root works as the mail owner, so that no file changes hands.
fn become_owner(config: &Config) -> Result<(), String> {
    let Some(root) = Root::claim() else { return Ok(()) };
    let name = config.str(param::MAIL_OWNER).map_err(|error| error.to_string())?;
    let user = user_by_name(&name).ok().flatten().ok_or_else(|| {
        format!(
            "file {}/main.cf: parameter mail_owner: unknown user name value: {name}",
            config.dir().display()
        )
    })?;
    let identity = Identity { name: Some(user.name), uid: user.uid, gid: user.gid };
    root.drop_to(&identity, None)
        .map_err(|error| format!("set ids of {name}: {}", os_sys::error_text(&error)))
}

fn directories(options: &Options) -> Result<Vec<String>, String> {
    if options.directories.is_empty() {
        return Ok(DEFAULT_DIRECTORIES.map(str::to_owned).to_vec());
    }
    for name in &options.directories {
        if !DEFAULT_DIRECTORIES.contains(&name.as_str()) && name != OPTIONAL_DIRECTORY {
            return Err(format!("invalid directory name: {name}"));
        }
    }
    Ok(options.directories.clone())
}

fn open_log(config: Option<&Config>) {
    let destination = config.and_then(|config| config.log_destination().ok());
    let mut destination = destination.unwrap_or_else(os_log::Destination::from_environment);
    destination.stderr = true;
    let name =
        config.and_then(|config| config.str(param::SYSLOG_NAME).ok()).unwrap_or_else(os_log::initial_name);
    os_log::open(&format!("{name}/{}", os_log::program_name()), destination);
}
