//! The attribute protocol between the daemons (`internal-protocols`), as a serde format, with the typed messages of
//! each service. Whatever arrives is hostile: sizes are bounded before memory is taken, and nothing panics.
#![deny(clippy::indexing_slicing)]

pub mod base64;
mod connection;
mod de;
mod list;
mod ser;

pub mod anvil;
pub mod bounce;
pub mod cleanup;
pub mod delivery;
pub mod flush;
pub mod postdrop;
pub mod proxymap;
pub mod rewrite;
pub mod showq;
pub mod trigger;
pub mod verify;

pub use base64::Data;
pub use connection::Connection;

use serde::{Serialize, de::DeserializeOwned};

/// How attribute lists are written: NUL terminated, or as `name=value` lines (anvil).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Encoding {
    /// `name NUL value NUL … NUL`
    #[default]
    Null,
    /// `name=value LF … LF`
    Plain,
}

/// Which release's attribute names and lists are spoken (`postino_ipc_dialect`). Readers accept both where they can.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Dialect {
    /// 3.7: `smtputf8`, short showq and proxymap lists.
    V3_7,
    /// 3.11, the target.
    #[default]
    V3_11,
}

impl Dialect {
    /// The dialect of a `postino_ipc_dialect` value.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        match name {
            "3.7" => Some(Self::V3_7),
            "3.11" => Some(Self::V3_11),
            _ => None,
        }
    }
}

/// Encoding and dialect together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Format {
    /// Encoding of lists.
    pub encoding: Encoding,
    /// Attribute dialect.
    pub dialect: Dialect,
}

impl Format {
    /// NUL encoding in this dialect.
    #[must_use]
    pub const fn null(dialect: Dialect) -> Self {
        Self { encoding: Encoding::Null, dialect }
    }
    /// Plain encoding.
    #[must_use]
    pub const fn plain() -> Self {
        Self { encoding: Encoding::Plain, dialect: Dialect::V3_11 }
    }
}

/// Bytes of one attribute list that a reader accepts at the most.
pub const LIST_LIMIT: usize = 1 << 20;

/// Why a dialogue failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The socket failed, timed out or closed in the middle of something.
    #[error("{0}")]
    Io(#[from] std::io::Error),
    /// The peer closed before the first byte of a list.
    #[error("connection closed")]
    Closed,
    /// The list does not hold what was expected.
    #[error("malformed attribute list: {0}")]
    Malformed(String),
    /// The list or record is larger than the limit.
    #[error("attribute list or record is too large")]
    TooLarge,
}

impl serde::ser::Error for Error {
    fn custom<T: std::fmt::Display>(text: T) -> Self {
        Self::Malformed(text.to_string())
    }
}

impl serde::de::Error for Error {
    fn custom<T: std::fmt::Display>(text: T) -> Self {
        Self::Malformed(text.to_string())
    }
}

/// Appends `message` as one attribute list.
///
/// # Errors
/// Only for types that are no attribute lists, or text that the encoding cannot hold (NUL or LF).
pub fn encode_into<T: Serialize>(out: &mut Vec<u8>, message: &T, format: Format) -> Result<(), Error> {
    let start = out.len();
    let result = message.serialize(&mut ser::Serializer::new(out, format));
    if result.is_err() {
        out.truncate(start);
    } else {
        list::terminate(out, format.encoding);
    }
    result
}

/// `message` as one attribute list.
///
/// # Errors
/// As [`encode_into`].
pub fn encode<T: Serialize>(message: &T, format: Format) -> Result<Vec<u8>, Error> {
    let mut out = Vec::with_capacity(256);
    encode_into(&mut out, message, format)?;
    Ok(out)
}

/// The list at the start of `buffer` and its length in bytes; `None`: more bytes are needed.
///
/// # Errors
/// [`Error::Malformed`] or [`Error::TooLarge`].
pub fn decode<T: DeserializeOwned>(buffer: &[u8], format: Format) -> Result<Option<(T, usize)>, Error> {
    match list::end(buffer, format.encoding) {
        None if buffer.len() > LIST_LIMIT => Err(Error::TooLarge),
        None => Ok(None),
        Some(end) => {
            let pairs = list::pairs(buffer.get(..end).unwrap_or(buffer), format.encoding)?;
            let mut reader = de::Reader::new(&pairs);
            let message = T::deserialize(&mut reader)?;
            reader.finish()?;
            Ok(Some((message, end)))
        }
    }
}

/// The announcement that a server writes at once (`internal-protocols` §1.2).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, serde::Deserialize)]
pub struct Announcement {
    /// Protocol name, as `cleanup_protocol`.
    pub protocol: String,
}

/// A reply that is only a status.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, serde::Deserialize)]
pub struct StatusReply {
    /// 0: done; others depend on the service (−1 is written as 4294967295).
    pub status: i32,
}

/// Replaces what an attribute value cannot hold.
#[must_use]
pub fn clean(text: &str) -> String {
    text.replace(['\0', '\n'], "?")
}

#[cfg(test)]
mod tests;
