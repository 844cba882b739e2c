//! Rule tables: `regexp`, `pcre` and `cidr`, with `if` and `endif`.

mod cidr;
mod regexp;
mod substitution;

pub(crate) use cidr::open as cidr;
pub(crate) use regexp::{open as regexp, open_pcre as pcre};

use mail_lookup::Owner;
use mail_text::logical::{self, Item};

use crate::indexed;
use crate::open::{OpenError, reason};

/// A rule with condition `C` and action `A`.
enum Rule<C, A> {
    Match(A),
    /// When the condition is false, the search goes on at this rule.
    If(C, usize),
    Endif,
}

/// The rules of a table.
struct Program<C, A> {
    rules: Vec<Rule<C, A>>,
}

impl<C, A> Program<C, A> {
    /// The first answer of a rule.
    fn run(&self, condition: impl Fn(&C) -> bool, action: impl Fn(&A) -> Option<String>) -> Option<String> {
        let mut at = 0;
        while let Some(rule) = self.rules.get(at) {
            at += 1;
            match rule {
                Rule::Match(rule) => {
                    if let Some(value) = action(rule) {
                        return Some(value);
                    }
                }
                Rule::If(test, end) if !condition(test) => at = *end,
                Rule::If(..) | Rule::Endif => {}
            }
        }
        None
    }
}

/// What the grammar of a table type makes of a line.
enum Parsed<C, A> {
    Match(A),
    If(C),
    Endif,
    /// A message has been logged.
    Skipped,
}

/// Where rules come from, for messages.
struct Place<'a> {
    kind: &'a str,
    source: &'a str,
    line: usize,
}

impl Place<'_> {
    fn warn(&self, text: &str) {
        os_log::warning!("{} map {}, line {}: {text}", self.kind, self.source, self.line);
    }
}

/// Reads the rules of a file, or of `{{rule}, {rule}}`.
fn load<C, A>(
    kind: &str,
    name: &str,
    endif_without_if: &str,
    parse: impl Fn(&Place<'_>, &str) -> Parsed<C, A>,
) -> Result<(Program<C, A>, Owner), OpenError> {
    let (lines, owner) = rule_lines(kind, name)?;
    let mut program = Program { rules: Vec::new() };
    let mut open: Vec<(usize, usize)> = Vec::new();
    for (line, text) in &lines {
        let place = Place { kind, source: name, line: *line };
        match parse(&place, text) {
            Parsed::Match(action) => program.rules.push(Rule::Match(action)),
            Parsed::If(condition) => {
                open.push((program.rules.len(), *line));
                program.rules.push(Rule::If(condition, usize::MAX));
            }
            Parsed::Endif => match open.pop() {
                Some((start, _)) => {
                    let end = program.rules.len();
                    if let Some(Rule::If(_, target)) = program.rules.get_mut(start) {
                        *target = end;
                    }
                    program.rules.push(Rule::Endif);
                }
                None => place.warn(endif_without_if),
            },
            Parsed::Skipped => {}
        }
    }
    for (_, line) in open.into_iter().rev() {
        Place { kind, source: name, line }.warn("IF has no matching ENDIF");
    }
    Ok((program, owner))
}

fn rule_lines(kind: &str, name: &str) -> Result<(Vec<(usize, String)>, Owner), OpenError> {
    if name.starts_with('{') {
        let bad =
            |e: mail_text::list::BraceError| OpenError(format!("bad syntax: \"{kind}:{name}\": {}", e.0));
        let inside = mail_text::list::braced(name).map_err(bad)?;
        let mut lines = Vec::new();
        for (number, group) in mail_text::list::words_with_groups(inside).into_iter().enumerate() {
            lines.push((number + 1, mail_text::list::braced(group).map_err(bad)?.to_owned()));
        }
        return Ok((lines, Owner::Trusted));
    }
    let failed = |e: std::io::Error| OpenError(format!("open {name}: {}", reason(&e)));
    let bytes = std::fs::read(name).map_err(failed)?;
    let owner = indexed::owner_of(&std::fs::metadata(name).map_err(failed)?);
    let text = String::from_utf8_lossy(&bytes);
    let lines = logical::logical_lines(&text)
        .filter_map(|item| match item {
            Item::Line(line) => Some((line.first, line.text.trim_end().to_owned())),
            Item::Stray(text) => {
                let start: String = text.chars().take(30).collect();
                os_log::warning!("{name}: logical line must not start with whitespace: \"{start}...\"");
                None
            }
        })
        .collect();
    Ok((lines, owner))
}

/// The rest of the line after keyword `word` (any case), if the line starts with it.
fn after_keyword<'a>(line: &'a str, word: &str) -> Option<&'a str> {
    let (start, rest) = line.split_at_checked(word.len())?;
    let ends = !rest.starts_with(|c: char| c.is_ascii_alphanumeric());
    (start.eq_ignore_ascii_case(word) && ends).then(|| rest.trim_start())
}
