//! Where the list comes from: the showq service, or for root, when the mail system is down, showq itself.

use std::io::{BufReader, Read};
use std::os::unix::net::UnixStream;
use std::process::{Child, Command, Stdio};

use host_config::{Config, param};
use proto_ipc::showq::{Event, Listing};

use crate::{Failure, fatal};

/// A listing being read.
pub struct Source {
    listing: Listing<BufReader<Box<dyn Read>>>,
    child: Option<Child>,
}

const MALFORMED: &str = "malformed showq server response";

impl Source {
    /// Connects to showq, or runs it.
    pub fn open(config: &Config) -> Result<Self, Failure> {
        let service = config.str(param::SHOWQ_SERVICE_NAME).map_err(fatal)?;
        match UnixStream::connect(std::path::Path::new("public").join(service)) {
            Ok(stream) => {
                let timeout = config.time(param::IPC_TIMEOUT).map_err(fatal)?;
                let _ = stream.set_read_timeout(Some(timeout.max(std::time::Duration::from_secs(1))));
                Self::read(Box::new(stream), None)
            }
            Err(error) => Self::down(config, &error),
        }
    }

    /// The mail system is down: root reads the queue itself, others cannot.
    fn down(config: &Config, error: &std::io::Error) -> Result<Self, Failure> {
        let why = format!("Connect to the Postfix showq service: {}", os_sys::error_text(error));
        match error.kind() {
            std::io::ErrorKind::NotFound | std::io::ErrorKind::ConnectionRefused => {}
            _other => return Err(fatal(why)),
        }
        if !nix::unistd::geteuid().is_root() {
            return Err(fatal(format!("Queue report unavailable - mail system is down ({why})")));
        }
        os_log::warning!("Mail system is down -- accessing queue directly ({why})");
        let program =
            std::path::PathBuf::from(config.str(param::DAEMON_DIRECTORY).map_err(fatal)?).join("showq");
        let directory = std::path::absolute(config.dir()).unwrap_or_else(|_| config.dir().to_owned());
        let child = Command::new(&program)
            .args(["-u", "-S"])
            .env("MAIL_CONFIG", directory)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn();
        let mut child = child.map_err(|error| {
            fatal(format!("execute {}: {}", program.display(), os_sys::error_text(&error)))
        })?;
        let Some(output) = child.stdout.take() else { return Err(fatal(MALFORMED)) };
        Self::read(Box::new(output), Some(child))
    }

    fn read(input: Box<dyn Read>, child: Option<Child>) -> Result<Self, Failure> {
        let listing =
            Listing::new(BufReader::with_capacity(64 * 1024, input)).map_err(|_| fatal(MALFORMED))?;
        Ok(Self { listing, child })
    }

    /// The next step of the list.
    pub fn next_event(&mut self) -> Result<Event, Failure> {
        self.listing.next_event().map_err(|_| fatal(MALFORMED))
    }
}

impl Drop for Source {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            let _ = child.wait();
        }
    }
}
