//! anvil: client connection and request counters (plain encoding).

use serde::{Deserialize, Serialize};

/// Announced protocol name.
pub const PROTOCOL: &str = "anvil_protocol";

/// What is counted or asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Request {
    /// A client connected.
    Connect,
    /// A client disconnected.
    Disconnect,
    /// A message delivery request.
    Message,
    /// A recipient.
    Recipient,
    /// A new TLS session.
    Newtls,
    /// The TLS rate without counting.
    NewtlsStatus,
    /// An AUTH command.
    Auth,
    /// All counters without counting.
    Lookup,
}

/// A request with its request name as text, so that an unknown one can be answered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Query {
    /// Name of a [`Request`].
    pub request: String,
    /// `service:address`.
    pub ident: String,
}

/// Reply to connect.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConnectReply {
    /// 0 or −1.
    pub status: i32,
    /// Simultaneous connections.
    pub count: i32,
    /// Connections in the time unit.
    pub rate: i32,
}

/// Reply to message, recipient, newtls, newtls_status, auth.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RateReply {
    /// 0 or −1.
    pub status: i32,
    /// Events in the time unit.
    pub rate: i32,
}

/// Reply to lookup.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LookupReply {
    /// 0 or −1.
    pub status: i32,
    /// Simultaneous connections.
    pub count: i32,
    /// Connections.
    pub rate: i32,
    /// Messages.
    pub mail: i32,
    /// Recipients.
    pub rcpt: i32,
    /// TLS sessions.
    pub newtls: i32,
    /// AUTH commands.
    pub auth: i32,
}
