//! Conversion of 8bit content to 7bit for servers without 8BITMIME (RFC 6152 §3): bodies that are declared 8bit or binary
//! become quoted-printable (RFC 2045 §6.7), composite ones are declared 7bit.

use crate::header::{Header, Known};
use crate::media::Encoding;
use crate::parser::{Content, Declared, Ending, Limits, Parser, Part, Problem, Sink};

/// A line that has grown longer than this gets a soft line break (columns).
const SOFT_BREAK_AFTER: usize = 72;

/// Where the converted message goes: lines without line feed (`true`), fragments of lines (`false`).
pub type Output<'a> = dyn FnMut(bool, &[u8]) + 'a;

/// Converter of one message.
#[derive(Debug)]
pub struct Downgrade {
    parser: Parser,
    line: Vec<u8>,
}

impl Downgrade {
    /// A converter at the start of a message.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        Self { parser: Parser::new(limits), line: Vec::new() }
    }

    /// Takes one record, gives the converted ones. [`Problem::Nesting`] is the one violation that makes conversion impossible.
    ///
    /// # Errors
    /// The violation.
    pub fn feed(&mut self, terminated: bool, bytes: &[u8], output: &mut Output<'_>) -> Result<(), Problem> {
        let mut sink = Convert { output, line: &mut self.line, failed: None };
        self.parser.feed(terminated, bytes, &mut sink);
        sink.failed.map_or(Ok(()), Err)
    }

    /// The message is over.
    pub fn finish(&mut self, output: &mut Output<'_>) {
        let mut sink = Convert { output, line: &mut self.line, failed: None };
        self.parser.finish(&mut sink);
        if !sink.line.is_empty() {
            sink.flush(false);
        }
    }
}

struct Convert<'a, 'o> {
    output: &'a mut Output<'o>,
    line: &'a mut Vec<u8>,
    failed: Option<Problem>,
}

impl Convert<'_, '_> {
    fn flush(&mut self, terminated: bool) {
        (self.output)(terminated, self.line);
        self.line.clear();
    }

    fn escape(&mut self, byte: u8) {
        const HEX: &[u8; 16] = b"0123456789ABCDEF";
        let digit = |value: u8| HEX.get(usize::from(value)).copied().unwrap_or(b'0');
        self.line.extend([b'=', digit(byte >> 4), digit(byte & 15)]);
    }

    fn encode(&mut self, terminated: bool, bytes: &[u8]) {
        for &byte in bytes {
            if self.line.len() > SOFT_BREAK_AFTER {
                self.line.push(b'=');
                self.flush(true);
            }
            match byte {
                b' ' | b'\t' => self.line.push(byte),
                b'=' => self.escape(byte),
                33..=126 => self.line.push(byte),
                _ => self.escape(byte),
            }
        }
        if terminated {
            if let Some(&blank @ (b' ' | b'\t')) = self.line.last() {
                self.line.pop();
                self.escape(blank);
            }
            self.flush(true);
        }
    }
}

impl Sink for Convert<'_, '_> {
    fn header(&mut self, _: Part, header: &Header<'_>) {
        let replaced = header.known == Some(Known::ContentTransferEncoding)
            && Encoding::parse(header.value).is_eight_bit();
        if !replaced {
            header.text.split(|&b| b == b'\n').for_each(|line| (self.output)(true, line));
        }
    }

    fn headers_end(&mut self, _: Part, _: Ending, declared: Declared) {
        match declared {
            Declared { eight_bit: false, .. } => {}
            Declared { composite: true, .. } => (self.output)(true, b"Content-Transfer-Encoding: 7bit"),
            Declared { composite: false, .. } => {
                (self.output)(true, b"Content-Transfer-Encoding: quoted-printable")
            }
        }
    }

    fn body(&mut self, content: Content, terminated: bool, bytes: &[u8]) {
        match content {
            Content::Data(Declared { eight_bit: true, composite: false }) => self.encode(terminated, bytes),
            Content::Data(_) | Content::EmptyLine | Content::Boundary => (self.output)(terminated, bytes),
        }
    }

    fn problem(&mut self, problem: Problem, _: &[u8]) {
        match problem {
            Problem::Nesting => self.failed = Some(problem),
            Problem::EightBitHeader | Problem::EightBitBody | Problem::EncodingDomain => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits =
        Limits { header_bytes: 102_400, boundary_bytes: 2048, nesting: 100, structure: true };

    fn converted(lines: &[&str]) -> Vec<String> {
        let mut out = Vec::new();
        let mut downgrade = Downgrade::new(LIMITS);
        let mut output = |_: bool, bytes: &[u8]| out.push(String::from_utf8_lossy(bytes).into_owned());
        for line in lines {
            downgrade.feed(true, line.as_bytes(), &mut output).unwrap();
        }
        downgrade.finish(&mut output);
        out
    }

    #[test]
    fn a_declared_8bit_leaf_becomes_quoted_printable() {
        assert_eq!(
            converted(&["Content-Transfer-Encoding: 8bit", "A: b", "", "caf\u{e9}=1 ", "x"]),
            ["A: b", "Content-Transfer-Encoding: quoted-printable", "", "caf=C3=A9=3D1=20", "x"]
        );
        assert_eq!(converted(&["A: b", "", "=\u{e9} "]), ["A: b", "", "=\u{e9} "]);
        let long = "y".repeat(80);
        assert_eq!(
            converted(&["Content-Transfer-Encoding: binary", "", &long])[2].len(),
            SOFT_BREAK_AFTER + 2
        );
    }

    #[test]
    fn multiparts_are_declared_7bit_and_their_parts_converted_one_by_one() {
        assert_eq!(
            converted(&[
                "Content-Type: multipart/mixed; boundary=b",
                "Content-Transfer-Encoding: 8bit",
                "",
                "--b",
                "Content-Transfer-Encoding: 8bit",
                "",
                "\u{e9}",
                "--b--",
            ]),
            [
                "Content-Type: multipart/mixed; boundary=b",
                "Content-Transfer-Encoding: 7bit",
                "",
                "--b",
                "Content-Transfer-Encoding: quoted-printable",
                "",
                "=C3=A9",
                "--b--",
            ]
        );
    }
}
