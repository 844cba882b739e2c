//! postdrop(1): creates a maildrop file (set-gid). Standard input is a record stream from sendmail(1) or any local user, so
//! nothing in it is trusted; standard output carries the queue ID and the verdict (`internal-protocols` §3.2).

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use host_config::{Config, param};
use host_spool::{Draft, Queue, Spool};
use mail_text::getopt::{self, Item};
use proto_ipc::{Format, postdrop, trigger};

mod filter;
mod input;

use filter::{Filter, Verdict};
use input::{Event, Input};
use mail_record::Malformed;

/// EX_TEMPFAIL
const TEMPORARY_FAILURE: u8 = 75;

/// Why the message is refused as a whole; the text after `fatal: `, and the exit status.
#[derive(Debug, thiserror::Error)]
#[error("{text}")]
struct Fatal {
    text: String,
    status: u8,
}

fn fatal(text: impl Into<String>) -> Fatal {
    Fatal { text: text.into(), status: 1 }
}

impl From<host_config::ConfigError> for Fatal {
    fn from(error: host_config::ConfigError) -> Self {
        Self { text: error.to_string(), status: TEMPORARY_FAILURE }
    }
}

/// The program, from its command line to its exit status.
#[must_use]
pub fn main() -> ExitCode {
    match run() {
        Ok(status) => ExitCode::from(status),
        Err(Fatal { text, status }) => {
            os_log::emit(os_log::Severity::Fatal, format_args!("{text}"));
            ExitCode::from(status)
        }
    }
}

fn run() -> Result<u8, Fatal> {
    let arguments: Vec<String> =
        std::env::args_os().skip(1).map(|a| a.to_string_lossy().into_owned()).collect();
    let config = configure(&arguments)?;
    let uid = nix::unistd::getuid().as_raw();
    authorize(&config, uid)?;
    let queue_directory = config.str(param::QUEUE_DIRECTORY)?;
    std::env::set_current_dir(&queue_directory)
        .map_err(|e| fatal(format!("chdir {queue_directory}: {e}")))?;
    let input = Input::new().map_err(|e| fatal(format!("signals: {e}")))?;
    let spool = Spool::open(&config)?;
    nix::sys::stat::umask(nix::sys::stat::Mode::from_bits_truncate(0o022));
    let draft = spool
        .draft(Queue::Maildrop, Queue::Maildrop.extra_mode())
        .map_err(|e| Fatal { text: format!("create file in maildrop: {e}"), status: TEMPORARY_FAILURE })?;
    let limit = usize::try_from(config.int(param::LINE_LENGTH_LIMIT)?).unwrap_or(0);
    let trigger_socket = PathBuf::from("public").join(config.str(param::PICKUP_SERVICE_NAME)?);
    let result = receive(input, draft, Filter::new(uid, limit))?;
    if result == Some(0)
        && let Err(error) = trigger::send(&trigger_socket, b"W")
    {
        os_log::warning!("unable to look up {}: {}", trigger_socket.display(), os_sys::error_text(&error));
    }
    Ok(result.unwrap_or(0))
}

fn configure(arguments: &[String]) -> Result<Config, Fatal> {
    let (items, _) = getopt::parse(arguments, "+c:rv");
    let usage = || fatal("usage: postdrop [-c config_dir] [-v]");
    let mut directory = None;
    for item in items {
        match item {
            Item::Value('c', value) => directory = Some(value),
            Item::Flag(_) => {}
            Item::Value(..) | Item::Unknown(_) | Item::Missing(_) => {
                eprintln!("postdrop: {}", item.complaint().unwrap_or_default());
                return Err(usage());
            }
        }
    }
    let config = match directory {
        Some(directory) => Config::from_directory(directory.as_ref())?,
        None => Config::from_environment()?,
    };
    let mut destination = config.log_destination()?;
    destination.stderr = true;
    os_log::open(&format!("{}/postdrop", config.str(param::SYSLOG_NAME)?), destination);
    Ok(config)
}

/// `authorized_submit_users`
fn authorize(config: &Config, uid: u32) -> Result<(), Fatal> {
    host_tables::authorize(config, param::AUTHORIZED_SUBMIT_USERS, uid, "submit mail").map_err(fatal)
}

/// Copies the stream into the file; the exit status, or `None` when the client cancelled.
fn receive(mut input: Input, mut draft: Draft, mut filter: Filter) -> Result<Option<u8>, Fatal> {
    answer(&postdrop::Greeting {
        protocol: postdrop::PROTOCOL.to_owned(),
        queue_id: draft.id().to_string(),
    })?;
    let io = |error: std::io::Error| Fatal {
        text: format!("error writing maildrop file: {error}"),
        status: TEMPORARY_FAILURE,
    };
    let now = os_sys::time::now();
    let time = format!("{} {}", now.as_secs(), now.subsec_micros());
    draft.put(mail_record::Kind::Time, time.as_bytes()).map_err(io)?;
    loop {
        match input.next_record() {
            Event::Record(kind, data) => match filter.judge(kind, &data) {
                Verdict::Keep => draft.put(kind, &data).map_err(io)?,
                Verdict::Drop => {}
                Verdict::Complete => {
                    draft.put(kind, &data).map_err(io)?;
                    break;
                }
                Verdict::Refuse(text) => return Err(fatal(text)),
            },
            Event::EndOfFile | Event::Signal => return Ok(None),
            Event::Malformed(Malformed::Type(byte)) => {
                return Err(fatal(format!("uid={}: unexpected record type: {byte}", filter.uid())));
            }
            Event::Malformed(error) => {
                os_log::warning!("stdin: {error}");
                return Err(fatal(format!("uid={}: malformed input", filter.uid())));
            }
        }
    }
    let status = if filter.is_complete() {
        draft.commit().map_err(io)?;
        0
    } else {
        draft.leave().map_err(io)?;
        proto_ipc::cleanup::status::BAD
    };
    answer(&postdrop::Reply { status, reason: String::new() })?;
    Ok(Some(u8::try_from(status).unwrap_or(1)))
}

fn answer<T: serde::Serialize>(message: &T) -> Result<(), Fatal> {
    let bytes = proto_ipc::encode(message, Format::default()).map_err(|e| fatal(e.to_string()))?;
    let mut output = std::io::stdout().lock();
    output.write_all(&bytes).and_then(|()| output.flush()).map_err(|e| fatal(format!("write reply: {e}")))
}
