//! `-q` and `-s`.

use std::io::{self, BufRead, Write};
use std::sync::Arc;

use host_tables::store::{self, Store};
use host_tables::{Flags, Table};
use mail_lookup::{Lookup, LookupError};
use mail_mime::{Content, Declared, Ending, Header, Limits, Parser, Part, Problem, Sink};

use crate::options::Message;
use crate::{Fatal, Session, Tool};

const NO_UTF8: &str = "malformed UTF-8 or invalid codepoint";

/// `-q KEY`: prints the value; `-q -`: keys from standard input. `true`: something was found.
pub fn query(session: &Session, key: &str) -> Result<bool, Fatal> {
    let flags = Flags { fold: !session.options.keep_case, ..Flags::default() };
    let open = |operand: &String| -> Result<Arc<dyn Lookup>, Fatal> {
        let (kind, name) = session.spec(operand);
        Ok(Table::open(&format!("{kind}:{name}"), flags, &session.context)?)
    };
    if key != "-" {
        // Tables are opened one after the other, so that a hit in the first does not need the second.
        for operand in &session.options.operands {
            if let Some(value) = ask(session, open(operand)?.as_ref(), key)? {
                print(session, key, &value, false)?;
                return Ok(true);
            }
        }
        return Ok(false);
    }
    let tables = session.options.operands.iter().map(open).collect::<Result<Vec<_>, _>>()?;
    let mut lookup = Keys { session, tables, found: false, failed: None };
    if session.options.message == Message::default() {
        for line in io::stdin().lock().split(b'\n') {
            lookup.key(&line.map_err(unreadable)?);
        }
    } else {
        message(session, &mut lookup)?;
    }
    lookup.failed.map_or(Ok(lookup.found), Err)
}

fn unreadable(error: io::Error) -> Fatal {
    Fatal(format!("read stdin: {}", os_sys::error_text(&error)))
}

/// Keys are the headers and body lines of the message on standard input.
fn message(session: &Session, lookup: &mut Keys<'_>) -> Result<(), Fatal> {
    let mut parser = Parser::new(Limits { structure: session.options.message.mime, ..session.mime });
    for line in io::stdin().lock().split(b'\n') {
        parser.feed(true, &line.map_err(unreadable)?, lookup);
    }
    parser.finish(lookup);
    Ok(())
}

/// Many keys for the same tables.
struct Keys<'a> {
    session: &'a Session,
    tables: Vec<Arc<dyn Lookup>>,
    /// Some key was found.
    found: bool,
    /// The first failure; nothing is looked up after it.
    failed: Option<Fatal>,
}

impl Keys<'_> {
    fn key(&mut self, key: &[u8]) {
        let key = String::from_utf8_lossy(key);
        if self.failed.is_none() {
            match self.ask_all(&key) {
                Ok(found) => self.found |= found,
                Err(fatal) => self.failed = Some(fatal),
            }
        }
    }

    fn ask_all(&self, key: &str) -> Result<bool, Fatal> {
        for table in &self.tables {
            if let Some(value) = ask(self.session, table.as_ref(), key)? {
                print(self.session, key, &value, true)?;
                return Ok(true);
            }
        }
        Ok(false)
    }
}

impl Sink for Keys<'_> {
    fn header(&mut self, _: Part, header: &Header<'_>) {
        if self.session.options.message.headers {
            self.key(header.text);
        }
    }

    fn headers_end(&mut self, _: Part, _: Ending, _: Declared) {}

    fn body(&mut self, _: Content, _: bool, line: &[u8]) {
        if self.session.options.message.body {
            self.key(line);
        }
    }

    fn problem(&mut self, _: Problem, _: &[u8]) {}
}

fn ask(session: &Session, table: &dyn Lookup, key: &str) -> Result<Option<String>, Fatal> {
    let name = table.name();
    // A replacement character stands for bytes that are no UTF-8.
    let is_broken = |text: &str| session.utf8 && text.contains(char::REPLACEMENT_CHARACTER);
    let shown = |text: &str| text.replace(char::REPLACEMENT_CHARACTER, "?");
    if is_broken(key) {
        os_log::warning!("{name}: non-UTF-8 key \"{}\": {NO_UTF8}", shown(key));
        return Ok(None);
    }
    let found = table.lookup(key).map_err(|error| {
        let (LookupError::Temporary(text) | LookupError::Configuration(text)) = error;
        Fatal(format!("table {name}: query error: {text}"))
    })?;
    warn_empty(name, key, found.as_deref());
    if let Some(value) = found.as_deref().filter(|value| is_broken(value)) {
        os_log::warning!("{name}: key \"{key}\": non-UTF-8 value \"{}\": {NO_UTF8}", shown(value));
        return Err(Fatal(format!("table {name}: query error")));
    }
    match found {
        Some(value) if session.options.files => match decoded(name, key, &value) {
            Some(content) => Ok(Some(content)),
            None => Err(Fatal(format!("table {name}: query error"))),
        },
        found => Ok(found),
    }
}

/// The content of the files that an entry was made from (`-F`).
fn decoded(name: &str, key: &str, value: &str) -> Option<String> {
    let content = proto_ipc::base64::decode(value.as_bytes());
    if content.is_none() {
        os_log::warning!("table {name}: key {key}: malformed BASE64 value: {value}");
    }
    content.map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
}

fn warn_empty(name: &str, key: &str, value: Option<&str>) {
    if value == Some("") {
        os_log::warning!("table {name}: key {key}: empty string result is not allowed");
        os_log::warning!("table {name} should return NO RESULT in case of NOT FOUND");
    }
}

/// `-s`: all records of the first table; further ones are not looked at.
pub fn sequence(session: &Session) -> Result<(), Fatal> {
    if let Some(operand) = session.options.operands.first() {
        let (kind, name) = session.spec(operand);
        let mut failed = None;
        let mut each = |key: &str, value: &str| {
            warn_empty(&format!("{kind}:{name}"), key, Some(value));
            let value = if session.options.files {
                decoded(&format!("{kind}:{name}"), key, value)
            } else {
                Some(value.to_owned())
            };
            failed = value.and_then(|value| print(session, key, &value, true).err());
            failed.is_none()
        };
        if Store::supports(kind) {
            store::sequence(kind, name, &mut each)?;
        } else {
            let flags = Flags { fold: !session.options.keep_case, ..Flags::default() };
            let table = Table::open(&format!("{kind}:{name}"), flags, &session.context)?;
            let unable = || Fatal(format!("table {kind}:{name}: sequence operation is not supported"));
            let records = table.records().ok_or_else(unable)?;
            let _ = records.iter().all(|(key, value)| each(key, value));
        }
        failed.map_or(Ok(()), Err)?;
    }
    Ok(())
}

fn print(session: &Session, key: &str, value: &str, with_key: bool) -> Result<(), Fatal> {
    let line = match (session.options.json, with_key, session.tool) {
        (true, _, _) => format!("{{\"{}\": \"{}\"}}", json(key), json(value)),
        (false, false, _) => value.to_owned(),
        (false, true, Tool::Postmap) => format!("{key}\t{value}"),
        (false, true, Tool::Postalias) => format!("{key}:\t{value}"),
    };
    writeln!(io::stdout(), "{line}").map_err(|error| Fatal(format!("write output: {error}")))
}

/// A string inside JSON quotes.
fn json(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if c.is_control() => out.push_str(&format!("\\u{:04X}", u32::from(c))),
            c => out.push(c),
        }
    }
    out
}
