//! Names of addresses, own interfaces.

use std::io;
use std::net::{IpAddr, SocketAddr};

/// What a name lookup gave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NameLookup<T> {
    /// An answer.
    Found(T),
    /// Authoritatively none.
    NotFound,
    /// Try again later; the resolver's text.
    Temporary(String),
}

/// The host name of an address: getnameinfo(3) with NI_NAMEREQD.
#[must_use]
pub fn name_of(_address: IpAddr) -> NameLookup<String> {
    todo!("os")
}

/// The addresses of a name: getaddrinfo(3).
#[must_use]
pub fn addresses_of(_name: &str) -> NameLookup<Vec<IpAddr>> {
    todo!("os")
}

/// Addresses of the interfaces that are up, with their network prefix lengths.
///
/// # Errors
/// Those of getifaddrs(3).
pub fn interfaces() -> io::Result<Vec<(IpAddr, u8)>> {
    todo!("os")
}

/// A TCP listener with SO_REUSEADDR and this backlog, non-blocking, close-on-exec.
///
/// # Errors
/// Those of socket(2), bind(2), listen(2).
pub fn listen(_address: SocketAddr, _backlog: i32) -> io::Result<std::net::TcpListener> {
    todo!("os")
}

/// The port of a service name (`/etc/services`), or a number.
#[must_use]
pub fn service_port(_name: &str) -> Option<u16> {
    todo!("os")
}
