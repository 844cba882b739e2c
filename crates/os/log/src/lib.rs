//! The log sink: the only place that formats a log line, and the only global.
//!
//! A record is one line: no control characters, at most 2000 bytes (`master.md` §8).
//! Sinks: syslog (rebuilt when a send fails), `maillog_file` through postlogd, standard output (`start-fg`).

mod sink;

use std::ffi::OsString;
use std::fmt::Arguments;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use sink::Sink;
pub use sink::open_log_file;

/// Weight of a record; its word stands before the text, except for [`Severity::Info`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// No word.
    Info,
    /// `warning: `
    Warning,
    /// `error: `
    Error,
    /// `fatal: `
    Fatal,
    /// `panic: `
    Panic,
}

impl Severity {
    /// The word before the text, with its colon and blank.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Info => "",
            Self::Warning => "warning: ",
            Self::Error => "error: ",
            Self::Fatal => "fatal: ",
            Self::Panic => "panic: ",
        }
    }
}

/// Where records go. Built from main.cf by `host-daemon`/`host-config`.
#[derive(Clone, Debug, Default)]
pub struct Destination {
    /// `syslog_facility` (`mail`).
    pub facility: String,
    /// Absolute path of the postlog socket, when `maillog_file` is set (or POSTLOG_SERVICE).
    pub postlog_socket: Option<PathBuf>,
    /// Own host name for postlog records (first label; POSTLOG_HOSTNAME).
    pub hostname: String,
    /// The file itself, for programs that may write it when postlogd is not reached (master, postfix, postsuper,
    /// postmulti, postlog; others ignore it).
    pub fallback_file: Option<PathBuf>,
    /// Also copy to standard error (commands; `-V`).
    pub stderr: bool,
    /// Name on standard error; `None`: the program's name.
    pub stderr_name: Option<String>,
    /// An open log file; wins over socket and syslog (postlogd's own records).
    pub file: Option<Arc<File>>,
}

impl Destination {
    /// What can be known before main.cf has been read: `POSTLOG_SERVICE`, `POSTLOG_HOSTNAME`.
    #[must_use]
    pub fn from_environment() -> Self {
        let value = |name: &str| std::env::var_os(name).filter(|value: &OsString| !value.is_empty());
        Self {
            facility: "mail".to_owned(),
            postlog_socket: value("POSTLOG_SERVICE").map(PathBuf::from),
            hostname: value("POSTLOG_HOSTNAME").unwrap_or_default().to_string_lossy().into_owned(),
            ..Self::default()
        }
    }
}

static SINK: Mutex<Option<Sink>> = Mutex::new(None);

/// Opens the sink. `tag` is `syslog_name/program`. May be called again when main.cf has been read.
pub fn open(tag: &str, destination: Destination) {
    *SINK.lock().unwrap_or_else(PoisonError::into_inner) = Some(Sink::new(tag, destination));
}

/// From now on lines go to the log file itself: postlogd is about to end.
pub fn bypass_postlogd() {
    if let Some(sink) = SINK.lock().unwrap_or_else(PoisonError::into_inner).as_mut() {
        sink.bypasses_postlogd = true;
    }
}

/// Name of this program: what it was called by, without directories.
#[must_use]
pub fn program_name() -> String {
    let called = std::env::args_os().next().unwrap_or_default();
    let name = Path::new(&called).file_name().unwrap_or(&called);
    name.to_string_lossy().into_owned()
}

/// The `syslog_name` part of tags until main.cf has been read: `MAIL_LOGTAG`, else `postfix`.
#[must_use]
pub fn initial_name() -> String {
    std::env::var("MAIL_LOGTAG").ok().filter(|name| !name.is_empty()).unwrap_or_else(|| "postfix".to_owned())
}

/// Writes one record. Before [`open`] records go to standard error as `program: text`.
pub fn emit(severity: Severity, text: Arguments<'_>) {
    let text = one_line(&text.to_string());
    match &mut *SINK.lock().unwrap_or_else(PoisonError::into_inner) {
        Some(sink) => sink.write(severity, &text),
        None => sink::to_stderr(&program_name(), severity, &text),
    }
}

/// Forwards a record of another program to syslog under its own name (`postlogd` without `maillog_file`).
pub fn forward(severity: Severity, program_and_pid: &str, text: &str) {
    if let Some(sink) = &mut *SINK.lock().unwrap_or_else(PoisonError::into_inner) {
        sink.forward(severity, program_and_pid, &one_line(text));
    }
}

/// Longest text of a record, in bytes.
const TEXT_LIMIT: usize = 2000;

/// No control characters, no broken characters, not too long.
fn one_line(text: &str) -> String {
    let bad = |c: char| c.is_control() || c == char::REPLACEMENT_CHARACTER;
    let mut line: String = text.chars().map(|c| if bad(c) { '?' } else { c }).collect();
    if line.len() > TEXT_LIMIT {
        let end = (0..=TEXT_LIMIT).rev().find(|&at| line.is_char_boundary(at)).unwrap_or(0);
        line.truncate(end);
    }
    line
}

/// Writes a fatal record, sleeps one second (so that a crash loop is slow) and exits with status 1.
pub fn fatal(text: Arguments<'_>) -> ! {
    emit(Severity::Fatal, text);
    std::thread::sleep(std::time::Duration::from_secs(1));
    std::process::exit(1)
}

/// Logs without a severity word.
#[macro_export]
macro_rules! info { ($($arg:tt)*) => { $crate::emit($crate::Severity::Info, format_args!($($arg)*)) } }
/// Logs a warning.
#[macro_export]
macro_rules! warning { ($($arg:tt)*) => { $crate::emit($crate::Severity::Warning, format_args!($($arg)*)) } }
/// Logs an error.
#[macro_export]
macro_rules! error { ($($arg:tt)*) => { $crate::emit($crate::Severity::Error, format_args!($($arg)*)) } }
/// Logs a fatal error, waits one second and exits 1.
#[macro_export]
macro_rules! fatal { ($($arg:tt)*) => { $crate::fatal(format_args!($($arg)*)) } }

#[cfg(test)]
mod tests {
    use super::one_line;

    #[test]
    fn a_record_is_one_short_line_without_control_characters() {
        assert_eq!(one_line("a\nb\tc\u{7f}\u{85}é\u{fffd}"), "a?b?c??é?");
        assert_eq!(one_line(&"é".repeat(1500)).len(), 2000);
    }
}
