//! Takes locally submitted mail from maildrop to cleanup. Files there are written by local users: nothing in them is trusted.

use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use host_config::{Config, param};
use host_daemon::{Error, ProcessLimit, Spec, Startup, TriggerService};
use host_spool::{Found, Queue, QueueFile, Spool, is_ready};
use proto_ipc::cleanup::status;
use proto_ipc::{Dialect, Format};

mod copy;

const SPEC: Spec = Spec { process_limit: ProcessLimit::One, ..Spec::new("pickup") };

/// A file with a date this far in the future draws a warning (seconds).
const FUTURE_SECONDS: i64 = 2 * 3600;
/// A file older than this draws a warning (seconds).
const OLD_SECONDS: i64 = 24 * 3600;

/// The program, from its command line to its exit status.
#[must_use]
pub fn main() -> ExitCode {
    host_daemon::run_trigger(&SPEC, Pickup::new)
}

/// Resolved parameters.
#[derive(Debug)]
struct Settings {
    format: Format,
    ipc_timeout: Duration,
    cleanup_socket: PathBuf,
    content_filter: String,
    myhostname: String,
    mail_owner: u32,
    /// Client flags of new mail.
    flags: i32,
}

/// The service.
#[derive(Debug)]
struct Pickup {
    settings: Settings,
    spool: Spool,
}

/// One file of maildrop.
#[derive(Debug)]
struct Submission<'a> {
    settings: &'a Settings,
    file: QueueFile,
    /// Queue ID of the file.
    old_id: String,
    uid: u32,
    /// Seconds.
    mtime: i64,
    /// `postsuper -r` put it here.
    requeued: bool,
}

/// What becomes of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Disposition {
    Remove,
    Keep,
}

impl Settings {
    fn load(config: &Config) -> Result<Self, Error> {
        use proto_ipc::cleanup::flags;
        let owner = config.str(param::MAIL_OWNER)?;
        let owner = os_sys::identity::user_by_name(&owner)?
            .ok_or_else(|| format!("mail_owner: unknown user: {owner}"))?;
        let mut mask = flags::BOUNCE | flags::FILTER | flags::BCC | flags::MAP | flags::MILTER;
        for word in mail_text::list::words(&config.str(param::RECEIVE_OVERRIDE_OPTIONS)?) {
            mask &= !match word {
                "no_header_body_checks" => flags::FILTER,
                "no_milters" => flags::MILTER,
                "no_address_mappings" => flags::BCC | flags::MAP,
                _ => 0,
            };
        }
        let classes = config.str(param::SMTPUTF8_AUTODETECT_CLASSES)?;
        let detects = mail_text::list::words(&classes).any(|w| w == "sendmail" || w == "all");
        if config.bool(param::SMTPUTF8_ENABLE)? && detects {
            mask |= flags::AUTOUTF8;
        }
        Ok(Self {
            format: Format::null(
                Dialect::from_name(&config.str(param::POSTINO_IPC_DIALECT)?).unwrap_or_default(),
            ),
            ipc_timeout: config.time(param::IPC_TIMEOUT)?,
            cleanup_socket: PathBuf::from("public").join(config.str(param::CLEANUP_SERVICE_NAME)?),
            content_filter: config.str(param::CONTENT_FILTER)?,
            myhostname: config.str(param::MYHOSTNAME)?,
            mail_owner: owner.uid,
            flags: mask,
        })
    }
}

impl Pickup {
    fn new(startup: &mut Startup) -> Result<Self, Error> {
        Ok(Self { settings: Settings::load(&startup.config)?, spool: Spool::open(&startup.config)? })
    }

    /// Takes every file that is there now, and those that come meanwhile.
    fn scan(&self) {
        loop {
            let mut taken = 0usize;
            for found in self.spool.scan(Queue::Maildrop) {
                match found {
                    Ok(found) => taken += usize::from(self.file(&found)),
                    Err(error) => os_log::warning!("scan maildrop: {error}"),
                }
            }
            if taken == 0 {
                return;
            }
        }
    }

    /// Takes one file; `true`: it is gone.
    fn file(&self, found: &Found) -> bool {
        let Ok(metadata) = std::fs::symlink_metadata(&found.path) else { return false };
        if !is_ready(&metadata) {
            return false;
        }
        self.warn_of_odd_date(found, metadata.mtime());
        let file = match self.spool.open_path(&found.path, false) {
            Ok(file) => file,
            Err(error) => {
                os_log::warning!("open maildrop/{}: {error}", found.id);
                return false;
            }
        };
        let requeued = metadata.uid() == self.settings.mail_owner && metadata.mode() & 0o004 == 0;
        let submission = Submission {
            settings: &self.settings,
            file,
            old_id: found.id.to_string(),
            uid: metadata.uid(),
            mtime: metadata.mtime(),
            requeued,
        };
        match self.submit(submission) {
            Disposition::Keep => false,
            Disposition::Remove => match self.spool.remove(Queue::Maildrop, &found.id) {
                Ok(()) => true,
                Err(error) => {
                    os_log::warning!("remove maildrop/{}: {error}", found.id);
                    false
                }
            },
        }
    }

    fn submit(&self, submission: Submission<'_>) -> Disposition {
        let id = submission.old_id.clone();
        match submission.copy() {
            Ok(0) => Disposition::Remove,
            Ok(code) => {
                os_log::warning!("error writing {id}: {}", status_text(code));
                if code & (status::BAD | status::RECIPIENTS) != 0 {
                    Disposition::Remove
                } else {
                    Disposition::Keep
                }
            }
            Err(copy::Failure::Malformed(text)) => {
                os_log::warning!("{text}");
                Disposition::Remove
            }
            Err(copy::Failure::Cleanup(error)) => {
                os_log::warning!("maildrop/{id}: {error}");
                Disposition::Keep
            }
        }
    }

    fn warn_of_odd_date(&self, found: &Found, mtime: i64) {
        let age = i64::try_from(os_sys::time::now().as_secs()).unwrap_or(0) - mtime;
        if age < -FUTURE_SECONDS {
            os_log::warning!("{}: message dated {} seconds into the future", found.id, -age);
        } else if age > OLD_SECONDS {
            os_log::warning!("{}: message has been queued for {} days", found.id, age / OLD_SECONDS);
        }
    }
}

impl TriggerService for Pickup {
    fn trigger(&mut self, _: &[u8]) {
        self.scan();
    }
}

/// A cleanup status as text: the first bit that is set decides.
fn status_text(code: i32) -> &'static str {
    const TEXTS: [(i32, &str); 9] = [
        (status::DEFER, "service unavailable"),
        (status::PROXY, "queue file write error"),
        (status::BAD, "internal protocol error"),
        (status::RECIPIENTS, "no recipients specified"),
        (status::HOPS, "too many hops"),
        (status::SIZE, "message file too big"),
        (status::CONTENT, "message content rejected"),
        (status::WRITE, "queue file write error"),
        (status::NOPERM, "operation not allowed"),
    ];
    TEXTS.iter().find(|(bit, _)| code & bit != 0).map_or("unknown error", |(_, text)| text)
}
