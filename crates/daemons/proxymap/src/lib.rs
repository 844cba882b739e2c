//! Table lookups (and updates) on behalf of other daemons: proxymap(8).

mod approved;
mod request;
mod tables;

use std::process::ExitCode;

use host_config::param;
use host_daemon::{Client, Error, PoolService, Spec, Startup, Stream};
use host_tables::TableContext;
use proto_ipc::proxymap::{self, KeyValue, PROTOCOL, Status, Value, Value37};
use proto_ipc::{Connection, Format, StatusReply};

use approved::Approved;
use request::{Action, Request};
use tables::{Cursor, Tables};

const SPEC: Spec = Spec { announce: Some(PROTOCOL), persistent_clients: true, ..Spec::new("proxymap") };

/// Service name of the read-only server.
const READER: &str = "proxymap";
/// Service name of the one that also changes tables.
const WRITER: &str = "proxywrite";

/// The program, from its command line to its exit status.
#[must_use]
pub fn main() -> ExitCode {
    host_daemon::run_pool(&SPEC, Proxymap::new)
}

struct Proxymap {
    approved: Approved,
    tables: Tables,
    may_write: bool,
}

/// What a request comes to.
enum Reply {
    Status(i32, u32),
    Value(i32, u32, String),
    KeyValue(i32, u32, String, String),
}

impl Proxymap {
    fn new(startup: &mut Startup) -> Result<Self, Error> {
        let may_write = match startup.service_name.as_str() {
            READER => false,
            WRITER => true,
            other => {
                let text = format!(
                    "invalid service name: \"{other}\" - service name must be \"{WRITER}\" or \"{READER}\""
                );
                return Err(text.into());
            }
        };
        let list = if may_write { param::PROXY_WRITE_MAPS } else { param::PROXY_READ_MAPS };
        Ok(Self {
            approved: Approved::new(&startup.config, list)?,
            tables: Tables::new(TableContext::new(&startup.config)?.without_proxy()),
            may_write,
        })
    }

    fn answer(&self, request: &Request, cursor: &mut Option<Cursor>) -> Reply {
        let table = request.table.as_str();
        if !self.approved.contains(table) {
            self.log_refusal(table);
            return Reply::Status(proxymap::DENY, 0);
        }
        match &request.action {
            Action::Open => match self.tables.open(table, request.open_flags) {
                Ok(flags) => Reply::Status(proxymap::OK, flags),
                Err(()) => Reply::Status(proxymap::CONFIG, 0),
            },
            Action::Lookup(key) => {
                let (status, flags, value) = self.tables.lookup(table, request.open_flags, key);
                Reply::Value(status, flags, value)
            }
            Action::Update(_, _) | Action::Delete(_) if !self.may_write => {
                os_log::warning!("refusing {} request on table \"{table}\"", request.verb());
                Reply::Status(proxymap::DENY, 0)
            }
            Action::Update(key, value) => Reply::Status(tables::update(table, key, value), 0),
            Action::Delete(key) => Reply::Status(tables::delete(table, key), 0),
            Action::Sequence(first) => {
                let (status, key, value) = tables::sequence(cursor, table, *first);
                Reply::KeyValue(status, 0, key, value)
            }
        }
    }

    fn log_refusal(&self, table: &str) {
        let (access, list) = if self.may_write {
            ("read-write", "proxy_write_maps")
        } else {
            ("read-only", "proxy_read_maps")
        };
        os_log::warning!("request for unapproved table: \"{table}\"");
        os_log::warning!("to approve this table for {access} access, list proxy:{table} in main.cf:{list}");
    }

    /// Serves one request; `Err`: the client is gone or talks nonsense.
    fn exchange(
        &self,
        connection: &mut Connection,
        cursor: &mut Option<Cursor>,
    ) -> Result<(), proto_ipc::Error> {
        let Some(request) = connection.receive_with(|bytes, _| request::decode(bytes))? else {
            connection.send(&StatusReply { status: proxymap::BAD })?;
            return connection.flush();
        };
        send(connection, &request, self.answer(&request, cursor))?;
        connection.flush()
    }
}

/// Replies in the dialect of the request: 3.7 has table flags only in the reply to `open`.
fn send(connection: &mut Connection, request: &Request, reply: Reply) -> Result<(), proto_ipc::Error> {
    let is_open = matches!(request.action, Action::Open);
    let clean = |text: String| if text.contains('\0') { proto_ipc::clean(&text) } else { text };
    match (reply, request.is_classic) {
        (Reply::Status(status, flags), classic) => match (&request.action, classic) {
            (Action::Lookup(_), true) => connection.send(&Value37 { status, value: String::new() }),
            (Action::Lookup(_), false) => connection.send(&Value { status, flags, value: String::new() }),
            (Action::Sequence(_), _) => {
                send_pair(connection, request, status, flags, (String::new(), String::new()))
            }
            (Action::Open | Action::Update(..) | Action::Delete(_), true) if !is_open => {
                connection.send(&StatusReply { status })
            }
            (Action::Open | Action::Update(..) | Action::Delete(_), _) => {
                connection.send(&Status { status, flags })
            }
        },
        (Reply::Value(status, _, value), true) => connection.send(&Value37 { status, value: clean(value) }),
        (Reply::Value(status, flags, value), false) => {
            connection.send(&Value { status, flags, value: clean(value) })
        }
        (Reply::KeyValue(status, flags, key, value), _) => {
            send_pair(connection, request, status, flags, (clean(key), clean(value)))
        }
    }
}

/// Reply to `sequence`, 3.7.
#[derive(serde::Serialize)]
struct KeyValue37 {
    status: i32,
    key: String,
    value: String,
}

fn send_pair(
    connection: &mut Connection,
    request: &Request,
    status: i32,
    flags: u32,
    (key, value): (String, String),
) -> Result<(), proto_ipc::Error> {
    if request.is_classic {
        connection.send(&KeyValue37 { status, key, value })
    } else {
        connection.send(&KeyValue { status, flags, key, value })
    }
}

impl PoolService for Proxymap {
    fn serve(&self, client: Client) {
        let Client { stream: Stream::Unix(stream), mut session, .. } = client else {
            os_log::warning!("proxymap request on a network socket");
            return;
        };
        let mut connection = Connection::from_stream(stream, Format::default());
        let mut cursor = None;
        loop {
            if !connection.has_input() {
                match session.wait_for_request(connection.stream()) {
                    Ok(true) => {}
                    Ok(false) | Err(_) => return,
                }
            }
            match self.exchange(&mut connection, &mut cursor) {
                Ok(()) => {}
                Err(proto_ipc::Error::Closed) => return,
                Err(error) => {
                    os_log::warning!("proxymap request: {error}");
                    return;
                }
            }
        }
    }

    fn tables_changed(&self) -> Option<String> {
        self.tables.changed()
    }
}
