//! `-f`, `-s`, `-i`: what is deferred is to be tried now.

use std::path::{Path, PathBuf};

use host_config::{Config, param};
use mail_record::QueueId;
use proto_ipc::flush::{BAD, DENY, OK, PROTOCOL, SendFile, SendSite};
use proto_ipc::{Connection, Dialect, Format, StatusReply};
use serde::Serialize;

use crate::options::Flush;
use crate::{Failure, fatal};

const DOWN: &str = "Cannot flush mail queue - mail system is down";
/// Bells for the queue manager: forget dead destinations, ignore time stamps, scan deferred and incoming.
const EVERYTHING: &[u8] = b"FADI";

/// Does it.
pub fn run(config: &Config, what: &Flush) -> Result<(), Failure> {
    match what {
        Flush::Everything => everything(config),
        Flush::Site(site) => self::site(config, site),
        Flush::Message(id) => message(config, id),
    }
}

fn everything(config: &Config) -> Result<(), Failure> {
    let service = |parameter| config.str(parameter).map(|name| public(&name)).map_err(fatal);
    let manager = service(param::QUEUE_SERVICE_NAME)?;
    if let Err(error) = proto_ipc::trigger::send(&manager, EVERYTHING) {
        look_up_warning(&manager, &error);
        return Err(fatal(DOWN));
    }
    let pickup = service(param::PICKUP_SERVICE_NAME)?;
    if let Err(error) = proto_ipc::trigger::send(&pickup, b"W") {
        look_up_warning(&pickup, &error);
        return Err(fatal(DOWN));
    }
    Ok(())
}

fn look_up_warning(path: &Path, error: &std::io::Error) {
    if error.kind() != std::io::ErrorKind::ConnectionRefused {
        os_log::warning!("unable to look up {}: {}", path.display(), os_sys::error_text(error));
    }
}

fn site(config: &Config, site: &str) -> Result<(), Failure> {
    let valid = mail_address::hostname::is_hostname(site) || mail_address::hostname::literal(site).is_some();
    if !valid {
        return Err(fatal(format!("Cannot flush mail queue - invalid destination: \"{site:.100}\"")));
    }
    let request = SendSite { request: "send_site".into(), site: site.to_owned() };
    match ask(config, &request)? {
        OK => Ok(()),
        BAD => Err(fatal(format!("Invalid request: \"{site}\""))),
        DENY => Err(fatal(format!("Flush service is not configured for destination \"{site}\""))),
        _failed => Err(fatal(DOWN)),
    }
}

fn message(config: &Config, id: &str) -> Result<(), Failure> {
    if QueueId::parse(id).is_err() {
        return Err(fatal(format!("Cannot flush queue ID - invalid name: \"{id:.100}\"")));
    }
    let request = SendFile { request: "send_file".into(), queue_id: id.to_owned() };
    match ask(config, &request)? {
        OK => Ok(()),
        BAD => Err(fatal(format!("Invalid request: \"{id}\""))),
        _failed => Err(fatal(DOWN)),
    }
}

/// One question to the flush service.
fn ask(config: &Config, request: &impl Serialize) -> Result<i32, Failure> {
    let path = public(&config.str(param::FLUSH_SERVICE_NAME).map_err(fatal)?);
    let dialect =
        Dialect::from_name(&config.str(param::POSTINO_IPC_DIALECT).map_err(fatal)?).unwrap_or_default();
    let timeout = config.time(param::IPC_TIMEOUT).map_err(fatal)?;
    let reply = Connection::connect(&path, Format::null(dialect), timeout).and_then(|mut connection| {
        connection.expect_announcement(PROTOCOL)?;
        connection.send(request)?;
        connection.receive::<StatusReply>()
    });
    match reply {
        Ok(reply) => Ok(reply.status),
        Err(proto_ipc::Error::Io(error)) => {
            os_log::warning!("connect to {}: {}", path.display(), os_sys::error_text(&error));
            Err(fatal(DOWN))
        }
        Err(_) => Err(fatal(DOWN)),
    }
}

fn public(service: &str) -> PathBuf {
    Path::new("public").join(service)
}
