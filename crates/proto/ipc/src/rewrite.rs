//! rewrite, resolve, verify: the trivial-rewrite service.

use serde::{Deserialize, Serialize};

/// Announced protocol name.
pub const PROTOCOL: &str = "trivial_rewrite_protocol";

/// Flag bits of a resolve reply.
pub mod flags {
    /// Final destination.
    pub const FINAL: i32 = 1;
    /// Sender-specified routing.
    pub const ROUTED: i32 = 2;
    /// Bad address syntax.
    pub const ERROR: i32 = 4;
    /// Table problem.
    pub const FAIL: i32 = 8;
    /// Address class local.
    pub const LOCAL: i32 = 256;
    /// Virtual alias class.
    pub const VIRTUAL_ALIAS: i32 = 512;
    /// Virtual mailbox class.
    pub const VIRTUAL_MAILBOX: i32 = 1024;
    /// Relay class.
    pub const RELAY: i32 = 2048;
    /// Default class.
    pub const DEFAULT: i32 = 4096;
}

/// First part of every request, by which the rest is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// Rewrite an address in external form by `local` or `remote` rules.
    Rewrite(RewriteQuery),
    /// Resolve an address in internal form (`verify`: with the address_verify_* parameters).
    Resolve(ResolveQuery),
}

/// `request=rewrite`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RewriteQuery {
    /// `rewrite`.
    pub request: String,
    /// `local` or `remote`.
    pub rule: String,
    /// External form.
    pub address: String,
}

/// `request=resolve` or `verify`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResolveQuery {
    /// `resolve` or `verify`.
    pub request: String,
    /// Sender, internal form.
    pub sender: String,
    /// Address, internal form.
    pub address: String,
}

impl Request {
    /// Decodes either request from `buffer`; see [`crate::decode`].
    ///
    /// # Errors
    /// As [`crate::decode`], and for an unknown request name.
    pub fn decode(buffer: &[u8], format: crate::Format) -> Result<Option<(Self, usize)>, crate::Error> {
        if let Ok(found) = crate::decode::<RewriteQuery>(buffer, format) {
            return match found {
                Some((query, used)) if query.request == "rewrite" => Ok(Some((Self::Rewrite(query), used))),
                Some((query, _)) => Err(unknown(&query.request)),
                None => Ok(None),
            };
        }
        match crate::decode::<ResolveQuery>(buffer, format)? {
            Some((query, used)) if matches!(query.request.as_str(), "resolve" | "verify") => {
                Ok(Some((Self::Resolve(query), used)))
            }
            Some((query, _)) => Err(unknown(&query.request)),
            None => Ok(None),
        }
    }
}

fn unknown(name: &str) -> crate::Error {
    crate::Error::Malformed(format!("unrecognized request: {}", crate::clean(name)))
}

/// Reply to rewrite.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RewriteReply {
    /// Always 0.
    pub flags: i32,
    /// External form.
    pub address: String,
}

/// Reply to resolve and verify.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResolveReply {
    /// Always 0.
    #[serde(rename = "flags")]
    pub server_flags: i32,
    /// Transport.
    pub transport: String,
    /// Next hop.
    pub nexthop: String,
    /// Recipient, internal form.
    pub recipient: String,
    /// [`flags`].
    #[serde(rename(serialize = "flags", deserialize = "flags "))]
    pub flags: i32,
}
