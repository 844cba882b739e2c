//! What a server says that it can do (EHLO and LHLO replies).

use super::Reply;
use crate::keywords::Keywords;

/// Attributes that the server takes in XFORWARD.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[allow(clippy::struct_excessive_bools)] // one flag an attribute, as announced
pub struct XforwardSupport {
    /// NAME
    pub name: bool,
    /// ADDR
    pub addr: bool,
    /// PORT
    pub port: bool,
    /// PROTO
    pub proto: bool,
    /// HELO
    pub helo: bool,
    /// IDENT
    pub ident: bool,
    /// SOURCE
    pub source: bool,
}

/// Capabilities.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[allow(clippy::struct_excessive_bools)] // one flag a keyword, as announced
pub struct Features {
    /// The server spoke EHLO or LHLO.
    pub extended: bool,
    /// 8BITMIME (RFC 6152).
    pub eight_bit: bool,
    /// PIPELINING (RFC 2920).
    pub pipelining: bool,
    /// SIZE (RFC 1870); the limit in bytes, 0 for none.
    pub size: Option<u64>,
    /// STARTTLS (RFC 3207).
    pub starttls: bool,
    /// AUTH (RFC 4954).
    pub auth: bool,
    /// DSN (RFC 3461).
    pub dsn: bool,
    /// SMTPUTF8 (RFC 6531).
    pub smtputf8: bool,
    /// XFORWARD.
    pub xforward: XforwardSupport,
}

impl Features {
    /// From the reply to EHLO or LHLO. The words in `discard` are ignored.
    #[must_use]
    pub fn parse(reply: &Reply, discard: Keywords) -> Self {
        let mut features = Self { extended: true, ..Self::default() };
        for line in reply.lines.iter().skip(1) {
            let mut words = line.split([' ', '=']).filter(|w| !w.is_empty());
            let keyword = words.next().unwrap_or_default().to_ascii_uppercase();
            if !discard.has_word(&keyword) {
                features.keyword(&keyword, &mut words);
            }
        }
        features
    }

    fn keyword(&mut self, keyword: &str, words: &mut dyn Iterator<Item = &str>) {
        match keyword {
            "8BITMIME" => self.eight_bit = true,
            "PIPELINING" => self.pipelining = true,
            "SIZE" => self.size = Some(words.next().and_then(|w| w.parse().ok()).unwrap_or(0)),
            "STARTTLS" => self.starttls = true,
            "AUTH" => self.auth = true,
            "DSN" => self.dsn = true,
            "SMTPUTF8" => self.smtputf8 = true,
            "XFORWARD" => words.for_each(|word| self.xforward(word)),
            _ => {}
        }
    }

    fn xforward(&mut self, word: &str) {
        let x = &mut self.xforward;
        match word.to_ascii_uppercase().as_str() {
            "NAME" => x.name = true,
            "ADDR" => x.addr = true,
            "PORT" => x.port = true,
            "PROTO" => x.proto = true,
            "HELO" => x.helo = true,
            "IDENT" => x.ident = true,
            "SOURCE" => x.source = true,
            _ => {}
        }
    }
}
