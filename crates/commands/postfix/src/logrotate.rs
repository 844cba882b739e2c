//! `postfix logrotate`.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use host_config::param;

use crate::instance::Instance;
use crate::{Fatal, Outcome, control};

/// Renames the log file, makes postlogd open a new one, compresses the old one.
pub(crate) fn rotate(instance: &Instance, rest: &[String]) -> Outcome {
    if !rest.is_empty() {
        return Err(Fatal("usage postfix logrotate (no arguments)".to_owned()));
    }
    let wanted = |name: param::Str| -> Result<String, Fatal> {
        let value = instance.text(name)?;
        if value.is_empty() {
            return Err(Fatal(format!("empty '{}' parameter value - logfile rotation failed", name.name())));
        }
        Ok(value)
    };
    let file = wanted(param::MAILLOG_FILE)?;
    let compressor = wanted(param::MAILLOG_FILE_COMPRESSOR)?;
    let suffix = wanted(param::MAILLOG_FILE_ROTATE_SUFFIX)?;
    if file.starts_with("/dev/") {
        return Err(Fatal(format!("not rotating '{file}'")));
    }
    let failed = |reason: String| Fatal(format!("logfile '{file}' rotation failed: {reason}"));
    let date = Command::new("date").arg(format!("+{suffix}")).output();
    let date = date.map_err(|error| failed(os_sys::error_text(&error)))?;
    let rotated = format!("{file}.{}", String::from_utf8_lossy(&date.stdout).trim());
    std::fs::rename(&file, &rotated).map_err(|error| failed(os_sys::error_text(&error)))?;
    control::reopen_log(instance)?;
    // postlogd finishes what it had in work.
    std::thread::sleep(Duration::from_secs(1));
    instance.run_program(Path::new("/bin/sh"), &["-c".to_owned(), format!("{compressor} '{rotated}'")])
}
