//! The streaming parser: records in, headers and body lines out.

use crate::header::{Header, Known, name_length};
use crate::media::{Encoding, Media, content_type};

/// Whose header it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// The message's own.
    Primary,
    /// A part of a multipart.
    Multipart,
    /// An attached message's.
    Nested,
}

/// How a header section ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// With the empty line that RFC 5322 wants.
    EmptyLine,
    /// With a line that is no header.
    Text,
    /// With the message.
    EndOfMessage,
}

/// Violations of MIME; what to do about them is the caller's business.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Problem {
    /// 8-bit data in a header.
    EightBitHeader,
    /// 8-bit data in a body that says 7bit.
    EightBitBody,
    /// A composite type with an encoding (RFC 2045 §6.4).
    EncodingDomain,
    /// More open multiparts than the limit.
    Nesting,
}

/// Bounds on what is held.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// `header_size_limit` (bytes): what does not fit is dropped.
    pub header_bytes: usize,
    /// `mime_boundary_length_limit` (bytes compared).
    pub boundary_bytes: usize,
    /// `mime_nesting_limit` (levels).
    pub nesting: usize,
    /// `disable_mime_input_processing` negated: look for structure at all.
    pub structure: bool,
}

/// What is said about the data at one place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Declared {
    /// Declared 8bit or binary.
    pub eight_bit: bool,
    /// A multipart or message: entities inside.
    pub composite: bool,
}

/// What a body record is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Content {
    /// The line after a header section.
    EmptyLine,
    /// A boundary line.
    Boundary,
    /// Data (for a multipart: before the first and after the last part).
    Data(Declared),
}

/// Receives the parts of a message in their order.
pub trait Sink {
    /// One logical header.
    fn header(&mut self, part: Part, header: &Header<'_>);
    /// A header section is over; a separating empty line, if any, follows as body.
    fn headers_end(&mut self, part: Part, ending: Ending, declared: Declared);
    /// A line, or an unterminated fragment of one.
    fn body(&mut self, content: Content, terminated: bool, bytes: &[u8]);
    /// A violation, with the data that shows it.
    fn problem(&mut self, problem: Problem, data: &[u8]);
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Headers(Part),
    Body,
}

#[derive(Debug)]
struct Open {
    boundary: Vec<u8>,
    digest: bool,
}

#[derive(Debug, Default)]
struct Entity {
    media: Media,
    encoding: Encoding,
    boundary: Option<String>,
}

/// Parser of one message.
#[derive(Debug)]
pub struct Parser {
    limits: Limits,
    state: State,
    header: Vec<u8>,
    in_header: bool,
    previous_terminated: bool,
    open: Vec<Open>,
    entity: Entity,
    too_deep: bool,
}

impl Parser {
    /// A parser at the start of a message.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            state: State::Headers(Part::Primary),
            header: Vec::new(),
            in_header: false,
            previous_terminated: true,
            open: Vec::new(),
            entity: Entity::default(),
            too_deep: false,
        }
    }

    /// Whether the primary header section is still open.
    #[must_use]
    pub fn in_primary_header(&self) -> bool {
        self.state == State::Headers(Part::Primary)
    }

    fn declared(&self) -> Declared {
        Declared {
            eight_bit: self.entity.encoding.is_eight_bit(),
            composite: !matches!(self.entity.media, Media::Leaf),
        }
    }

    /// Takes one record: a line, or a fragment of one.
    pub fn feed(&mut self, terminated: bool, bytes: &[u8], sink: &mut dyn Sink) {
        let line_start = self.previous_terminated;
        self.previous_terminated = terminated;
        match self.state {
            State::Headers(part) => self.header_record(part, line_start, terminated, bytes, sink),
            State::Body => self.body_record(line_start, terminated, bytes, sink),
        }
    }

    /// The message is over.
    pub fn finish(&mut self, sink: &mut dyn Sink) {
        if let State::Headers(part) = self.state {
            self.emit_header(part, sink);
            sink.headers_end(part, Ending::EndOfMessage, self.declared());
            self.state = State::Body;
        }
    }

    fn header_record(
        &mut self,
        part: Part,
        line_start: bool,
        terminated: bool,
        bytes: &[u8],
        sink: &mut dyn Sink,
    ) {
        if self.in_header {
            if !line_start {
                return self.append(bytes, false);
            }
            if matches!(bytes.first(), Some(b' ' | b'\t')) {
                return self.append(bytes, true);
            }
            self.emit_header(part, sink);
        }
        if name_length(bytes).is_some() {
            self.in_header = true;
            self.header.extend_from_slice(bytes.get(..self.limits.header_bytes).unwrap_or(bytes));
            return;
        }
        let ending = if bytes.is_empty() { Ending::EmptyLine } else { Ending::Text };
        sink.headers_end(part, ending, self.declared());
        self.enter_body(part, ending, sink);
        match (ending, part) {
            (Ending::Text, Part::Primary) => {
                sink.body(Content::EmptyLine, true, b"");
                self.feed_again(terminated, bytes, sink);
            }
            (Ending::Text, Part::Multipart | Part::Nested) => self.feed_again(terminated, bytes, sink),
            (Ending::EmptyLine | Ending::EndOfMessage, _) => sink.body(Content::EmptyLine, terminated, bytes),
        }
    }

    /// A line that ended a header section is looked at once more, as body.
    fn feed_again(&mut self, terminated: bool, bytes: &[u8], sink: &mut dyn Sink) {
        self.state = State::Body;
        self.body_record(true, terminated, bytes, sink);
    }

    fn append(&mut self, bytes: &[u8], new_line: bool) {
        if self.header.len() + usize::from(new_line) + bytes.len() > self.limits.header_bytes {
            return;
        }
        if new_line {
            self.header.push(b'\n');
        }
        self.header.extend_from_slice(bytes);
    }

    fn emit_header(&mut self, part: Part, sink: &mut dyn Sink) {
        if !std::mem::take(&mut self.in_header) {
            return;
        }
        let text = std::mem::take(&mut self.header);
        if let Some(header) = Header::parse(&text) {
            if self.limits.structure {
                self.note(&header);
            }
            if !text.is_ascii() {
                sink.problem(Problem::EightBitHeader, &text);
            }
            sink.header(part, &header);
        }
        self.header = text;
        self.header.clear();
    }

    fn note(&mut self, header: &Header<'_>) {
        match header.known {
            Some(Known::ContentType) => {
                (self.entity.media, self.entity.boundary) = content_type(header.value)
            }
            Some(Known::ContentTransferEncoding) => {
                self.entity.encoding = Encoding::parse(header.value);
            }
            Some(_) | None => {}
        }
    }

    fn enter_body(&mut self, part: Part, ending: Ending, sink: &mut dyn Sink) {
        self.state = State::Body;
        if self.declared().composite && self.entity.encoding == Encoding::Encoded {
            sink.problem(Problem::EncodingDomain, part_name(part));
        }
        match self.entity.media {
            Media::Multipart { digest } => self.open_multipart(digest, sink),
            Media::Message if ending == Ending::EmptyLine => {
                self.state = State::Headers(Part::Nested);
                self.entity = Entity::default();
            }
            Media::Message | Media::OpaqueMessage | Media::Leaf => {}
        }
    }

    fn open_multipart(&mut self, digest: bool, sink: &mut dyn Sink) {
        let Some(boundary) = self.entity.boundary.take() else { return };
        if self.open.len() >= self.limits.nesting {
            if !self.too_deep {
                self.too_deep = true;
                sink.problem(Problem::Nesting, boundary.as_bytes());
            }
            return;
        }
        let mut boundary = boundary.into_bytes();
        boundary.truncate(self.limits.boundary_bytes);
        self.open.push(Open { boundary, digest });
    }

    fn body_record(&mut self, line_start: bool, terminated: bool, bytes: &[u8], sink: &mut dyn Sink) {
        if line_start && bytes.starts_with(b"--") && self.boundary(bytes) {
            return sink.body(Content::Boundary, terminated, bytes);
        }
        if !self.entity.encoding.is_eight_bit() && !bytes.is_ascii() {
            sink.problem(Problem::EightBitBody, bytes);
        }
        sink.body(Content::Data(self.declared()), terminated, bytes);
    }

    /// Whether this line separates parts, innermost multipart first; moves to the next state if so.
    fn boundary(&mut self, line: &[u8]) -> bool {
        let Some(after) = line.strip_prefix(b"--") else { return false };
        let Some(level) = self.open.iter().rposition(|o| after.starts_with(&o.boundary)) else {
            return false;
        };
        self.open.truncate(level + 1);
        let Some(open) = self.open.last() else { return false };
        let closes = after.get(open.boundary.len()..).is_some_and(|rest| rest.starts_with(b"--"));
        let media = if open.digest { Media::Message } else { Media::Leaf };
        if closes {
            self.open.pop();
            self.entity = Entity::default();
        } else {
            self.entity = Entity { media, ..Entity::default() };
            self.state = State::Headers(Part::Multipart);
        }
        true
    }
}

fn part_name(part: Part) -> &'static [u8] {
    match part {
        Part::Primary => b"message",
        Part::Multipart => b"multipart",
        Part::Nested => b"nested message",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    pub(crate) const LIMITS: Limits =
        Limits { header_bytes: 200, boundary_bytes: 2048, nesting: 3, structure: true };

    #[derive(Default)]
    struct Trace(Vec<String>);

    impl Sink for Trace {
        fn header(&mut self, part: Part, header: &Header<'_>) {
            self.0.push(format!("{part:?} {}", String::from_utf8_lossy(header.text)));
        }
        fn headers_end(&mut self, part: Part, ending: Ending, _: Declared) {
            self.0.push(format!("end {part:?} {ending:?}"));
        }
        fn body(&mut self, _: Content, terminated: bool, bytes: &[u8]) {
            self.0.push(format!("{}{}", if terminated { "|" } else { "~" }, String::from_utf8_lossy(bytes)));
        }
        fn problem(&mut self, problem: Problem, _: &[u8]) {
            self.0.push(format!("{problem:?}"));
        }
    }

    fn trace(lines: &[&str]) -> Vec<String> {
        let (mut parser, mut sink) = (Parser::new(LIMITS), Trace::default());
        for line in lines {
            match line.strip_suffix('~') {
                Some(fragment) => parser.feed(false, fragment.as_bytes(), &mut sink),
                None => parser.feed(true, line.as_bytes(), &mut sink),
            }
        }
        parser.finish(&mut sink);
        sink.0
    }

    #[test]
    fn headers_are_joined_and_a_missing_empty_line_is_supplied() {
        assert_eq!(
            trace(&["A: b", " c", "D: e~", "f", "no header"]),
            ["Primary A: b\n c", "Primary D: ef", "end Primary Text", "|", "|no header"]
        );
        assert_eq!(trace(&["A: b"]), ["Primary A: b", "end Primary EndOfMessage"]);
        assert_eq!(trace(&["", " x"]), ["end Primary EmptyLine", "|", "| x"]);
    }

    #[test]
    fn parts_and_nested_messages_have_headers_of_their_own() {
        let found = trace(&[
            "Content-Type: multipart/mixed; boundary=q",
            "",
            "pre",
            "--q",
            "X: y",
            "",
            "é",
            "--q",
            "Content-Type: message/rfc822",
            "",
            "In: ner",
            "",
            "b",
            "--q--",
            "X: no",
        ]);
        assert_eq!(
            found,
            [
                "Primary Content-Type: multipart/mixed; boundary=q",
                "end Primary EmptyLine",
                "|",
                "|pre",
                "|--q",
                "Multipart X: y",
                "end Multipart EmptyLine",
                "|",
                "EightBitBody",
                "|é",
                "|--q",
                "Multipart Content-Type: message/rfc822",
                "end Multipart EmptyLine",
                "|",
                "Nested In: ner",
                "end Nested EmptyLine",
                "|",
                "|b",
                "|--q--",
                "|X: no",
            ]
        );
    }

    #[test]
    fn headers_beyond_the_limit_lose_their_tail_and_nesting_is_bounded() {
        let long = format!(" {}", "x".repeat(150));
        assert_eq!(trace(&["A: b", &long, &long])[0].len(), "Primary A: b\n".len() + long.len());
        let mut lines = vec!["Content-Type: multipart/mixed; boundary=a0", ""];
        let parts: Vec<String> =
            (1..6).map(|n| format!("Content-Type: multipart/mixed; boundary=a{n}")).collect();
        let marks: Vec<String> = (0..6).map(|n| format!("--a{n}")).collect();
        for (part, mark) in parts.iter().zip(&marks) {
            lines.extend([mark.as_str(), part.as_str(), ""]);
        }
        assert_eq!(trace(&lines).iter().filter(|l| *l == "Nesting").count(), 1);
    }
}
