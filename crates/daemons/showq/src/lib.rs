//! showq(8): lists the queue. Each client gets the whole list; nothing of it is kept in memory.

mod message;

use std::process::ExitCode;

use host_config::param;
use host_daemon::{Client, Error, PoolService, Spec, Startup, Stream, run_pool};
use host_spool::{Queue, Spool};
use proto_ipc::showq::{EndOfListing, PROTOCOL};
use proto_ipc::{Connection, Dialect, Format};

const SPEC: Spec = Spec { announce: Some(PROTOCOL), ..Spec::new("showq") };

/// The order of the list.
const LISTED: [Queue; 5] = [Queue::Maildrop, Queue::Active, Queue::Incoming, Queue::Deferred, Queue::Hold];

/// The program, from its command line to its exit status.
#[must_use]
pub fn main() -> ExitCode {
    run_pool(&SPEC, Showq::new)
}

/// What a listing needs.
struct Showq {
    spool: Spool,
    dialect: Dialect,
    limits: message::Settings,
    timeout: std::time::Duration,
}

impl Showq {
    fn new(startup: &mut Startup) -> Result<Self, Error> {
        let config = &startup.config;
        let limit = config.int(param::DUPLICATE_FILTER_LIMIT)?;
        Ok(Self {
            spool: Spool::open(config)?,
            dialect: Dialect::from_name(&config.str(param::POSTINO_IPC_DIALECT)?).unwrap_or_default(),
            limits: message::Settings {
                empty_address: config.str(param::EMPTY_ADDRESS_RECIPIENT)?,
                utf8: config.bool(param::SMTPUTF8_ENABLE)?,
                duplicates: usize::try_from(limit).unwrap_or(usize::MAX),
            },
            timeout: config.time(param::IPC_TIMEOUT)?,
        })
    }

    fn list(&self, connection: &mut Connection) -> Result<(), proto_ipc::Error> {
        for queue in LISTED {
            for found in self.spool.scan(queue) {
                let found = match found {
                    Ok(found) => found,
                    Err(error) => {
                        os_log::warning!("open directory {queue}: {}", os_sys::error_text(&error));
                        continue;
                    }
                };
                if let Some(message) = message::read(&self.spool, &self.limits, queue, &found, self.dialect) {
                    match self.dialect {
                        Dialect::V3_11 => connection.send(&message)?,
                        Dialect::V3_7 => connection.send(&message::in_old_dialect(message))?,
                    }
                }
            }
        }
        connection.send(&EndOfListing {})?;
        connection.flush()
    }
}

impl PoolService for Showq {
    fn serve(&self, client: Client) {
        let Stream::Unix(stream) = client.stream else { return };
        let mut connection = Connection::from_stream(stream, Format::null(self.dialect));
        // A client that goes away early (`mailq | head`) is none of our business.
        let _ = connection
            .set_timeout(self.timeout)
            .map_err(proto_ipc::Error::from)
            .and_then(|()| self.list(&mut connection));
    }
}
