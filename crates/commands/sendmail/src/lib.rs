//! sendmail(1), mailq(1), newaliases(1): the Sendmail compatibility interface. No privileges: mail goes to postdrop(1) over a
//! pipe, the other modes run other commands.

use std::path::Path;
use std::process::ExitCode;

mod message;
mod options;
mod run;
mod submit;

use options::{Mode, Options};

/// EX_TEMPFAIL: what every failure looks like to the caller, which then keeps its mail.
const TEMPORARY_FAILURE: u8 = 75;

/// Why nothing was done; the text after `fatal: `.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Fatal(pub String);

/// A failure with this text.
pub(crate) fn fatal<T>(text: impl Into<String>) -> Result<T, Fatal> {
    Err(Fatal(text.into()))
}

impl From<host_config::ConfigError> for Fatal {
    fn from(error: host_config::ConfigError) -> Self {
        Self(error.to_string())
    }
}

/// The program, from its command line to its exit status.
#[must_use]
pub fn main() -> ExitCode {
    let mut arguments = std::env::args_os().map(|a| a.to_string_lossy().into_owned());
    let argv0 = arguments.next().unwrap_or_default();
    let program =
        Path::new(&argv0).file_name().map_or_else(|| "sendmail".into(), |n| n.to_string_lossy().into_owned());
    let arguments: Vec<String> = arguments.collect();
    match Options::parse(&program, &arguments).and_then(|options| dispatch(&program, &options)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(Fatal(text)) => {
            os_log::emit(os_log::Severity::Fatal, format_args!("{text}"));
            ExitCode::from(TEMPORARY_FAILURE)
        }
    }
}

fn dispatch(program: &str, options: &Options) -> Result<(), Fatal> {
    let config = run::configure(program, options)?;
    match &options.mode {
        Mode::Deliver => submit::deliver(&config, options),
        Mode::Ignored => Ok(()),
        Mode::List => run::list_queue(&config, options),
        Mode::Flush => run::command(&config, "postqueue", &["-f"], options),
        Mode::FlushId(id) => run::command(&config, "postqueue", &["-i", id], options),
        Mode::FlushSite(site) => run::command(&config, "postqueue", &["-s", site], options),
        Mode::Daemon => run::command(&config, "postfix", &["start"], options),
        Mode::StandAlone => run::smtp_server(&config, options),
        Mode::Aliases => run::new_aliases(&config, options),
    }
}
