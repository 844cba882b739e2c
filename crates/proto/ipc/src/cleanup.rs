//! cleanup: a record stream in, a queue file out.

use serde::{Deserialize, Serialize};

/// Announced protocol name.
pub const PROTOCOL: &str = "cleanup_protocol";

/// Client flags (`internal-protocols` §4).
pub mod flags {
    /// Bounce bad mail instead of reporting it.
    pub const BOUNCE: i32 = 1;
    /// Content filters (header and body checks) apply.
    pub const FILTER: i32 = 2;
    /// Place on hold.
    pub const HOLD: i32 = 4;
    /// Discard.
    pub const DISCARD: i32 = 8;
    /// Automatic BCC recipients.
    pub const BCC: i32 = 16;
    /// Address mappings.
    pub const MAP: i32 = 32;
    /// Milters.
    pub const MILTER: i32 = 64;
    /// The reason may be a whole SMTP reply.
    pub const SMTP_REPLY: i32 = 128;
    /// SMTPUTF8 requested.
    pub const SMTPUTF8: i32 = 256;
    /// Detect SMTPUTF8.
    pub const AUTOUTF8: i32 = 512;
    /// REQUIRETLS.
    pub const REQUIRETLS: i32 = 1024;
}

/// Result bits.
pub mod status {
    /// Malformed stream.
    pub const BAD: i32 = 1;
    /// Queue file write error.
    pub const WRITE: i32 = 2;
    /// Message too big.
    pub const SIZE: i32 = 4;
    /// Content rejected.
    pub const CONTENT: i32 = 8;
    /// Too many hops.
    pub const HOPS: i32 = 16;
    /// No recipients.
    pub const RECIPIENTS: i32 = 64;
    /// Proxy filter problem.
    pub const PROXY: i32 = 128;
    /// Deferred.
    pub const DEFER: i32 = 256;
    /// Not permitted.
    pub const NOPERM: i32 = 512;
    /// Bare LF (smtpd only).
    pub const BARE_LF: i32 = 65536;
}

/// First list: announcement and queue ID.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Greeting {
    /// [`PROTOCOL`].
    pub protocol: String,
    /// Queue ID.
    pub queue_id: String,
}

/// The client's list before the records.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Head {
    /// [`flags`].
    pub flags: i32,
}

/// Last list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reply {
    /// [`status`] bits; 0: the message is safely queued.
    pub status: i32,
    /// Text, or empty.
    pub reason: String,
}
