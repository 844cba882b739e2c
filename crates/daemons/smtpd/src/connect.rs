//! The client's name and rights, at the start of a session.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use host_daemon::Client as Accepted;
use host_tables::MatchList;
use os_sys::net::{NameLookup, addresses_of, name_of};
use proto_smtp::server::{BareNewline, Client, Keywords, NameStatus, Profile};

use crate::services::Services;

/// What the socket tells of a client.
pub(crate) fn client_of(accepted: &Accepted, standalone: bool) -> Client {
    if let Some(passed) = &accepted.passed {
        let value =
            |name: &str| passed.pairs.iter().find(|(n, _)| n == name).map_or("unknown", |(_, v)| v.as_str());
        let mut client = Client::at(value("client_address"), value("client_port"));
        client.server_address = value("server_address").to_owned();
        client.server_port = value("server_port").to_owned();
        return client;
    }
    match (accepted.peer, standalone) {
        (Some(peer), false) => {
            let peer = plain(peer);
            let mut client = Client::at(&peer.ip().to_string(), &peer.port().to_string());
            if let Some(local) = accepted.local.map(plain) {
                client.server_address = local.ip().to_string();
                client.server_port = local.port().to_string();
            }
            client
        }
        (Some(_) | None, _) => local_client(),
    }
}

/// Not a network client: `sendmail -bs`.
fn local_client() -> Client {
    let mut client = Client::at("127.0.0.1", "0");
    client.name = "localhost".into();
    client.reverse_name = "localhost".into();
    client.name_status = NameStatus::Ok;
    client.reverse_status = NameStatus::Ok;
    client.names_given = true;
    client.server_address = "127.0.0.1".into();
    client.server_port = "0".into();
    client
}

/// IPv4 inside IPv6 is IPv4.
fn plain(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

/// What the name service says about an address.
#[derive(Clone)]
struct Names {
    reverse: Option<String>,
    reverse_status: NameStatus,
    /// The reverse name, when it leads back to the address.
    name: Option<String>,
    name_status: NameStatus,
    warning: Option<String>,
}

/// How long an answer serves further connections from the same address.
const NAMES_LIFETIME: Duration = Duration::from_secs(5);
/// Addresses remembered at a time.
const NAMES_LIMIT: usize = 1000;

/// Names of clients that connected just now: a client with many connections is looked up once.
#[derive(Default)]
pub(crate) struct NameCache(Mutex<HashMap<IpAddr, (Instant, Names)>>);

impl NameCache {
    fn names(&self, address: IpAddr) -> Names {
        let now = Instant::now();
        self.known(address).unwrap_or_else(|| {
            let names = look_up(address);
            let mut cache = self.lock();
            if cache.len() >= NAMES_LIMIT {
                cache.retain(|_, (until, _)| *until > now);
            }
            if cache.len() < NAMES_LIMIT {
                cache.insert(address, (now + NAMES_LIFETIME, names.clone()));
            }
            names
        })
    }

    fn known(&self, address: IpAddr) -> Option<Names> {
        let now = Instant::now();
        self.lock().get(&address).filter(|(until, _)| *until > now).map(|(_, names)| names.clone())
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<IpAddr, (Instant, Names)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Finds the name of the address and whether the name leads back to it.
pub(crate) fn look_up_names(cache: &NameCache, client: &mut Client, enabled: bool) {
    let Ok(address) = client.address.parse::<IpAddr>() else { return };
    if client.names_given || !enabled {
        return;
    }
    let names = cache.names(address);
    if let Some(warning) = &names.warning {
        os_log::warning!("{warning}");
    }
    client.reverse_status = names.reverse_status;
    client.name_status = names.name_status;
    if let Some(reverse) = names.reverse {
        client.reverse_name = reverse;
    }
    if let Some(name) = names.name {
        client.name = name;
    }
}

/// Whether the questions about a new client can be answered without another server: its name is known, no table is
/// far away, and nobody counts its connections.
pub(crate) fn is_quick(services: &Services, client: &Client) -> bool {
    if !services.quick.lists {
        return false;
    }
    let mut named = client.clone();
    if services.peername_lookup && !client.names_given {
        let Some(names) = client.address.parse().ok().and_then(|address| services.names.known(address))
        else {
            return false;
        };
        named.name = names.name.unwrap_or(named.name);
    }
    !services.limits.any() || listed(&services.limit_exceptions, &named)
}

fn look_up(address: IpAddr) -> Names {
    let nothing = |status: NameStatus| Names {
        reverse: None,
        reverse_status: status,
        name: None,
        name_status: status,
        warning: None,
    };
    let name = match name_of(address) {
        NameLookup::Found(name)
            if name.parse::<IpAddr>().is_err() && mail_address::hostname::is_hostname(&name) =>
        {
            name
        }
        NameLookup::Found(_) | NameLookup::NotFound => return nothing(NameStatus::Permanent),
        NameLookup::Temporary(_) => return nothing(NameStatus::Temporary),
    };
    let (status, why) = match addresses_of(&name) {
        NameLookup::Found(found) if found.iter().any(|ip| ip.to_canonical() == address) => {
            (NameStatus::Ok, None)
        }
        NameLookup::Found(_) => (NameStatus::Forged, Some(String::new())),
        NameLookup::NotFound => (NameStatus::Forged, Some(": Name or service not known".to_owned())),
        NameLookup::Temporary(reason) => (NameStatus::Temporary, Some(format!(": {reason}"))),
    };
    Names {
        reverse: Some(name.clone()),
        reverse_status: NameStatus::Ok,
        warning: why.map(|why| format!("hostname {name} does not resolve to address {address}{why}")),
        name: (status == NameStatus::Ok).then_some(name),
        name_status: status,
    }
}

/// Whether the client is in a list of hosts; a table that cannot tell means no.
pub(crate) fn listed(list: &MatchList, client: &Client) -> bool {
    list.matches_host(&client.name, client.address.parse().ok()).unwrap_or(false)
}

/// What the client may do.
pub(crate) fn profile(services: &Services, client: &Client) -> Profile {
    let bare_newline = match services.bare_newline {
        BareNewline::Allow => BareNewline::Allow,
        mode @ (BareNewline::Normalize | BareNewline::Note | BareNewline::Reject) => {
            if listed(&services.bare_newline_exclusions, client) { BareNewline::Allow } else { mode }
        }
    };
    Profile {
        discarded: discarded(services, client),
        bare_newline,
        xclient: listed(&services.xclient_hosts, client),
        xforward: listed(&services.xforward_hosts, client),
        verp: listed(&services.verp_clients, client),
    }
}

fn discarded(services: &Services, client: &Client) -> Keywords {
    use mail_lookup::MapsLookup;
    match services.discard_ehlo_maps.find(&client.address, false) {
        Ok(Some(words)) => Keywords::parse(&words),
        Ok(None) | Err(_) => services.discard_ehlo,
    }
}
