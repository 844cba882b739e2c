//! The mail system that the command works on: its directories, its environment, its programs.

use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use host_config::param::{self, Str};
use host_config::{Config, param as parameter};
use os_sys::error_text;
use os_sys::identity;

use crate::{Fatal, Outcome};

/// Parameters that go into the environment of every program that is run.
const EXPORTED: &[Str] = &[
    param::COMMAND_DIRECTORY,
    param::DAEMON_DIRECTORY,
    param::QUEUE_DIRECTORY,
    param::MAIL_OWNER,
    param::SETGID_GROUP,
    param::DATA_DIRECTORY,
    param::META_DIRECTORY,
    param::SHLIB_DIRECTORY,
    param::HTML_DIRECTORY,
    param::MANPAGE_DIRECTORY,
    param::NEWALIASES_PATH,
    param::MAILQ_PATH,
    param::SENDMAIL_PATH,
    param::README_DIRECTORY,
    param::SAMPLE_DIRECTORY,
];

/// One instance.
#[derive(Debug)]
pub(crate) struct Instance {
    pub(crate) config: Config,
    pub(crate) queue: PathBuf,
    pub(crate) data: PathBuf,
    pub(crate) daemons: PathBuf,
    pub(crate) commands: PathBuf,
    verbose: usize,
}

impl Instance {
    pub(crate) fn new(config: Config, verbose: usize) -> Result<Self, Fatal> {
        Ok(Self {
            queue: config.queue_directory()?,
            data: config.str(param::DATA_DIRECTORY)?.into(),
            daemons: config.str(param::DAEMON_DIRECTORY)?.into(),
            commands: config.str(param::COMMAND_DIRECTORY)?.into(),
            config,
            verbose,
        })
    }

    pub(crate) fn text(&self, name: Str) -> Result<String, Fatal> {
        Ok(self.config.str(name)?)
    }

    /// Logs as `program`; records of the script part come on standard error with the name that the reference gives them.
    pub(crate) fn open_log(&self, program: &str, script: bool) -> Result<(), Fatal> {
        let name = self.text(param::SYSLOG_NAME)?;
        let tag = format!("{name}/{program}");
        let mut destination = self.config.log_destination()?;
        destination.stderr = true;
        destination.stderr_name = match (script, std::io::stderr().is_terminal()) {
            (false, _) => None,
            (true, true) => Some(tag.clone()),
            (true, false) => Some(format!("{name}/postlog")),
        };
        os_log::open(&tag, destination);
        Ok(())
    }

    /// The directories without which nothing can be done.
    pub(crate) fn check_directories(&self) -> Result<(), Fatal> {
        for path in [&self.commands, &self.daemons, &self.queue] {
            std::env::set_current_dir(path)
                .map_err(|error| Fatal(format!("chdir({}): {}", path.display(), error_text(&error))))?;
        }
        Ok(())
    }

    /// What every command of the script looks at first.
    pub(crate) fn check_installation(&self) -> Result<(), Fatal> {
        let missing = |what: &str, path: &Path| Fatal(format!("no Postfix {what} {}!", path.display()));
        let need_directory = |what: &str, path: &Path| {
            if path.is_dir() { Ok(()) } else { Err(missing(what, path)) }
        };
        need_directory("command directory", &self.commands)?;
        need_directory("daemon directory", &self.daemons)?;
        let master = self.daemons.join("master");
        if !master.is_file() {
            return Err(missing("master program", &master));
        }
        need_directory("configuration directory", self.config.dir())?;
        let libraries = self.text(param::SHLIB_DIRECTORY)?;
        if libraries != "no" {
            need_directory("shared-library directory", Path::new(&libraries))?;
        }
        need_directory("meta directory", Path::new(&self.text(param::META_DIRECTORY)?))?;
        need_directory("queue directory", &self.queue)?;
        let postconf = self.commands.join("postconf");
        if !postconf.is_file() {
            return Err(Fatal(format!("cannot execute {}!", postconf.display())));
        }
        Ok(())
    }

    /// Whether an ordinary user runs this instance.
    pub(crate) fn is_rootless() -> bool {
        identity::effective_uid() != 0
    }

    /// A program in this instance's environment.
    pub(crate) fn program(&self, path: &Path) -> Result<Command, Fatal> {
        let mut command = Command::new(path);
        command.env_clear().envs(self.config.environment(parameter::IMPORT_ENVIRONMENT)?);
        for name in EXPORTED {
            command.env(name.name(), self.text(*name)?);
        }
        command.env("config_directory", self.config.dir()).env("MAIL_CONFIG", self.config.dir());
        command.env("MAIL_LOGTAG", self.text(param::SYSLOG_NAME)?);
        command.env("PATH", "/bin:/usr/bin:/sbin:/usr/sbin").current_dir(&self.queue);
        if self.verbose > 0 {
            command.env("MAIL_VERBOSE", "1");
        }
        Ok(command)
    }

    /// Runs a command of `command_directory`; its exit status.
    pub(crate) fn run_command(&self, name: &str, arguments: &[&str]) -> Outcome {
        let mut command = self.program(&self.commands.join(name))?;
        finish(command.args(arguments), name)
    }

    /// Runs a command whose output nobody wants; whether it went well.
    pub(crate) fn run_quietly(&self, name: &str, arguments: &[&str]) -> Result<bool, Fatal> {
        let mut command = self.program(&self.commands.join(name))?;
        command.args(arguments).stdin(Stdio::null()).stdout(Stdio::null());
        Ok(command.status().is_ok_and(|status| status.success()))
    }

    /// Runs a script of `daemon_directory`.
    pub(crate) fn run_script(&self, name: &str, arguments: &[String]) -> Outcome {
        self.run_program(&self.daemons.join(name), arguments)
    }

    /// Runs any program in this instance's environment.
    pub(crate) fn run_program(&self, path: &Path, arguments: &[String]) -> Outcome {
        let mut command = self.program(path)?;
        finish(command.args(arguments), &path.display().to_string())
    }

    /// `multi_instance_wrapper` takes over.
    pub(crate) fn run_wrapper(&self, command: &[String]) -> Outcome {
        let wrapper = self.text(param::MULTI_INSTANCE_WRAPPER)?;
        let mut words = wrapper.split_whitespace();
        let Some(program) = words.next() else {
            let text = "multi-instance support is requested, but multi_instance_wrapper is empty";
            return Err(Fatal(text.to_owned()));
        };
        let mut wrapped = self.program(Path::new(program))?;
        finish(wrapped.args(words).args(command), program)
    }
}

fn finish(command: &mut Command, name: &str) -> Outcome {
    match command.status() {
        Ok(status) => Ok(status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(1)),
        Err(error) => Err(Fatal(format!("{name}: {}", error_text(&error)))),
    }
}
