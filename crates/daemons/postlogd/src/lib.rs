//! Writes maillog_file for the other daemons.

use std::io::Write;
use std::process::ExitCode;
use std::sync::Arc;

use host_config::param;
use host_daemon::{Error, ProcessLimit, Spec, Startup, TriggerService, run_trigger};
use os_log::{Destination, Severity};

const SPEC: Spec = Spec {
    process_limit: ProcessLimit::One,
    ignores_max_use: true,
    ends_with_master: true,
    watchdog_seconds: Some(10),
    ..Spec::new("postlogd")
};

/// Longest record; the rest is cut off.
const RECORD_LIMIT: usize = 4096;

/// The program, from its command line to its exit status.
#[must_use]
pub fn main() -> ExitCode {
    run_trigger(&SPEC, Postlogd::open)
}

/// Where records go.
enum Postlogd {
    /// `maillog_file`, and the lines that wait for one write.
    File(Arc<std::fs::File>, Vec<u8>),
    /// No `maillog_file`: records of programs with an older configuration go to syslog.
    Syslog,
}

impl Postlogd {
    /// Opens the file before privileges are dropped; so it belongs to root.
    fn open(startup: &mut Startup) -> Result<Self, Error> {
        let config = &startup.config;
        let path = config.str(param::MAILLOG_FILE)?;
        if path.is_empty() {
            return Ok(Self::Syslog);
        }
        let permissions = config.str(param::MAILLOG_FILE_PERMISSIONS)?;
        let mode = u32::from_str_radix(&permissions, 8)
            .ok()
            .filter(|mode| *mode <= 0o777)
            .ok_or_else(|| format!("bad maillog_file_permissions value: {permissions}"))?;
        let file = os_log::open_log_file(path.as_ref(), mode)
            .map_err(|error| format!("open {path}: {}", os_sys::error_text(&error)))?;
        let file = Arc::new(file);
        let destination = Destination { file: Some(Arc::clone(&file)), ..config.log_destination()? };
        os_log::open(&format!("{}/{}", config.str(param::SYSLOG_NAME)?, startup.program), destination);
        Ok(Self::File(file, Vec::new()))
    }
}

impl TriggerService for Postlogd {
    fn trigger(&mut self, request: &[u8]) {
        let record = request.get(..RECORD_LIMIT).unwrap_or(request);
        match self {
            Self::File(_, lines) => {
                lines.extend_from_slice(record);
                lines.push(b'\n');
            }
            Self::Syslog => {
                if let Some((severity, program, text)) = split(&String::from_utf8_lossy(record)) {
                    os_log::forward(severity, program, text);
                }
            }
        }
    }

    fn flush(&mut self) {
        if let Self::File(file, lines) = self {
            if let Err(error) = (&**file).write_all(lines) {
                os_log::fatal!("write maillog_file: {}", os_sys::error_text(&error));
            }
            lines.clear();
        }
    }
}

/// Takes `Mon dd hh:mm:ss HOST PROGRAM[PID]: text` apart.
fn split(record: &str) -> Option<(Severity, &str, &str)> {
    let (_, rest) = record.get(16..)?.split_once(' ')?;
    let (program, text) = rest.split_once(": ")?;
    let words = [Severity::Warning, Severity::Error, Severity::Fatal, Severity::Panic];
    let severity = words.into_iter().find(|severity| text.starts_with(severity.word()));
    Some((severity.unwrap_or(Severity::Info), program, text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_taken_apart_for_syslog() {
        let record = "Nov  5 04:11:56 mx postfix/smtpd[12]: warning: x: y";
        assert_eq!(split(record), Some((Severity::Warning, "postfix/smtpd[12]", "warning: x: y")));
        assert_eq!(split("short"), None);
    }
}
