//! postcat(1): shows queue files.

mod options;
mod show;

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;
use std::process::ExitCode;

use host_config::Config;
use host_spool::{Queue, QueueFile, Real, Spool};
use mail_record::QueueId;

use options::Options;
use show::Failure;

/// Where `-q` looks, in this order, twice: a message may move meanwhile.
const SEARCHED: [Queue; 6] =
    [Queue::Maildrop, Queue::Incoming, Queue::Active, Queue::Deferred, Queue::Hold, Queue::Saved];
/// Bytes copied at once from a standard input that cannot seek.
const COPY_LIMIT: u64 = 1 << 31;

/// The program, from its command line to its exit status.
#[must_use]
pub fn main() -> ExitCode {
    let mut arguments = std::env::args_os().map(|a| a.to_string_lossy().into_owned());
    let name = arguments.next().unwrap_or_else(|| "postcat".to_owned());
    let arguments: Vec<String> = arguments.collect();
    let mut out = BufWriter::with_capacity(64 * 1024, io::stdout().lock());
    let result = run(&name, &arguments, &mut out);
    let flushed = out.flush();
    match result {
        Ok(()) if flushed.is_ok() => ExitCode::SUCCESS,
        Ok(()) | Err(Failure::Output(_)) => ExitCode::FAILURE,
        Err(Failure::Fatal(text)) => {
            eprintln!("{name}: fatal: {text}");
            ExitCode::FAILURE
        }
    }
}

fn run(name: &str, arguments: &[String], out: &mut dyn Write) -> Result<(), Failure> {
    let options = Options::parse(name, arguments).map_err(Failure::Fatal)?;
    let config = match &options.config_directory {
        Some(directory) => Config::load(Path::new(directory)),
        None => Config::from_environment(),
    };
    let config = config.map_err(|error| Failure::Fatal(error.to_string()))?;
    if options.search_queue {
        return show_queued(name, &options, &config, out);
    }
    if options.operands.is_empty() {
        let file =
            seekable_stdin().map_err(|error| Failure::Fatal(format!("read stdin: {}", reason(&error))))?;
        return show_file(name, &options, "stdin", file, out);
    }
    for path in &options.operands {
        let file =
            File::open(path).map_err(|error| Failure::Fatal(format!("open {path}: {}", reason(&error))))?;
        show_file(name, &options, path, file, out)?;
    }
    Ok(())
}

fn show_queued(name: &str, options: &Options, config: &Config, out: &mut dyn Write) -> Result<(), Failure> {
    let fatal = |text: String| Failure::Fatal(text);
    let directory = config.queue_directory().map_err(|error| fatal(error.to_string()))?;
    std::env::set_current_dir(&directory)
        .map_err(|error| fatal(format!("chdir {}: {}", directory.display(), reason(&error))))?;
    let spool = Spool::open(config).map_err(|error| fatal(error.to_string()))?;
    for text in &options.operands {
        let id = QueueId::parse(text).map_err(|_| fatal(format!("bad mail queue ID: {text}")))?;
        let found = spool.find(&SEARCHED, &id).or_else(|| spool.find(&SEARCHED, &id));
        let Some(found) = found else {
            return Err(fatal(format!("open queue file {text}: No such file or directory")));
        };
        let file = File::open(&found.path)
            .map_err(|error| fatal(format!("open queue file {text}: {}", reason(&error))))?;
        show_file(name, options, &found.path.to_string_lossy(), file, out)?;
    }
    Ok(())
}

fn show_file(
    name: &str,
    options: &Options,
    path: &str,
    file: File,
    out: &mut dyn Write,
) -> Result<(), Failure> {
    if file.metadata().is_ok_and(|metadata| metadata.is_dir()) {
        eprintln!("{name}: warning: close {path}: Is a directory");
        return Ok(());
    }
    let warn = |text: &str| eprintln!("{name}: warning: {text}");
    show::Show::new(options, path, out, &warn).file(QueueFile::new(Real, file))
}

/// Standard input, copied into memory when it is a pipe: pointers must be followed.
fn seekable_stdin() -> io::Result<File> {
    use std::io::{Read, Seek};
    let mut input = File::open("/dev/stdin").or_else(|_| {
        let descriptor = std::os::fd::AsFd::as_fd(&io::stdin()).try_clone_to_owned()?;
        Ok::<_, io::Error>(File::from(descriptor))
    })?;
    if input.stream_position().is_ok() {
        return Ok(input);
    }
    let flags = nix::sys::memfd::MFdFlags::MFD_CLOEXEC;
    let mut copy = File::from(nix::sys::memfd::memfd_create("stdin", flags)?);
    io::copy(&mut Read::by_ref(&mut input).take(COPY_LIMIT), &mut copy)?;
    Ok(copy)
}

/// The system's text, without the number that `io::Error` appends.
fn reason(error: &io::Error) -> String {
    error
        .raw_os_error()
        .map_or_else(|| error.to_string(), |number| nix::errno::Errno::from_raw(number).desc().to_owned())
}
