//! `proxy`: a table that the proxymap daemon opens for us.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use mail_lookup::{Found, KeyClass, Lookup, LookupError};
use proto_ipc::proxymap::{self, Lookup as Query, Lookup37, Open, Open37, Status, Value, Value37};
use proto_ipc::{Connection, Dialect, Error, Format};

use crate::open::OpenError;
use crate::{Flags, TableContext};

/// A connection that was not used for this long is not used again (`ipc_idle`).
const IDLE: Duration = Duration::from_secs(5);
/// How often a request is sent before the table counts as unavailable.
const TRIES: usize = 5;

/// Bits of the `flags` attributes.
mod bit {
    pub const FIXED: u32 = 16;
    pub const LOCK: u32 = 64;
    pub const NO_REGSUB: u32 = 2048;
    pub const FOLD_FIXED: u32 = 16384;
    pub const UTF8_REQUEST: u32 = 524_288;
}

struct Proxy {
    /// `proxy:type:name`.
    name: String,
    /// `type:name`.
    table: String,
    instance_flags: u32,
    request_flags: u32,
    class: KeyClass,
    client: Client,
}

struct Client {
    sockets: [PathBuf; 2],
    dialect: Dialect,
    timeout: Duration,
    connection: Mutex<Option<(Connection, Instant)>>,
}

/// Opens `proxy:name` through the read-only service.
pub(crate) fn open(name: &str, flags: Flags, cx: &TableContext) -> Result<Arc<dyn Lookup>, OpenError> {
    let mut table = name;
    while let Some(rest) = table.strip_prefix("proxy:") {
        table = rest;
    }
    crate::open::split_spec(table)?;
    let settings = &cx.inner;
    let client = Client {
        sockets: [
            settings.private_directory.join(&settings.proxymap_service),
            PathBuf::from("private").join(&settings.proxymap_service),
        ],
        dialect: settings.dialect,
        timeout: settings.ipc_timeout,
        connection: Mutex::new(None),
    };
    let regsub = if flags.no_regsub { bit::NO_REGSUB } else { 0 };
    let fold = if flags.fold { bit::FOLD_FIXED } else { 0 };
    let instance_flags = bit::LOCK | regsub | fold;
    let status = client
        .open(table, instance_flags)
        .map_err(|error| OpenError(format!("open proxy:{name}: {error}")))?;
    match status.status {
        proxymap::OK => {}
        proxymap::DENY => {
            return Err(OpenError(format!("proxymap service is not configured for table \"{table}\"")));
        }
        _ => return Err(OpenError(format!("open proxy:{name}: table is unavailable"))),
    }
    let class = if status.flags & bit::FIXED != 0 { KeyClass::Fixed } else { KeyClass::Pattern };
    let utf8 = if settings.utf8 { bit::UTF8_REQUEST } else { 0 };
    Ok(Arc::new(Proxy {
        name: format!("proxy:{table}"),
        table: table.to_owned(),
        instance_flags,
        request_flags: instance_flags | utf8,
        class,
        client,
    }))
}

impl Client {
    fn connect(&self) -> Result<Connection, Error> {
        let format = Format::null(self.dialect);
        let [absolute, relative] = &self.sockets;
        let mut connection = Connection::connect(absolute, format, self.timeout)
            .or_else(|_| Connection::connect(relative, format, self.timeout))?;
        connection.expect_announcement(proxymap::PROTOCOL)?;
        Ok(connection)
    }

    /// Runs one exchange, on the open connection if it is fresh, else on a new one; a lost connection is made again.
    fn ask<T>(&self, mut exchange: impl FnMut(&mut Connection) -> Result<T, Error>) -> Result<T, Error> {
        let mut slot = self.connection.lock().unwrap_or_else(PoisonError::into_inner);
        let mut open =
            slot.take().filter(|(_, used)| used.elapsed() < IDLE).map(|(connection, _)| connection);
        let mut tries = 0;
        loop {
            let reused = open.is_some();
            let answer = match open.take() {
                Some(connection) => Ok(connection),
                None => self.connect(),
            }
            .and_then(|mut connection| Ok((exchange(&mut connection)?, connection)));
            match answer {
                Ok((answer, connection)) => {
                    *slot = Some((connection, Instant::now()));
                    return Ok(answer);
                }
                Err(_) if reused => {}
                Err(error) => {
                    tries += 1;
                    if tries >= TRIES {
                        return Err(error);
                    }
                    os_log::warning!("problem talking to service {}: {error}", self.sockets[1].display());
                    std::thread::sleep(Duration::from_secs(1));
                }
            }
        }
    }

    fn open(&self, table: &str, flags: u32) -> Result<Status, Error> {
        let (request, table) = ("open".to_owned(), table.to_owned());
        self.ask(|connection| {
            match self.dialect {
                Dialect::V3_7 => {
                    connection.send(&Open37 { request: request.clone(), table: table.clone(), flags })?;
                }
                Dialect::V3_11 => {
                    connection.send(&Open {
                        request: request.clone(),
                        table: table.clone(),
                        instance_flags: flags,
                    })?;
                }
            }
            connection.receive()
        })
    }
}

impl Lookup for Proxy {
    fn lookup(&self, key: &str) -> Found {
        let (request, table, key) = ("lookup".to_owned(), self.table.clone(), key.to_owned());
        let flags = self.request_flags;
        let answer = self.client.ask(|connection| {
            let (request, table, key) = (request.clone(), table.clone(), key.clone());
            match self.client.dialect {
                Dialect::V3_7 => {
                    connection.send(&Lookup37 { request, table, flags, key })?;
                    connection.receive::<Value37>().map(|value| (value.status, value.value))
                }
                Dialect::V3_11 => {
                    connection.send(&Query {
                        request,
                        table,
                        instance_flags: self.instance_flags,
                        flags,
                        key,
                    })?;
                    connection.receive::<Value>().map(|value| (value.status, value.value))
                }
            }
        });
        let temporary = |text: String| Err(LookupError::Temporary(text));
        match answer {
            Ok((proxymap::OK, value)) => Ok(Some(value)),
            Ok((proxymap::NOKEY, _)) => Ok(None),
            Ok((proxymap::CONFIG, _)) => {
                Err(LookupError::Configuration(format!("{}: configuration error", self.name)))
            }
            Ok((proxymap::DENY, _)) => {
                os_log::warning!("proxymap service is not configured for table \"{}\"", self.table);
                temporary(format!("{}: not approved", self.name))
            }
            Ok(_) => temporary(format!("{}: lookup error", self.name)),
            Err(error) => temporary(format!("{}: {error}", self.name)),
        }
    }
    fn class(&self) -> KeyClass {
        self.class
    }
    fn name(&self) -> &str {
        &self.name
    }
}
