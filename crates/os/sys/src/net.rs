//! Names of addresses, own interfaces.

use std::ffi::{CStr, CString};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::AsRawFd;

use nix::net::if_::InterfaceFlags;
use nix::sys::socket::{self, AddressFamily, SockFlag, SockType, SockaddrLike, SockaddrStorage, sockopt};

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
pub fn name_of(address: IpAddr) -> NameLookup<String> {
    let storage = SockaddrStorage::from(SocketAddr::new(address, 0));
    let mut name = [0u8; 1025]; // NI_MAXHOST
    // SAFETY: the address and its length describe a valid sockaddr; the buffer has the stated length and is
    // NUL-terminated on success.
    let status = unsafe {
        libc::getnameinfo(
            storage.as_ptr(),
            storage.len(),
            name.as_mut_ptr().cast(),
            1025,
            std::ptr::null_mut(),
            0,
            libc::NI_NAMEREQD,
        )
    };
    match status {
        0 => match CStr::from_bytes_until_nul(&name).ok().and_then(|name| name.to_str().ok()) {
            Some(name) => NameLookup::Found(name.to_owned()),
            None => NameLookup::NotFound,
        },
        status => failure(status),
    }
}

/// The addresses of a name: getaddrinfo(3).
#[must_use]
pub fn addresses_of(name: &str) -> NameLookup<Vec<IpAddr>> {
    match address_info(Some(name), None) {
        Ok(found) => NameLookup::Found(found.iter().map(SocketAddr::ip).collect()),
        Err(status) => failure(status),
    }
}

/// The same, with the library's text (gai_strerror(3)) for a failure.
///
/// # Errors
/// That text.
pub fn host_addresses(name: &str) -> Result<Vec<IpAddr>, String> {
    match address_info(Some(name), None) {
        Ok(found) => Ok(found.iter().map(SocketAddr::ip).collect()),
        Err(status) => Err(status_text(status)),
    }
}

fn status_text(status: libc::c_int) -> String {
    // SAFETY: gai_strerror gives a static string for any number.
    let text = unsafe { CStr::from_ptr(libc::gai_strerror(status)) };
    text.to_string_lossy().into_owned()
}

fn failure<T>(status: libc::c_int) -> NameLookup<T> {
    match status {
        libc::EAI_NONAME | libc::EAI_NODATA => NameLookup::NotFound,
        status => NameLookup::Temporary(status_text(status)),
    }
}

/// getaddrinfo(3) for stream sockets: the addresses in the library's order, each once.
fn address_info(name: Option<&str>, service: Option<&str>) -> Result<Vec<SocketAddr>, libc::c_int> {
    let text = |text: Option<&str>| text.map(CString::new).transpose().map_err(|_| libc::EAI_NONAME);
    let (name, service) = (text(name)?, text(service)?);
    let pointer = |text: &Option<CString>| text.as_ref().map_or(std::ptr::null(), |text| text.as_ptr());
    // SAFETY: an all-zero addrinfo is a valid "no wishes" value.
    let mut hints: libc::addrinfo = unsafe { std::mem::zeroed() };
    hints.ai_socktype = libc::SOCK_STREAM;
    let mut list: *mut libc::addrinfo = std::ptr::null_mut();
    // SAFETY: the strings are NUL-terminated or null, `list` receives the result.
    let status =
        unsafe { libc::getaddrinfo(pointer(&name), pointer(&service), &raw const hints, &raw mut list) };
    if status != 0 {
        return Err(status);
    }
    let mut found = Vec::new();
    let mut item = list;
    while !item.is_null() {
        // SAFETY: `item` is an element of the list that getaddrinfo made; it is freed only below.
        let entry = unsafe { &*item };
        // SAFETY: ai_addr points to ai_addrlen bytes of a socket address.
        let address = unsafe { SockaddrStorage::from_raw(entry.ai_addr, Some(entry.ai_addrlen)) };
        let address = address.and_then(|address| {
            let v4 = address.as_sockaddr_in().map(|v4| SocketAddr::V4((*v4).into()));
            v4.or_else(|| address.as_sockaddr_in6().map(|v6| SocketAddr::V6((*v6).into())))
        });
        if let Some(address) = address
            && !found.contains(&address)
        {
            found.push(address);
        }
        item = entry.ai_next;
    }
    // SAFETY: made by getaddrinfo, freed once, no reference into it is left.
    unsafe { libc::freeaddrinfo(list) };
    Ok(found)
}

/// Addresses of the interfaces that are up, with their network prefix lengths.
///
/// # Errors
/// Those of getifaddrs(3).
pub fn interfaces() -> io::Result<Vec<(IpAddr, u8)>> {
    let up = nix::ifaddrs::getifaddrs()?.filter(|one| one.flags.contains(InterfaceFlags::IFF_UP));
    Ok(up
        .filter_map(|one| {
            let address = ip(one.address.as_ref()?)?;
            let width = if address.is_ipv4() { 32 } else { 128 };
            let ones = one.netmask.as_ref().and_then(ip).map_or(width, |mask| match mask {
                IpAddr::V4(mask) => u32::from(mask).count_ones(),
                IpAddr::V6(mask) => u128::from(mask).count_ones(),
            });
            Some((address, u8::try_from(ones).unwrap_or(u8::MAX)))
        })
        .collect())
}

fn ip(address: &SockaddrStorage) -> Option<IpAddr> {
    let v4 = address.as_sockaddr_in().map(|v4| IpAddr::V4(v4.ip()));
    v4.or_else(|| address.as_sockaddr_in6().map(|v6| IpAddr::V6(v6.ip())))
}

/// A TCP listener with SO_REUSEADDR and this backlog, non-blocking, close-on-exec.
///
/// # Errors
/// Those of socket(2), bind(2), listen(2).
pub fn listen(address: SocketAddr, backlog: i32) -> io::Result<std::net::TcpListener> {
    let family = if address.is_ipv4() { AddressFamily::Inet } else { AddressFamily::Inet6 };
    let flags = SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC;
    let fd = socket::socket(family, SockType::Stream, flags, None)?;
    socket::setsockopt(&fd, sockopt::ReuseAddr, &true)?;
    if address.is_ipv6() {
        socket::setsockopt(&fd, sockopt::Ipv6V6Only, &true)?;
    }
    socket::bind(fd.as_raw_fd(), &SockaddrStorage::from(address))?;
    socket::listen(&fd, socket::Backlog::new(backlog.max(1)).unwrap_or(socket::Backlog::MAXCONN))?;
    Ok(fd.into())
}

/// The port of a service name (`/etc/services`), or a number.
#[must_use]
pub fn service_port(name: &str) -> Option<u16> {
    if name.bytes().all(|byte| byte.is_ascii_digit()) {
        return name.parse().ok();
    }
    address_info(None, Some(name)).ok()?.first().map(SocketAddr::port)
}

/// Connects from this own address within `timeout` (`postconf(5) smtp_bind_address`).
///
/// # Errors
/// Those of socket(2), bind(2), connect(2); `TimedOut`.
pub fn connect_from(
    from: IpAddr,
    to: SocketAddr,
    timeout: std::time::Duration,
) -> io::Result<std::net::TcpStream> {
    use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
    use nix::sys::socket::{
        AddressFamily, SockFlag, SockType, SockaddrStorage, bind, connect, getsockopt, socket, sockopt,
    };
    use std::os::fd::{AsFd, AsRawFd};

    let family = if to.is_ipv4() { AddressFamily::Inet } else { AddressFamily::Inet6 };
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let descriptor = socket(family, SockType::Stream, flags, None)?;
    bind(descriptor.as_raw_fd(), &SockaddrStorage::from(SocketAddr::new(from, 0)))?;
    match connect(descriptor.as_raw_fd(), &SockaddrStorage::from(to)) {
        Ok(()) => {}
        Err(nix::errno::Errno::EINPROGRESS) => {
            let limit = PollTimeout::try_from(timeout).unwrap_or(PollTimeout::MAX);
            if poll(&mut [PollFd::new(descriptor.as_fd(), PollFlags::POLLOUT)], limit)? == 0 {
                return Err(io::ErrorKind::TimedOut.into());
            }
            let error = getsockopt(&descriptor, sockopt::SocketError)?;
            if error != 0 {
                return Err(io::Error::from_raw_os_error(error));
            }
        }
        Err(error) => return Err(error.into()),
    }
    let stream = std::net::TcpStream::from(descriptor);
    stream.set_nonblocking(false)?;
    Ok(stream)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_have_names_and_numbers() {
        assert_eq!(service_port("2525"), Some(2525));
        assert_eq!(service_port("99999"), None);
        assert_eq!(service_port("no-such-service"), None);
    }

    #[test]
    fn the_loopback_interface_has_its_prefix() {
        let found = interfaces().unwrap();
        assert!(found.iter().any(|(ip, prefix)| ip.to_string() == "127.0.0.1" && *prefix == 8));
    }

    #[test]
    fn a_numeric_name_is_its_own_address() {
        assert_eq!(addresses_of("127.0.0.1"), NameLookup::Found(vec![IpAddr::from([127, 0, 0, 1])]));
    }

    #[test]
    fn a_listener_accepts() {
        let listener = listen("127.0.0.1:0".parse().unwrap(), 5).unwrap();
        let client = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        assert_eq!(listener.accept().unwrap().1, client.local_addr().unwrap());
    }
}
