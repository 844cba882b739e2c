//! Queue IDs: the name of a message in the spool and in the log (`enable_long_queue_ids`).

use std::fmt;

const BASE52: &[u8; 52] = b"0123456789BCDFGHJKLMNPQRSTVWXYZbcdfghjklmnpqrstvwxyz";
const LONG_SEPARATOR_MIN: usize = 10;

/// Short or long (`postconf(5) enable_long_queue_ids`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IdStyle {
    /// Five hex digits of microseconds and the inode.
    Short,
    /// Base 52 time and base 51 inode.
    Long,
}

/// A well-formed file ID: `[A-Za-z0-9_]`, 2 to 255 characters (1 character would be taken for a hash directory).
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct QueueId(Box<str>);

/// The text is no queue ID.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadQueueId;

impl QueueId {
    /// Checks `text`.
    ///
    /// # Errors
    /// [`BadQueueId`] for a wrong length or character.
    pub fn parse(text: &str) -> Result<Self, BadQueueId> {
        let ok =
            (2..=255).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
        if ok { Ok(Self(text.into())) } else { Err(BadQueueId) }
    }

    /// The ID of a file created at this time with this inode number.
    #[must_use]
    pub fn new(style: IdStyle, seconds: u64, microseconds: u32, inode: u64) -> Self {
        let text = match style {
            IdStyle::Short => format!("{microseconds:05X}{inode:X}"),
            IdStyle::Long => format!(
                "{}{}z{}",
                in_base(52, seconds, 6),
                in_base(52, u64::from(microseconds), 4),
                in_base(51, inode, 1)
            ),
        };
        Self(text.into())
    }

    /// The ID as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Long form: the last `z` is at index 10 or later.
    #[must_use]
    pub fn is_long(&self) -> bool {
        self.0.rfind('z').is_some_and(|at| at >= LONG_SEPARATOR_MIN)
    }

    /// The key that the hash directories are made from: the ID, or for a long ID its microseconds as five hex digits.
    #[must_use]
    pub fn hash_key(&self) -> String {
        if self.is_long()
            && let Some(at) = self.0.rfind('z')
            && let Some(text) = self.0.get(at - 4..at)
            && let Some(value) = from_base52(text)
        {
            return format!("{value:05X}");
        }
        self.0.to_string()
    }

    /// The microseconds as five hex digits, if the ID holds them in that form or can be converted.
    #[must_use]
    pub fn inode(&self) -> Option<u64> {
        if self.is_long() {
            let at = self.0.rfind('z')?;
            return from_base51(self.0.get(at + 1..)?);
        }
        u64::from_str_radix(self.0.get(5..)?, 16).ok()
    }
}

impl fmt::Display for QueueId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

fn in_base(base: u64, mut value: u64, width: usize) -> String {
    let mut digits = Vec::new();
    while value > 0 || digits.len() < width {
        let digit = usize::try_from(value % base).unwrap_or(0);
        digits.push(*BASE52.get(digit).unwrap_or(&b'0'));
        value /= base;
    }
    digits.iter().rev().map(|&b| char::from(b)).collect()
}

fn from_base52(text: &str) -> Option<u64> {
    from_base(text, 52)
}

fn from_base51(text: &str) -> Option<u64> {
    from_base(text, 51)
}

fn from_base(text: &str, base: u64) -> Option<u64> {
    if text.is_empty() {
        return None;
    }
    text.bytes().try_fold(0u64, |sum, byte| {
        let digit = BASE52.iter().position(|&b| b == byte)? as u64;
        if digit >= base {
            return None;
        }
        sum.checked_mul(base)?.checked_add(digit)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_of_the_facts() {
        let long = QueueId::new(IdStyle::Long, 1_795_320_397, 713_894, 10_166_675);
        assert_eq!(long.as_str(), "4jXFrF540kz1TckY");
        assert_eq!(QueueId::new(IdStyle::Short, 0, 0xBF73E, 0x009B_4395).as_str(), "BF73E9B4395");
        let long = QueueId::parse("4jXFrF5C8hz1Tckk").unwrap();
        assert!(long.is_long());
        assert_eq!(long.hash_key(), "B3034");
        assert!(QueueId::parse("a").is_err());
        assert!(QueueId::parse("a.b").is_err());
    }

    #[test]
    fn the_inode_can_be_read_back() {
        for style in [IdStyle::Short, IdStyle::Long] {
            assert_eq!(QueueId::new(style, 1_795_320_397, 5, 123_456).inode(), Some(123_456));
        }
    }
}
