//! Sockets and files behind the log.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::net::UnixDatagram;
use std::path::Path;

use crate::{Destination, Severity, program_name};

/// The local syslog socket.
const SYSLOG_SOCKET: &str = "/dev/log";
/// Programs that write the log file themselves when postlogd is not there to do it.
const FALLBACK_PROGRAMS: &[&str] = &["master", "postfix", "postsuper", "postmulti", "postlog"];
/// Abbreviated month names of log lines.
const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/// An open log.
#[derive(Debug)]
pub(crate) struct Sink {
    tag: String,
    /// Asked for once: it stands in every line.
    pid: u32,
    destination: Destination,
    facility: u8,
    syslog: Option<UnixDatagram>,
    postlog: Option<UnixDatagram>,
    fallback: Option<File>,
    /// Lines go to the log file itself.
    pub(crate) bypasses_postlogd: bool,
}

impl Sink {
    pub(crate) fn new(tag: &str, destination: Destination) -> Self {
        let mut sink = Self {
            tag: tag.to_owned(),
            pid: std::process::id(),
            facility: facility(&destination.facility),
            destination,
            syslog: None,
            postlog: None,
            fallback: None,
            bypasses_postlogd: false,
        };
        // Opened now, because the paths may be out of reach after chroot(2).
        if sink.destination.file.is_none() {
            match &sink.destination.postlog_socket {
                Some(path) => sink.postlog = connect(path).ok(),
                None => sink.syslog = connect(Path::new(SYSLOG_SOCKET)).ok(),
            }
        }
        sink
    }

    pub(crate) fn write(&mut self, severity: Severity, text: &str) {
        if self.destination.stderr {
            let name = self.destination.stderr_name.clone().unwrap_or_else(program_name);
            to_stderr(&name, severity, text);
        }
        let word = severity.word();
        if self.destination.file.is_some() || self.destination.postlog_socket.is_some() {
            let (tag, pid) = (&self.tag, self.pid);
            let line = format!("{} {} {tag}[{pid}]: {word}{text}", timestamp(), self.destination.hostname);
            // With master ends the reader of its socket: last words go to the file.
            let is_last = matches!(severity, Severity::Fatal | Severity::Panic) && program_name() == "master";
            if is_last || (self.bypasses_postlogd && self.destination.file.is_none()) {
                self.write_fallback(&line);
            } else {
                self.write_postlog(&line);
            }
        } else {
            let (tag, pid) = (&self.tag, self.pid);
            let line = format!("<{}>{} {tag}[{pid}]: {word}{text}", self.priority(severity), timestamp());
            self.write_syslog(&line);
        }
    }

    pub(crate) fn forward(&mut self, severity: Severity, program_and_pid: &str, text: &str) {
        let line = format!("<{}>{} {program_and_pid}: {text}", self.priority(severity), timestamp());
        self.write_syslog(&line);
    }

    fn priority(&self, severity: Severity) -> u8 {
        let level = match severity {
            Severity::Info => 6,
            Severity::Warning => 4,
            Severity::Error => 3,
            Severity::Fatal | Severity::Panic => 2,
        };
        self.facility * 8 + level
    }

    /// A log daemon that was restarted has a new socket: a failed send is tried once more on a new connection.
    fn write_syslog(&mut self, line: &str) {
        if !sent(self.syslog.as_ref(), line) {
            self.syslog = connect(Path::new(SYSLOG_SOCKET)).ok();
            sent(self.syslog.as_ref(), line);
        }
    }

    fn write_postlog(&mut self, line: &str) {
        if let Some(file) = &self.destination.file {
            // Nobody is left to be told when the log file cannot be written.
            let _ = (&**file).write_all(format!("{line}\n").as_bytes());
            return;
        }
        let Some(path) = self.destination.postlog_socket.clone() else { return };
        if sent(self.postlog.as_ref(), line) {
            return;
        }
        self.postlog = connect(&path).or_else(|_| connect(&inside_jail(&path))).ok();
        if !sent(self.postlog.as_ref(), line) {
            self.write_fallback(line);
        }
    }

    fn write_fallback(&mut self, line: &str) {
        if self.fallback.is_none() && FALLBACK_PROGRAMS.contains(&program_name().as_str()) {
            let path = self.destination.fallback_file.as_ref();
            self.fallback = path.and_then(|path| open_log_file(path, 0o600).ok());
        }
        if let Some(file) = &mut self.fallback {
            let _ = file.write_all(format!("{line}\n").as_bytes());
        }
    }
}

/// Opens a log file for appending; `/dev/stdout` is this process's standard output (which may be a socket, that cannot
/// be opened by name).
///
/// # Errors
/// Those of open(2).
pub fn open_log_file(path: &Path, mode: u32) -> io::Result<File> {
    if path == Path::new("/dev/stdout") {
        use std::os::fd::AsFd;
        return Ok(File::from(io::stdout().as_fd().try_clone_to_owned()?));
    }
    OpenOptions::new().append(true).create(true).mode(mode).open(path)
}

/// `<queue_directory>/public/postlog` as seen from inside a jail at the queue directory.
fn inside_jail(path: &Path) -> std::path::PathBuf {
    let name = path.file_name().unwrap_or_default();
    Path::new("/public").join(name)
}

fn connect(path: &Path) -> io::Result<UnixDatagram> {
    let socket = UnixDatagram::unbound()?;
    socket.connect(path)?;
    // postlogd runs when master starts it, and master starts nothing while it waits for room in postlogd's queue. So master
    // never waits: a record that finds no room goes to the file.
    if program_name() == "master" {
        socket.set_nonblocking(true)?;
    }
    Ok(socket)
}

fn sent(socket: Option<&UnixDatagram>, line: &str) -> bool {
    socket.is_some_and(|socket| socket.send(line.as_bytes()).is_ok())
}

pub(crate) fn to_stderr(name: &str, severity: Severity, text: &str) {
    let _ = writeln!(io::stderr(), "{name}: {}{text}", severity.word());
}

/// `Mon dd hh:mm:ss`, the day padded with a blank.
fn timestamp() -> String {
    let seconds = i64::try_from(os_sys::time::now().as_secs()).unwrap_or_default();
    let local = os_sys::time::local(seconds);
    let month = MONTHS.get(usize::from(local.month).saturating_sub(1)).unwrap_or(&"Jan");
    format!("{month} {:2} {:02}:{:02}:{:02}", local.day, local.hour, local.minute, local.second)
}

/// Facility numbers of syslog(3).
fn facility(name: &str) -> u8 {
    match name {
        "kern" => 0,
        "user" => 1,
        "daemon" => 3,
        "auth" | "security" => 4,
        "syslog" => 5,
        "lpr" => 6,
        "news" => 7,
        "uucp" => 8,
        "cron" => 9,
        "authpriv" => 10,
        "ftp" => 11,
        "local0" => 16,
        "local1" => 17,
        "local2" => 18,
        "local3" => 19,
        "local4" => 20,
        "local5" => 21,
        "local6" => 22,
        "local7" => 23,
        _ => 2, // mail
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    fn directory(name: &str) -> std::path::PathBuf {
        let path = std::env::temp_dir().join(format!("os-log-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        path
    }

    #[test]
    fn a_postlog_record_has_date_host_program_and_severity() {
        let dir = directory("postlog");
        let path = dir.join("postlog");
        let server = UnixDatagram::bind(&path).unwrap();
        let destination = Destination {
            postlog_socket: Some(path.clone()),
            hostname: "mx".into(),
            ..Destination::default()
        };
        let mut sink = Sink::new("postfix/test", destination);
        sink.write(Severity::Warning, "hello");
        let mut buffer = [0u8; 500];
        let length = server.recv(&mut buffer).unwrap();
        let text = std::str::from_utf8(&buffer[..length]).unwrap();
        assert_eq!(&text[15..], format!(" mx postfix/test[{}]: warning: hello", std::process::id()));

        // Another postlogd took over the path.
        drop(server);
        std::fs::remove_file(&path).unwrap();
        let server = UnixDatagram::bind(&path).unwrap();
        sink.write(Severity::Info, "again");
        let length = server.recv(&mut buffer).unwrap();
        assert!(buffer[..length].ends_with(b": again"));
        std::fs::remove_dir_all(dir).unwrap();
    }

    #[test]
    fn an_open_file_wins() {
        let dir = directory("file");
        let path = dir.join("log");
        let file = Arc::new(open_log_file(&path, 0o600).unwrap());
        let mut sink = Sink::new("t/p", Destination { file: Some(file), ..Destination::default() });
        sink.write(Severity::Fatal, "x");
        assert!(std::fs::read_to_string(&path).unwrap().ends_with("]: fatal: x\n"));
        std::fs::remove_dir_all(dir).unwrap();
    }
}
