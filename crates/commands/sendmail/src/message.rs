//! The message on standard input: lines in, records out.

use std::io::{self, BufRead};

use mail_mime::{Content, Declared, Ending, Header, Known, Limits, Parser, Part, Problem, Sink};
use mail_record::Kind;

/// Header addresses taken for `-t` (a limit against absurd input).
const EXTRACT_LIMIT: usize = 100_000;

/// A line, or a fragment of a long one.
pub(crate) struct Chunk {
    /// The line feed was there.
    pub terminated: bool,
    /// Without line end.
    pub bytes: Vec<u8>,
}

/// Reads lines, cut at the limit; a carriage return before the line feed goes (`sendmail_fix_line_endings`).
pub(crate) struct Lines<R> {
    input: R,
    limit: usize,
    fix: FixLineEndings,
    strips: Option<bool>,
}

/// `sendmail_fix_line_endings`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FixLineEndings {
    /// Every line.
    Always,
    /// Every line if the first one has one.
    Strict,
    /// None.
    Never,
}

impl FixLineEndings {
    pub(crate) fn parse(value: &str) -> Option<Self> {
        match value.to_ascii_lowercase().as_str() {
            "always" => Some(Self::Always),
            "strict" => Some(Self::Strict),
            "never" => Some(Self::Never),
            _ => None,
        }
    }
}

impl<R: BufRead> Lines<R> {
    pub(crate) const fn new(input: R, limit: usize, fix: FixLineEndings) -> Self {
        Self { input, limit, fix, strips: None }
    }

    /// The next one; `None` at end of file.
    pub(crate) fn next_chunk(&mut self) -> io::Result<Option<Chunk>> {
        let mut bytes = Vec::with_capacity(128);
        let mut terminated = false;
        while !terminated && bytes.len() < self.limit {
            let available = self.input.fill_buf()?;
            if available.is_empty() {
                break;
            }
            let room = available.len().min(self.limit - bytes.len());
            let window = available.get(..room).unwrap_or(available);
            let line = window.iter().position(|&b| b == b'\n');
            bytes.extend_from_slice(window.get(..line.unwrap_or(room)).unwrap_or(window));
            terminated = line.is_some();
            let used = line.map_or(room, |at| at + 1);
            self.input.consume(used);
        }
        if bytes.is_empty() && !terminated {
            return Ok(None);
        }
        let ends_in_cr = terminated && bytes.last() == Some(&b'\r');
        let strips = match self.fix {
            FixLineEndings::Always => true,
            FixLineEndings::Never => false,
            FixLineEndings::Strict => *self.strips.get_or_insert(ends_in_cr),
        };
        if ends_in_cr && strips {
            bytes.pop();
        }
        Ok(Some(Chunk { terminated, bytes }))
    }
}

/// Collects the recipients of `-t` while headers go by.
pub(crate) struct Extract<'a> {
    pub output: &'a mut dyn FnMut(Kind, &[u8]),
    pub plain: Vec<String>,
    pub resent: Vec<String>,
    pub any_resent: bool,
    pub limit: usize,
}

impl Extract<'_> {
    /// Recipients: those of `Resent-` headers if there are any.
    pub(crate) fn recipients(self) -> Vec<String> {
        if self.any_resent { self.resent } else { self.plain }
    }

    fn text(&mut self, terminated: bool, mut bytes: &[u8]) {
        while let Some((head, tail)) = bytes.split_at_checked(self.limit).filter(|(_, tail)| !tail.is_empty())
        {
            (self.output)(Kind::FilterOrText, head);
            bytes = tail;
        }
        (self.output)(if terminated { Kind::Line } else { Kind::FilterOrText }, bytes);
    }
}

impl Sink for Extract<'_> {
    fn header(&mut self, _: Part, header: &Header<'_>) {
        self.any_resent |= header.known.is_some_and(Known::is_resent);
        let list = match header.known {
            Some(Known::To | Known::Cc | Known::Bcc) => Some(&mut self.plain),
            Some(Known::ResentTo | Known::ResentCc | Known::ResentBcc) => Some(&mut self.resent),
            Some(_) | None => None,
        };
        if let Some(list) = list {
            let value = String::from_utf8_lossy(header.value);
            let found = mail_address::token::addresses(&value);
            let room = EXTRACT_LIMIT.saturating_sub(list.len());
            let found = found.iter().filter(|a| !a.is_empty()).take(room);
            list.extend(found.map(|a| mail_address::to_internal(a)));
        }
        let text = [header.name, b":", header.value].concat();
        text.split(|&b| b == b'\n').for_each(|line| self.text(true, line));
    }

    fn headers_end(&mut self, _: Part, _: Ending, _: Declared) {}

    fn body(&mut self, _: Content, terminated: bool, bytes: &[u8]) {
        self.text(terminated, bytes);
    }

    fn problem(&mut self, _: Problem, _: &[u8]) {}
}

/// A parser for headers alone.
pub(crate) fn header_parser(header_bytes: usize) -> Parser {
    Parser::new(Limits { header_bytes, boundary_bytes: 0, nesting: 0, structure: false })
}

/// `From ` and `>From ` lines of mailbox files at the start are no part of the message.
pub(crate) fn is_mailbox_line(bytes: &[u8]) -> bool {
    bytes.starts_with(b"From ") || bytes.starts_with(b">From ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(input: &[u8], fix: FixLineEndings) -> Vec<(bool, Vec<u8>)> {
        let mut lines = Lines::new(input, 4, fix);
        std::iter::from_fn(|| lines.next_chunk().unwrap()).map(|c| (c.terminated, c.bytes)).collect()
    }

    #[test]
    fn lines_are_cut_and_their_ends_fixed() {
        let line = |terminated, text: &[u8]| (terminated, text.to_vec());
        assert_eq!(
            lines(b"ab\r\nabcdef\n\nx", FixLineEndings::Always),
            [line(true, b"ab"), line(false, b"abcd"), line(true, b"ef"), line(true, b""), line(false, b"x")]
        );
        assert_eq!(lines(b"abcd\n", FixLineEndings::Always), [line(false, b"abcd"), line(true, b"")]);
        assert_eq!(lines(b"a\nb\r\n", FixLineEndings::Strict), [line(true, b"a"), line(true, b"b\r")]);
    }
}
