//! The log sink: the only place that formats a log line, and the only global.
//!
//! A record is one line: no control characters, at most 2000 bytes (`master.md` §8).
//! Sinks: syslog (rebuilt when a send fails), `maillog_file` through postlogd, standard output (`start-fg`).

use std::fmt::Arguments;

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

/// Where records go. Built from main.cf by `host-daemon`/`host-config`.
#[derive(Clone, Debug, Default)]
pub struct Destination {
    /// `syslog_facility` (`mail`).
    pub facility: String,
    /// Absolute path of the postlog socket, when `maillog_file` is set (or POSTLOG_SERVICE).
    pub postlog_socket: Option<std::path::PathBuf>,
    /// Own host name for postlog records (first label; POSTLOG_HOSTNAME).
    pub hostname: String,
    /// The file itself, for programs that may write it when postlogd is not reached.
    pub fallback_file: Option<std::path::PathBuf>,
    /// Also copy to standard error (commands; `-V`).
    pub stderr: bool,
}

/// Opens the sink. `tag` is `syslog_name/program`. May be called again when main.cf has been read.
pub fn open(_tag: &str, _destination: Destination) {
    todo!("os")
}

/// Writes one record. Before [`open`] records go to standard error as `program: text`.
pub fn emit(_severity: Severity, _text: Arguments<'_>) {
    todo!("os")
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
