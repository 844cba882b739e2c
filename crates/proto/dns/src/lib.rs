//! The stub resolver: hickory-proto is the codec, the transport is ours (UDP, then TCP when truncated), the servers come
//! from resolv.conf(5). Answers are hostile: IDs and questions must agree, chains are bounded, names must be host names.
#![deny(clippy::indexing_slicing)]

mod conf;
mod exchange;

use std::net::IpAddr;
use std::path::Path;

use hickory_proto::op::{Message, ResponseCode};
use hickory_proto::rr::{Name, RData, Record, RecordType};

pub use conf::ResolvConf;

/// CNAME records followed at the most.
const ALIAS_LIMIT: usize = 10;
/// Records used of one answer at the most.
const RECORD_LIMIT: usize = 1000;

/// Record types that a mail system asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// IPv4 address.
    A,
    /// IPv6 address.
    Aaaa,
    /// Mail exchanger.
    Mx,
    /// Name server.
    Ns,
    /// Text.
    Txt,
    /// Reverse name.
    Ptr,
}

impl Kind {
    /// As written in messages.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::A => "A",
            Self::Aaaa => "AAAA",
            Self::Mx => "MX",
            Self::Ns => "NS",
            Self::Txt => "TXT",
            Self::Ptr => "PTR",
        }
    }

    const fn record_type(self) -> RecordType {
        match self {
            Self::A => RecordType::A,
            Self::Aaaa => RecordType::AAAA,
            Self::Mx => RecordType::MX,
            Self::Ns => RecordType::NS,
            Self::Txt => RecordType::TXT,
            Self::Ptr => RecordType::PTR,
        }
    }
}

/// What a lookup failed with (the classes of resolver(3)).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// The name does not exist.
    NotFound,
    /// The name exists without such records.
    NoData,
    /// Server failure, refusal or timeout.
    TryAgain,
    /// A server's reply that will not get better.
    Fail,
    /// A reply that cannot be understood.
    Malformed,
}

impl Cause {
    /// Worth another try later.
    #[must_use]
    pub const fn is_temporary(self) -> bool {
        matches!(self, Self::TryAgain | Self::Malformed)
    }

    /// The reference's words.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NotFound => "Host not found",
            Self::NoData => "Host found but no data record of requested type",
            Self::TryAgain => "Host not found, try again",
            Self::Fail => "Non-recoverable error",
            Self::Malformed => "Malformed or unexpected name server reply",
        }
    }
}

/// A failed lookup.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("Host or domain name not found. Name service error for name={name} type={}: {}", kind.as_str(), cause.as_str())]
pub struct LookupFailure {
    /// Name asked for.
    pub name: String,
    /// Type asked for.
    pub kind: Kind,
    /// Why.
    pub cause: Cause,
}

/// The data of one record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// A or AAAA.
    Address(IpAddr),
    /// MX: preference and host (`""` for the root: null MX).
    Exchange(u16, String),
    /// NS, PTR.
    Name(String),
    /// TXT: strings joined.
    Text(String),
}

/// One record of an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// Owner name at the end of the alias chain.
    pub name: String,
    /// Seconds.
    pub ttl: u32,
    /// Data.
    pub value: Value,
}

/// Asks the name servers of resolv.conf.
#[derive(Clone, Debug)]
pub struct Resolver {
    conf: ResolvConf,
}

impl Resolver {
    /// With the servers of `path` (`/etc/resolv.conf`); without any, 127.0.0.1.
    #[must_use]
    pub fn from_file(path: &Path) -> Self {
        Self { conf: ResolvConf::read(path) }
    }

    /// With these settings.
    #[must_use]
    pub const fn new(conf: ResolvConf) -> Self {
        Self { conf }
    }

    /// All records of this type for `name` (aliases followed), never an empty list.
    ///
    /// # Errors
    /// [`LookupFailure`]; also for names that cannot be asked for (not found).
    pub fn lookup(&self, name: &str, kind: Kind) -> Result<Vec<Answer>, LookupFailure> {
        let failed = |cause| LookupFailure { name: name.to_owned(), kind, cause };
        let asked = query_name(name).ok_or_else(|| failed(Cause::NotFound))?;
        let reply = exchange::ask(&self.conf, &asked, kind.record_type()).map_err(failed)?;
        understand(&reply, asked, kind).map_err(failed)
    }

    /// The addresses of a host in both families as asked for; the first hard failure is told if there is none at all.
    ///
    /// # Errors
    /// The failure of the last family asked; a temporary one wins.
    pub fn addresses(&self, host: &str, kinds: &[Kind]) -> Result<Vec<(IpAddr, u32)>, LookupFailure> {
        let mut found = Vec::new();
        let mut failure: Option<LookupFailure> = None;
        for &kind in kinds {
            match self.lookup(host, kind) {
                Ok(answers) => found.extend(answers.into_iter().filter_map(|a| match a.value {
                    Value::Address(ip) => Some((ip, a.ttl)),
                    Value::Exchange(..) | Value::Name(_) | Value::Text(_) => None,
                })),
                Err(error) => {
                    let keep = failure.as_ref().is_some_and(|old| {
                        old.cause.is_temporary()
                            || old.cause == Cause::NoData && error.cause == Cause::NotFound
                    });
                    if !keep {
                        failure = Some(error);
                    }
                }
            }
        }
        match failure {
            Some(failure) if found.is_empty() => Err(failure),
            _ => Ok(found),
        }
    }
}

/// What a reply packet says about `name`.
///
/// # Errors
/// As the cause of a [`LookupFailure`].
pub fn decode(packet: &[u8], name: &str, kind: Kind) -> Result<Vec<Answer>, Cause> {
    let asked = query_name(name).ok_or(Cause::NotFound)?;
    let reply = Message::from_vec(packet).map_err(|_| Cause::Malformed)?;
    understand(&reply, asked, kind)
}

fn understand(reply: &Message, asked: Name, kind: Kind) -> Result<Vec<Answer>, Cause> {
    match reply.metadata.response_code {
        ResponseCode::NoError => {}
        ResponseCode::NXDomain => return Err(Cause::NotFound),
        ResponseCode::ServFail | ResponseCode::Refused => return Err(Cause::TryAgain),
        _ => return Err(Cause::Fail),
    }
    let found = answers(reply, asked, kind).ok_or(Cause::Malformed)?;
    if found.is_empty() { Err(Cause::NoData) } else { Ok(found) }
}

/// The name as asked for on the wire: A-labels, fully qualified. `None` for what no name server can know.
fn query_name(name: &str) -> Option<Name> {
    let ascii = if name.is_ascii() { name.to_owned() } else { idna::domain_to_ascii(name).ok()? };
    let plain = ascii.strip_suffix('.').unwrap_or(&ascii);
    let fits = plain.split('.').all(|label| (1..=63).contains(&label.len())) && plain.len() <= 253;
    if !fits || plain.bytes().any(|b| b.is_ascii_control() || b == b' ' || b == b'\\') {
        return None;
    }
    let mut found = Name::from_ascii(plain).ok()?;
    found.set_fqdn(true);
    Some(found)
}

/// The records for `asked`, or for the name that its alias chain ends at.
fn answers(reply: &Message, asked: Name, kind: Kind) -> Option<Vec<Answer>> {
    let mut owner = asked;
    for _ in 0..ALIAS_LIMIT {
        let alias = reply.answers.iter().find_map(|record| match &record.data {
            RData::CNAME(target) if record.name.eq_ignore_root_case(&owner) => Some(target.0.clone()),
            _ => None,
        });
        match alias {
            Some(target) => owner = target,
            None => {
                let records = reply.answers.iter().filter(|r| r.name.eq_ignore_root_case(&owner));
                return Some(records.filter_map(|r| answer(r, kind)).take(RECORD_LIMIT).collect());
            }
        }
    }
    None
}

fn answer(record: &Record, kind: Kind) -> Option<Answer> {
    let value = match (&record.data, kind) {
        (RData::A(a), Kind::A) => Value::Address(IpAddr::V4(a.0)),
        (RData::AAAA(a), Kind::Aaaa) => Value::Address(IpAddr::V6(a.0)),
        (RData::MX(mx), Kind::Mx) => Value::Exchange(mx.preference, plain(&mx.exchange)?),
        (RData::NS(ns), Kind::Ns) => Value::Name(plain(&ns.0)?),
        (RData::PTR(ptr), Kind::Ptr) => Value::Name(plain(&ptr.0)?),
        (RData::TXT(txt), Kind::Txt) => {
            let bytes: Vec<u8> = txt.txt_data.iter().flat_map(|part| part.iter().copied()).collect();
            Value::Text(String::from_utf8_lossy(&bytes).into_owned())
        }
        _ => return None,
    };
    Some(Answer { name: plain(&record.name)?, ttl: record.ttl, value })
}

/// A name without its final dot; `None` when it holds what no host name may hold (it goes to logs and headers).
fn plain(name: &Name) -> Option<String> {
    let text = name.to_ascii();
    let text = text.strip_suffix('.').unwrap_or(&text);
    let fine = text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_' | b'/'));
    fine.then(|| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_nobody_can_know_are_not_asked() {
        for (name, ok) in [
            ("example.com", true),
            ("example.com.", true),
            ("a..b", false),
            ("", false),
            ("a b.c", false),
            ("bücher.example", true),
            ("_dmarc.x", true),
        ] {
            assert_eq!(query_name(name).is_some(), ok, "{name}");
        }
        assert!(query_name(&"a.".repeat(200)).is_none());
    }

    #[test]
    fn failures_speak_as_the_reference() {
        let failure = LookupFailure { name: "x.test".into(), kind: Kind::Mx, cause: Cause::NotFound };
        assert_eq!(
            failure.to_string(),
            "Host or domain name not found. Name service error for name=x.test type=MX: Host not found"
        );
    }
}
