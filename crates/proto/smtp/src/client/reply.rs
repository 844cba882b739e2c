//! Server replies (RFC 5321 §4.2), as hostile input: bounded, never panicking.

use mail_status::Dsn;

/// Bytes of one reply line that are kept (`line_length_limit`).
const LINE_LIMIT: usize = 2048;
/// Bytes of all lines of a reply that are kept; later lines are read and dropped.
const TEXT_LIMIT: usize = 16 * 1024;
/// Strange lines of one reply that are kept.
const STRANGE_LIMIT: usize = 10;
/// Lines of one reply.
const LINES_LIMIT: usize = 10_000;

/// A whole reply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// Three digits.
    pub code: u16,
    /// All lines with their codes, joined by one blank; what is not printable is `?`.
    pub text: String,
    /// Enhanced status code of the last line, if valid and of the class of the code.
    pub enhanced: Option<Dsn>,
    /// The lines without code and separator, for EHLO.
    pub lines: Vec<String>,
    /// Lines that are no part of a reply, for lack of a code: the reply to the command is the one that follows.
    pub strange: Vec<String>,
}

impl Reply {
    /// First digit of the code; 0 for none.
    #[must_use]
    pub const fn class(&self) -> u16 {
        self.code / 100
    }

    /// 2xx.
    #[must_use]
    pub const fn is_positive(&self) -> bool {
        self.class() == 2
    }

    /// As a failure, this reply says that one side does not follow the protocol (`postconf(5) notify_classes`).
    #[must_use]
    pub const fn is_protocol_error(&self) -> bool {
        matches!(self.code, ..400 | 500..=509 | 555 | 600..)
    }

    /// The status of this reply as a failure: its enhanced code, else `N.0.0`; 5.5.0 for what is no failure code.
    #[must_use]
    pub fn failure_status(&self) -> Dsn {
        match (self.class(), self.enhanced) {
            (4 | 5, Some(dsn)) => dsn,
            (4, None) => Dsn::new(4, 0, 0),
            (5, None) => Dsn::new(5, 0, 0),
            _ => Dsn::new(5, 5, 0),
        }
    }

    /// The status of this reply as a success.
    #[must_use]
    pub fn success_status(&self) -> Dsn {
        self.enhanced.filter(|dsn| dsn.is_success()).unwrap_or(Dsn::new(2, 0, 0))
    }

    /// The text as a failure: an unexpected success is a protocol error.
    #[must_use]
    pub fn failure_text(&self) -> String {
        if self.is_positive() { format!("Protocol error: {}", self.text) } else { self.text.clone() }
    }
}

/// More lines than any server has to say.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("too many reply lines")]
pub struct MalformedReply;

/// Assembles replies from lines.
#[derive(Debug, Default)]
pub struct ReplyReader {
    text: String,
    lines: Vec<String>,
    strange: Vec<String>,
    count: usize,
}

impl ReplyReader {
    /// Takes one line without its line end; gives the reply when it was the last.
    ///
    /// # Errors
    /// [`MalformedReply`] when a reply does not end.
    pub fn line(&mut self, line: &[u8]) -> Result<Option<Reply>, MalformedReply> {
        self.count += 1;
        if self.count > LINES_LIMIT {
            return Err(MalformedReply);
        }
        let line = line.get(..LINE_LIMIT).unwrap_or(line);
        let shown = mail_text::printable::printable(line, true);
        if self.text.len() + shown.len() <= TEXT_LIMIT {
            if self.count > 1 {
                self.text.push(' ');
            }
            self.text.push_str(&shown);
        }
        let Some(code) = code_of(line) else {
            if self.strange.len() < STRANGE_LIMIT {
                self.strange.push(shown);
            }
            return Ok(None);
        };
        if self.lines.len() < 1000 {
            self.lines.push(mail_text::printable::printable(line.get(4..).unwrap_or_default(), true));
        }
        if line.get(3) == Some(&b'-') {
            return Ok(None);
        }
        let done = std::mem::take(self);
        let enhanced = done.lines.last().and_then(|line| Dsn::split(line.trim_start())).map(|(dsn, _)| dsn);
        let enhanced = enhanced.filter(|dsn| u16::from(dsn.class) == code / 100);
        Ok(Some(Reply { code, text: done.text, enhanced, lines: done.lines, strange: done.strange }))
    }
}

/// The code that a line starts with: three digits, then a blank, `-` or the end.
fn code_of(line: &[u8]) -> Option<u16> {
    let digits = line.get(..3)?;
    let separated = matches!(line.get(3), None | Some(b' ' | b'-'));
    if !separated || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(digits).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(lines: &[&str]) -> Reply {
        let mut reader = ReplyReader::default();
        lines.iter().find_map(|line| reader.line(line.as_bytes()).unwrap()).unwrap()
    }

    #[test]
    fn replies_have_a_code_a_text_and_a_status() {
        for (lines, code, text, status) in [
            (&["550 5.1.1 no such user"][..], 550, "550 5.1.1 no such user", "5.1.1"),
            (&["450 later"], 450, "450 later", "4.0.0"),
            (&["550-a", "550 5.7.1 b"], 550, "550-a 550 5.7.1 b", "5.7.1"),
            (&["550 4.7.1 b"], 550, "550 4.7.1 b", "5.0.0"),
            (&["600 x"], 600, "600 x", "5.5.0"),
            (&["hello", "250ok", "550 5.1.1 no"], 550, "hello 250ok 550 5.1.1 no", "5.1.1"),
            (&["354 go"], 354, "354 go", "5.5.0"),
            (&["550 a\u{1}b"], 550, "550 a?b", "5.0.0"),
        ] {
            let reply = read(lines);
            assert_eq!(
                (reply.code, reply.text.as_str(), reply.failure_status().to_string().as_str()),
                (code, text, status)
            );
        }
        assert_eq!(read(&["250 ok"]).failure_text(), "Protocol error: 250 ok");
    }

    #[test]
    fn a_reply_without_end_is_refused() {
        let mut reader = ReplyReader::default();
        let ended = (0..20_000).any(|_| reader.line(b"250-x").is_err());
        assert!(ended);
    }
}
