//! The address verification cache (`verify(8)`): results come from the delivery agents, probes go to cleanup.

mod cache;
mod keeper;
mod probe;

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use host_config::param;
use host_daemon::{Client, Error, PoolService, ProcessLimit, Spec, Startup, Stream};
use proto_ipc::verify::{PROTOCOL, QueryReply, TODO, Update};
use proto_ipc::{Connection, Dialect, Format, StatusReply};

use cache::Times;
use keeper::Keeper;
use probe::Prober;

const SPEC: Spec = Spec {
    process_limit: ProcessLimit::One,
    announce: Some(PROTOCOL),
    ignores_max_use: true,
    ignores_max_idle: true,
    persistent_clients: true,
    ends_with_master: true,
    ..Spec::new("verify")
};

/// A client does not keep silence for longer in the middle of a request.
const REQUEST_LIMIT: Duration = Duration::from_secs(10);

const BAD: i32 = -2;

/// The program, from its command line to its exit status.
#[must_use]
pub fn main() -> ExitCode {
    host_daemon::run_pool(&SPEC, Verify::new)
}

struct Verify {
    keeper: Keeper,
    prober: Arc<Prober>,
    format: Format,
}

/// Either request; the last two attributes are those of an update.
enum Request {
    Query(String),
    Update(Update),
    /// Anything else, by its name.
    Unknown(String),
}

impl Verify {
    fn new(startup: &mut Startup) -> Result<Self, Error> {
        let config = &startup.config;
        let times = Times {
            positive_expire: config.time(param::ADDRESS_VERIFY_POSITIVE_EXPIRE_TIME)?,
            positive_refresh: config.time(param::ADDRESS_VERIFY_POSITIVE_REFRESH_TIME)?,
            negative_expire: config.time(param::ADDRESS_VERIFY_NEGATIVE_EXPIRE_TIME)?,
            negative_refresh: config.time(param::ADDRESS_VERIFY_NEGATIVE_REFRESH_TIME)?,
            negative_cache: config.bool(param::ADDRESS_VERIFY_NEGATIVE_CACHE)?,
        };
        let dialect = Dialect::from_name(&config.str(param::POSTINO_IPC_DIALECT)?).unwrap_or_default();
        let format = Format::null(dialect);
        Ok(Self {
            keeper: Keeper::new(config, times)?,
            prober: Arc::new(Prober::new(config, format)?),
            format,
        })
    }

    fn query(&self, address: &str) -> QueryReply {
        let now = os_sys::time::now().as_secs();
        let (found, wants_probe) = self.keeper.with(|cache| cache.query(address, now));
        if wants_probe {
            Prober::start(&self.prober, address.to_owned());
        }
        QueryReply { status: 0, recipient_status: found.status, reason: found.text }
    }

    fn update(&self, update: &Update) -> i32 {
        if !(0..TODO).contains(&update.recipient_status) {
            os_log::warning!(
                "bad recipient status {} for recipient {}",
                update.recipient_status,
                proto_ipc::clean(&update.address)
            );
            return BAD;
        }
        let now = os_sys::time::now().as_secs();
        self.keeper.with(|cache| cache.update(&update.address, update.recipient_status, &update.reason, now));
        0
    }

    fn request(connection: &mut Connection) -> Result<Request, proto_ipc::Error> {
        let update: AnyRequest = connection.receive()?;
        Ok(match (update.request.as_str(), update.recipient_status, update.reason) {
            ("query", None, None) => Request::Query(update.address),
            ("update", Some(recipient_status), Some(reason)) => Request::Update(Update {
                request: update.request,
                address: update.address,
                recipient_status,
                reason,
            }),
            (_, _, _) => Request::Unknown(update.request),
        })
    }

    fn answer(&self, connection: &mut Connection) -> Result<(), proto_ipc::Error> {
        match Self::request(connection)? {
            Request::Query(address) => connection.send(&self.query(&address))?,
            Request::Update(update) => connection.send(&StatusReply { status: self.update(&update) })?,
            Request::Unknown(name) => {
                os_log::warning!("unrecognized request: \"{}\", ignored", proto_ipc::clean(&name));
                connection.send(&StatusReply { status: BAD })?;
            }
        }
        connection.flush()
    }
}

impl PoolService for Verify {
    fn post_init(&mut self) -> Result<(), Error> {
        // Out of the process group that master signals when it stops, so that the table is saved; the process ends when
        // master does.
        let _ = nix::unistd::setsid();
        self.keeper.start().map_err(|error| format!("thread: {}", os_sys::error_text(&error)).into())
    }

    fn serve(&self, mut client: Client) {
        let Stream::Unix(stream) = client.stream else { return };
        let mut connection = Connection::from_stream(stream, self.format);
        if connection.set_timeout(REQUEST_LIMIT).is_err() {
            return;
        }
        while client.session.wait_for_request(connection.stream()).unwrap_or(false) {
            if self.answer(&mut connection).is_err() {
                break;
            }
        }
    }
}

/// `request`, `address`, and for an update two more.
#[derive(serde::Deserialize)]
struct AnyRequest {
    request: String,
    address: String,
    recipient_status: Option<i32>,
    reason: Option<String>,
}
