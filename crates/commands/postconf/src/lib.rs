//! postconf(1): configuration display and editing.

mod clients;
mod edit;
mod edit_master;
mod master;
mod names;
mod options;
mod print;
mod replacement;
mod warnings;

use std::path::Path;
use std::process::ExitCode;

use host_config::Config;

use options::{Mode, Options};

/// What ends the program with status 1, worded for `fatal:`.
pub(crate) type Outcome<T = ()> = Result<T, String>;

/// The program, from its command line to its exit status.
#[must_use]
pub fn main() -> ExitCode {
    let mut arguments = std::env::args_os().map(|argument| argument.to_string_lossy().into_owned());
    let program = arguments.next().unwrap_or_else(|| "postconf".to_owned());
    let arguments: Vec<String> = arguments.collect();
    let mut out = print::Output::new(&program);
    let result = options::parse(&arguments, &mut out).and_then(|options| run(&options, &mut out));
    let result = result.and_then(|()| out.finish());
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(reason) => {
            out.fatal(&reason);
            ExitCode::FAILURE
        }
    }
}

fn run(options: &Options, out: &mut print::Output) -> Outcome {
    let dir = options.directory.clone().unwrap_or_else(Config::directory_from_environment);
    if options.edits() {
        return edit::run(options, &dir, out);
    }
    match options.mode {
        Mode::Main => list_main(options, &dir, out),
        Mode::Master(view) => master::run(options, view, &dir, out),
        Mode::LockTypes => words(out, &["flock", "fcntl", "dotlock"]),
        Mode::MapTypes => words(out, &print::map_types()),
        Mode::TlsInformation => {
            let mode = options.tls_mode.as_deref().unwrap_or_default();
            match mode {
                "compile-version" | "run-version" | "public-key-algorithms" => Ok(()),
                _ => {
                    out.warning(&format!("unknown 'postconf -T' mode: {mode}"));
                    Err(String::new())
                }
            }
        }
        Mode::ServerSasl | Mode::ClientSasl => Ok(()),
        Mode::ExpandTemplates => templates(options, &dir, "expand_templates"),
        Mode::DumpTemplates => templates(options, &dir, "dump_templates"),
    }
}

/// Becomes the bounce daemon, which has the templates, under the name `service`.
fn templates(options: &Options, dir: &Path, service: &str) -> Outcome {
    use std::os::unix::process::CommandExt;
    if options.names.len() > 1 {
        return Err("options -b and -t require at most one template file".to_owned());
    }
    let config = Config::load(dir).map_err(|e| e.to_string())?;
    let daemons = config.str(host_config::param::DAEMON_DIRECTORY).map_err(|e| e.to_string())?;
    let program = Path::new(&daemons).join("bounce");
    let mut command = std::process::Command::new(&program);
    command.arg0("bounce").env("MAIL_CONFIG", dir).arg(format!("-SVn{service}"));
    if let Some(file) = options.names.first() {
        command.arg("-o").arg(format!("bounce_template_file={file}"));
    }
    let error = command.args(["-o", "queue_directory=."]).exec();
    Err(format!("exec {}: {}", program.display(), replacement::text_of(&error)))
}

fn words(out: &mut print::Output, words: &[&str]) -> Outcome {
    words.iter().for_each(|word| out.line(word));
    Ok(())
}

/// Loads main.cf unless defaults are wanted, with `-o` on top.
pub(crate) fn load(options: &Options, dir: &Path) -> Outcome<Config> {
    let mut config = if options.defaults {
        Config::with_settings(dir, host_config::main_cf::Settings::new())
    } else {
        Config::load(dir).map_err(|e| e.to_string())?
    };
    // Computed for every list, shown or not.
    let hosts = ["myhostname", "mydomain", "mynetworks"];
    for text in &options.overrides {
        match mail_text::logical::split_name_value(text) {
            Ok((name, value)) => config.set(name, value),
            Err(reason) => {
                let reason = reason.split(": \"").next().unwrap_or_default();
                return Err(format!("invalid parameter override: {text}: {reason}"));
            }
        }
    }
    hosts.iter().try_for_each(|name| config.default_text(name).map(drop)).map_err(|e| e.to_string())?;
    Ok(config)
}

/// Reads master.cf for the names that its services bring. Its absence is no error here.
pub(crate) fn services(dir: &Path, out: &mut print::Output) -> Vec<host_config::master_cf::Line> {
    host_config::master_cf::lines(&dir.join("master.cf")).unwrap_or_else(|reason| {
        out.warning(&reason.to_string());
        Vec::new()
    })
}

fn list_main(options: &Options, dir: &Path, out: &mut print::Output) -> Outcome {
    let config = load(options, dir)?;
    let services = services(dir, out);
    let names = names::Names::collect(&config, &services, dir)?;
    if !options.defaults {
        warnings::undefined(&config, dir, &names, options.quiet, out)?;
    }
    if options.names.is_empty() {
        for name in names.listed(options.classes) {
            if !options.non_defaults || config.is_explicit(name) {
                show(options, &config, &names, name, out)?;
            }
        }
    } else {
        for name in &options.names {
            if !names.is_used(name) {
                out.warning(&format!("{name}: unknown parameter"));
            } else if !options.non_defaults || config.is_explicit(name) {
                show(options, &config, &names, name, out)?;
            }
        }
    }
    if !options.defaults && !options.quiet {
        warnings::unused(&config, dir, &names, out);
    }
    Ok(())
}

fn show(
    options: &Options,
    config: &Config,
    names: &names::Names,
    name: &str,
    out: &mut print::Output,
) -> Outcome {
    let value = match config.settings().get(name) {
        Some(value) => value.clone(),
        None => match config.default_text(name).map_err(|e| e.to_string())? {
            Some(text) => text.into_owned(),
            None => names.service_default(name).map(|base| format!("${base}")).unwrap_or_default(),
        },
    };
    let value = if options.expand && !names::is_raw(name) { expand(config, &value)? } else { value };
    out.setting(options, name, &value);
    Ok(())
}

/// Expansion with this program's wording of the error.
pub(crate) fn expand(config: &Config, value: &str) -> Outcome<String> {
    config.expand(value).map_err(|_| "macro processing error".to_owned())
}
