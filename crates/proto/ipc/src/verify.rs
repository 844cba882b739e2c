//! verify: the address verification cache.

use serde::{Deserialize, Serialize};

/// Announced protocol name (the double r is the wire's).
pub const PROTOCOL: &str = "address_verification_prrotocol";

/// Recipient status: deliverable.
pub const OK: i32 = 0;
/// Recipient status: deferred.
pub const DEFER: i32 = 1;
/// Recipient status: bounced.
pub const BOUNCE: i32 = 2;
/// Recipient status: not yet known.
pub const TODO: i32 = 3;

/// `request=query`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Query {
    /// `query`.
    pub request: String,
    /// Address, internal form.
    pub address: String,
}

/// `request=update`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Update {
    /// `update`.
    pub request: String,
    /// Address, internal form.
    pub address: String,
    /// [`OK`], [`DEFER`], [`BOUNCE`].
    pub recipient_status: i32,
    /// Text of the result.
    pub reason: String,
}

/// Reply to query.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct QueryReply {
    /// 0, −1 failure, −2 bad request.
    pub status: i32,
    /// [`OK`], [`DEFER`], [`BOUNCE`], [`TODO`].
    pub recipient_status: i32,
    /// Text of the result.
    pub reason: String,
}
