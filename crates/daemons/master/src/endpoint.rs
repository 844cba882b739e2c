//! The sockets of a service: names, addresses, creation.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::os::unix::net::{UnixDatagram, UnixListener};
use std::path::{Path, PathBuf};

use host_config::master_cf::{Entry, ServiceType};
use host_config::{Config, param};
use nix::sys::socket::{Backlog, listen};
use os_sys::error_text;

/// Where clients find a service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Endpoint {
    /// TCP addresses.
    Addresses(Vec<SocketAddr>),
    /// A path below the queue directory.
    Path(PathBuf),
}

impl Endpoint {
    /// The endpoint of an entry.
    ///
    /// # Errors
    /// The text of the fatal record, without file and line.
    pub(crate) fn of(entry: &Entry, config: &Config) -> Result<Self, String> {
        if entry.kind != ServiceType::Inet {
            let directory = if entry.private { "private" } else { "public" };
            return Ok(Self::Path(Path::new(directory).join(&entry.name)));
        }
        let (host, service) = host_and_port(&entry.name)?;
        let port = config.port(service).map_err(|error| error.0)?;
        let port = port.ok_or_else(|| format!("bad hostname or network address: {}", entry.name))?;
        let addresses = match host {
            "" => interface_addresses(config)?,
            host => host_addresses(host, config)?,
        };
        Ok(Self::Addresses(addresses.into_iter().map(|ip| SocketAddr::new(ip, port)).collect()))
    }

    /// Whether only this machine's processes can be clients.
    pub(crate) fn is_local(&self, kind: ServiceType) -> bool {
        match self {
            Self::Addresses(addresses) => addresses.iter().all(|address| address.ip().is_loopback()),
            Self::Path(_) => kind != ServiceType::Pass,
        }
    }

    /// Creates the listening sockets.
    ///
    /// # Errors
    /// The text of the fatal record.
    pub(crate) fn listen(&self, kind: ServiceType, backlog: i32) -> Result<Vec<OwnedFd>, String> {
        match self {
            Self::Addresses(addresses) => {
                let wildcards = addresses.len() > 1;
                let mut sockets = Vec::new();
                for address in addresses {
                    match os_sys::net::listen(*address, backlog) {
                        Ok(listener) => sockets.push(listener.into()),
                        Err(error) if wildcards && is_missing_ipv6(*address, &error) => {}
                        Err(error) => {
                            let (ip, port) = (address.ip(), address.port());
                            return Err(format!("bind {ip} port {port}: {}", error_text(&error)));
                        }
                    }
                }
                Ok(sockets)
            }
            Self::Path(path) => {
                let made = create(path, kind, backlog);
                let verb = if kind == ServiceType::Fifo { "create" } else { "bind" };
                made.map(|one| vec![one])
                    .map_err(|error| format!("{verb} {}: {}", path.display(), error_text(&error)))
            }
        }
    }

    /// The name in parentheses in messages, and its place.
    pub(crate) fn internal_name(&self, entry: &Entry) -> String {
        match self {
            Self::Path(path) => path.display().to_string(),
            Self::Addresses(addresses) => {
                let port = addresses.first().map_or(0, SocketAddr::port);
                match host_and_port(&entry.name) {
                    Ok((host, _)) if !host.is_empty() => format!("[{host}]:{port}"),
                    Ok(_) | Err(_) => port.to_string(),
                }
            }
        }
    }

    /// Removes what stands in the file system.
    pub(crate) fn remove(&self) {
        if let Self::Path(path) = self
            && let Err(error) = fs::remove_file(path)
        {
            os_log::warning!("remove {}: {}", path.display(), error_text(&error));
        }
    }
}

/// A kernel without IPv6.
fn is_missing_ipv6(address: SocketAddr, error: &io::Error) -> bool {
    let number = error.raw_os_error().map(nix::errno::Errno::from_raw);
    address.is_ipv6()
        && matches!(number, Some(nix::errno::Errno::EAFNOSUPPORT | nix::errno::Errno::EADDRNOTAVAIL))
}

/// Makes a socket or FIFO in the file system, in place of a stale one.
fn create(path: &Path, kind: ServiceType, backlog: i32) -> io::Result<OwnedFd> {
    match fs::remove_file(path) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    let mode = |mode: u32| fs::set_permissions(path, Permissions::from_mode(mode));
    match kind {
        ServiceType::Fifo => {
            nix::unistd::mkfifo(path, nix::sys::stat::Mode::S_IRUSR | nix::sys::stat::Mode::S_IWUSR)?;
            mode(0o622)?;
            let flags = nix::fcntl::OFlag::O_NONBLOCK.bits();
            let file: File = OpenOptions::new().read(true).write(true).custom_flags(flags).open(path)?;
            Ok(file.into())
        }
        ServiceType::UnixDgram => {
            let socket = UnixDatagram::bind(path)?;
            mode(0o666)?;
            socket.set_nonblocking(true)?;
            Ok(socket.into())
        }
        ServiceType::Unix | ServiceType::Pass | ServiceType::Inet => {
            let listener = UnixListener::bind(path)?;
            mode(0o666)?;
            listener.set_nonblocking(true)?;
            listen(&listener, Backlog::new(backlog.max(1)).unwrap_or(Backlog::MAXCONN))?;
            Ok(listener.into())
        }
    }
}

/// `port`, `:port`, `host:port`, `[address]:port`.
fn host_and_port(name: &str) -> Result<(&str, &str), String> {
    let (host, port) = match name.strip_prefix('[') {
        Some(rest) => match rest.split_once(']') {
            Some((host, after)) => (host, after.strip_prefix(':').unwrap_or(after)),
            None => return Err(format!("missing ']' in \"{name}\"")),
        },
        None => match name.rsplit_once(':') {
            Some((host, port)) if !host.contains(':') => (host, port),
            Some(_) => return Err(format!("valid hostname or network address required in \"{name}\"")),
            None => ("", name),
        },
    };
    if port.is_empty() { Err(format!("missing service name in \"{name}\"")) } else { Ok((host, port)) }
}

/// Where a service without host listens: `inet_interfaces`.
fn interface_addresses(config: &Config) -> Result<Vec<IpAddr>, String> {
    let (v4, v6) = config.protocols().map_err(|error| error.0)?;
    if config.str(param::INET_INTERFACES).map_err(|error| error.0)? == "all" {
        let wildcards =
            [(v4, IpAddr::from(Ipv4Addr::UNSPECIFIED)), (v6, IpAddr::from(Ipv6Addr::UNSPECIFIED))];
        return Ok(wildcards.into_iter().filter_map(|(wanted, ip)| wanted.then_some(ip)).collect());
    }
    let own = config.own_interfaces().map_err(|error| error.0)?;
    let mut addresses: Vec<IpAddr> = Vec::new();
    for (ip, _) in own {
        if !addresses.contains(&ip) {
            addresses.push(ip);
        }
    }
    if addresses.is_empty() {
        return Err(
            "service definition requires valid host name or address, or non-empty inet_interfaces setting"
                .to_owned(),
        );
    }
    Ok(addresses)
}

fn host_addresses(host: &str, config: &Config) -> Result<Vec<IpAddr>, String> {
    let (v4, v6) = config.protocols().map_err(|error| error.0)?;
    let found = match host.parse::<IpAddr>() {
        Ok(ip) => vec![ip],
        Err(_) => match os_sys::net::addresses_of(host) {
            os_sys::net::NameLookup::Found(found) => found,
            os_sys::net::NameLookup::NotFound | os_sys::net::NameLookup::Temporary(_) => {
                return Err(format!("bad hostname or network address: {host}"));
            }
        },
    };
    let usable: Vec<IpAddr> = found.into_iter().filter(|ip| if ip.is_ipv4() { v4 } else { v6 }).collect();
    if usable.is_empty() { Err(format!("no valid IP address found: {host}")) } else { Ok(usable) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_split_into_host_and_port() {
        let cases = [
            ("smtp", Ok(("", "smtp"))),
            (":25", Ok(("", "25"))),
            ("127.0.0.1:25", Ok(("127.0.0.1", "25"))),
            ("[::1]:25", Ok(("::1", "25"))),
            ("localhost:", Err("missing service name in \"localhost:\"".to_owned())),
        ];
        for (name, expected) in cases {
            assert_eq!(host_and_port(name), expected, "{name}");
        }
    }
}
