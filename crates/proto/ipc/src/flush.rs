//! flush: the fast flush service.

use serde::{Deserialize, Serialize};

/// Announced protocol name.
pub const PROTOCOL: &str = "queue_flush_protocol";
/// Done.
pub const OK: i32 = 0;
/// Failed.
pub const FAIL: i32 = -1;
/// Bad request.
pub const BAD: i32 = 3;
/// Site not in `fast_flush_domains`.
pub const DENY: i32 = 4;

/// `request=add`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Add {
    /// `add`.
    pub request: String,
    /// Domain.
    pub site: String,
    /// Queue ID.
    pub queue_id: String,
}

/// `request=send_site`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SendSite {
    /// `send_site`.
    pub request: String,
    /// Domain.
    pub site: String,
}

/// `request=send_file`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SendFile {
    /// `send_file`.
    pub request: String,
    /// Queue ID.
    pub queue_id: String,
}

/// `request=rfrsh` or `request=purge`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plain {
    /// `rfrsh` or `purge`.
    pub request: String,
}
