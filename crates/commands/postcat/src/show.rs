//! One queue file as text.

use std::io::{self, Write};

use host_spool::clock::{leading_number, local_time};
use host_spool::{AnyRecord, Follow, QueueFile, ReadError};
use mail_record::Kind;

use crate::options::Options;

/// Why the program ends.
#[derive(Debug)]
pub enum Failure {
    /// The text after `fatal: `.
    Fatal(String),
    /// Standard output is gone.
    Output(#[allow(dead_code)] io::Error),
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::Output(error)
    }
}

/// First bytes that a queue file may have: any envelope record (and, as in the reference, NUL).
const FIRST_BYTES: &[u8] = b"MCTcFILSDRO/WVA>K<ion\0";

/// The part of the file that the next record belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Section {
    Envelope,
    Header,
    Body,
    Extracted,
}

/// Writes one file.
pub struct Show<'a> {
    options: &'a Options,
    path: &'a str,
    out: &'a mut dyn Write,
    warn: &'a dyn Fn(&str),
    section: Section,
    size_seen: bool,
    content_end: Option<u64>,
    mid_line: bool,
}

/// What is to be done after a record.
enum Next {
    Go,
    Seek(u64),
    Stop,
}

impl<'a> Show<'a> {
    /// A writer of the file at `path`.
    pub fn new(options: &'a Options, path: &'a str, out: &'a mut dyn Write, warn: &'a dyn Fn(&str)) -> Self {
        Self {
            options,
            path,
            out,
            warn,
            section: Section::Envelope,
            size_seen: false,
            content_end: None,
            mid_line: false,
        }
    }

    /// Shows all of it.
    pub fn file(mut self, mut file: QueueFile) -> Result<(), Failure> {
        file.set_follow(match (self.options.verbose, self.options.raw) {
            (true, true) => Follow::Never,
            (true, false) => Follow::Showing,
            (false, true | false) => Follow::Silently,
        });
        file.seek(self.options.start);
        if self.options.start == 0 && !self.begins_well(&mut file)? {
            return Ok(());
        }
        loop {
            let before = file.position();
            let next = match file.next_any() {
                Ok(None) => return Ok(()),
                Ok(Some(record)) => {
                    let shown = if self.options.verbose { record.offset } else { before };
                    self.record(shown, record)?
                }
                Err(error) => {
                    self.out.flush()?;
                    (self.warn)(&format!("{}: {error}", self.path));
                    let pointer = matches!(error, ReadError::Pointer(_) | ReadError::Loop);
                    let text = if pointer && self.options.verbose {
                        "bad pointer record, or input is not seekable"
                    } else {
                        "record read error"
                    };
                    return Err(Failure::Fatal(text.to_owned()));
                }
            };
            match next {
                Next::Go => {}
                Next::Seek(offset) => file.seek(offset),
                Next::Stop => return Ok(()),
            }
        }
    }

    /// Whether this looks like a queue file; starts the output.
    fn begins_well(&mut self, file: &mut QueueFile) -> Result<bool, Failure> {
        use std::os::unix::fs::FileExt;
        let mut first = [0u8];
        if file.file().read_at(&mut first, 0).unwrap_or(0) == 0 {
            return Ok(false);
        }
        let [first] = first;
        if !FIRST_BYTES.contains(&first) {
            self.warning("input is not a valid queue file")?;
            return Ok(false);
        }
        if self.options.envelope {
            writeln!(self.out, "*** ENVELOPE RECORDS {} ***", self.path)?;
        }
        Ok(true)
    }

    fn record(&mut self, offset: u64, record: AnyRecord<'_>) -> Result<Next, Failure> {
        match Kind::from_byte(record.byte) {
            Some(Kind::Message) => {
                if matches!(self.section, Section::Header | Section::Body) {
                    self.warning("out-of-order message content marker")?;
                }
                self.section = Section::Header;
                self.mid_line = false;
                self.marker(offset, record.byte, "MESSAGE CONTENTS")?;
                if !self.options.header && !self.options.body {
                    return Ok(self.after_content());
                }
            }
            Some(Kind::Extracted) => {
                if matches!(self.section, Section::Envelope | Section::Extracted) {
                    self.warning("out-of-order extracted segment marker")?;
                }
                self.section = Section::Extracted;
                let cut = std::mem::take(&mut self.mid_line) && self.options.body;
                if cut && !self.options.verbose && !self.options.offsets {
                    self.out.write_all(b"\n")?;
                }
                self.marker(offset, record.byte, "HEADER EXTRACTED")?;
            }
            Some(Kind::End) => {
                if matches!(self.section, Section::Header | Section::Body) {
                    self.warning("out-of-order message end marker")?;
                }
                self.marker(offset, record.byte, "MESSAGE FILE END")?;
                let goes_on = self.options.verbose && self.options.raw;
                return Ok(if goes_on { Next::Go } else { Next::Stop });
            }
            Some(Kind::Line | Kind::FilterOrText) => return self.text(offset, record),
            Some(Kind::Size) => return self.size(offset, record),
            Some(Kind::Time | Kind::WarnTime) => {
                if self.prefix(offset, record.byte)? {
                    let time = local_time(leading_number(record.data)).ctime();
                    writeln!(self.out, "{}: {time}", name(record.byte))?;
                }
            }
            Some(Kind::Attribute) => self.attribute(offset, record)?,
            _other => self.plain(offset, record)?,
        }
        Ok(Next::Go)
    }

    /// Text in content, in the section that it turns out to belong to; elsewhere a record like others.
    fn text(&mut self, offset: u64, record: AnyRecord<'_>) -> Result<Next, Failure> {
        let line = record.byte == Kind::Line.byte();
        let in_content = matches!(self.section, Section::Header | Section::Body);
        if !line && !in_content {
            self.plain(offset, record)?;
            return Ok(Next::Go);
        }
        if self.section == Section::Header && !self.mid_line && !continues_header(record.data) {
            self.section = Section::Body;
            if !self.options.body {
                return Ok(self.after_content());
            }
        }
        self.mid_line = !line;
        if self.prefix(offset, record.byte)? {
            if self.options.verbose {
                let name = if line { "regular_text: " } else { "unterminated_text: " };
                self.out.write_all(name.as_bytes())?;
            }
            self.out.write_all(record.data)?;
            if line || self.options.verbose || self.options.offsets {
                self.out.write_all(b"\n")?;
            }
        }
        Ok(Next::Go)
    }

    /// Skips content that is not to be shown, when its end is known.
    fn after_content(&self) -> Next {
        self.content_end.map_or(Next::Go, Next::Seek)
    }

    fn size(&mut self, offset: u64, record: AnyRecord<'_>) -> Result<Next, Failure> {
        self.plain(offset, record)?;
        if self.size_seen {
            self.out.flush()?;
            (self.warn)("file contains multiple size records");
        }
        let first = !std::mem::replace(&mut self.size_seen, true);
        if !first || self.options.start != 0 {
            return Ok(Next::Go);
        }
        let text = c_string(record.data);
        let mut fields = text.split_ascii_whitespace().map(|field| field.parse::<u64>().unwrap_or(0));
        let (size, content) = (fields.next().unwrap_or(0), fields.next().unwrap_or(0));
        if size == 0 || content == 0 {
            self.out.flush()?;
            (self.warn)(&format!("invalid size record: {text:.100}"));
            return Ok(Next::Stop);
        }
        self.content_end = Some(size.saturating_add(content));
        if self.options.envelope {
            return Ok(Next::Go);
        }
        self.section = Section::Header;
        self.mid_line = false;
        Ok(Next::Seek(content))
    }

    fn attribute(&mut self, offset: u64, record: AnyRecord<'_>) -> Result<(), Failure> {
        if !self.prefix(offset, record.byte)? {
            return Ok(());
        }
        let text = c_string(record.data);
        match split(&text) {
            Err(reason) => self.warning(&format!("malformed attribute: {reason}: {text:.200}"))?,
            Ok(("create_time", value)) => {
                let time = local_time(leading_number(value.as_bytes())).ctime();
                writeln!(self.out, "create_time: {time}")?;
            }
            Ok((attribute, value)) => writeln!(self.out, "named_attribute: {attribute}={value}")?,
        }
        Ok(())
    }

    fn plain(&mut self, offset: u64, record: AnyRecord<'_>) -> Result<(), Failure> {
        if self.prefix(offset, record.byte)? {
            write!(self.out, "{}: ", name(record.byte))?;
            let end = record.data.iter().position(|&b| b == 0).unwrap_or(record.data.len());
            self.out.write_all(record.data.get(..end).unwrap_or_default())?;
            self.out.write_all(b"\n")?;
        }
        Ok(())
    }

    fn marker(&mut self, offset: u64, byte: u8, text: &str) -> Result<(), Failure> {
        if self.options.envelope {
            self.columns(offset, byte)?;
            writeln!(self.out, "*** {text} {} ***", self.path)?;
        }
        Ok(())
    }

    /// Writes what precedes a record, if the record is to be shown.
    fn prefix(&mut self, offset: u64, byte: u8) -> io::Result<bool> {
        let shown = match self.section {
            Section::Envelope | Section::Extracted => self.options.envelope,
            Section::Header => self.options.header,
            Section::Body => self.options.body,
        };
        if shown {
            self.columns(offset, byte)?;
        }
        Ok(shown)
    }

    fn columns(&mut self, offset: u64, byte: u8) -> io::Result<()> {
        if self.options.path {
            write!(self.out, "{}: ", self.path)?;
        }
        if self.options.offsets {
            write!(self.out, "{offset:9} ")?;
        }
        if self.options.types {
            write!(self.out, "{byte:3} ")?;
        }
        Ok(())
    }

    fn warning(&mut self, text: &str) -> io::Result<()> {
        self.out.flush()?;
        (self.warn)(&format!("{}: {text}", self.path));
        Ok(())
    }
}

/// A header field, or a folded line of one.
fn continues_header(line: &[u8]) -> bool {
    if line.first().is_some_and(|&b| b == b' ' || b == b'\t') {
        return true;
    }
    let Some(colon) = line.iter().position(|&b| b == b':') else { return false };
    let field = line.get(..colon).unwrap_or_default().trim_ascii_end();
    !field.is_empty() && field.iter().all(u8::is_ascii_graphic)
}

fn c_string(data: &[u8]) -> String {
    let end = data.iter().position(|&b| b == 0).unwrap_or(data.len());
    String::from_utf8_lossy(data.get(..end).unwrap_or_default()).into_owned()
}

/// `name = value`, blanks around both removed.
fn split(text: &str) -> Result<(&str, &str), &'static str> {
    let Some((name, value)) = text.split_once('=') else { return Err("missing '=' after attribute name") };
    let name = name.trim();
    if name.is_empty() { Err("missing attribute name") } else { Ok((name, value.trim())) }
}

/// The reference's names of record types.
fn name(byte: u8) -> &'static str {
    match byte {
        b'C' => "message_size",
        b'T' => "message_arrival_time",
        b'c' => "queue_file_create_time",
        b'F' => "sender_fullname",
        b'I' => "content_inspector",
        b'L' => "content_filter",
        b'S' => "sender",
        b'R' => "recipient",
        b'D' => "done_recipient",
        b'/' => "canceled_recipient",
        b'O' => "original_recipient",
        b'W' => "warning_message_time",
        b'V' => "verp_delimiters",
        b'K' => "killed_record",
        b'>' => "redirect_to",
        b'f' => "flags",
        b'w' => "padding",
        b'r' => "return_receipt",
        b'e' => "errors_to",
        b'P' => "priority",
        b'p' => "pointer_record",
        b'<' => "dsn_return_flags",
        b'i' => "dsn_envelope_id",
        b'o' => "dsn_original_recipient",
        b'n' => "dsn_notify_flags",
        _ => "unknown_record_type",
    }
}
