//! A scripted SMTP client on a raw socket.

use crate::wait::DEADLINE;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// One SMTP connection; every method waits at most [`DEADLINE`].
pub struct Client {
    stream: BufReader<TcpStream>,
}

impl Client {
    /// Connects, without reading the banner.
    pub fn connect(to: SocketAddr) -> Self {
        let stream = TcpStream::connect(to).unwrap_or_else(|error| panic!("connect to {to}: {error}"));
        stream.set_read_timeout(Some(DEADLINE)).expect("read timeout");
        stream.set_nodelay(true).expect("nodelay");
        Self { stream: BufReader::new(stream) }
    }

    /// Connects with another limit for each read; `None` when refused.
    pub fn try_connect(to: SocketAddr, limit: Duration) -> Option<Self> {
        let stream = TcpStream::connect(to).ok()?;
        stream.set_read_timeout(Some(limit)).ok()?;
        stream.set_nodelay(true).ok()?;
        Some(Self { stream: BufReader::new(stream) })
    }

    /// Sends bytes as they are. A connection that the server has closed is no error here: the next read shows it.
    pub fn raw(&mut self, bytes: impl AsRef<[u8]>) {
        let _ = self.stream.get_mut().write_all(bytes.as_ref());
    }

    /// Sends one line with CRLF.
    pub fn send(&mut self, line: &str) {
        self.raw(format!("{line}\r\n"));
    }

    /// Reads one reply: its lines without CR, joined by LF. The empty string when the server has closed.
    pub fn reply(&mut self) -> String {
        let mut lines: Vec<String> = Vec::new();
        loop {
            let mut line = Vec::new();
            match self.stream.read_until(b'\n', &mut line) {
                Ok(0) | Err(_) => return lines.join("\n"),
                Ok(_) => {}
            }
            let text = String::from_utf8_lossy(&line).into_owned();
            let Some(text) = text.strip_suffix("\r\n") else { panic!("reply line without CRLF: {text:?}") };
            lines.push(text.to_owned());
            if text.as_bytes().get(3) != Some(&b'-') {
                return lines.join("\n");
            }
        }
    }

    /// Reads the greeting.
    pub fn banner(&mut self) -> String {
        self.reply()
    }

    /// Sends a line and reads its reply.
    pub fn cmd(&mut self, line: &str) -> String {
        self.send(line);
        self.reply()
    }

    /// Sends the content of a message (lines separated by LF) with dots stuffed and the closing dot; reads the reply.
    pub fn content(&mut self, text: &str) -> String {
        let mut wire = String::new();
        for line in text.lines() {
            if line.starts_with('.') {
                wire.push('.');
            }
            wire.push_str(line);
            wire.push_str("\r\n");
        }
        wire.push_str(".\r\n");
        self.raw(wire);
        self.reply()
    }

    /// One whole transaction: MAIL, RCPT for each of `to`, DATA, content. Returns the last reply; panics when a
    /// step before it is refused.
    pub fn transaction(&mut self, from: &str, to: &[&str], text: &str) -> String {
        let mut steps = vec![format!("MAIL FROM:<{from}>")];
        steps.extend(to.iter().map(|rcpt| format!("RCPT TO:<{rcpt}>")));
        for step in steps {
            let reply = self.cmd(&step);
            assert!(reply.starts_with("250"), "{step}: {reply}");
        }
        let reply = self.cmd("DATA");
        assert!(reply.starts_with("354"), "DATA: {reply}");
        self.content(text)
    }

    /// True when the server has closed the connection with nothing more to read.
    pub fn closed(&mut self) -> bool {
        let mut byte = [0u8; 1];
        match self.stream.read(&mut byte) {
            Ok(0) => true,
            Ok(_) => false,
            Err(error) => error.kind() == std::io::ErrorKind::ConnectionReset,
        }
    }
}
