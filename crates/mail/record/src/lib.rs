//! Queue file records, queue IDs and the fixed-size message record: formats only, no IO.
//! Format: queue files are sequences of `type byte, length (little-endian base 128), payload`.
#![deny(clippy::indexing_slicing)]

mod id;
mod message_size;

pub use id::{BadQueueId, IdStyle, QueueId};
pub use message_size::{MessageSize, SendOptions};

/// A record payload longer than this is malformed (bounds memory; writers cut at `line_length_limit`).
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
    /// The type of this byte, if it is one.
    #[must_use]
    pub const fn from_byte(byte: u8) -> Option<Self> {
        Some(match byte {
            b'C' => Self::Size,
            b'T' => Self::Time,
            b'F' => Self::FullName,
            b'I' => Self::Inspector,
            b'L' => Self::FilterOrText,
            b'S' => Self::Sender,
            b'R' => Self::Recipient,
            b'D' => Self::Done,
            b'/' => Self::Canceled,
            b'O' => Self::OriginalRecipient,
            b'W' => Self::WarnTime,
            b'V' => Self::Verp,
            b'A' => Self::Attribute,
            b'K' => Self::Killed,
            b'>' => Self::Redirect,
            b'f' => Self::Flags,
            b'd' => Self::Delay,
            b'm' => Self::MilterCount,
            b'M' => Self::Message,
            b'N' => Self::Line,
            b'w' => Self::Padding,
            b'X' => Self::Extracted,
            b'r' => Self::ReturnReceipt,
            b'e' => Self::ErrorsTo,
            b'P' => Self::Priority,
            b'p' => Self::Pointer,
            b'<' => Self::DsnRet,
            b'i' => Self::DsnEnvelopeId,
            b'o' => Self::DsnOriginalRecipient,
            b'n' => Self::DsnNotify,
            b'E' => Self::End,
            _ => return None,
        })
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

/// Why a byte sequence is no record. The texts are the reference's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// Unknown type byte.
    #[error("unexpected record type {0}")]
    Type(u8),
    /// More length bytes than an `int` takes.
    #[error("too many length bits, record type {0}")]
    LengthBits(u8),
    /// A length over the largest `int`, as the reference shows it.
    #[error("illegal length {1}, record type {0}")]
    Length(u8, i32),
    /// A payload over [`PAYLOAD_LIMIT`]: no writer makes one, so the file cannot hold it.
    #[error("unexpected EOF in data, record type {0} length {1}")]
    TooLong(u8, usize),
}

/// What [`parse`] found at the start of a buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Parsed<'a> {
    /// A whole record: type, payload, and the number of bytes that it takes, header included.
    Record(Kind, &'a [u8], usize),
    /// More bytes are needed.
    Incomplete,
}

/// What [`parse_any`] found at the start of a buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Any<'a> {
    /// A whole record: type byte, payload, and the number of bytes that it takes, header included.
    Record(u8, &'a [u8], usize),
    /// More bytes are needed: of the length (`None`), or of the payload of this length.
    Incomplete(Option<usize>),
}

/// The record at the start of `buffer`.
///
/// # Errors
/// [`Malformed`] when the bytes can never become a record.
pub fn parse(buffer: &[u8]) -> Result<Parsed<'_>, Malformed> {
    match parse_any(buffer)? {
        Any::Record(byte, data, size) => {
            Ok(Parsed::Record(Kind::from_byte(byte).ok_or(Malformed::Type(byte))?, data, size))
        }
        Any::Incomplete(_) => match buffer.first() {
            Some(&byte) if Kind::from_byte(byte).is_none() => Err(Malformed::Type(byte)),
            Some(_) | None => Ok(Parsed::Incomplete),
        },
    }
}

/// The record at the start of `buffer`, whatever its type byte is (postcat shows unknown ones).
///
/// # Errors
/// [`Malformed`], but for its `Type`.
pub fn parse_any(buffer: &[u8]) -> Result<Any<'_>, Malformed> {
    let Some((&kind, rest)) = buffer.split_first() else { return Ok(Any::Incomplete(None)) };
    let mut length = 0u64;
    for (index, &byte) in rest.iter().enumerate() {
        if index >= LENGTH_BYTES {
            return Err(Malformed::LengthBits(kind));
        }
        length |= u64::from(byte & 0x7f) << (7 * index);
        if byte & 0x80 == 0 {
            return with_length(kind, rest, index + 1, length);
        }
    }
    Ok(Any::Incomplete(None))
}

/// Length bytes that a reader accepts: seven bits each, for a 32-bit `int`.
const LENGTH_BYTES: usize = 5;

fn with_length(kind: u8, rest: &[u8], start: usize, length: u64) -> Result<Any<'_>, Malformed> {
    let as_int = u32::try_from(length & 0xffff_ffff).unwrap_or(0).cast_signed();
    let Ok(length) = usize::try_from(as_int) else { return Err(Malformed::Length(kind, as_int)) };
    if length > PAYLOAD_LIMIT {
        return Err(Malformed::TooLong(kind, length));
    }
    Ok(match rest.get(start..start + length) {
        Some(data) => Any::Record(kind, data, 1 + start + length),
        None => Any::Incomplete(Some(length)),
    })
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
        assert_eq!(parse(b"N\x83\x83\x83\x83\x83\x01"), Err(Malformed::LengthBits(b'N')));
        assert_eq!(parse(b"S\xff\xff\xff\xffxx"), Err(Malformed::Length(b'S', -1_879_048_193)));
        assert_eq!(parse(b"S\xff\xff\xff\x7fxx"), Err(Malformed::TooLong(b'S', 268_435_455)));
    }
}
