//! Replies on their way out: soft bounces, footers, line ends.

use std::fmt::Write as _;

use crate::transcript::ErrorClass;

/// A reply: `CODE text`, lines separated by LF, without the last line end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    text: String,
    class: Option<ErrorClass>,
}

impl Reply {
    /// A reply of this text.
    #[must_use]
    pub fn new(text: impl Into<String>) -> Self {
        Self { text: text.into(), class: None }
    }

    /// The same reply, said because of an error of this class.
    #[must_use]
    pub fn because_of(self, class: ErrorClass) -> Self {
        Self { class: Some(class), ..self }
    }

    /// The same reply, said because of an error of this class if no other is known.
    #[must_use]
    pub(crate) fn or_because_of(self, class: ErrorClass) -> Self {
        Self { class: self.class.or(Some(class)), ..self }
    }

    /// The error that this reply tells, if it is one that counts for notices.
    #[must_use]
    pub const fn class(&self) -> Option<ErrorClass> {
        self.class
    }

    /// The same reason for another text.
    #[must_use]
    pub const fn with_text(&self, text: String) -> Self {
        Self { text, class: self.class }
    }

    /// The text, lines separated by LF.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Rejects: class 4 or 5.
    #[must_use]
    pub fn is_negative(&self) -> bool {
        self.text.starts_with(['4', '5'])
    }

    /// Ends the session, wherever it comes from (RFC 5321 §3.8).
    #[must_use]
    pub fn disconnects(&self) -> bool {
        self.text.starts_with("421") || self.text.starts_with("521")
    }

    /// Turns 5xx into 4xx (`postconf(5) soft_bounce`).
    #[must_use]
    pub fn softened(&self) -> Self {
        let lines: Vec<String> = self.text.split('\n').map(soften).collect();
        self.with_text(lines.join("\n"))
    }

    /// Appends a footer (`postconf(5) smtpd_reject_footer`): `\n` begins a line, a leading `\c` continues the first one.
    #[must_use]
    pub fn with_footer(&self, footer: &str) -> Self {
        let prefix = code_and_status(&self.text);
        let (joined, footer) = match footer.strip_prefix("\\c") {
            Some(rest) => (true, rest),
            None => (false, footer),
        };
        let mut lines = footer.split("\\n");
        let mut out = self.text.clone();
        if joined {
            out.push_str(lines.next().unwrap_or(""));
        }
        for line in lines {
            let _ = write!(out, "\n{prefix}{line}");
        }
        self.with_text(out)
    }

    /// Writes the reply with CRLF line ends and `-` after the code of all lines but the last.
    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        let mut lines = self.text.split('\n').peekable();
        while let Some(line) = lines.next() {
            match line.split_at_checked(3) {
                Some((code, rest)) if lines.peek().is_some() => {
                    out.extend_from_slice(code.as_bytes());
                    out.push(b'-');
                    out.extend_from_slice(rest.get(1..).unwrap_or("").as_bytes());
                }
                Some(_) | None => out.extend_from_slice(line.as_bytes()),
            }
            out.extend_from_slice(b"\r\n");
        }
    }
}

fn soften(line: &str) -> String {
    let Some(rest) = line.strip_prefix('5') else { return line.to_owned() };
    let (code, text) = rest.split_at_checked(2).unwrap_or((rest, ""));
    match text.strip_prefix([' ', '-']).filter(|t| t.starts_with("5.")) {
        Some(_) => format!("4{code}{}4{}", text.get(..1).unwrap_or(" "), text.get(2..).unwrap_or("")),
        None => format!("4{rest}"),
    }
}

/// `CODE D.S.N ` or `CODE ` of a reply, to begin another line with.
fn code_and_status(text: &str) -> String {
    let code = text.get(..3).unwrap_or(text);
    match text.get(4..).and_then(mail_status::Dsn::split) {
        Some((dsn, _)) => format!("{code} {dsn} "),
        None => format!("{code} "),
    }
}

/// Bytes of the peer made fit for a log line: C escapes for what is not printable.
pub(crate) fn escape(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len());
    for &byte in bytes {
        match byte {
            b'\n' => out.push_str("\\n"),
            b'\r' => out.push_str("\\r"),
            b'\t' => out.push_str("\\t"),
            b'\\' => out.push_str("\\\\"),
            7 => out.push_str("\\a"),
            8 => out.push_str("\\b"),
            11 => out.push_str("\\v"),
            12 => out.push_str("\\f"),
            32..=126 => out.push(char::from(byte)),
            _ => {
                let _ = write!(out, "\\{byte:03o}");
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replies_are_softened_and_get_footers() {
        assert_eq!(
            Reply::new("550 5.1.1 no\n550 5.1.1 more").softened().as_str(),
            "450 4.1.1 no\n450 4.1.1 more"
        );
        assert_eq!(Reply::new("501 Syntax").softened().as_str(), "401 Syntax");
        let reply = Reply::new("550 5.1.1 no").with_footer("\\c. See x\\nAt y");
        let mut out = Vec::new();
        reply.write(&mut out);
        assert_eq!(out, b"550-5.1.1 no. See x\r\n550 5.1.1 At y\r\n");
        assert_eq!(escape(b"NOOP\r\n\x01\xff"), "NOOP\\r\\n\\001\\377");
    }
}
