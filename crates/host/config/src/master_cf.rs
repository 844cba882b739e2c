//! master.cf: services and how to run them (`master(5)`).
//!
//! [`lines`] gives the entries as written (for postconf), [`read`] and [`parse`] what they mean (for master).

use std::path::Path;

use mail_text::list;
use mail_text::logical::{self, Item, LogicalLine};

use crate::main_cf::text as file_text;
use crate::{Config, ConfigError, Result, param};

/// How clients reach a service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ServiceType {
    /// TCP.
    Inet,
    /// A unix stream socket.
    Unix,
    /// A named pipe.
    Fifo,
    /// A unix stream socket over which descriptors are passed.
    Pass,
    /// A unix datagram socket.
    UnixDgram,
}

impl ServiceType {
    /// The word in master.cf.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Inet => "inet",
            Self::Unix => "unix",
            Self::Fifo => "fifo",
            Self::Pass => "pass",
            Self::UnixDgram => "unix-dgram",
        }
    }

    /// The type of a word.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        [Self::Inet, Self::Unix, Self::Fifo, Self::Pass, Self::UnixDgram]
            .into_iter()
            .find(|kind| kind.word() == word)
    }
}

/// One service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// First field, verbatim: socket name, or `host:port`.
    pub name: String,
    /// Second field.
    pub kind: ServiceType,
    /// In `private/` rather than `public/`.
    pub private: bool,
    /// Runs as `mail_owner` (`-u`).
    pub unprivileged: bool,
    /// Runs in the queue directory (`-c`).
    pub chroot: bool,
    /// Seconds between wake-ups; 0: none.
    pub wakeup_seconds: u32,
    /// Wake up only once the service has been used.
    pub wakeup_if_used: bool,
    /// Most processes; 0: no limit; `None`: `default_process_limit`.
    pub process_limit: Option<u32>,
    /// Program name below `daemon_directory`.
    pub command: String,
    /// Arguments as the program gets them, braces removed.
    pub arguments: Vec<String>,
    /// `line 3` or `line 3-5`.
    pub position: String,
}

/// An entry as written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// The logical line it came from.
    pub source: LogicalLine,
    /// All words; `{ … }` groups keep their braces.
    pub words: Vec<String>,
}

/// Number of fields before the arguments.
pub const FIELDS: usize = 8;

/// The entries as written. Stray continuations are logged and dropped.
///
/// # Errors
/// Unreadable file.
pub fn lines(path: &Path) -> Result<Vec<Line>> {
    Ok(lines_of(&path.display().to_string(), &file_text(path)?))
}

/// [`lines`] of a text; `path` is for messages.
#[must_use]
pub fn lines_of(path: &str, text: &str) -> Vec<Line> {
    let mut found = Vec::new();
    for item in logical::logical_lines(text) {
        match item {
            Item::Line(source) => {
                let words = words(&source.text).into_iter().map(str::to_owned).collect();
                found.push(Line { source, words });
            }
            Item::Stray(text) => {
                let start: String = text.chars().take(30).collect();
                os_log::warning!("{path}: logical line must not start with whitespace: \"{start}...\"");
            }
        }
    }
    found
}

/// Words separated by blanks; `{ … }` groups stay together.
#[must_use]
pub fn words(text: &str) -> Vec<&str> {
    let mut found = Vec::new();
    let mut rest = text.trim_start();
    while !rest.is_empty() {
        let end = word_end(rest);
        let (word, after) = rest.split_at(end);
        found.push(word);
        rest = after.trim_start();
    }
    found
}

/// A blank ends a word, but not inside braces.
fn word_end(text: &str) -> usize {
    let mut depth = 0usize;
    for (at, c) in text.char_indices() {
        match c {
            '{' => depth += 1,
            '}' => depth = depth.saturating_sub(1),
            c if c.is_ascii_whitespace() && depth == 0 => return at,
            _ => {}
        }
    }
    text.len()
}

/// The services of the configuration's master.cf, in file order.
///
/// # Errors
/// Unreadable file; the reference's fatal text of the first bad entry (`DIR/master.cf: line N: …`).
pub fn read(config: &Config) -> Result<Vec<Entry>> {
    let path = config.dir().join("master.cf");
    let chroot_by_default = config.compatibility_level()? < (1, 0, 0);
    parse(&path.display().to_string(), &file_text(&path)?, chroot_by_default)
}

/// [`read`] of a text.
///
/// # Errors
/// As [`read`].
pub fn parse(path: &str, text: &str, chroot_by_default: bool) -> Result<Vec<Entry>> {
    let mut entries = Vec::new();
    for line in lines_of(path, text) {
        let position = line.source.range();
        let entry = entry(&line.words, position.clone(), chroot_by_default)
            .map_err(|reason| ConfigError(format!("{path}: {position}: {reason}")))?;
        if entry.chroot && line.words.get(4).is_some_and(|word| word == "-") {
            os_log::info!("{path}: {position}: using backwards-compatible default setting chroot=y");
        }
        entries.push(entry);
    }
    Ok(entries)
}

type Field<T> = std::result::Result<T, String>;

fn entry(words: &[String], position: String, chroot_by_default: bool) -> Field<Entry> {
    let mut fields = Fields { words: words.iter() };
    // Not even "-" is refused here: the reference makes a socket of that name.
    let name = fields.word("service name")?;
    let kind = fields.required("transport type")?;
    let kind = ServiceType::parse(&kind).ok_or_else(|| format!("bad transport type: {kind}"))?;
    let private = fields.flag("private", true)?;
    if kind == ServiceType::Inet && private {
        return Err("inet service cannot be private".to_owned());
    }
    let unprivileged = fields.flag("unprivileged", true)?;
    let chroot = fields.flag("chroot", chroot_by_default)?;
    let wakeup = fields.word("wakeup_time")?;
    let (wakeup_seconds, wakeup_if_used) = match wakeup.as_str() {
        "-" => (0, false),
        text => match text.strip_suffix('?') {
            Some(digits) => (digit_field("wakeup_time", digits, text)?, true),
            None => (digit_field("wakeup_time", text, text)?, false),
        },
    };
    let limit = fields.word("max_proc")?;
    let process_limit = if limit == "-" { None } else { Some(digit_field("max_proc", &limit, &limit)?) };
    let command = fields.required("command")?;
    let arguments = fields.words.map(|word| argument(word)).collect::<Field<Vec<_>>>()?;
    Ok(Entry {
        name,
        kind,
        private,
        unprivileged,
        chroot,
        wakeup_seconds,
        wakeup_if_used,
        process_limit,
        command,
        arguments,
        position,
    })
}

/// An argument as the program gets it: outer braces, and blanks inside them, removed.
fn argument(word: &str) -> Field<String> {
    if word.starts_with('{') {
        list::braced(word).map(str::to_owned).map_err(|e| e.0)
    } else {
        Ok(word.to_owned())
    }
}

fn digit_field(field: &str, digits: &str, shown: &str) -> Field<u32> {
    let number = digits.bytes().all(|b| b.is_ascii_digit()).then(|| digits.parse().ok()).flatten();
    number.ok_or_else(|| format!("field \"{field}\": bad value: \"{shown}\""))
}

struct Fields<'a> {
    words: std::slice::Iter<'a, String>,
}

impl Fields<'_> {
    fn word(&mut self, name: &str) -> Field<String> {
        self.words.next().cloned().ok_or_else(|| format!("missing \"{name}\" field"))
    }

    fn required(&mut self, name: &str) -> Field<String> {
        let word = self.word(name)?;
        if word == "-" { Err(format!("field \"{name}\" has no default value")) } else { Ok(word) }
    }

    fn flag(&mut self, name: &str, default: bool) -> Field<bool> {
        match self.word(name)?.as_str() {
            "y" => Ok(true),
            "n" => Ok(false),
            "-" => Ok(default),
            other => Err(format!("field \"{name}\": bad value: \"{other}\"")),
        }
    }
}

impl Config {
    /// `compatibility_level` as something that compares: (major, minor, patch).
    ///
    /// # Errors
    /// `malformed compatibility level syntax: "x"`.
    pub fn compatibility_level(&self) -> Result<(u32, u32, u32)> {
        let text = self.str(param::COMPATIBILITY_LEVEL)?;
        mail_text::expand::level(&text).map_err(|e| ConfigError(e.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_have_their_defaults() {
        let text =
            "# c\nsmtp inet n - n - - smtpd\n  -o a=b -o {c = d e}\n127.0.0.1:1 inet n - - 60? 1 spawn\n";
        let entries = parse("m", text, false).unwrap();
        assert_eq!(entries[0].name, "smtp");
        assert_eq!(entries[0].arguments, ["-o", "a=b", "-o", "c = d e"]);
        assert_eq!((entries[0].private, entries[0].unprivileged, entries[0].chroot), (false, true, false));
        assert_eq!(entries[0].process_limit, None);
        assert_eq!(entries[0].position, "line 2-3");
        assert_eq!((entries[1].wakeup_seconds, entries[1].wakeup_if_used), (60, true));
        assert_eq!(entries[1].process_limit, Some(1));
    }

    #[test]
    fn bad_entries_say_why() {
        for (text, expected) in [
            ("smtp", "m: line 1: missing \"transport type\" field"),
            ("a inet x - n - - smtpd", "m: line 1: field \"private\": bad value: \"x\""),
            ("a tcp n - n - - smtpd", "m: line 1: bad transport type: tcp"),
            ("a inet - - n - - smtpd", "m: line 1: inet service cannot be private"),
            ("a unix - - n x - smtpd", "m: line 1: field \"wakeup_time\": bad value: \"x\""),
            ("a unix - - n - -1 smtpd", "m: line 1: field \"max_proc\": bad value: \"-1\""),
            ("a unix - - n - -", "m: line 1: missing \"command\" field"),
            ("a unix - - n - - pipe {argv=x", "m: line 1: missing '}' in \"{argv=x\""),
        ] {
            assert_eq!(parse("m", text, false).unwrap_err().0, expected, "{text}");
        }
    }
}
