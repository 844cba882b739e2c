//! Queue file records, queue IDs and the fixed-size message record: formats only, no IO.
//! Format: queue files are sequences of `type byte, length (little-endian base 128), payload`.
#![deny(clippy::indexing_slicing)]

mod id;
mod message_size;

pub use id::{BadQueueId, IdStyle, QueueId};
pub use message_size::{MessageSize, SendOptions};

/// A record payload longer than this is malformed (readers accept 4 length bytes; this bounds memory).
pub const PAYLOAD_LIMIT: usize = 1 << 20;

/// Record types; the discriminant is the byte on disk and on sockets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Kind {
    /// Message size and offsets; always the first record of a queue file.
    Size = b'C',
    /// Arrival time `SEC USEC`.
    Time = b'T',
    /// Sender full name.
    FullName = b'F',
    /// Content inspector (accepted, ignored).
    Inspector = b'I',
    /// Envelope: content filter `transport:nexthop`; in content: unterminated text. One byte, two meanings.
    FilterOrText = b'L',
    /// Envelope sender.
    Sender = b'S',
    /// Recipient still to deliver.
    Recipient = b'R',
    /// Recipient done.
    Done = b'D',
    /// Recipient cancelled by a milter.
    Canceled = b'/',
    /// Original recipient; precedes its recipient.
    OriginalRecipient = b'O',
    /// Time of the delay warning.
    WarnTime = b'W',
    /// VERP delimiters.
    Verp = b'V',
    /// Named attribute `name=value`.
    Attribute = b'A',
    /// Neutralised record.
    Killed = b'K',
    /// Redirect address.
    Redirect = b'>',
    /// Client flags (sockets only).
    Flags = b'f',
    /// Delay seconds (sockets only).
    Delay = b'd',
    /// Milter count (sockets only).
    MilterCount = b'm',
    /// Start of content.
    Message = b'M',
    /// One line of content, its line feed implied.
    Line = b'N',
    /// Padding.
    Padding = b'w',
    /// End of content.
    Extracted = b'X',
    /// Obsolete: return receipt.
    ReturnReceipt = b'r',
    /// Obsolete: errors-to.
    ErrorsTo = b'e',
    /// Obsolete: priority.
    Priority = b'P',
    /// Pointer to another offset.
    Pointer = b'p',
    /// DSN return flags.
    DsnRet = b'<',
    /// DSN envelope ID.
    DsnEnvelopeId = b'i',
    /// DSN original recipient.
    DsnOriginalRecipient = b'o',
    /// DSN notify flags.
    DsnNotify = b'n',
    /// End of the file.
    End = b'E',
}

impl Kind {
    const ALL: [Self; 30] = [
        Self::Size,
        Self::Time,
        Self::FullName,
        Self::Inspector,
        Self::FilterOrText,
        Self::Sender,
        Self::Recipient,
        Self::Done,
        Self::Canceled,
        Self::OriginalRecipient,
        Self::WarnTime,
        Self::Verp,
        Self::Attribute,
        Self::Killed,
        Self::Redirect,
        Self::Flags,
        Self::Delay,
        Self::MilterCount,
        Self::Message,
        Self::Line,
        Self::Padding,
        Self::Extracted,
        Self::ReturnReceipt,
        Self::ErrorsTo,
        Self::Priority,
        Self::Pointer,
        Self::DsnRet,
        Self::DsnEnvelopeId,
        Self::DsnOriginalRecipient,
        Self::DsnNotify,
    ];

    /// The type of this byte, if it is one.
    #[must_use]
    pub fn from_byte(byte: u8) -> Option<Self> {
        if byte == b'E' { Some(Self::End) } else { Self::ALL.into_iter().find(|k| *k as u8 == byte) }
    }

    /// The byte on disk.
    #[must_use]
    pub const fn byte(self) -> u8 {
        self as u8
    }
}

/// One record, owning its payload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Its type.
    pub kind: Kind,
    /// Its payload, without header.
    pub data: Vec<u8>,
}

impl Record {
    /// The payload as text; invalid UTF-8 is replaced.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.data).into_owned()
    }
}

/// Appends one record in its wire form.
pub fn put(out: &mut Vec<u8>, kind: Kind, data: &[u8]) {
    out.push(kind.byte());
    let mut length = data.len();
    loop {
        let low = (length & 0x7f) as u8;
        length >>= 7;
        if length == 0 {
            out.push(low);
            break;
        }
        out.push(low | 0x80);
    }
    out.extend_from_slice(data);
}

/// Appends a named attribute record.
pub fn put_attribute(out: &mut Vec<u8>, name: &str, value: &str) {
    put(out, Kind::Attribute, format!("{name}={value}").as_bytes());
}

/// Why a byte sequence is no record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// Unknown type byte.
    #[error("unexpected record type {0}")]
    Type(u8),
    /// More than four length bytes, or a payload over [`PAYLOAD_LIMIT`].
    #[error("bad record length")]
    Length,
}

/// What [`parse`] found at the start of a buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Parsed<'a> {
    /// A whole record: type, payload, and the number of bytes that it takes, header included.
    Record(Kind, &'a [u8], usize),
    /// More bytes are needed.
    Incomplete,
}

/// The record at the start of `buffer`.
///
/// # Errors
/// [`Malformed`] when the bytes can never become a record.
pub fn parse(buffer: &[u8]) -> Result<Parsed<'_>, Malformed> {
    let Some((&byte, rest)) = buffer.split_first() else { return Ok(Parsed::Incomplete) };
    let kind = Kind::from_byte(byte).ok_or(Malformed::Type(byte))?;
    let mut length = 0usize;
    for (index, &byte) in rest.iter().take(4).enumerate() {
        length |= usize::from(byte & 0x7f) << (7 * index);
        if byte & 0x80 == 0 {
            if length > PAYLOAD_LIMIT {
                return Err(Malformed::Length);
            }
            let start = index + 1;
            return Ok(match rest.get(start..start + length) {
                Some(data) => Parsed::Record(kind, data, 1 + start + length),
                None => Parsed::Incomplete,
            });
        }
    }
    if rest.len() >= 4 { Err(Malformed::Length) } else { Ok(Parsed::Incomplete) }
}

/// Splits `name=value`.
#[must_use]
pub fn split_attribute(data: &[u8]) -> Option<(String, String)> {
    let text = String::from_utf8_lossy(data);
    let (name, value) = text.split_once('=')?;
    (!name.trim().is_empty()).then(|| (name.trim_end().to_owned(), value.trim_start().to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_go_out_and_come_back() {
        for size in [0usize, 1, 127, 128, 300, 16384, 70000] {
            let data = vec![b'x'; size];
            let mut out = Vec::new();
            put(&mut out, Kind::Line, &data);
            assert_eq!(parse(&out), Ok(Parsed::Record(Kind::Line, &data[..], out.len())));
            for cut in [0, 1, out.len() - 1] {
                if cut < out.len() {
                    assert_eq!(parse(&out[..cut]), Ok(Parsed::Incomplete));
                }
            }
        }
        assert_eq!(parse(b"?x"), Err(Malformed::Type(b'?')));
        assert_eq!(parse(b"N\xff\xff\xff\xff\x01"), Err(Malformed::Length));
    }
}
