//! What was said in a session, kept for the postmaster who wants to hear of errors (`postconf(5) notify_classes`).

use mail_text::printable::printable;

/// Bytes of a transcript at the most; of more the older half is forgotten.
const LIMIT: usize = 64 * 1024;

/// Kinds of errors in a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorClass {
    /// The message or a recipient cannot be delivered.
    Bounce,
    /// A table could not tell.
    Data,
    /// Refused by a rule of the administrator.
    Policy,
    /// Not as the protocol wants it.
    Protocol,
    /// No space, no memory, no write.
    Resource,
    /// An error of our own, or of the configuration.
    Software,
}

const NAMES: [(&str, ErrorClass); 6] = [
    ("bounce", ErrorClass::Bounce),
    ("data", ErrorClass::Data),
    ("policy", ErrorClass::Policy),
    ("protocol", ErrorClass::Protocol),
    ("resource", ErrorClass::Resource),
    ("software", ErrorClass::Software),
];

impl ErrorClass {
    const fn bit(self) -> u8 {
        match self {
            Self::Bounce => 1,
            Self::Data => 1 << 1,
            Self::Policy => 1 << 2,
            Self::Protocol => 1 << 3,
            Self::Resource => 1 << 4,
            Self::Software => 1 << 5,
        }
    }
}

/// A set of [`ErrorClass`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ErrorClasses(u8);

impl ErrorClasses {
    /// The classes of a list as in `notify_classes`, by name; other words count for nothing here.
    #[must_use]
    pub fn parse(list: &str) -> Self {
        let mut set = Self::default();
        for word in mail_text::list::words(list) {
            if let Some((_, class)) = NAMES.iter().find(|(name, _)| name.eq_ignore_ascii_case(word)) {
                set.add(*class);
            }
        }
        set
    }

    /// Adds a class.
    pub const fn add(&mut self, class: ErrorClass) {
        self.0 |= class.bit();
    }

    /// Whether `class` is in the set.
    #[must_use]
    pub const fn has(self, class: ErrorClass) -> bool {
        self.0 & class.bit() != 0
    }

    /// Nothing but `class`.
    #[must_use]
    pub const fn of(class: ErrorClass) -> Self {
        Self(class.bit())
    }

    /// What both sets have.
    #[must_use]
    pub const fn common(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// Nothing is in the set.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }
}

/// The transcript of a session with errors that somebody wants to hear of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    /// All errors that were found, also those that nobody asked for.
    pub classes: ErrorClasses,
    /// `Out: …` and `In:  …`, a line each.
    pub text: String,
    /// Why the session did not come to its end.
    pub aborted: Option<&'static str>,
}

/// A session so far.
#[derive(Clone, Debug, Default)]
pub struct Transcript {
    wanted: ErrorClasses,
    found: ErrorClasses,
    text: String,
    lines: u32,
    aborted: Option<&'static str>,
    /// Those of a session so long that it was told in parts.
    parts: Vec<Notice>,
}

/// How many parts of one session are kept.
const PARTS: usize = 4;

impl Transcript {
    /// A transcript for who wants to hear of `wanted`; `None` when nobody does.
    #[must_use]
    pub fn for_classes(wanted: ErrorClasses) -> Option<Box<Self>> {
        (!wanted.is_empty()).then(|| Box::new(Self { wanted, ..Self::default() }))
    }

    /// A line from the other side, without its end.
    pub fn received(&mut self, line: &[u8]) {
        self.line("In:  ", line);
    }

    /// Lines to the other side, each with its CRLF.
    pub fn sent(&mut self, lines: &[u8]) {
        for line in lines.split_inclusive(|&b| b == b'\n') {
            let line = line.strip_suffix(b"\n").unwrap_or(line);
            self.line("Out: ", line.strip_suffix(b"\r").unwrap_or(line));
        }
    }

    fn line(&mut self, who: &str, line: &[u8]) {
        let line = printable(line, true);
        self.text.reserve_exact(who.len() + line.len() + 1);
        self.text.push_str(who);
        self.text.push_str(&line);
        self.text.push('\n');
        self.lines = self.lines.saturating_add(1);
        if self.text.len() > LIMIT {
            let half = self.text.len() / 2;
            let end = self.text.bytes().skip(half).position(|b| b == b'\n').map_or(0, |at| half + at + 1);
            self.text = self.text.get(end..).unwrap_or_default().to_owned();
        }
    }

    /// There was an error of this class.
    pub const fn error(&mut self, class: ErrorClass) {
        self.found.add(class);
    }

    /// Errors so far do not count any more.
    pub fn forgive(&mut self) {
        self.found = ErrorClasses::default();
    }

    /// The session ends before its time.
    pub const fn abort(&mut self, why: &'static str) {
        self.aborted = Some(why);
    }

    /// With more lines than this a new transcript begins; what there was to tell waits for [`Transcript::notices`].
    pub fn turn_page(&mut self, limit: u32) {
        if self.lines > limit {
            let notice = self.close();
            self.parts.extend(notice.filter(|_| self.parts.len() < PARTS));
        }
    }

    /// Whether a part is to be told.
    #[must_use]
    pub const fn has_part(&self) -> bool {
        !self.parts.is_empty()
    }

    /// Whether anything is to be told.
    #[must_use]
    pub const fn is_due(&self) -> bool {
        self.has_part() || !self.found.common(self.wanted).is_empty()
    }

    /// The parts that are to be told.
    pub fn take_parts(&mut self) -> Vec<Notice> {
        std::mem::take(&mut self.parts)
    }

    /// What there is to tell; a new transcript begins.
    pub fn close(&mut self) -> Option<Notice> {
        let classes = std::mem::take(&mut self.found);
        let text = std::mem::take(&mut self.text);
        self.lines = 0;
        (!classes.common(self.wanted).is_empty()).then_some(Notice { classes, text, aborted: self.aborted })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn transcript(wanted: &str) -> Box<Transcript> {
        Transcript::for_classes(ErrorClasses::parse(wanted)).unwrap()
    }

    #[test]
    fn who_wants_nothing_gets_no_transcript() {
        for (list, any) in
            [("", false), ("2bounce, delay", false), ("Policy", true), ("resource,software", true)]
        {
            assert_eq!(Transcript::for_classes(ErrorClasses::parse(list)).is_some(), any, "{list}");
        }
    }

    #[test]
    fn only_errors_that_were_asked_for_are_told() {
        let mut transcript = transcript("policy");
        transcript.sent(b"220 mx\r\n");
        transcript.received(b"FOO\t\xff");
        transcript.sent(b"500-no\r\n500 no\r\n");
        transcript.error(ErrorClass::Protocol);
        assert!(!transcript.is_due());
        transcript.error(ErrorClass::Policy);
        transcript.abort("timeout");
        let notice = transcript.close().unwrap();
        assert_eq!(notice.text, "Out: 220 mx\nIn:  FOO??\nOut: 500-no\nOut: 500 no\n");
        assert_eq!(
            (notice.classes, notice.aborted),
            (ErrorClasses::parse("protocol policy"), Some("timeout"))
        );
        assert!(!transcript.is_due());
    }

    #[test]
    fn a_transcript_is_bounded() {
        let mut transcript = transcript("policy");
        for number in 0..2000 {
            transcript.received(format!("NOOP {number} {}", "x".repeat(100)).as_bytes());
        }
        transcript.error(ErrorClass::Policy);
        let notice = transcript.close().unwrap();
        assert!(notice.text.len() <= LIMIT && notice.text.contains("NOOP 1999 "));
        assert!(notice.text.starts_with("In:  NOOP "), "whole lines");
    }

    #[test]
    fn a_long_session_is_told_in_parts() {
        let mut transcript = transcript("policy");
        transcript.received(b"1");
        transcript.received(b"2");
        transcript.error(ErrorClass::Policy);
        transcript.turn_page(2);
        assert!(!transcript.has_part());
        transcript.turn_page(1);
        transcript.received(b"3");
        assert_eq!(
            transcript.take_parts().iter().map(|n| n.text.as_str()).collect::<Vec<_>>(),
            ["In:  1\nIn:  2\n"]
        );
        assert_eq!(transcript.close(), None);
    }
}
