//! `-S`: the one client is on standard input and output. It is put behind a socket pair, so that services need not know.

use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::thread::JoinHandle;

use crate::client::{Client, Session, Stream};

/// The client and what copies its data.
#[derive(Debug)]
pub(crate) struct Standalone {
    output: JoinHandle<()>,
}

impl Standalone {
    /// Starts copying; the client's stream blocks or not.
    ///
    /// # Errors
    /// Those of socketpair(2) and of thread creation.
    pub(crate) fn start(nonblocking: bool) -> io::Result<(Client, Self)> {
        let (service, outside) = UnixStream::pair()?;
        service.set_nonblocking(nonblocking)?;
        let from_service = outside.try_clone()?;
        // Not joined: it may wait for input for ever after the session's end.
        std::thread::Builder::new().name("input".into()).spawn(move || {
            copy(io::stdin(), &outside);
            let _ = outside.shutdown(Shutdown::Write);
        })?;
        let output = std::thread::Builder::new()
            .name("output".into())
            .spawn(move || copy(from_service, io::stdout()))?;
        Ok((Client::from_stream(Stream::Unix(service), Session::default()), Self { output }))
    }

    /// Waits until all output is out. The service's end of the stream must be closed.
    pub(crate) fn finish(self) {
        let _ = self.output.join();
    }
}

fn copy(mut from: impl Read, mut to: impl Write) {
    let mut buffer = vec![0u8; 64 * 1024];
    loop {
        let length = match from.read(&mut buffer) {
            Ok(0) => return,
            Ok(length) => length,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(_) => return,
        };
        let chunk = buffer.get(..length).unwrap_or_default();
        if to.write_all(chunk).and_then(|()| to.flush()).is_err() {
            return;
        }
    }
}
