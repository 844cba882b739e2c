//! Next hops: their syntax, and the servers behind them in the order to try (RFC 5321 §5).

use std::net::IpAddr;
use std::path::PathBuf;

use mail_status::{Detail, Dsn};
use proto_dns::{Cause, Kind, LookupFailure, Value};

use crate::settings::Settings;

/// One element of a next hop list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Nexthop {
    /// `host`, `[host]`, `host:port`, `[host]:port`.
    Inet {
        /// Domain or host.
        host: String,
        /// Port as written, or the default.
        port: u16,
        /// No MX lookup.
        literal: bool,
    },
    /// `unix:/path` (LMTP).
    Unix(PathBuf),
}

/// A server to try.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Server {
    /// Its name.
    pub name: String,
    /// Where it is.
    pub place: Place,
    /// MX preference; 0 for others.
    pub preference: u16,
}

/// Where a server is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// Address and port.
    Inet(IpAddr, u16),
    /// Path.
    Unix(PathBuf),
}

impl Server {
    /// `name[address]`, as in replies and errors.
    pub fn named(&self) -> String {
        match &self.place {
            Place::Inet(address, _) => format!("{}[{address}]", self.name),
            Place::Unix(path) => format!("{}[{}]", self.name, path.display()),
        }
    }

    /// `name[address]:port`, as in `relay=`.
    pub fn relay(&self) -> String {
        match &self.place {
            Place::Inet(_, port) => format!("{}:{port}", self.named()),
            Place::Unix(_) => self.named(),
        }
    }
}

impl Nexthop {
    /// Parses one element. `default_port` is a service name or number.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &str, lmtp: bool, default_port: &str) -> Result<Self, String> {
        if lmtp && let Some(path) = text.strip_prefix("unix:") {
            return Ok(Self::Unix(PathBuf::from(path)));
        }
        let text = if lmtp { text.strip_prefix("inet:").unwrap_or(text) } else { text };
        let (host, port, literal) = match text.strip_prefix('[') {
            Some(rest) => {
                let (host, after) =
                    rest.split_once(']').ok_or_else(|| format!("missing ']' in \"{text}\""))?;
                let port = match after.strip_prefix(':') {
                    Some(port) => port,
                    None if after.is_empty() => default_port,
                    None => return Err(format!("garbage after ']' in \"{text}\"")),
                };
                (host.strip_prefix("IPv6:").unwrap_or(host), port, true)
            }
            None => match text.rsplit_once(':') {
                Some((host, port)) if !host.contains(':') => (host, port, false),
                Some(_) | None => (text, default_port, false),
            },
        };
        if host.is_empty() {
            return Err(format!("missing host in \"{text}\""));
        }
        let number = os_sys::net::service_port(port).ok_or_else(|| format!("unknown service: {port}/tcp"))?;
        // LMTP never looks MX records up.
        Ok(Self::Inet { host: host.to_owned(), port: number, literal: literal || lmtp })
    }
}

/// The servers of a next hop, best first.
///
/// # Errors
/// The status of all recipients when there is no server to try.
pub fn servers(settings: &Settings, nexthop: &Nexthop) -> Result<Vec<Server>, Detail> {
    match nexthop {
        Nexthop::Unix(path) => Ok(vec![Server {
            name: settings.myhostname.clone(),
            place: Place::Unix(path.clone()),
            preference: 0,
        }]),
        Nexthop::Inet { host, port, literal } => {
            if *literal || !settings.dns_enabled {
                let found = host_servers(settings, host, *port, 0)?;
                return own_address(settings, host, *port, found, false);
            }
            domain_servers(settings, host, *port)
        }
    }
}

/// The servers of a mail domain by its MX records; without any, the domain's own addresses.
fn domain_servers(settings: &Settings, domain: &str, port: u16) -> Result<Vec<Server>, Detail> {
    let answers = match settings.resolver.lookup(domain, Kind::Mx) {
        Ok(answers) => answers,
        Err(failure)
            if matches!(failure.cause, Cause::NotFound | Cause::NoData)
                || settings.ignore_mx_lookup_error =>
        {
            let found = host_servers(settings, domain, port, 0)?;
            return own_address(settings, domain, port, found, false);
        }
        Err(failure) => return Err(lookup_detail(&failure)),
    };
    let mut exchangers: Vec<(u16, String)> = answers
        .into_iter()
        .filter_map(|answer| match answer.value {
            Value::Exchange(preference, host) => Some((preference, host)),
            Value::Address(_) | Value::Name(_) | Value::Text(_) => None,
        })
        .collect();
    // RFC 7505: a single MX with an empty name.
    if exchangers.iter().any(|(_, host)| host.is_empty()) {
        return Err(Detail::new(Dsn::new(5, 1, 0), format!("Domain {domain} does not accept mail (nullMX)")));
    }
    shuffle(settings, &mut exchangers);
    exchangers.sort_by_key(|&(preference, _)| preference);
    let mut found = Vec::new();
    let mut last = None;
    let best = exchangers.first().map_or(0, |&(preference, _)| preference);
    for (preference, host) in exchangers {
        match host_servers(settings, &host, port, preference) {
            Ok(servers) => found.extend(servers),
            Err(detail) => last = Some(worse(last, detail)),
        }
    }
    if found.is_empty() {
        os_log::warning!("no MX host for {domain} has a valid address record");
        let detail = last.unwrap_or_else(|| no_server(domain));
        return Err(if settings.defer_if_no_mx_address_found { soft(detail) } else { detail });
    }
    let best_found = found.iter().map(|server| server.preference).min() == Some(best);
    own_address(settings, domain, port, found, !best_found)
}

/// Cuts the list at our own address (only for the standard port): mail must not go to hosts less preferred than we are.
fn own_address(
    settings: &Settings,
    domain: &str,
    port: u16,
    mut found: Vec<Server>,
    better_unresolvable: bool,
) -> Result<Vec<Server>, Detail> {
    let is_own = |server: &Server| match &server.place {
        Place::Inet(address, _) => settings.own_addresses.contains(address),
        Place::Unix(_) => false,
    };
    if settings.lmtp || port != settings.standard_port {
        return Ok(found);
    }
    let Some(own) = found.iter().find(|server| is_own(server)).map(|server| server.preference) else {
        return Ok(found);
    };
    found.retain(|server| server.preference < own);
    if !found.is_empty() {
        return Ok(found);
    }
    Err(if better_unresolvable {
        Detail::new(Dsn::new(4, 4, 4), format!("unable to find primary relay for {domain}"))
    } else {
        Detail::new(Dsn::new(5, 4, 6), format!("mail for {domain} loops back to myself"))
    })
}

/// The addresses of one host.
fn host_servers(settings: &Settings, host: &str, port: u16, preference: u16) -> Result<Vec<Server>, Detail> {
    let addresses = if let Ok(address) = host.parse::<IpAddr>() {
        vec![address]
    } else if settings.dns_enabled {
        let found = settings.resolver.addresses(host, &settings.address_kinds);
        let mut found: Vec<IpAddr> = match found {
            Ok(found) => found.into_iter().map(|(address, _)| address).collect(),
            Err(failure) if settings.native_lookup => native(host).map_err(|_| lookup_detail(&failure))?,
            Err(failure) => return Err(lookup_detail(&failure)),
        };
        shuffle(settings, &mut found);
        found
    } else {
        native(host)?
    };
    let mut servers: Vec<Server> = addresses
        .into_iter()
        .filter(|address| settings.accepts_family(*address))
        .map(|address| Server { name: host.to_owned(), place: Place::Inet(address, port), preference })
        .collect();
    if let Some(first_v6) = settings.prefer_v6 {
        servers.sort_by_key(|server| matches!(&server.place, Place::Inet(IpAddr::V6(_), _)) != first_v6);
    }
    if servers.is_empty() { Err(no_server(host)) } else { Ok(servers) }
}

/// Lookup by the system's resolver (`smtp_host_lookup = native`).
fn native(host: &str) -> Result<Vec<IpAddr>, Detail> {
    match os_sys::net::addresses_of(host) {
        os_sys::net::NameLookup::Found(addresses) => Ok(addresses),
        os_sys::net::NameLookup::NotFound => Err(Detail::new(
            Dsn::new(5, 4, 4),
            format!("unable to look up host {host}: Name or service not known"),
        )),
        os_sys::net::NameLookup::Temporary(text) => {
            Err(Detail::new(Dsn::new(4, 4, 3), format!("unable to look up host {host}: {text}")))
        }
    }
}

fn no_server(host: &str) -> Detail {
    Detail::new(Dsn::new(4, 4, 4), format!("{host}: host not found"))
}

/// The status of a failed name lookup.
fn lookup_detail(failure: &LookupFailure) -> Detail {
    let dsn = match failure.cause {
        Cause::NotFound | Cause::NoData => Dsn::new(5, 4, 4),
        Cause::TryAgain | Cause::Malformed => Dsn::new(4, 4, 3),
        Cause::Fail => Dsn::new(5, 4, 3),
    };
    Detail::new(dsn, failure.to_string())
}

/// A soft error makes later hard ones soft.
pub fn worse(old: Option<Detail>, new: Detail) -> Detail {
    match old {
        Some(old) if old.dsn.class == 4 && new.dsn.class == 5 => soft(new),
        Some(_) | None => new,
    }
}

fn soft(detail: Detail) -> Detail {
    Detail { dsn: detail.dsn.with_class(4), ..detail }
}

/// `smtp_randomize_addresses`: by the clock's low bits, which is random enough to spread load.
fn shuffle<T>(settings: &Settings, items: &mut [T]) {
    if !settings.randomize_addresses {
        return;
    }
    let mut seed = os_sys::time::now().as_nanos() as u64 | 1;
    for at in (1..items.len()).rev() {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        items.swap(at, usize::try_from(seed % (at as u64 + 1)).unwrap_or(0));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn next_hops_are_parsed() {
        let inet = |host: &str, port, literal| Ok(Nexthop::Inet { host: host.into(), port, literal });
        for (text, lmtp, expected) in [
            ("example.com", false, inet("example.com", 25, false)),
            ("[example.com]:2525", false, inet("example.com", 2525, true)),
            ("[::1]:2525", false, inet("::1", 2525, true)),
            ("[IPv6:::1]", false, inet("::1", 25, true)),
            ("example.com:587", false, inet("example.com", 587, false)),
            ("inet:host:24", true, inet("host", 24, true)),
            ("unix:/run/lmtp", true, Ok(Nexthop::Unix("/run/lmtp".into()))),
        ] {
            assert_eq!(Nexthop::parse(text, lmtp, "25"), expected, "{text}");
        }
        assert!(Nexthop::parse("[x", false, "25").is_err());
        assert!(Nexthop::parse("x:no-such-service-name", false, "25").is_err());
    }
}
