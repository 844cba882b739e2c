//! `regexp`: POSIX regular expressions, regexp_table(5); `pcre`: Perl-compatible ones, pcre_table(5). They differ in their
//! flags, in a few messages, and `regexp` has rules of two expressions.

use std::sync::Arc;

use mail_lookup::{Found, KeyClass, Lookup, Owner};
use os_sys::pcre::{Options, Pcre};
use os_sys::regex::{Group, Regex};

use super::substitution::{self, Part};
use super::{Parsed, Place, Program, after_keyword, cidr::strip_negations, load};
use crate::Flags;
use crate::open::OpenError;

/// Which kind of expressions a table has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Syntax {
    Posix,
    Perl,
}

impl Syntax {
    const fn kind(self) -> &'static str {
        match self {
            Self::Posix => "regexp",
            Self::Perl => "pcre",
        }
    }
}

impl Syntax {
    /// How index 0 is refused.
    const fn out_of_range(self) -> &'static str {
        match self {
            Self::Posix => "out-of-range",
            Self::Perl => "out of range",
        }
    }
}

/// A compiled expression.
enum Expression {
    Posix(Regex),
    Perl(Pcre),
}

impl Expression {
    fn groups(&self) -> usize {
        match self {
            Self::Posix(regex) => regex.groups(),
            Self::Perl(regex) => regex.groups(),
        }
    }

    fn captures(&self, text: &str) -> Result<Option<Vec<Group>>, String> {
        match self {
            Self::Posix(regex) => regex.captures(text),
            Self::Perl(regex) => regex.captures(text),
        }
    }
}

struct Condition {
    negated: bool,
    regex: Expression,
    line: usize,
}

struct Action {
    first: Condition,
    /// `/p1/!/p2/`: must not match.
    second: Option<Condition>,
    result: Vec<Part>,
}

struct Table {
    syntax: Syntax,
    name: String,
    source: String,
    owner: Owner,
    program: Program<Condition, Action>,
}

/// Opens `regexp:name`.
pub(crate) fn open(name: &str, flags: Flags) -> Result<Arc<dyn Lookup>, OpenError> {
    table(Syntax::Posix, name, flags)
}

/// Opens `pcre:name`.
pub(crate) fn open_pcre(name: &str, flags: Flags) -> Result<Arc<dyn Lookup>, OpenError> {
    table(Syntax::Perl, name, flags)
}

fn table(syntax: Syntax, name: &str, flags: Flags) -> Result<Arc<dyn Lookup>, OpenError> {
    let may_substitute = !flags.no_regsub && !flags.paranoid;
    let parse = |place: &Place<'_>, line: &str| rule(syntax, place, line, may_substitute);
    let kind = syntax.kind();
    let (program, owner) = load(kind, name, "ignoring ENDIF without matching IF", parse)?;
    Ok(Arc::new(Table { syntax, name: format!("{kind}:{name}"), source: name.to_owned(), owner, program }))
}

fn rule(syntax: Syntax, place: &Place<'_>, line: &str, may_substitute: bool) -> Parsed<Condition, Action> {
    if !line.starts_with(|c: char| c.is_ascii_alphanumeric()) {
        return match action(syntax, place, line, may_substitute) {
            Some(action) => Parsed::Match(action),
            None => Parsed::Skipped,
        };
    }
    if let Some(rest) = after_keyword(line, "endif") {
        if !rest.is_empty() {
            place.warn("ignoring extra text after ENDIF");
        }
        return Parsed::Endif;
    }
    if let Some(rest) = after_keyword(line, "if") {
        let Some((condition, rest)) = condition(syntax, place, rest) else { return Parsed::Skipped };
        if !rest.trim().is_empty() {
            place.warn(&format!("ignoring extra text after IF statement: \"{}\"", rest.trim()));
            place.warn("do not prepend whitespace to statements between IF and ENDIF");
        }
        return Parsed::If(condition);
    }
    place.warn("ignoring unrecognized request");
    Parsed::Skipped
}

fn action(syntax: Syntax, place: &Place<'_>, line: &str, may_substitute: bool) -> Option<Action> {
    let (first, rest) = condition(syntax, place, line)?;
    let (second, rest) = match rest.strip_prefix('!') {
        Some(_) if syntax == Syntax::Posix => {
            condition(syntax, place, rest).map(|(second, rest)| (Some(second), rest))?
        }
        Some(_) | None => (None, rest),
    };
    let text = rest.trim();
    if text.is_empty() {
        place.warn("no replacement text: using empty string");
    }
    let groups = if first.negated { usize::MAX } else { first.regex.groups() };
    let result = match substitution::parse(text, groups, syntax.out_of_range()) {
        Ok(result) => result,
        Err(messages) => {
            messages.iter().for_each(|message| place.warn(message));
            return None;
        }
    };
    if result.iter().any(|part| matches!(part, Part::Group(_))) {
        if first.negated {
            place.warn("$number found in negative match replacement text: skipping this rule");
            return None;
        }
        if !may_substitute {
            place.warn("regular expression substitution is not allowed: skipping this rule");
            return None;
        }
    }
    Some(Action { first, second, result })
}

/// `[!]D regexp D flags`, and what follows the flags.
fn condition<'a>(syntax: Syntax, place: &Place<'_>, text: &'a str) -> Option<(Condition, &'a str)> {
    let (negated, text) = strip_negations(text);
    let mut chars = text.chars();
    let Some(delimiter) = chars.next() else {
        place.warn("no regexp: skipping this rule");
        return None;
    };
    let body = chars.as_str();
    let Some(end) = closing(body, delimiter) else {
        let consequence = match syntax {
            Syntax::Posix => "skipping",
            Syntax::Perl => "ignoring",
        };
        place.warn(&format!("no closing regexp delimiter \"{delimiter}\": {consequence} this rule"));
        return None;
    };
    let pattern = body.get(..end)?;
    let rest = body.get(end + delimiter.len_utf8()..)?;
    let is_end = |c: char| c.is_ascii_whitespace() || c == '!' && syntax == Syntax::Posix;
    let (flags, rest) = rest.split_at_checked(rest.find(is_end).unwrap_or(rest.len()))?;
    let regex = match syntax {
        Syntax::Posix => Expression::Posix(posix(place, pattern, flags)?),
        Syntax::Perl => Expression::Perl(perl(place, pattern, flags)?),
    };
    Some((Condition { negated, regex, line: place.line }, rest))
}

fn posix(place: &Place<'_>, pattern: &str, flags: &str) -> Option<Regex> {
    let (mut icase, mut newline, mut extended) = (true, false, true);
    for flag in flags.chars() {
        match flag {
            'i' => icase = !icase,
            'm' => newline = !newline,
            'x' => extended = !extended,
            _ => return unknown_flag(place, flag),
        }
    }
    Regex::new(pattern, extended, icase, newline).map_err(|text| place.warn(&text)).ok()
}

fn perl(place: &Place<'_>, pattern: &str, flags: &str) -> Option<Pcre> {
    let mut options = Options {
        caseless: true,
        multiline: false,
        dotall: true,
        extended: false,
        anchored: false,
        dollar_endonly: false,
        ungreedy: false,
    };
    for flag in flags.chars() {
        match flag {
            'i' => options.caseless = !options.caseless,
            'm' => options.multiline = !options.multiline,
            's' => options.dotall = !options.dotall,
            'x' => options.extended = !options.extended,
            'A' => options.anchored = !options.anchored,
            'E' => options.dollar_endonly = !options.dollar_endonly,
            'U' => options.ungreedy = !options.ungreedy,
            'X' => place.warn("ignoring obsolete regexp option \"X\""),
            _ => return unknown_flag(place, flag),
        }
    }
    let failed = |(offset, text)| place.warn(&format!("error in regex at offset {offset}: {text}"));
    Pcre::new(pattern, options).map_err(failed).ok()
}

fn unknown_flag<T>(place: &Place<'_>, flag: char) -> Option<T> {
    place.warn(&format!("unknown regexp option \"{flag}\": skipping this rule"));
    None
}

/// Offset of the delimiter that is not behind a backslash.
fn closing(body: &str, delimiter: char) -> Option<usize> {
    let mut escaped = false;
    for (at, c) in body.char_indices() {
        if escaped {
            escaped = false;
        } else if c == '\\' {
            escaped = true;
        } else if c == delimiter {
            return Some(at);
        }
    }
    None
}

impl Table {
    /// The groups when the expression itself (regardless of `!`) matches. An error of the library is no match.
    fn captures(&self, condition: &Condition, key: &str) -> Option<Vec<Group>> {
        condition.regex.captures(key).unwrap_or_else(|text| {
            match self.syntax {
                Syntax::Posix => os_log::warning!("regexp map {}: {text}", self.source),
                Syntax::Perl => os_log::warning!("pcre map {}, line {}: {text}", self.source, condition.line),
            }
            None
        })
    }

    fn matches(&self, condition: &Condition, key: &str) -> bool {
        self.captures(condition, key).is_some() != condition.negated
    }

    fn apply(&self, action: &Action, key: &str) -> Option<String> {
        let groups = self.captures(&action.first, key);
        if groups.is_some() == action.first.negated {
            return None;
        }
        if let Some(second) = &action.second
            && !self.matches(second, key)
        {
            return None;
        }
        let groups = groups.unwrap_or_default();
        let mut out = String::new();
        for part in &action.result {
            match part {
                Part::Text(text) => out.push_str(text),
                Part::Group(index) => {
                    if let Some(Some((start, end))) = groups.get(*index) {
                        let bytes = key.as_bytes().get(*start..*end).unwrap_or_default();
                        // An expression on bytes may split a character.
                        out.push_str(&String::from_utf8_lossy(bytes));
                    }
                }
            }
        }
        Some(out)
    }
}

impl Lookup for Table {
    fn lookup(&self, key: &str) -> Found {
        Ok(self.program.run(|condition| self.matches(condition, key), |action| self.apply(action, key)))
    }
    fn class(&self) -> KeyClass {
        KeyClass::Pattern
    }
    fn name(&self) -> &str {
        &self.name
    }
    fn owner(&self) -> Owner {
        self.owner
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_substitute_negate_and_nest() {
        let table = open(
            "{{/^(a+)(b*)$/ <$1,${2}>}, {if /^c/}, {!/x$/ no x}, {endif}, {/d/!/e/ d without e}, {/^D$/i exact}}",
            Flags::default(),
        )
        .unwrap();
        for (key, want) in [
            ("aab", Some("<aa,b>")),
            ("A", Some("<A,>")),
            ("cx", None),
            ("cy", Some("no x")),
            ("zd", Some("d without e")),
            ("zde", None),
        ] {
            assert_eq!(table.lookup(key), Ok(want.map(str::to_owned)), "{key}");
        }
    }

    #[test]
    fn perl_rules_have_their_own_flags() {
        let table = open_pcre(
            "{{/^(?<user>a+?)(b*)$/ <$1,$2>}, {if !/^c/}, {/d(?!e)/ d without e}, {endif}, {/(x+)/U <$1>}, {/^D$/i exact}}",
            Flags::default(),
        )
        .unwrap();
        for (key, want) in [
            ("aab", Some("<aa,b>")),
            ("cd", None),
            ("zd", Some("d without e")),
            ("zde", None),
            ("cxx", Some("<x>")),
        ] {
            assert_eq!(table.lookup(key), Ok(want.map(str::to_owned)), "{key}");
        }
    }

    #[test]
    fn sensitive_tables_do_not_substitute() {
        let table = open("{{/(a)/ $1}, {/a/ plain}}", Flags::NO_REGSUB).unwrap();
        assert_eq!(table.lookup("a"), Ok(Some("plain".to_owned())));
    }
}
