//! `regexp`: POSIX regular expressions, regexp_table(5).

use std::sync::Arc;

use mail_lookup::{Found, KeyClass, Lookup, Owner};
use os_sys::regex::Regex;

use super::substitution::{self, Part};
use super::{Parsed, Place, Program, after_keyword, cidr::strip_negations, load};
use crate::Flags;
use crate::open::OpenError;

struct Condition {
    negated: bool,
    regex: Regex,
}

struct Action {
    first: Condition,
    /// `/p1/!/p2/`: must not match.
    second: Option<Condition>,
    result: Vec<Part>,
}

struct Table {
    name: String,
    source: String,
    owner: Owner,
    program: Program<Condition, Action>,
}

/// Opens `regexp:name`.
pub(crate) fn open(name: &str, flags: Flags) -> Result<Arc<dyn Lookup>, OpenError> {
    let may_substitute = !flags.no_regsub && !flags.paranoid;
    let parse = |place: &Place<'_>, line: &str| rule(place, line, may_substitute);
    let (program, owner) = load("regexp", name, "ignoring ENDIF without matching IF", parse)?;
    Ok(Arc::new(Table { name: format!("regexp:{name}"), source: name.to_owned(), owner, program }))
}

fn rule(place: &Place<'_>, line: &str, may_substitute: bool) -> Parsed<Condition, Action> {
    if !line.starts_with(|c: char| c.is_ascii_alphanumeric()) {
        return match action(place, line, may_substitute) {
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
        let Some((condition, rest)) = condition(place, rest) else { return Parsed::Skipped };
        if !rest.trim().is_empty() {
            place.warn(&format!("ignoring extra text after IF statement: \"{}\"", rest.trim()));
            place.warn("do not prepend whitespace to statements between IF and ENDIF");
        }
        return Parsed::If(condition);
    }
    place.warn("ignoring unrecognized request");
    Parsed::Skipped
}

fn action(place: &Place<'_>, line: &str, may_substitute: bool) -> Option<Action> {
    let (first, rest) = condition(place, line)?;
    let (second, rest) = match rest.strip_prefix('!') {
        Some(_) => condition(place, rest).map(|(second, rest)| (Some(second), rest))?,
        None => (None, rest),
    };
    let text = rest.trim();
    if text.is_empty() {
        place.warn("no replacement text: using empty string");
    }
    let groups = if first.negated { usize::MAX } else { first.regex.groups() };
    let result = match substitution::parse(text, groups) {
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
fn condition<'a>(place: &Place<'_>, text: &'a str) -> Option<(Condition, &'a str)> {
    let (negated, text) = strip_negations(text);
    let mut chars = text.chars();
    let Some(delimiter) = chars.next() else {
        place.warn("no regexp: skipping this rule");
        return None;
    };
    let body = chars.as_str();
    let Some(end) = closing(body, delimiter) else {
        place.warn(&format!("no closing regexp delimiter \"{delimiter}\": skipping this rule"));
        return None;
    };
    let pattern = body.get(..end)?;
    let mut rest = body.get(end + delimiter.len_utf8()..)?;
    let (mut icase, mut newline, mut extended) = (true, false, true);
    while let Some(flag) = rest.chars().next().filter(|c| !c.is_ascii_whitespace() && *c != '!') {
        match flag {
            'i' => icase = !icase,
            'm' => newline = !newline,
            'x' => extended = !extended,
            _ => {
                place.warn(&format!("unknown regexp option \"{flag}\": skipping this rule"));
                return None;
            }
        }
        rest = rest.get(flag.len_utf8()..)?;
    }
    match Regex::new(pattern, extended, icase, newline) {
        Ok(regex) => Some((Condition { negated, regex }, rest)),
        Err(text) => {
            place.warn(&text);
            None
        }
    }
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

type Groups = Vec<Option<(usize, usize)>>;

impl Table {
    /// The groups when the expression itself (regardless of `!`) matches. An error of the library is no match.
    fn captures(&self, condition: &Condition, key: &str) -> Option<Groups> {
        condition.regex.captures(key).unwrap_or_else(|text| {
            os_log::warning!("regexp map {}: {text}", self.source);
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
                        out.push_str(key.get(*start..*end).unwrap_or_default());
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
    fn sensitive_tables_do_not_substitute() {
        let table = open("{{/(a)/ $1}, {/a/ plain}}", Flags::NO_REGSUB).unwrap();
        assert_eq!(table.lookup("a"), Ok(Some("plain".to_owned())));
    }
}
