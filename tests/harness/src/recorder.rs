//! Real requests, taken from the sockets of a running instance.

use crate::Mta;
use std::io::{Read, Write};
use std::net::Shutdown;
use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

/// What one client sent over one connection.
#[derive(Clone, Debug)]
pub struct Request {
    /// The socket below the queue directory, such as `private/bounce`.
    pub service: String,
    /// All that was sent.
    pub bytes: Vec<u8>,
}

/// Stands between clients and the daemons of an instance, and records what clients send.
pub struct Recorder {
    seen: Arc<Mutex<Vec<Request>>>,
    moved: Vec<(PathBuf, PathBuf)>,
}

impl Recorder {
    /// Puts a socket of its own in the place of each stream socket of `mta`.
    pub fn start(mta: &Mta) -> Self {
        let mut recorder = Self { seen: Arc::default(), moved: Vec::new() };
        for service in stream_services(mta) {
            recorder.tap(mta.spool(), &service);
        }
        recorder
    }

    /// Puts the daemons' sockets back; what was recorded.
    pub fn stop(self) -> Vec<Request> {
        for (path, real) in &self.moved {
            std::fs::rename(real, path).expect("put the socket back");
        }
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.iter().filter(|request| !request.bytes.is_empty()).cloned().collect()
    }

    fn tap(&mut self, spool: &Path, service: &str) {
        let path = spool.join(service);
        let real = path.with_extension("real");
        std::fs::rename(&path, &real).expect("move the socket");
        let listener = UnixListener::bind(&path).expect("bind in place of the socket");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o666)).expect("chmod");
        self.moved.push((path, real.clone()));
        let (seen, service) = (Arc::clone(&self.seen), service.to_owned());
        // Ends with the process of the test: nobody can connect once the socket is back.
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                // The daemon's socket may be back in its place by now.
                let Ok(server) = UnixStream::connect(&real) else { continue };
                relay(client, server, &seen, &service);
            }
        });
    }
}

/// The stream sockets of an instance, such as `private/bounce`.
pub fn stream_services(mta: &Mta) -> Vec<String> {
    let mut list = Vec::new();
    for dir in ["public", "private"] {
        for entry in std::fs::read_dir(mta.spool().join(dir)).expect("sockets").flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            let is_socket = entry.file_type().is_ok_and(|kind| kind.is_socket());
            if is_socket && name != "postlog" {
                list.push(format!("{dir}/{name}"));
            }
        }
    }
    list.sort();
    list
}

fn relay(client: UnixStream, server: UnixStream, seen: &Arc<Mutex<Vec<Request>>>, service: &str) {
    let (Ok(from), Ok(to)) = (server.try_clone(), client.try_clone()) else { return };
    std::thread::spawn(move || copy(from, to, |_| ()));
    let index = {
        let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.push(Request { service: service.to_owned(), bytes: Vec::new() });
        seen.len() - 1
    };
    let seen = Arc::clone(seen);
    std::thread::spawn(move || {
        copy(client, server, |bytes| {
            let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(request) = seen.get_mut(index) {
                request.bytes.extend_from_slice(bytes);
            }
        });
    });
}

fn copy(mut from: UnixStream, mut to: UnixStream, mut each: impl FnMut(&[u8])) {
    let mut buffer = [0; 8192];
    while let Ok(count @ 1..) = from.read(&mut buffer) {
        let bytes = buffer.get(..count).unwrap_or(&[]);
        each(bytes);
        if to.write_all(bytes).is_err() {
            break;
        }
    }
    let _ = to.shutdown(Shutdown::Write);
    let _ = from.shutdown(Shutdown::Read);
}
