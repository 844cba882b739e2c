//! flush(8): which deferred messages wait for a destination, so that ETRN and `sendmail -qR` need no queue scan.

mod domains;
mod requests;

use std::process::ExitCode;
use std::time::{Duration, SystemTime};

use host_config::param;
use host_daemon::{Client, Error, PoolService, ProcessLimit, Spec, Startup, Stream, run_pool};
use host_spool::{Spool, flush_log_name};
use mail_record::QueueId;
use proto_ipc::flush::{BAD, DENY, FAIL, OK, PROTOCOL};

use domains::Domains;
use requests::{Dialogue, Request};

const SPEC: Spec = Spec { announce: Some(PROTOCOL), process_limit: ProcessLimit::Zero, ..Spec::new("flush") };

/// The program, from its command line to its exit status.
#[must_use]
pub fn main() -> ExitCode {
    run_pool(&SPEC, Flush::new)
}

struct Flush {
    spool: Spool,
    domains: Domains,
    queue_manager: std::path::PathBuf,
    refresh_age: Duration,
    purge_age: Duration,
    timeout: Duration,
}

impl Flush {
    fn new(startup: &mut Startup) -> Result<Self, Error> {
        let config = &startup.config;
        Ok(Self {
            spool: Spool::open(config)?,
            domains: Domains::new(config)?,
            queue_manager: std::path::Path::new("public").join(config.str(param::QUEUE_SERVICE_NAME)?),
            refresh_age: config.time(param::FAST_FLUSH_REFRESH_TIME)?,
            purge_age: config.time(param::FAST_FLUSH_PURGE_TIME)?,
            timeout: config.time(param::IPC_TIMEOUT)?,
        })
    }

    fn add(&self, site: &str, id: &str) -> i32 {
        let Ok(id) = QueueId::parse(id) else {
            os_log::warning!("bad queue id \"{id:.30}...\" in add request");
            return BAD;
        };
        let log = match self.log_of(site) {
            Ok(log) => log,
            Err(status) => return status,
        };
        self.status("update", &log, self.spool.append_flush_log(&log, &id))
    }

    fn send_site(&self, site: &str) -> i32 {
        match self.log_of(site) {
            Ok(log) => {
                self.trigger(b"F");
                self.send_log(&log)
            }
            Err(status) => status,
        }
    }

    fn send_file(&self, id: &str) -> i32 {
        let Ok(id) = QueueId::parse(id) else { return BAD };
        match self.spool.flush_message(&id, true) {
            Ok(true) => self.trigger(b"I"),
            Ok(false) => {}
            Err(error) => {
                os_log::warning!("update {id}: {}", os_sys::error_text(&error));
                return FAIL;
            }
        }
        OK
    }

    /// Makes the messages of a log due.
    fn send_log(&self, log: &str) -> i32 {
        let ids = match self.spool.take_flush_log(log) {
            Ok(ids) => ids,
            Err(error) => return self.status("read", log, Err(error)),
        };
        let mut moved = false;
        for id in ids {
            match self.spool.flush_message(&id, false) {
                Ok(found) => moved |= found,
                Err(error) => os_log::warning!("update {id}: {}", os_sys::error_text(&error)),
            }
        }
        if moved {
            self.trigger(b"I");
        }
        OK
    }

    /// Runs the logs that nobody has asked for in a while, and removes those that have long been empty.
    fn refresh(&self, age: Duration) {
        let now = SystemTime::now();
        let older = |time: std::io::Result<SystemTime>, age: Duration| {
            time.is_ok_and(|time| now.duration_since(time).is_ok_and(|passed| passed > age))
        };
        let logs: Vec<_> = self.spool.flush_logs().collect();
        for (name, metadata) in logs {
            if metadata.len() > 0 {
                if age.is_zero() || older(metadata.accessed(), age) {
                    self.send_log(&name);
                }
            } else if older(metadata.modified(), self.purge_age)
                && let Err(error) = self.spool.purge_flush_log(&name)
            {
                os_log::warning!("remove logfile flush/{name}: {}", os_sys::error_text(&error));
            }
        }
    }

    /// The log of a destination that has one.
    fn log_of(&self, site: &str) -> Result<String, i32> {
        match self.domains.ascii_if_listed(site) {
            Ok(Some(domain)) => Ok(flush_log_name(&domain)),
            Ok(None) => Err(DENY),
            Err(_) => Err(FAIL),
        }
    }

    fn status(&self, what: &str, log: &str, result: std::io::Result<()>) -> i32 {
        match result {
            Ok(()) => OK,
            Err(error) => {
                os_log::warning!("{what} fast flush logfile flush/{log}: {}", os_sys::error_text(&error));
                FAIL
            }
        }
    }

    fn trigger(&self, request: &[u8]) {
        if let Err(error) = proto_ipc::trigger::send(&self.queue_manager, request) {
            let path = self.queue_manager.display();
            os_log::warning!("unable to connect to {path}: {}", os_sys::error_text(&error));
        }
    }
}

impl PoolService for Flush {
    fn serve(&self, client: Client) {
        let Stream::Unix(stream) = client.stream else { return };
        let mut dialogue = Dialogue::new(stream, self.timeout);
        match dialogue.request() {
            Some(Request::Add { site, id }) => dialogue.reply(self.add(&site, &id)),
            Some(Request::SendSite(site)) => dialogue.reply(self.send_site(&site)),
            Some(Request::SendFile(id)) => dialogue.reply(self.send_file(&id)),
            // These clients do not wait for the work.
            Some(Request::Refresh) => {
                dialogue.reply(OK);
                dialogue.close();
                self.refresh(self.refresh_age);
            }
            Some(Request::Purge) => {
                dialogue.reply(OK);
                dialogue.close();
                self.refresh(Duration::ZERO);
            }
            None => {}
        }
    }

    fn tables_changed(&self) -> Option<String> {
        self.domains.changed()
    }
}
