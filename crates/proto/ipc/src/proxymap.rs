//! proxymap, proxywrite: table access on behalf of others (3.11 lists; the 3.7 ones end in `37`).

use serde::{Deserialize, Serialize};

/// Announced protocol name.
pub const PROTOCOL: &str = "proxymap_protocol";
/// Found, done.
pub const OK: i32 = 0;
/// No such key.
pub const NOKEY: i32 = 1;
/// Temporary error.
pub const RETRY: i32 = 2;
/// Bad request.
pub const BAD: i32 = 3;
/// Table not approved.
pub const DENY: i32 = 4;
/// Table misconfigured.
pub const CONFIG: i32 = 5;

/// `open`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Open {
    /// `open`.
    pub request: String,
    /// `type:name`.
    pub table: String,
    /// Open flags.
    pub instance_flags: u32,
}

/// `open`, 3.7.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Open37 {
    /// `open`.
    pub request: String,
    /// `type:name`.
    pub table: String,
    /// Open flags.
    pub flags: u32,
}

/// `lookup`, `delete`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lookup {
    /// `lookup` or `delete`.
    pub request: String,
    /// `type:name`.
    pub table: String,
    /// Open flags.
    pub instance_flags: u32,
    /// Request flags.
    pub flags: u32,
    /// Key.
    pub key: String,
}

/// `lookup`, `delete`, 3.7.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lookup37 {
    /// `lookup` or `delete`.
    pub request: String,
    /// `type:name`.
    pub table: String,
    /// Request flags.
    pub flags: u32,
    /// Key.
    pub key: String,
}

/// `update`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Update {
    /// `update`.
    pub request: String,
    /// `type:name`.
    pub table: String,
    /// Open flags.
    pub instance_flags: u32,
    /// Request flags.
    pub flags: u32,
    /// Key.
    pub key: String,
    /// Value.
    pub value: String,
}

/// `update`, 3.7.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Update37 {
    /// `update`.
    pub request: String,
    /// `type:name`.
    pub table: String,
    /// Request flags.
    pub flags: u32,
    /// Key.
    pub key: String,
    /// Value.
    pub value: String,
}

/// `sequence`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sequence {
    /// `sequence`.
    pub request: String,
    /// `type:name`.
    pub table: String,
    /// Open flags.
    pub instance_flags: u32,
    /// Request flags.
    pub flags: u32,
    /// 0 first, 1 next.
    pub function: i32,
}

/// Reply to open (both), and head of all replies in 3.11.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// [`OK`] …
    pub status: i32,
    /// Table flags.
    pub flags: u32,
}

/// Reply to lookup.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Value {
    /// [`OK`] …
    pub status: i32,
    /// Table flags.
    pub flags: u32,
    /// Value, or empty.
    pub value: String,
}

/// Reply to lookup, 3.7.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Value37 {
    /// [`OK`] …
    pub status: i32,
    /// Value, or empty.
    pub value: String,
}

/// Reply to sequence.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyValue {
    /// [`OK`] …
    pub status: i32,
    /// Table flags.
    pub flags: u32,
    /// Key.
    pub key: String,
    /// Value.
    pub value: String,
}
