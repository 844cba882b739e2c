//! Message content on its way in: lines become queue file records (`N` whole lines, `L` parts of long ones).

use mail_record::{Kind, put};

use super::settings::BareNewline;

/// Records collected before they are handed on, bytes.
pub(crate) const BLOCK: usize = 64 * 1024;

/// What became of a piece of input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fed {
    /// All of it is used, the end has not come.
    More,
    /// This many bytes are used; a block of records is full.
    BlockFull(usize),
    /// This many bytes are used; the message has ended.
    Ended(usize),
}

/// The decoder of one message.
#[derive(Debug)]
pub(crate) struct Body {
    /// The unfinished last line; never longer than the line limit.
    partial: Vec<u8>,
    /// Records to hand on.
    block: Vec<u8>,
    line_limit: usize,
    size_limit: u64,
    /// Dots are unstuffed and end the message (DATA, not BDAT).
    dots: bool,
    mode: BareNewline,
    first: bool,
    /// The line has begun with an `L` record.
    continued: bool,
    previous_crlf: bool,
    /// Length of all lines, each with two bytes for its end.
    pub(crate) bytes: u64,
    /// A line ended in a bare LF (and that is looked for).
    pub(crate) bare_lf: bool,
    /// The size limit is exceeded; the rest is read and dropped.
    pub(crate) too_big: bool,
}

impl Body {
    pub(crate) fn new(dots: bool, mode: BareNewline, line_limit: usize, size_limit: u64) -> Self {
        Self {
            partial: Vec::new(),
            block: Vec::new(),
            line_limit,
            size_limit,
            dots,
            mode,
            first: true,
            continued: false,
            previous_crlf: true,
            bytes: 0,
            bare_lf: false,
            too_big: false,
        }
    }

    /// The records so far.
    pub(crate) fn take_block(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.block)
    }

    /// Bytes of the unfinished line.
    pub(crate) fn unfinished(&self) -> usize {
        self.partial.len()
    }

    /// Takes content until a block is full or the message ends.
    pub(crate) fn feed(&mut self, input: &[u8]) -> Fed {
        let mut used = 0;
        while let Some(rest) = input.get(used..).filter(|rest| !rest.is_empty()) {
            if self.block.len() >= BLOCK {
                return Fed::BlockFull(used);
            }
            let room = self.line_limit.saturating_sub(self.partial.len()).max(1);
            let window = rest.get(..room.min(rest.len())).unwrap_or(rest);
            match window.iter().position(|&b| b == b'\n') {
                Some(at) => {
                    used += at + 1;
                    if self.line(window.get(..at).unwrap_or(window)) {
                        return Fed::Ended(used);
                    }
                }
                None => {
                    used += window.len();
                    self.partial.extend_from_slice(window);
                    self.split_long_line();
                }
            }
        }
        Fed::More
    }

    /// The last chunk is over: an unfinished line counts as a line.
    pub(crate) fn finish(&mut self) {
        if !self.partial.is_empty() || self.continued {
            let line = std::mem::take(&mut self.partial);
            self.emit(&line, Kind::Line);
        }
    }

    /// A line that fills the limit goes out in parts; a CR at its end may belong to the line end, so it waits.
    fn split_long_line(&mut self) {
        if self.partial.len() < self.line_limit {
            return;
        }
        let keep = usize::from(self.partial.last() == Some(&b'\r'));
        let rest = self.partial.split_off(self.partial.len() - keep);
        let line = std::mem::replace(&mut self.partial, rest);
        self.emit(&line, Kind::FilterOrText);
    }

    /// One line without its LF; `true` when it ends the message.
    fn line(&mut self, tail: &[u8]) -> bool {
        if self.partial.is_empty() {
            return self.whole_line(tail);
        }
        let mut line = std::mem::take(&mut self.partial);
        line.extend_from_slice(tail);
        let ended = self.whole_line(&line);
        line.clear();
        self.partial = line;
        ended
    }

    fn whole_line(&mut self, line: &[u8]) -> bool {
        let crlf = line.last() == Some(&b'\r');
        let text = self.without_cr(line);
        let detects = self.mode != BareNewline::Allow;
        self.bare_lf |= detects && !crlf;
        let previous = std::mem::replace(&mut self.previous_crlf, crlf);
        if self.dots && !self.continued && text == b"." {
            // Only CRLF.CRLF ends a message; another lone dot is dropped (postconf(5) smtpd_forbid_bare_newline).
            return !detects || (crlf && previous);
        }
        self.emit(text, Kind::Line);
        false
    }

    fn without_cr<'a>(&self, line: &'a [u8]) -> &'a [u8] {
        if self.mode != BareNewline::Allow {
            return line.strip_suffix(b"\r").unwrap_or(line);
        }
        let end = line.iter().rposition(|&b| b != b'\r').map_or(0, |at| at + 1);
        line.get(..end).unwrap_or(line)
    }

    fn emit(&mut self, line: &[u8], kind: Kind) {
        let starts = !std::mem::replace(&mut self.continued, kind == Kind::FilterOrText);
        let line = if self.dots && starts { line.strip_prefix(b".").unwrap_or(line) } else { line };
        let first = std::mem::replace(&mut self.first, false);
        let cost = line.len() as u64 + 2;
        if self.size_limit > 0 && self.bytes.saturating_add(cost) > self.size_limit {
            self.too_big = true;
        }
        self.bytes = self.bytes.saturating_add(cost);
        if self.too_big {
            return;
        }
        if first && is_from_line(line) {
            self.first = true;
            let mut text = b"X-Mailbox-Line: ".to_vec();
            text.extend_from_slice(line);
            put(&mut self.block, kind, &text);
            return;
        }
        if first && line.first().is_some_and(|b| b.is_ascii_whitespace()) {
            put(&mut self.block, Kind::Line, b"");
        }
        put(&mut self.block, kind, line);
    }
}

/// An mbox separator, quoted or not, at the start of a message.
fn is_from_line(line: &[u8]) -> bool {
    let start = line.iter().position(|&b| b != b'>').unwrap_or(line.len());
    line.get(start..).is_some_and(|rest| rest.starts_with(b"From "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use mail_record::{Parsed, parse};

    fn decode(body: &mut Body) -> Vec<(char, String)> {
        let block = body.take_block();
        let mut rest = &block[..];
        let mut found = Vec::new();
        while let Ok(Parsed::Record(kind, data, used)) = parse(rest) {
            found.push((char::from(kind.byte()), String::from_utf8_lossy(data).into_owned()));
            rest = &rest[used..];
        }
        found
    }

    fn run(mode: BareNewline, input: &[u8]) -> (Option<usize>, Vec<String>) {
        let mut body = Body::new(true, mode, 2048, 0);
        let fed = body.feed(input);
        let lines = decode(&mut body).into_iter().map(|(_, text)| text).collect();
        (if let Fed::Ended(used) = fed { Some(used) } else { None }, lines)
    }

    #[test]
    fn dots_are_unstuffed_and_only_crlf_dot_crlf_ends() {
        assert_eq!(
            run(BareNewline::Normalize, b"a\r\n..b\r\n.\r\nQUIT\r\n"),
            (Some(11), vec!["a".into(), ".b".into()])
        );
        assert_eq!(
            run(BareNewline::Normalize, b"a\n.\n.\r\nb\r\n.\r\n"),
            (Some(13), vec!["a".into(), "b".into()])
        );
        assert_eq!(run(BareNewline::Normalize, b"a\r\n.\nb"), (None, vec!["a".into()]));
        assert_eq!(run(BareNewline::Allow, b"a\n.\nb"), (Some(4), vec!["a".into()]));
        assert_eq!(run(BareNewline::Normalize, b".\r\n"), (Some(3), vec![]));
        assert_eq!(run(BareNewline::Normalize, b"x\r\r\n.\r\n").1, ["x\r"]);
        assert_eq!(run(BareNewline::Allow, b"x\r\r\n.\r\n").1, ["x"]);
    }

    #[test]
    fn the_result_does_not_depend_on_how_input_is_cut() {
        let input = b"From x\r\n.. y\r\nlong long long line\r\n\r\n.z\r\n.\r\n";
        let mut whole = Body::new(true, BareNewline::Normalize, 8, 0);
        whole.feed(input);
        let expected = decode(&mut whole);
        for size in 1..input.len() {
            let mut body = Body::new(true, BareNewline::Normalize, 8, 0);
            let mut ended = false;
            for piece in input.chunks(size) {
                ended = matches!(body.feed(piece), Fed::Ended(_));
            }
            assert!(ended);
            assert_eq!(decode(&mut body), expected, "pieces of {size}");
        }
    }

    #[test]
    fn long_lines_come_in_parts_and_count_once_for_each() {
        let mut body = Body::new(false, BareNewline::Normalize, 4, 0);
        body.feed(b"abcdef\r\n");
        body.finish();
        assert_eq!(decode(&mut body), [('L', "abcd".to_owned()), ('N', "ef".to_owned())]);
    }

    #[test]
    fn beyond_the_size_limit_nothing_is_kept() {
        let mut body = Body::new(false, BareNewline::Normalize, 100, 8);
        body.feed(b"123456\r\n7\r\n");
        assert!(body.too_big);
        assert_eq!(decode(&mut body).len(), 1);
    }

    #[test]
    fn strange_first_lines_are_made_a_header() {
        assert_eq!(run(BareNewline::Normalize, b">From x\r\n.\r\n").1, ["X-Mailbox-Line: >From x"]);
        assert_eq!(run(BareNewline::Normalize, b" x\r\n.\r\n").1, ["", " x"]);
    }
}
