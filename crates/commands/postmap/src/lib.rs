//! postmap(1) and postalias(1): lookup table management. One program; the tool decides the source grammar, the texts and
//! how records are printed.

mod options;
mod query;
mod update;

use std::path::Path;
use std::process::ExitCode;

use host_config::{Config, param};
use host_tables::TableContext;

pub use options::Tool;
use options::{Action, Options};

/// Why the command ends with status 1; the text goes to the log and to standard error as `fatal:`.
#[derive(Debug)]
pub struct Fatal(pub String);

impl From<host_config::ConfigError> for Fatal {
    fn from(error: host_config::ConfigError) -> Self {
        Self(error.to_string())
    }
}

impl From<host_tables::OpenError> for Fatal {
    fn from(error: host_tables::OpenError) -> Self {
        Self(error.0)
    }
}

/// postmap, from its command line to its exit status.
#[must_use]
pub fn main() -> ExitCode {
    run(Tool::Postmap)
}

/// Either tool, from the command line to the exit status: 0, or 1 for not found and for fatal errors.
#[must_use]
pub fn run(tool: Tool) -> ExitCode {
    let mut arguments = std::env::args_os().map(|a| a.to_string_lossy().into_owned());
    let name = arguments.next().unwrap_or_else(|| tool.name().to_owned());
    let arguments: Vec<String> = arguments.collect();
    match perform(tool, &name, &arguments) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(fatal) => {
            os_log::emit(os_log::Severity::Fatal, format_args!("{}", fatal.0));
            ExitCode::FAILURE
        }
    }
}

/// What every action needs.
struct Session {
    tool: Tool,
    options: Options,
    context: TableContext,
    utf8: bool,
    default_type: String,
    /// Bounds on messages (`-b`, `-h`).
    mime: mail_mime::Limits,
}

fn perform(tool: Tool, name: &str, arguments: &[String]) -> Result<bool, Fatal> {
    let options = Options::parse(tool, name, arguments).map_err(Fatal)?;
    let config = match &options.config_directory {
        Some(directory) => Config::load(Path::new(directory)),
        None => Config::from_environment(),
    }?;
    let mut destination = config.log_destination()?;
    destination.stderr = true;
    os_log::open(&format!("{}/{}", config.str(param::SYSLOG_NAME)?, tool.name()), destination);
    let utf8 = options.utf8.unwrap_or(config.bool(param::SMTPUTF8_ENABLE)?);
    let session = Session {
        tool,
        context: TableContext::new(&config)?.for_command().with_utf8(utf8),
        utf8,
        mime: mail_mime::Limits {
            header_bytes: size(config.int(param::HEADER_SIZE_LIMIT)?),
            boundary_bytes: size(config.int(param::MIME_BOUNDARY_LENGTH_LIMIT)?),
            nesting: size(config.int(param::MIME_NESTING_LIMIT)?),
            structure: true,
        },
        default_type: config.str(param::DEFAULT_DATABASE_TYPE)?,
        options,
    };
    match &session.options.action {
        Action::Create | Action::Incremental => update::create(&session).map(|()| true),
        Action::Delete(key) => update::delete(&session, key),
        Action::Query(key) => query::query(&session, key),
        Action::Sequence => query::sequence(&session).map(|()| true),
    }
}

/// A limit as a size; what does not fit is no limit.
fn size(limit: i64) -> usize {
    usize::try_from(limit).unwrap_or(usize::MAX)
}

impl Session {
    /// `type` and `name` of an operand.
    fn spec<'a>(&'a self, operand: &'a str) -> (&'a str, &'a str) {
        operand.split_once(':').unwrap_or((&self.default_type, operand))
    }

    fn fold(&self, key: &str) -> String {
        if self.options.keep_case { key.to_owned() } else { mail_address::fold(key) }
    }
}
