//! Waking services up at intervals: a `W` to their socket (`internal-protocols.md` §1.4).

use std::io::{self, Write};
use std::net::TcpStream;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use host_config::master_cf::ServiceType;

use crate::endpoint::Endpoint;
use crate::service::Service;

/// Time limit for a wake-up over TCP.
const LIMIT: Duration = Duration::from_secs(1);

/// Wakes the service up; failures are logged.
pub(crate) fn wake(service: &Service) {
    let result = match &service.endpoint {
        Endpoint::Addresses(addresses) => addresses.first().map_or(Ok(()), |address| {
            TcpStream::connect_timeout(address, LIMIT).and_then(|mut stream| stream.write_all(b"W"))
        }),
        Endpoint::Path(path) => match service.entry.kind {
            ServiceType::Unix | ServiceType::Inet => proto_ipc::trigger::send_socket(path, b"W"),
            ServiceType::Fifo => proto_ipc::trigger::send(path, b"W"),
            ServiceType::Pass => pass(path),
            ServiceType::UnixDgram => Err(nix::errno::Errno::EOPNOTSUPP.into()),
        },
    };
    if let Err(error) = result {
        os_log::warning!(
            "master_wakeup_timer_event: service {}({}): {}",
            service.entry.name,
            service.internal_name(),
            os_sys::error_text(&error)
        );
    }
}

/// The `W` comes through a pipe that is passed over the socket.
fn pass(path: &Path) -> io::Result<()> {
    let (read_end, write_end): (OwnedFd, OwnedFd) = nix::unistd::pipe()?;
    nix::unistd::write(&write_end, b"W\0")?;
    let stream = UnixStream::connect(path)?;
    os_sys::fd::send(stream.as_fd(), read_end.as_fd())
}
