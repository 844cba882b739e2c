//! The client of the rewrite service, for sites (and tests) that want every address to go through it.

use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use host_config::{Config, ConfigError, param};
use mail_lookup::LookupError;
use proto_ipc::rewrite::{PROTOCOL, ResolveQuery, ResolveReply, RewriteQuery, RewriteReply, flags};
use proto_ipc::{Connection, Dialect, Error, Format};
use serde::{Serialize, de::DeserializeOwned};

use crate::{AddressClass, ResolveError, Resolved, Rule};

/// Tries before a query fails.
const ATTEMPTS: usize = 3;

/// A persistent connection, opened when needed.
pub struct RewriteClient {
    path: PathBuf,
    format: Format,
    timeout: Duration,
    connection: Mutex<Option<Connection>>,
}

impl RewriteClient {
    pub fn new(config: &Config) -> Result<Self, ConfigError> {
        Ok(Self {
            path: PathBuf::from("private").join(config.str(param::REWRITE_SERVICE_NAME)?),
            format: Format::null(
                Dialect::from_name(&config.str(param::POSTINO_IPC_DIALECT)?).unwrap_or_default(),
            ),
            timeout: config.time(param::IPC_TIMEOUT)?,
            connection: Mutex::new(None),
        })
    }

    pub fn rewrite(&self, rule: Rule, external: &str) -> Result<String, LookupError> {
        if external.is_empty() {
            return Ok(String::new());
        }
        let rule = match rule {
            Rule::Local => "local",
            Rule::Remote => "remote",
        };
        let query = RewriteQuery { request: "rewrite".into(), rule: rule.into(), address: external.into() };
        let reply: RewriteReply = self.ask(&query)?;
        Ok(reply.address)
    }

    pub fn resolve(&self, sender: &str, internal: &str, verify: bool) -> Resolved {
        let request = if verify { "verify" } else { "resolve" };
        let query = ResolveQuery { request: request.into(), sender: sender.into(), address: internal.into() };
        match self.ask::<_, ResolveReply>(&query) {
            Ok(reply) => resolved(reply),
            Err(error) => {
                os_log::warning!("rewrite service: {error}");
                resolved(ResolveReply {
                    server_flags: 0,
                    transport: "CHANNEL NOT UPDATED".into(),
                    nexthop: "NEXTHOP NOT UPDATED".into(),
                    recipient: internal.into(),
                    flags: flags::FAIL | flags::DEFAULT,
                })
            }
        }
    }

    fn ask<Q: Serialize, R: DeserializeOwned>(&self, query: &Q) -> Result<R, LookupError> {
        let mut slot = self.connection.lock().unwrap_or_else(PoisonError::into_inner);
        let mut last = None;
        for _ in 0..ATTEMPTS {
            match self.exchange(&mut slot, query) {
                Ok(reply) => return Ok(reply),
                Err(error) => last = Some(error),
            }
            *slot = None;
        }
        let text = last.map_or_else(String::new, |error| error.to_string());
        Err(LookupError::Temporary(format!("{}: {text}", self.path.display())))
    }

    fn exchange<Q: Serialize, R: DeserializeOwned>(
        &self,
        slot: &mut Option<Connection>,
        query: &Q,
    ) -> Result<R, Error> {
        let connection = match slot {
            Some(connection) => connection,
            None => {
                let mut connection = Connection::connect(&self.path, self.format, self.timeout)?;
                connection.expect_announcement(PROTOCOL)?;
                slot.insert(connection)
            }
        };
        connection.send(query)?;
        connection.receive()
    }
}

fn resolved(reply: ResolveReply) -> Resolved {
    let has = |flag| reply.flags & flag != 0;
    let class = if has(flags::LOCAL) {
        Some(AddressClass::Local)
    } else if has(flags::VIRTUAL_ALIAS) {
        Some(AddressClass::VirtualAlias)
    } else if has(flags::VIRTUAL_MAILBOX) {
        Some(AddressClass::VirtualMailbox)
    } else if has(flags::RELAY) {
        Some(AddressClass::Relay)
    } else {
        has(flags::DEFAULT).then_some(AddressClass::Default)
    };
    let error = match (has(flags::FAIL), has(flags::ERROR)) {
        (true, _) => Some(ResolveError::Fail),
        (false, true) => Some(ResolveError::Bad),
        (false, false) => None,
    };
    Resolved {
        transport: reply.transport,
        nexthop: reply.nexthop,
        recipient: reply.recipient,
        class,
        error,
        routed: has(flags::ROUTED),
    }
}
