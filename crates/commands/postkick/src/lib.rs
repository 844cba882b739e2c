//! postkick(1): sends a trigger to a service.

use std::path::Path;
use std::process::ExitCode;

use host_config::Config;
use mail_text::getopt::{self, Item};
use os_sys::error_text;

/// The program, from its command line to its exit status.
#[must_use]
pub fn main() -> ExitCode {
    let log = os_log::Destination { stderr: true, ..os_log::Destination::from_environment() };
    os_log::open(&format!("{}/postkick", os_log::initial_name()), log);
    let arguments: Vec<String> =
        std::env::args_os().skip(1).map(|word| word.to_string_lossy().into_owned()).collect();
    match run(&arguments) {
        Ok(status) => status,
        Err(text) => {
            os_log::emit(os_log::Severity::Fatal, format_args!("{text}"));
            ExitCode::FAILURE
        }
    }
}

const USAGE: &str = "usage: postkick [-c config_dir] [-v] class service request";

fn run(arguments: &[String]) -> Result<ExitCode, String> {
    let (items, operands) = getopt::parse(arguments, "+c:v");
    let mut dir = None;
    for item in items {
        match item {
            Item::Value('c', value) => dir = Some(value),
            Item::Flag('v') => {}
            other => {
                if let Some(complaint) = other.complaint() {
                    eprintln!("{}: {complaint}", os_log::program_name());
                }
                return Err(USAGE.to_owned());
            }
        }
    }
    let [class, service, request] = operands.as_slice() else { return Err(USAGE.to_owned()) };
    let config = match dir {
        Some(dir) => Config::load(Path::new(&dir)),
        None => Config::from_environment(),
    };
    let queue = config.and_then(|config| config.queue_directory()).map_err(|error| error.0)?;
    std::env::set_current_dir(&queue)
        .map_err(|error| format!("chdir {}: {}", queue.display(), error_text(&error)))?;
    let path = Path::new(class).join(service);
    if let Err(error) = std::fs::metadata(&path) {
        os_log::warning!("unable to look up {}: {}", path.display(), error_text(&error));
    } else if proto_ipc::trigger::send(&path, request.as_bytes()).is_ok() {
        return Ok(ExitCode::SUCCESS);
    }
    os_log::warning!("Cannot contact class {class} service {service} - perhaps the mail system is down");
    Ok(ExitCode::FAILURE)
}
