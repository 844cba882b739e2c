//! Editing master.cf: `-Me`, `-MX`, `-M#`, `-Fe`, `-Pe`, `-PX` (`config.md` §8.6).
//!
//! Entries that no request names keep their bytes. A rewritten entry takes the layout of `-Mf`; comments and blank lines
//! that stood inside or behind it come before it.

use std::path::Path;

use host_config::master_cf::{FIELDS, Line, words};
use mail_text::logical::{LogicalLine, is_skipped, split_name_value};

use crate::master::{Argument, FIELD_NAMES, Shown, arguments, check_field};
use crate::options::{Edit, Options, View};
use crate::print::Output;
use crate::{Outcome, replacement};

/// What is to be done with the entries of a pattern.
struct Request {
    /// The argument as given, for messages.
    text: String,
    service: String,
    kind: String,
    action: Action,
    matched: bool,
}

enum Action {
    /// `-Me`: this takes their place.
    Replace(Shown),
    /// `-MX`.
    Remove,
    /// `-M#`.
    CommentOut,
    /// `-Fe`: this field gets this value.
    Field(usize, String),
    /// `-Pe`: the parameter gets this value.
    Set(String, String),
    /// `-PX`: the parameter goes.
    Unset(String),
}

pub(crate) fn run(edit: Edit, view: View, options: &Options, path: &Path, out: &mut Output) -> Outcome {
    let mut requests = Vec::new();
    for text in &options.names {
        requests.push(Request::parse(edit, view, text, path)?);
    }
    replacement::replace(path, |old| {
        let mut new = Vec::with_capacity(old.len() + 256);
        for block in blocks(old) {
            match block.entry() {
                None => new.extend_from_slice(&block.bytes()),
                Some(line) => edit_entry(&block, &line, &mut requests, path, &mut new)?,
            }
        }
        finish(&requests, &mut new, out)?;
        Ok(new)
    })
}

/// Requests that matched nothing: new entries are appended, others are told.
fn finish(requests: &[Request], new: &mut Vec<u8>, out: &mut Output) -> Outcome {
    for request in requests.iter().filter(|request| !request.matched) {
        match &request.action {
            Action::Replace(entry) => {
                if new.last().is_some_and(|b| *b != b'\n') {
                    new.push(b'\n');
                }
                append(entry, new)?;
            }
            Action::Remove | Action::CommentOut => {}
            Action::Field(..) | Action::Set(..) | Action::Unset(_) => {
                out.warning(&format!("unmatched service_name/type: \"{}\"", request.text));
            }
        }
    }
    Ok(())
}

impl Request {
    fn parse(edit: Edit, view: View, text: &str, path: &Path) -> Outcome<Self> {
        if text.contains('\n') {
            return Err("-Me, -Fe, -Pe, -X, or -# accept no multi-line input".to_owned());
        }
        let text = text.trim_start();
        if text.starts_with('#') {
            return Err("-Me, -Fe, -Pe, -X, or -# accept no comment input".to_owned());
        }
        let (pattern, value) = match edit {
            Edit::Set => split_name_value(text)?,
            Edit::Remove | Edit::CommentOut if text.contains('=') => {
                return Err("-X or -# requires names without value".to_owned());
            }
            Edit::Remove | Edit::CommentOut => (text, ""),
        };
        let (wanted, syntax) = match view {
            View::Entries => (2, "-Me, -MX or -M# requires service_name/type"),
            View::Fields => (3, "-Fe or -FX requires service_name/type/field_name"),
            View::Parameters | View::AllParameters => (3, "-Pe or -PX requires service_name/type/parameter"),
        };
        if pattern.starts_with('/') {
            return Err(syntax.to_owned());
        }
        let parts: Vec<&str> = pattern.split('/').filter(|part| !part.is_empty()).collect();
        let (service, kind, third) = match parts.as_slice() {
            [service, kind] if wanted == 2 => (*service, *kind, ""),
            [service, kind, third] if wanted == 3 => (*service, *kind, *third),
            _ => return Err(syntax.to_owned()),
        };
        let action = match (view, edit) {
            (View::Entries, Edit::Set) => Action::Replace(entry_of(value, text, path)?),
            (View::Entries, Edit::Remove) => Action::Remove,
            (View::Entries, Edit::CommentOut) => Action::CommentOut,
            (View::Fields, _) => field(third, value)?,
            (View::Parameters | View::AllParameters, _) if third == "*" => {
                return Err("-Pe does not accept wild-card parameter name".to_owned());
            }
            (View::Parameters | View::AllParameters, Edit::Set) if value.contains(blank) => {
                return Err("-Pe does not accept whitespace in parameter value".to_owned());
            }
            (View::Parameters | View::AllParameters, Edit::Set) => {
                Action::Set(third.to_owned(), value.to_owned())
            }
            (View::Parameters | View::AllParameters, _) => Action::Unset(third.to_owned()),
        };
        let (service, kind) = (service.to_owned(), kind.to_owned());
        Ok(Self { text: text.to_owned(), service, kind, action, matched: false })
    }

    /// Whether this is about the entry. The entry of `-Me` also takes the place of its own namesake.
    fn is_about(&self, service: &str, kind: &str) -> bool {
        let fits = |pattern: &str, text: &str| pattern == "*" || pattern == text;
        let namesake = match &self.action {
            Action::Replace(entry) => entry.field(0) == service && entry.field(1) == kind,
            Action::Remove | Action::CommentOut | Action::Field(..) | Action::Set(..) | Action::Unset(_) => {
                false
            }
        };
        namesake || (fits(&self.service, service) && fits(&self.kind, kind))
    }
}

fn blank(c: char) -> bool {
    c.is_ascii_whitespace()
}

/// The entry that a `-Me` argument describes.
fn entry_of(value: &str, raw: &str, path: &Path) -> Outcome<Shown> {
    let words: Vec<String> = words(value).into_iter().map(str::to_owned).collect();
    if words.len() < FIELDS {
        return Err(format!("bad field count: \"{raw}\""));
    }
    let source = LogicalLine { text: value.to_owned(), first: 1, last: 1 };
    Shown::of(&Line { source, words }, path)
}

fn field(name: &str, value: &str) -> Outcome<Action> {
    if name == "*" {
        return Err("-Fe does not accept wild-card field name".to_owned());
    }
    let Some(index) = FIELD_NAMES.iter().position(|known| *known == name) else {
        return Err(format!("invalid service attribute name: \"{name}\""));
    };
    if index + 1 < FIELDS && value.contains(blank) {
        return Err("-Fe does not accept whitespace in non-command field".to_owned());
    }
    // The reference writes an empty field, and ends on a signal at an empty command.
    if value.is_empty() {
        return Err(format!("invalid {name} field \"\" in \"\""));
    }
    check_field(index, value, value)?;
    Ok(Action::Field(index, value.to_owned()))
}

/// A piece of the file: one entry with all that is skipped up to the next one, or what stands before the first.
struct Block<'a> {
    lines: Vec<&'a [u8]>,
    first: usize,
}

/// The pieces of the file. Stray continuations before the first entry are no entry.
fn blocks(text: &[u8]) -> Vec<Block<'_>> {
    let mut blocks = vec![Block { lines: Vec::new(), first: 1 }];
    for (line, number) in text.split_inclusive(|b| *b == b'\n').zip(1usize..) {
        let starts = !skipped(line) && !line.first().is_some_and(u8::is_ascii_whitespace);
        if starts {
            blocks.push(Block { lines: Vec::new(), first: number });
        }
        if let Some(block) = blocks.last_mut() {
            block.lines.push(line);
        }
    }
    blocks
}

fn skipped(line: &[u8]) -> bool {
    is_skipped(&String::from_utf8_lossy(line))
}

impl Block<'_> {
    fn bytes(&self) -> Vec<u8> {
        self.lines.concat()
    }

    /// The entry in this block.
    fn entry(&self) -> Option<Line> {
        let first = self.lines.first()?;
        if skipped(first) || first.first().is_some_and(u8::is_ascii_whitespace) {
            return None;
        }
        let mut source = LogicalLine { text: String::new(), first: self.first, last: self.first };
        for (line, number) in self.lines.iter().zip(self.first..).filter(|(line, _)| !skipped(line)) {
            source.text.push_str(String::from_utf8_lossy(line).trim_end_matches('\n'));
            source.last = number;
        }
        let words = words(&source.text).into_iter().map(str::to_owned).collect();
        Some(Line { source, words })
    }
}

/// What becomes of one entry.
fn edit_entry(
    block: &Block<'_>,
    line: &Line,
    requests: &mut [Request],
    path: &Path,
    new: &mut Vec<u8>,
) -> Outcome {
    let (service, kind) = names(block, path)?;
    let mut entry: Option<Shown> = None;
    let mut by_line: Option<Option<&Request>> = None;
    for request in requests.iter_mut().filter(|request| request.is_about(&service, &kind)) {
        let is_first = !std::mem::replace(&mut request.matched, true);
        match &request.action {
            Action::Replace(_) | Action::Remove | Action::CommentOut => {
                let again = matches!(request.action, Action::CommentOut);
                let kept = by_line.take().flatten();
                by_line = Some(if is_first || again { Some(&*request) } else { kept });
            }
            Action::Field(..) | Action::Set(..) | Action::Unset(_) => {
                let entry = match &mut entry {
                    Some(entry) => entry,
                    None => entry.insert(Shown::of(line, path)?),
                };
                request.action.apply(entry);
            }
        }
    }
    match (by_line, entry) {
        (Some(request), _) => by_lines(block, request.map(|request| &request.action), new),
        (None, Some(entry)) => {
            new.extend(block.lines.iter().filter(|line| skipped(line)).copied().flatten());
            append(&entry, new)
        }
        (None, None) => {
            new.extend_from_slice(&block.bytes());
            Ok(())
        }
    }
}

/// Service name and type, which must stand on the first line.
fn names(block: &Block<'_>, path: &Path) -> Outcome<(String, String)> {
    let first = String::from_utf8_lossy(block.lines.first().copied().unwrap_or_default()).into_owned();
    let wrong = |text: String| Err(format!("file {}: line {}: {text}", path.display(), block.first));
    let [service, kind, ..] = *words(&first) else {
        return wrong("specify service name and type on the same line".to_owned());
    };
    let unsupported = |what: &str, text: &str| {
        wrong(format!("{what} syntax \"{text}\" is unsupported with -Me, -Fe, -Pe, -X, or -#"))
    };
    if service.contains('=') {
        return unsupported("service name", service);
    }
    if kind.contains(['=', '/']) {
        return unsupported("service type", kind);
    }
    Ok((service.to_owned(), kind.to_owned()))
}

/// `-M`: line by line, so that comments stay where they are. No action: an earlier entry has taken the request.
fn by_lines(block: &Block<'_>, action: Option<&Action>, new: &mut Vec<u8>) -> Outcome {
    if let Some(Action::Replace(entry)) = action {
        append(entry, new)?;
    }
    for line in &block.lines {
        if skipped(line) {
            new.extend_from_slice(line);
        } else if matches!(action, Some(Action::CommentOut)) {
            new.push(b'#');
            new.extend_from_slice(line);
        }
    }
    Ok(())
}

fn append(entry: &Shown, new: &mut Vec<u8>) -> Outcome {
    let text = entry.entry(true, &|value: &str| Ok(value.to_owned()))?;
    new.extend_from_slice(text.as_bytes());
    new.push(b'\n');
    Ok(())
}

impl Action {
    /// Changes one entry.
    fn apply(&self, entry: &mut Shown) {
        match self {
            Self::Replace(_) | Self::Remove | Self::CommentOut => {}
            Self::Field(index, value) => set_field(entry, *index, value),
            Self::Set(name, value) => set_parameter(entry, name, value),
            Self::Unset(name) => entry
                .arguments
                .retain(|argument| !matches!(argument, Argument::Override(known, _) if known == name)),
        }
    }
}

/// The command field brings its arguments along.
fn set_field(entry: &mut Shown, index: usize, value: &str) {
    let is_command = index + 1 == FIELDS;
    let text = if is_command { words(value).first().copied().unwrap_or_default() } else { value };
    if let Some(field) = entry.fields.get_mut(index) {
        text.clone_into(field);
    }
    if is_command {
        let padding = std::iter::repeat_n("-", FIELDS - 1).chain(words(value));
        entry.arguments = arguments(&padding.map(str::to_owned).collect::<Vec<_>>());
    }
}

/// Every setting of the name, or a new one behind the other options.
fn set_parameter(entry: &mut Shown, name: &str, value: &str) {
    let mut found = false;
    for argument in &mut entry.arguments {
        if let Argument::Override(known, old) = argument
            && known == name
        {
            value.clone_into(old);
            found = true;
        }
    }
    if !found {
        let options =
            entry.arguments.iter().take_while(|argument| !matches!(argument, Argument::Word(_))).count();
        entry.arguments.insert(options, Argument::Override(name.to_owned(), value.to_owned()));
    }
}
