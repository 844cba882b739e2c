//! Output: one line a setting, folded, bare, or as JSON (`config.md` §8.2).

use std::io::{self, BufWriter, Write};

use crate::options::Options;

/// Table types of this build (`postconf -m`): those that can be named in a parameter, and the one that keeps nothing.
pub(crate) fn map_types() -> Vec<&'static str> {
    let mut types = host_tables::TYPES.to_vec();
    types.push("internal");
    types.sort_unstable();
    types
}

/// Lines of folded settings are no longer than this, where words allow.
pub(crate) const WIDTH: usize = 80;
/// The same for entries of master.cf.
pub(crate) const ENTRY_WIDTH: usize = 79;

/// Both output streams, in order.
pub(crate) struct Output {
    program: String,
    out: BufWriter<io::Stdout>,
    failed: Option<io::Error>,
}

impl Output {
    pub(crate) fn new(program: &str) -> Self {
        Self { program: program.to_owned(), out: BufWriter::new(io::stdout()), failed: None }
    }

    pub(crate) fn program(&self) -> &str {
        &self.program
    }

    /// A line on standard output.
    pub(crate) fn line(&mut self, text: &str) {
        if let Err(error) = writeln!(self.out, "{text}") {
            self.failed.get_or_insert(error);
        }
    }

    /// A message without a severity word.
    pub(crate) fn plain(&mut self, text: &str) {
        let _ = self.out.flush();
        eprintln!("{}: {text}", self.program);
    }

    pub(crate) fn warning(&mut self, text: &str) {
        self.plain(&format!("warning: {text}"));
    }

    pub(crate) fn fatal(&mut self, text: &str) {
        // Daemons name the table of parameters in this text, postconf does not.
        let text = text.strip_prefix("dictionary mail_dict: ").unwrap_or(text);
        if !text.is_empty() {
            self.plain(&format!("fatal: {text}"));
        }
    }

    /// Whether all output arrived.
    pub(crate) fn finish(&mut self) -> Result<(), String> {
        if let Err(error) = self.out.flush() {
            self.failed.get_or_insert(error);
        }
        match self.failed.take() {
            Some(error) => Err(format!("write error: {error}")),
            None => Ok(()),
        }
    }

    /// `name = value` as the options want it.
    pub(crate) fn setting(&mut self, options: &Options, name: &str, value: &str) {
        if options.json {
            self.line(&json_line(name, value));
            return;
        }
        let value = normalised(value);
        let text = match (options.hide_names, options.hide_values) {
            (_, true) => name.to_owned(),
            (true, false) => value,
            (false, false) if value.is_empty() => format!("{name} ="),
            (false, false) => format!("{name} = {value}"),
        };
        let text = if options.fold { folded(text.split(' ')) } else { text };
        self.line(&text);
    }
}

/// `{"name": "value"}`.
pub(crate) fn json_line(name: &str, value: &str) -> String {
    format!("{{\"{}\": \"{}\"}}", json_text(name), json_text(value))
}

fn json_text(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\x08' => out.push_str("\\b"),
            '\x0c' => out.push_str("\\f"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            c if c.is_ascii_control() => out.push_str(&format!("\\u{:04X}", u32::from(c))),
            c => out.push(c),
        }
    }
    out
}

/// Runs of white space become one blank, outer white space goes.
pub(crate) fn normalised(text: &str) -> String {
    // A form feed is no white space here.
    let words = text.split([' ', '\t', '\r', '\n']).filter(|word| !word.is_empty());
    words.collect::<Vec<_>>().join(" ")
}

/// Words on lines of at most [`WIDTH`], continued with four blanks.
pub(crate) fn folded<'a>(words: impl Iterator<Item = &'a str>) -> String {
    let mut text = String::new();
    let mut column = 0;
    for word in words {
        append_folded(&mut text, &mut column, word, WIDTH);
    }
    text
}

/// Adds a word to a folded line; `column` is the length of the text on the line so far.
pub(crate) fn append_folded(text: &mut String, column: &mut usize, word: &str, width: usize) {
    if *column > 0 {
        if *column + 1 + word.len() <= width {
            text.push(' ');
            *column += 1;
        } else {
            text.push_str("\n    ");
            *column = 4;
        }
    }
    text.push_str(word);
    *column += word.len();
}
