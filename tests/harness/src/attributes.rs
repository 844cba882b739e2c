//! A raw client of the attribute protocol, which shares no code with the programs under test.

use crate::wait::DEADLINE;
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::net::UnixStream;
use std::path::Path;

/// A connection to a service below `private/` or `public/`.
pub struct Attributes {
    reader: BufReader<UnixStream>,
}

impl Attributes {
    /// Connects, and reads the announcement of the protocol.
    pub fn connect(path: &Path) -> Self {
        let stream = UnixStream::connect(path)
            .unwrap_or_else(|error| panic!("connect to {}: {error}", path.display()));
        stream.set_read_timeout(Some(DEADLINE)).expect("set timeout");
        let mut client = Self { reader: BufReader::new(stream) };
        let announced = client.receive();
        assert!(matches!(&announced[..], [(name, _)] if name == "protocol"), "{announced:?}");
        client
    }

    /// Sends one list of attributes and reads the list that answers it; empty when the server hangs up.
    pub fn ask(&mut self, request: &[(&str, &str)]) -> Vec<(String, String)> {
        let mut bytes = Vec::new();
        for (name, value) in request {
            for part in [name, value] {
                bytes.extend_from_slice(part.as_bytes());
                bytes.push(0);
            }
        }
        bytes.push(0);
        if self.reader.get_mut().write_all(&bytes).is_err() {
            return Vec::new();
        }
        self.receive()
    }

    fn receive(&mut self) -> Vec<(String, String)> {
        let mut list = Vec::new();
        loop {
            let name = self.word();
            if name.is_empty() {
                return list;
            }
            list.push((name, self.word()));
        }
    }

    fn word(&mut self) -> String {
        let mut bytes = Vec::new();
        self.reader.read_until(0, &mut bytes).expect("read from a service");
        bytes.pop();
        String::from_utf8_lossy(&bytes).into_owned()
    }
}
