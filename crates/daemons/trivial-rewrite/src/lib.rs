//! Address rewriting and resolving behind a socket: `trivial-rewrite(8)`, for those that ask over the wire.

use std::process::ExitCode;

use host_config::param;
use host_daemon::{Client, Error, PoolService, Spec, Startup, Stream};
use host_resolve::{AddressClass, AddressService, ResolveError, Resolved, Rule};
use host_tables::TableContext;
use proto_ipc::rewrite::{PROTOCOL, Request, ResolveReply, RewriteReply, flags};
use proto_ipc::{Connection, Dialect, Format};

const SPEC: Spec = Spec {
    announce: Some(PROTOCOL),
    ignores_max_use: false,
    persistent_clients: true,
    ..Spec::new("trivial-rewrite")
};

/// The program, from its command line to its exit status.
#[must_use]
pub fn main() -> ExitCode {
    host_daemon::run_pool(&SPEC, TrivialRewrite::new)
}

struct TrivialRewrite {
    addresses: AddressService,
    format: Format,
}

impl TrivialRewrite {
    fn new(startup: &mut Startup) -> Result<Self, Error> {
        let config = &startup.config;
        let tables = TableContext::new(config)?;
        let dialect = Dialect::from_name(&config.str(param::POSTINO_IPC_DIALECT)?).unwrap_or_default();
        Ok(Self { addresses: AddressService::in_process(config, &tables)?, format: Format::null(dialect) })
    }

    /// Answers one request; `Err`: the client is cut off.
    fn answer(&self, connection: &mut Connection) -> Result<(), proto_ipc::Error> {
        match connection.receive_with(Request::decode)? {
            Request::Rewrite(query) => {
                let rule = match query.rule.as_str() {
                    "local" => Rule::Local,
                    "remote" => Rule::Remote,
                    other => return Err(malformed(&format!("unknown rewrite rule {other}"))),
                };
                if query.address.is_empty() {
                    os_log::warning!("rewrite_addr: null address");
                }
                let address =
                    self.addresses.rewrite(rule, &query.address).map_err(|e| malformed(&e.to_string()))?;
                connection.send(&RewriteReply { flags: 0, address })?;
            }
            Request::Resolve(query) => {
                let resolved =
                    self.addresses.resolve(&query.sender, &query.address, query.request == "verify");
                connection.send(&reply(resolved))?;
            }
        }
        connection.flush()
    }
}

fn malformed(text: &str) -> proto_ipc::Error {
    proto_ipc::Error::Malformed(proto_ipc::clean(text))
}

fn reply(resolved: Resolved) -> ResolveReply {
    let class = match resolved.class {
        Some(AddressClass::Local) => flags::LOCAL,
        Some(AddressClass::VirtualAlias) => flags::VIRTUAL_ALIAS,
        Some(AddressClass::VirtualMailbox) => flags::VIRTUAL_MAILBOX,
        Some(AddressClass::Relay) => flags::RELAY,
        Some(AddressClass::Default) => flags::DEFAULT,
        None => 0,
    };
    let error = match resolved.error {
        Some(ResolveError::Bad) => flags::ERROR,
        Some(ResolveError::Fail) => flags::FAIL,
        None => 0,
    };
    let routed = if resolved.routed { flags::ROUTED } else { 0 };
    ResolveReply {
        server_flags: 0,
        transport: resolved.transport,
        nexthop: proto_ipc::clean(&resolved.nexthop),
        recipient: proto_ipc::clean(&resolved.recipient),
        flags: class | error | routed,
    }
}

impl PoolService for TrivialRewrite {
    fn serve(&self, client: Client) {
        let Client { stream: Stream::Unix(stream), mut session, .. } = client else {
            os_log::warning!("rewrite request on a network socket");
            return;
        };
        let mut connection = Connection::from_stream(stream, self.format);
        loop {
            if !connection.has_input() {
                match session.wait_for_request(connection.stream()) {
                    Ok(true) => {}
                    Ok(false) | Err(_) => return,
                }
            }
            match self.answer(&mut connection) {
                Ok(()) => {}
                Err(proto_ipc::Error::Closed) => return,
                Err(error) => {
                    os_log::warning!("rewrite request: {error}");
                    return;
                }
            }
        }
    }

    fn tables_changed(&self) -> Option<String> {
        self.addresses.changed()
    }
}
