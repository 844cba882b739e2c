//! The main.cf reader, also for files in the same grammar (database client files).

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use mail_text::logical::{self, Item};

use crate::{ConfigError, Result, fail};

/// Characters of a stray continuation that its warning shows.
const STRAY_CONTEXT: usize = 30;

/// Explicit settings, by name.
pub type Settings = BTreeMap<String, String>;

/// Reads a file of `name = value` lines. Duplicates and stray text are logged as warnings.
///
/// # Errors
/// The file cannot be opened or read, or a line has no name or no `=`.
pub fn read(path: &Path) -> Result<Settings> {
    read_over(Settings::new(), path)
}

/// [`read`] over settings that are there before.
///
/// # Errors
/// As [`read`].
pub(crate) fn read_over(before: Settings, path: &Path) -> Result<Settings> {
    parse_over(before, &path.display().to_string(), &text(path)?)
}

/// The file's text. Bytes that are no UTF-8 are replaced.
pub(crate) fn text(path: &Path) -> Result<String> {
    let shown = path.display();
    let file = fs::File::open(path).map_err(|e| ConfigError(format!("open {shown}: {}", errno_text(&e))))?;
    let mut bytes = Vec::new();
    std::io::Read::read_to_end(&mut &file, &mut bytes)
        .map_err(|e| ConfigError(format!("read {shown}: {}", errno_text(&e))))?;
    Ok(match String::from_utf8(bytes) {
        Ok(text) => text,
        Err(bad) => String::from_utf8_lossy(bad.as_bytes()).into_owned(),
    })
}

/// An operating system error without Rust's ` (os error N)`.
pub(crate) fn errno_text(error: &std::io::Error) -> String {
    match error.raw_os_error() {
        Some(code) => nix::errno::Errno::from_raw(code).desc().to_owned(),
        None => error.to_string(),
    }
}

/// Reads text in main.cf grammar; `path` is for messages.
///
/// # Errors
/// As [`read`].
pub fn parse(path: &str, text: &str) -> Result<Settings> {
    parse_over(Settings::new(), path, text)
}

fn parse_over(mut settings: Settings, path: &str, text: &str) -> Result<Settings> {
    for item in logical::logical_lines(text) {
        let line = match item {
            Item::Line(line) => line,
            Item::Stray(text) => {
                let start: String = text.chars().take(STRAY_CONTEXT).collect();
                os_log::warning!("{path}: logical line must not start with whitespace: \"{start}...\"");
                continue;
            }
        };
        let content = match line.text.split_once('\0') {
            Some((before, _)) => {
                os_log::warning!("{path}, {}: text after null byte may be ignored", line.range());
                before
            }
            None => &line.text,
        };
        match logical::split_name_value(content) {
            Ok((name, value)) => {
                if let Some(old) = settings.insert(name.to_owned(), value.to_owned())
                    && old != value
                {
                    os_log::warning!("{path}, {}: overriding earlier entry: {name}={old}", line.range());
                }
            }
            Err(reason) => return fail(format!("{path}, {}: {reason}", line.range())),
        }
    }
    Ok(settings)
}
