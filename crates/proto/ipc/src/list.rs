//! Attribute lists as bytes: where a list ends, and its name-value pairs.

use crate::{Encoding, Error};

/// One attribute, or an open or closing brace of a hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pair<'a> {
    /// `name`, `value`.
    Attribute(&'a [u8], &'a [u8]),
    /// `{`
    Open,
    /// `}`
    Close,
}

/// Attributes in one list at the most.
const PAIR_LIMIT: usize = 100_000;

/// Ends a list.
pub fn terminate(out: &mut Vec<u8>, encoding: Encoding) {
    out.push(match encoding {
        Encoding::Null => 0,
        Encoding::Plain => b'\n',
    });
}

/// The length of the first list in `buffer`, terminator included; `None`: not yet complete.
pub fn end(buffer: &[u8], encoding: Encoding) -> Option<usize> {
    match encoding {
        Encoding::Null => null_end(buffer),
        Encoding::Plain => plain_end(buffer),
    }
}

fn null_end(buffer: &[u8]) -> Option<usize> {
    let mut rest = buffer;
    loop {
        let (name, after) = cut(rest, 0)?;
        rest = after;
        match name {
            b"" => return Some(buffer.len() - rest.len()),
            b"{" | b"}" => {}
            _ => rest = cut(rest, 0)?.1,
        }
    }
}

fn plain_end(buffer: &[u8]) -> Option<usize> {
    let mut rest = buffer;
    loop {
        let (line, after) = cut(rest, b'\n')?;
        rest = after;
        if line.is_empty() {
            return Some(buffer.len() - rest.len());
        }
    }
}

fn cut(bytes: &[u8], at: u8) -> Option<(&[u8], &[u8])> {
    let position = bytes.iter().position(|&b| b == at)?;
    Some((bytes.get(..position)?, bytes.get(position + 1..)?))
}

/// The pairs of one complete list.
pub fn pairs(list: &[u8], encoding: Encoding) -> Result<Vec<Pair<'_>>, Error> {
    let mut found = Vec::new();
    let mut rest = list;
    let malformed = || Error::Malformed("unterminated attribute list".into());
    loop {
        if found.len() > PAIR_LIMIT {
            return Err(Error::TooLarge);
        }
        let (pair, after) = match encoding {
            Encoding::Null => null_pair(rest),
            Encoding::Plain => plain_pair(rest),
        }
        .ok_or_else(malformed)?;
        rest = after;
        match pair {
            None => return Ok(found),
            Some(pair) => found.push(pair),
        }
    }
}

type Step<'a> = Option<(Option<Pair<'a>>, &'a [u8])>;

fn null_pair(list: &[u8]) -> Step<'_> {
    let (name, rest) = cut(list, 0)?;
    Some(match name {
        b"" => (None, rest),
        b"{" => (Some(Pair::Open), rest),
        b"}" => (Some(Pair::Close), rest),
        _ => {
            let (value, rest) = cut(rest, 0)?;
            (Some(Pair::Attribute(name, value)), rest)
        }
    })
}

fn plain_pair(list: &[u8]) -> Step<'_> {
    let (line, rest) = cut(list, b'\n')?;
    Some(match line {
        b"" => (None, rest),
        b"{\0" => (Some(Pair::Open), rest),
        b"}\0" => (Some(Pair::Close), rest),
        _ => {
            let (name, value) = cut(line, b'=')?;
            (Some(Pair::Attribute(name, value)), rest)
        }
    })
}
