//! resolv.conf(5): name servers, timeout, attempts.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;
use std::time::Duration;

/// Bytes read of the file.
const FILE_LIMIT: usize = 64 * 1024;
/// Name servers used (as resolver(5) MAXNS).
const SERVER_LIMIT: usize = 3;

/// Where and how to ask.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResolvConf {
    /// In the order to try.
    pub servers: Vec<SocketAddr>,
    /// For one try at one server.
    pub timeout: Duration,
    /// Rounds over all servers.
    pub attempts: u32,
}

impl Default for ResolvConf {
    fn default() -> Self {
        Self {
            servers: vec![SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 53)],
            timeout: Duration::from_secs(5),
            attempts: 2,
        }
    }
}

impl ResolvConf {
    /// Reads `path`; a missing file gives the defaults, as with resolver(3).
    #[must_use]
    pub fn read(path: &Path) -> Self {
        let mut text = std::fs::read(path).unwrap_or_default();
        text.truncate(FILE_LIMIT);
        Self::parse(&String::from_utf8_lossy(&text))
    }

    /// Parses the text of the file.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        let mut conf = Self { servers: Vec::new(), ..Self::default() };
        for line in text.lines() {
            let mut words = line.split_ascii_whitespace();
            match words.next() {
                Some("nameserver") => conf.servers.extend(words.next().and_then(server)),
                Some("options") => words.for_each(|word| conf.option(word)),
                _ => {}
            }
        }
        conf.servers.truncate(SERVER_LIMIT);
        if conf.servers.is_empty() {
            conf.servers = Self::default().servers;
        }
        conf
    }

    fn option(&mut self, word: &str) {
        let number = |text: &str| text.parse::<u32>().ok();
        if let Some(seconds) = word.strip_prefix("timeout:").and_then(number) {
            self.timeout = Duration::from_secs(u64::from(seconds.clamp(1, 30)));
        } else if let Some(count) = word.strip_prefix("attempts:").and_then(number) {
            self.attempts = count.clamp(1, 5);
        }
    }
}

fn server(word: &str) -> Option<SocketAddr> {
    let address = word.split('%').next()?.parse().ok()?;
    Some(SocketAddr::new(address, 53))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_and_options_are_read_and_bounded() {
        let conf = ResolvConf::parse(
            "# x\nnameserver 192.0.2.1\nnameserver 2001:db8::1\nnameserver x\noptions timeout:99 attempts:1 rotate\n",
        );
        assert_eq!(conf.servers.len(), 2);
        assert_eq!((conf.timeout, conf.attempts), (Duration::from_secs(30), 1));
        assert_eq!(ResolvConf::parse("").servers.len(), 1);
    }
}
