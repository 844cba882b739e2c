//! postlog(1): logs for scripts. Installed set-gid, so it obeys only configuration directories that are authorized.

use std::io::{BufRead, IsTerminal};
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use host_config::{Config, param};
use mail_text::getopt::{self, Item};
use os_log::Severity;

/// The program, from its command line to its exit status.
#[must_use]
pub fn main() -> ExitCode {
    let arguments: Vec<String> =
        std::env::args_os().skip(1).map(|word| word.to_string_lossy().into_owned()).collect();
    let own_tag = format!("{}/postlog", os_log::initial_name());
    let log = os_log::Destination {
        stderr: true,
        stderr_name: Some(own_tag.clone()),
        ..os_log::Destination::from_environment()
    };
    os_log::open(&own_tag, log);
    match run(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(text) => os_log::fatal!("{text}"),
    }
}

const USAGE: &str = "usage: postlog [-c config_dir] [-i] [-p priority] [-t tag] [-v] [text]";

fn run(arguments: &[String]) -> Result<(), String> {
    let (items, text) = getopt::parse(arguments, "+c:ip:t:v");
    let (mut dir, mut tag, mut severity) = (None, None, Severity::Info);
    for item in items {
        match item {
            Item::Value('c', value) => dir = Some(value),
            Item::Value('t', value) => tag = Some(value),
            Item::Value('p', value) => {
                severity = parse_severity(&value).ok_or_else(|| format!("bad severity: \"{value}\""))?;
            }
            Item::Flag('i' | 'v') => {}
            other => {
                if let Some(complaint) = other.complaint() {
                    eprintln!("{}: {complaint}", os_log::program_name());
                }
                return Err(USAGE.to_owned());
            }
        }
    }
    let config = match dir {
        Some(dir) => Config::from_directory(Path::new(&dir)),
        None => Config::from_environment(),
    }
    .map_err(|error| error.0)?;
    open_log(&config, tag)?;
    if text.is_empty() {
        for line in std::io::stdin().lock().split(b'\n').map_while(Result::ok) {
            os_log::emit(severity, format_args!("{}", String::from_utf8_lossy(&line)));
        }
    } else {
        os_log::emit(severity, format_args!("{}", text.join(" ")));
    }
    if matches!(severity, Severity::Fatal | Severity::Panic) {
        std::thread::sleep(Duration::from_secs(1));
    }
    Ok(())
}

/// On a terminal records come with the caller's tag, elsewhere with this program's own.
fn open_log(config: &Config, tag: Option<String>) -> Result<(), String> {
    let own_tag = format!("{}/postlog", config.str(param::SYSLOG_NAME).map_err(|error| error.0)?);
    let tag = tag.unwrap_or_else(|| own_tag.clone());
    let mut destination = config.log_destination().map_err(|error| error.0)?;
    destination.stderr = true;
    destination.stderr_name = Some(if std::io::stderr().is_terminal() { tag.clone() } else { own_tag });
    os_log::open(&tag, destination);
    Ok(())
}

fn parse_severity(word: &str) -> Option<Severity> {
    Some(match word {
        "info" => Severity::Info,
        "warn" | "warning" => Severity::Warning,
        "error" | "err" => Severity::Error,
        "fatal" | "crit" => Severity::Fatal,
        "panic" => Severity::Panic,
        _ => return None,
    })
}
