//! Configuration, and the modes that other programs do.

use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use host_config::{Config, param};

use crate::options::Options;
use crate::{Fatal, fatal};

/// Loads the configuration (`-C`, `MAIL_CONFIG`) and opens the log.
pub(crate) fn configure(program: &str, options: &Options) -> Result<Config, Fatal> {
    let directory = options.config.as_deref().map(|path| match path.strip_suffix("/main.cf") {
        Some(directory) => PathBuf::from(directory),
        None => PathBuf::from(path),
    });
    let config = match &directory {
        Some(directory) => Config::load(directory)?,
        None => Config::from_environment()?,
    };
    let mut destination = config.log_destination()?;
    destination.stderr = true;
    os_log::open(&format!("{}/{program}", config.str(param::SYSLOG_NAME)?), destination);
    Ok(config)
}

/// Replaces this program by one of `command_directory`.
pub(crate) fn command(
    config: &Config,
    name: &str,
    arguments: &[&str],
    options: &Options,
) -> Result<(), Fatal> {
    exec(&Path::new(&config.str(param::COMMAND_DIRECTORY)?).join(name), arguments, config, options)
}

/// mailq.
pub(crate) fn list_queue(config: &Config, options: &Options) -> Result<(), Fatal> {
    let mut arguments = vec!["-p"];
    arguments.extend(std::iter::repeat_n("-v", options.verbose));
    command(config, "postqueue", &arguments, options)
}

/// The SMTP server on standard input and output.
pub(crate) fn smtp_server(config: &Config, options: &Options) -> Result<(), Fatal> {
    exec(&Path::new(&config.str(param::DAEMON_DIRECTORY)?).join("smtpd"), &["-S"], config, options)
}

/// newaliases: postalias of the given or the configured databases.
pub(crate) fn new_aliases(config: &Config, options: &Options) -> Result<(), Fatal> {
    let list = match &options.alias_database {
        Some(one) => one.clone(),
        None => config.str(param::ALIAS_DATABASE)?,
    };
    let databases: Vec<&str> = mail_text::list::words(&list).collect();
    if databases.is_empty() {
        return Ok(());
    }
    let mut arguments = vec!["-v"; options.verbose];
    arguments.push("--");
    arguments.extend(databases);
    command(config, "postalias", &arguments, options)
}

fn exec(path: &Path, arguments: &[&str], config: &Config, options: &Options) -> Result<(), Fatal> {
    let mut command = Command::new(path);
    command.args(arguments);
    if options.config.is_some() {
        command.env("MAIL_CONFIG", config.dir());
    }
    let error = command.exec();
    fatal(format!("execvp {}: {error}", path.display()))
}
