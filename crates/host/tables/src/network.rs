//! Table protocols of other servers: `tcp` (tcp_table(5)) and `socketmap` (socketmap_table(5)).

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use mail_lookup::{Found, KeyClass, Lookup, LookupError};

use crate::open::{OpenError, reason};
use crate::{Flags, TableContext};

/// Longest wait for a server.
const TIMEOUT: Duration = Duration::from_secs(100);
/// Longest tcp_table reply, in bytes.
const MAX_TCP_REPLY: u64 = 4096;
/// How often a tcp_table server is tried, one second apart.
const TCP_TRIES: usize = 10;

trait Stream: Read + Write + Send {}
impl<T: Read + Write + Send> Stream for T {}

enum Address {
    Inet(String),
    Unix(String),
}

impl Address {
    fn connect(&self) -> std::io::Result<Box<dyn Stream>> {
        match self {
            Self::Inet(target) => {
                let mut last = std::io::Error::from(std::io::ErrorKind::NotFound);
                for address in target.to_socket_addrs()? {
                    match TcpStream::connect_timeout(&address, TIMEOUT) {
                        Ok(stream) => {
                            stream.set_read_timeout(Some(TIMEOUT))?;
                            stream.set_write_timeout(Some(TIMEOUT))?;
                            return Ok(Box::new(stream));
                        }
                        Err(error) => last = error,
                    }
                }
                Err(last)
            }
            Self::Unix(path) => {
                let stream = UnixStream::connect(path)?;
                stream.set_read_timeout(Some(TIMEOUT))?;
                stream.set_write_timeout(Some(TIMEOUT))?;
                Ok(Box::new(stream))
            }
        }
    }
}

type Connection = BufReader<Box<dyn Stream>>;

struct Network {
    name: String,
    address: Address,
    /// Map name of a socketmap server; `None`: tcp_table.
    map: Option<String>,
    max_reply: usize,
    connection: Mutex<Option<Connection>>,
}

pub(crate) fn tcp(name: &str, flags: Flags) -> Result<Arc<dyn Lookup>, OpenError> {
    if flags.paranoid {
        return Err(OpenError(format!("tcp:{name} map is not allowed for security sensitive data")));
    }
    Ok(Arc::new(Network {
        name: format!("tcp:{name}"),
        address: Address::Inet(name.to_owned()),
        map: None,
        max_reply: 0,
        connection: Mutex::new(None),
    }))
}

pub(crate) fn socketmap(name: &str, flags: Flags, cx: &TableContext) -> Result<Arc<dyn Lookup>, OpenError> {
    if flags.paranoid {
        return Err(OpenError(format!("socketmap:{name} map is not allowed for security-sensitive data")));
    }
    let Some((server, map)) =
        name.rsplit_once(':').filter(|(server, map)| !server.is_empty() && !map.is_empty())
    else {
        return Err(OpenError("socketmap requires server:socketmap argument".to_owned()));
    };
    let address = match server.split_once(':') {
        Some(("unix", path)) => Address::Unix(path.to_owned()),
        Some(("inet", target)) => Address::Inet(target.to_owned()),
        Some(_) | None => Address::Inet(server.to_owned()),
    };
    Ok(Arc::new(Network {
        name: format!("socketmap:{name}"),
        address,
        map: Some(map.to_owned()),
        max_reply: cx.inner.socketmap_max_reply_size,
        connection: Mutex::new(None),
    }))
}

impl Lookup for Network {
    fn lookup(&self, key: &str) -> Found {
        let mut slot = self.connection.lock().unwrap_or_else(PoisonError::into_inner);
        match &self.map {
            Some(map) => self.ask_socketmap(&mut slot, map, key),
            None => self.ask_tcp(&mut slot, key),
        }
    }
    fn class(&self) -> KeyClass {
        KeyClass::Pattern
    }
    fn name(&self) -> &str {
        &self.name
    }
}

impl Network {
    fn ask_tcp(&self, slot: &mut Option<Connection>, key: &str) -> Found {
        let request = format!("get {}\n", percent_encoded(key));
        let target = self.name.strip_prefix("tcp:").unwrap_or(&self.name);
        for attempt in 0..TCP_TRIES {
            if attempt > 0 {
                std::thread::sleep(Duration::from_secs(1));
            }
            if slot.is_none() {
                match self.address.connect() {
                    Ok(stream) => *slot = Some(BufReader::new(stream)),
                    Err(error) => {
                        os_log::warning!("connect to TCP map {target}: {}", reason(&error));
                        return Err(LookupError::Temporary(format!(
                            "connect to TCP map {target}: {}",
                            reason(&error)
                        )));
                    }
                }
            }
            let Some(connection) = slot.as_mut() else { continue };
            match exchange_line(connection, &request) {
                Ok(line) => {
                    let answer = tcp_answer(&line, target);
                    if answer.is_err() {
                        *slot = None;
                    }
                    return answer;
                }
                Err(error) => {
                    os_log::warning!("read TCP map reply from {target}: unexpected EOF ({})", reason(&error));
                    *slot = None;
                }
            }
        }
        Err(LookupError::Temporary(format!("no answer from TCP map {target}")))
    }

    fn ask_socketmap(&self, slot: &mut Option<Connection>, map: &str, key: &str) -> Found {
        let question = format!("{map} {key}");
        let request = format!("{}:{question},", question.len());
        let failed = |error: &std::io::Error| {
            let text = format!("table {} lookup error: {}", self.name, reason(error));
            os_log::warning!("{text}");
            LookupError::Temporary(text)
        };
        // A connection that was open before may have been closed by the server: try once more on a new one.
        let mut reused = slot.is_some();
        loop {
            if slot.is_none() {
                *slot = Some(BufReader::new(self.address.connect().map_err(|e| failed(&e))?));
            }
            let Some(connection) = slot.as_mut() else { continue };
            match exchange_netstring(connection, &request, self.max_reply) {
                Ok(reply) => return self.socketmap_answer(&reply),
                Err(_) if reused => {
                    *slot = None;
                    reused = false;
                }
                Err(error) => {
                    *slot = None;
                    return Err(failed(&error));
                }
            }
        }
    }

    fn socketmap_answer(&self, reply: &str) -> Found {
        let (status, text) = reply.split_once(' ').unwrap_or((reply, ""));
        let class = match status {
            "OK" => return Ok(Some(text.to_owned())),
            "NOTFOUND" => return Ok(None),
            "TEMP" => "temporary",
            "TIMEOUT" => "timeout",
            "PERM" => "permanent",
            _ => "unknown",
        };
        let text = if class == "unknown" { reply } else { text };
        let shown =
            mail_text::printable::printable(mail_text::printable::truncated(text, 200).as_bytes(), false);
        let ending = if shown.is_empty() { String::new() } else { format!(": {shown}") };
        os_log::warning!("{} socketmap server {class} error{ending}", self.name);
        Err(match class {
            "permanent" => LookupError::Configuration(shown),
            _ => LookupError::Temporary(shown),
        })
    }
}

fn exchange_line(connection: &mut Connection, request: &str) -> std::io::Result<Vec<u8>> {
    connection.get_mut().write_all(request.as_bytes())?;
    let mut line = Vec::new();
    connection.by_ref().take(MAX_TCP_REPLY).read_until(b'\n', &mut line)?;
    if line.is_empty() { Err(std::io::ErrorKind::UnexpectedEof.into()) } else { Ok(line) }
}

fn tcp_answer(line: &[u8], target: &str) -> Found {
    let text = String::from_utf8_lossy(line);
    let shown = || mail_text::printable::printable(line, false);
    let bad = |what: String| {
        let text = format!("read TCP map reply from {target}: {what}");
        os_log::warning!("{text}");
        LookupError::Temporary(text)
    };
    let Some(text) = text.strip_suffix('\n') else {
        return Err(bad(format!("text longer than {MAX_TCP_REPLY}")));
    };
    let (code, value) = text.trim_end_matches('\r').split_once(' ').unwrap_or((text, ""));
    let Some(value) = percent_decoded(value) else {
        return Err(bad(format!("malformed reply: {}", shown())));
    };
    match code {
        "200" => Ok(Some(value)),
        "500" => Ok(None),
        "400" => Err(LookupError::Temporary(value)),
        _ => Err(bad(format!("bad status code: {}", shown()))),
    }
}

fn exchange_netstring(connection: &mut Connection, request: &str, limit: usize) -> std::io::Result<String> {
    let bad = |text: &'static str| std::io::Error::new(std::io::ErrorKind::InvalidData, text);
    connection.get_mut().write_all(request.as_bytes())?;
    let mut length = Vec::new();
    connection.by_ref().take(20).read_until(b':', &mut length)?;
    if length.is_empty() {
        return Err(std::io::ErrorKind::UnexpectedEof.into());
    }
    let digits = length.strip_suffix(b":").ok_or(bad("netstring format error"))?;
    let length: usize =
        std::str::from_utf8(digits).ok().and_then(|d| d.parse().ok()).ok_or(bad("netstring format error"))?;
    if length > limit {
        return Err(bad("netstring size limit exceeded"));
    }
    let mut data = vec![0; length + 1];
    connection.read_exact(&mut data)?;
    if data.pop() != Some(b',') {
        return Err(bad("netstring format error"));
    }
    Ok(String::from_utf8_lossy(&data).into_owned())
}

fn percent_encoded(text: &str) -> String {
    use std::fmt::Write as _;
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_graphic() && byte != b'%' {
            out.push(char::from(byte));
        } else {
            let _ = write!(out, "%{byte:02x}");
        }
    }
    out
}

fn percent_decoded(text: &str) -> Option<String> {
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        if byte == b'%' {
            let high = char::from(bytes.next()?).to_digit(16)?;
            let low = char::from(bytes.next()?).to_digit(16)?;
            out.push(u8::try_from(high * 16 + low).ok()?);
        } else {
            out.push(byte);
        }
    }
    Some(String::from_utf8_lossy(&out).into_owned())
}
