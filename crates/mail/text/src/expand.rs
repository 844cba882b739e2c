//! `$name` expansion: `$name`, `${name}`, `$(name)`, `${name?text}`, `${name:text}`, `${name?{a}:{b}}`,
//! `${{l} == {r} ? {a} : {b}}`, `${function{text}}` and `$$` (`postconf(5)`, general format).

use std::borrow::Cow;
use std::cell::Cell;
use std::cmp::Ordering;

/// Names within names, at most.
const NESTING_LIMIT: usize = 100;
/// Characters of the remaining text that an error shows.
const ERROR_CONTEXT: usize = 20;

/// Where names are looked up.
pub trait Scope {
    /// The unexpanded value of a name; `None` counts as empty.
    fn value(&self, name: &str) -> Option<Cow<'_, str>>;

    /// A named function's result. `None`: no such function; `Err`: a bad argument, already worded.
    fn function(&self, _name: &str, _argument: &str) -> Option<Result<String, String>> {
        None
    }
}

impl<F: Fn(&str) -> Option<String>> Scope for F {
    fn value(&self, name: &str) -> Option<Cow<'_, str>> {
        self(name).map(Cow::Owned)
    }
}

/// How values are inserted.
#[derive(Clone, Copy, Debug, Default)]
pub struct Options<'a> {
    /// Values are expanded in turn (parameters); otherwise inserted as they are (message attributes).
    pub recursive: bool,
    /// Characters that inserted values may have; others become `_` (`*_expansion_filter`).
    pub allowed: Option<&'a str>,
}

/// Why a text cannot be expanded: the reference's warning text.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ExpandError(pub String);

/// Expands `text`.
///
/// # Errors
/// [`ExpandError`] for bad syntax and for names nested more than 100 deep.
pub fn expand(text: &str, options: Options<'_>, scope: &dyn Scope) -> Result<String, ExpandError> {
    let mut out = String::with_capacity(text.len());
    Expansion { options, scope, undefined: Cell::new(false) }.append(&mut out, text, 0)?;
    Ok(out)
}

/// As [`expand`]; `None` if a name that is inserted as it is (`$name`, not the condition of `${name?…}`) has no value.
///
/// # Errors
/// As [`expand`].
pub fn expand_defined(
    text: &str,
    options: Options<'_>,
    scope: &dyn Scope,
) -> Result<Option<String>, ExpandError> {
    let mut out = String::with_capacity(text.len());
    let expansion = Expansion { options, scope, undefined: Cell::new(false) };
    expansion.append(&mut out, text, 0)?;
    Ok((!expansion.undefined.get()).then_some(out))
}

struct Expansion<'a> {
    options: Options<'a>,
    scope: &'a dyn Scope,
    undefined: Cell<bool>,
}

type Step<T> = Result<T, ExpandError>;

fn fail<T>(text: String) -> Step<T> {
    Err(ExpandError(text))
}

impl Expansion<'_> {
    fn append(&self, out: &mut String, text: &str, depth: usize) -> Step<()> {
        let mut rest = text;
        while let Some((plain, after)) = rest.split_once('$') {
            out.push_str(plain);
            rest = match after.chars().next() {
                Some('$') => {
                    out.push('$');
                    after.get(1..).unwrap_or_default()
                }
                Some('{' | '(') => {
                    let Some((body, remainder)) = balanced(after) else {
                        return fail(format!("truncated macro reference: \"{text}\""));
                    };
                    if body.trim().is_empty() {
                        return fail(format!("empty macro name: \"{text}\""));
                    }
                    self.braced(out, body, depth)?;
                    remainder
                }
                _ => {
                    let (name, remainder) = split_word(after);
                    if name.is_empty() {
                        return fail(format!("empty macro name: \"{text}\""));
                    }
                    self.insert_defined(out, name, depth)?;
                    remainder
                }
            };
        }
        out.push_str(rest);
        Ok(())
    }

    /// What stands between the braces of `${…}`.
    fn braced(&self, out: &mut String, body: &str, depth: usize) -> Step<()> {
        let body = body.trim_start();
        if body.starts_with('{') {
            let (holds, rest) = self.relation(body, depth)?;
            if rest.is_empty() {
                out.push_str(if holds { "true" } else { "" });
                return Ok(());
            }
            if !rest.starts_with(['?', ':']) {
                return fail(format!("\"?\" or \":\" expected at: \"...}}>>>{}\"", shown(rest)));
            }
            return self.choose(out, holds, rest, depth);
        }
        let (name, after) = split_word(body);
        let rest = after.trim_start();
        match rest.chars().next() {
            None => self.insert_defined(out, name, depth),
            Some('?' | ':') => {
                let mut value = String::new();
                self.insert(&mut value, name, depth)?;
                self.choose(out, !value.is_empty(), rest, depth)
            }
            Some('{') => self.call(out, name, rest, depth),
            Some(_) => fail(format!("attribute name syntax error at: \"...{name}>>>{}\"", shown(after))),
        }
    }

    fn insert_defined(&self, out: &mut String, name: &str, depth: usize) -> Step<()> {
        if self.scope.value(name).is_none() {
            self.undefined.set(true);
        }
        self.insert(out, name, depth)
    }

    fn insert(&self, out: &mut String, name: &str, depth: usize) -> Step<()> {
        if depth > NESTING_LIMIT {
            return fail(format!("unreasonable macro call nesting: \"{name}\""));
        }
        let Some(value) = self.scope.value(name) else { return Ok(()) };
        if self.options.recursive {
            return self.append(out, &value, depth + 1);
        }
        match self.options.allowed {
            Some(allowed) => out.extend(value.chars().map(|c| if allowed.contains(c) { c } else { '_' })),
            None => out.push_str(&value),
        }
        Ok(())
    }

    /// `?{a}:{b}`, `?{a}`, `?text`, `:{b}`, `:text`.
    fn choose(&self, out: &mut String, condition: bool, rest: &str, depth: usize) -> Step<()> {
        let (then, otherwise) = match rest.strip_prefix('?') {
            Some(after) => split_choice(after)?,
            None => ("", last_choice(rest.strip_prefix(':').unwrap_or_default())?),
        };
        self.append(out, if condition { then } else { otherwise }, depth + 1)
    }

    /// `{l} OP {r}` and what follows, without leading blanks.
    fn relation<'t>(&self, body: &'t str, depth: usize) -> Step<(bool, &'t str)> {
        let (left, after) = payload(body)?;
        let at_operator = after.trim_start();
        let end = at_operator.find(|c| !matches!(c, '=' | '!' | '<' | '>')).unwrap_or(at_operator.len());
        let (symbol, after) = at_operator.split_at(end);
        let Some(operator) = Operator::parse(symbol) else {
            return fail(format!(
                "\"==\" or \"!=\"\" or \"<\"\" or \"<=\"\" or \">=\"\" or \">\" expected at: \"...{left}}}>>>{}\"",
                shown(at_operator)
            ));
        };
        let (suffix, after) = split_word(after);
        let by_level = match suffix {
            "" => false,
            "level" => true,
            other => return fail(format!("bad operator suffix at: \"...{symbol}>>>{other}\"")),
        };
        let at_right = after.trim_start();
        if !at_right.starts_with('{') {
            let done = body.get(..body.len() - after.len()).unwrap_or_default();
            return fail(format!("\"{{expression}}\" expected at: \"...{done}>>>{}\"", shown(after)));
        }
        let (right, rest) = payload(at_right)?;
        let mut sides = [String::new(), String::new()];
        for (side, text) in sides.iter_mut().zip([left, right]) {
            self.append(side, text, depth + 1)?;
        }
        let [left, right] = sides;
        let order = if by_level { level(&left)?.cmp(&level(&right)?) } else { compare(&left, &right) };
        Ok((operator.holds(order), rest.trim_start()))
    }

    fn call(&self, out: &mut String, name: &str, rest: &str, depth: usize) -> Step<()> {
        let (argument, after) = payload(rest)?;
        if !after.trim().is_empty() {
            return fail(format!("unexpected input at: \"...{argument}}}>>>{}\"", shown(after.trim_start())));
        }
        let mut value = String::new();
        self.append(&mut value, argument, depth + 1)?;
        match self.scope.function(name, &value) {
            Some(Ok(result)) => out.push_str(&result),
            Some(Err(text)) => return fail(text),
            None => {
                return fail(format!(
                    "unknown function \"{name}\" at\"...>>>{}\"",
                    shown(&format!("{name}{rest}"))
                ));
            }
        }
        Ok(())
    }
}

/// `{a}` alone, `{a}:…`, or raw text up to the end.
fn split_choice(text: &str) -> Step<(&str, &str)> {
    let visible = text.trim_start();
    if !visible.starts_with('{') {
        return Ok((text, ""));
    }
    let (then, after) = payload(visible)?;
    let after = after.trim_start();
    if after.is_empty() {
        return Ok((then, ""));
    }
    match after.strip_prefix(':') {
        Some(rest) => Ok((then, last_choice(rest)?)),
        None => fail(format!("\":\" expected at: \"...{then}}}>>>{}\"", shown(after))),
    }
}

/// `{b}` or raw text up to the end.
fn last_choice(text: &str) -> Step<&str> {
    let visible = text.trim_start();
    if !visible.starts_with('{') {
        return Ok(text);
    }
    let (choice, after) = payload(visible)?;
    let after = after.trim_start();
    if after.is_empty() {
        Ok(choice)
    } else {
        fail(format!("unexpected input at: \"...{choice}}}>>>{}\"", shown(after)))
    }
}

/// The inside of a leading `{…}` and what follows it.
fn payload(text: &str) -> Step<(&str, &str)> {
    balanced(text).ok_or_else(|| ExpandError(format!("unbalanced {{}} in attribute expression: \"{text}\"")))
}

/// The inside of the leading bracket pair, whose kind alone is counted, and what follows it.
fn balanced(text: &str) -> Option<(&str, &str)> {
    let open = text.chars().next()?;
    let close = if open == '{' { '}' } else { ')' };
    let mut depth = 0usize;
    for (at, c) in text.char_indices() {
        if c == open {
            depth += 1;
        } else if c == close {
            depth -= 1;
        }
        if depth == 0 {
            return Some((text.get(1..at)?, text.get(at + 1..)?));
        }
    }
    None
}

fn split_word(text: &str) -> (&str, &str) {
    let end = text.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).unwrap_or(text.len());
    text.split_at(end)
}

fn shown(text: &str) -> &str {
    text.char_indices().nth(ERROR_CONTEXT).and_then(|(at, _)| text.get(..at)).unwrap_or(text)
}

#[derive(Clone, Copy)]
enum Operator {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

impl Operator {
    fn parse(text: &str) -> Option<Self> {
        Some(match text {
            "==" => Self::Equal,
            "!=" => Self::NotEqual,
            "<" => Self::Less,
            "<=" => Self::LessOrEqual,
            ">" => Self::Greater,
            ">=" => Self::GreaterOrEqual,
            _ => return None,
        })
    }

    fn holds(self, order: Ordering) -> bool {
        match self {
            Self::Equal => order.is_eq(),
            Self::NotEqual => order.is_ne(),
            Self::Less => order.is_lt(),
            Self::LessOrEqual => order.is_le(),
            Self::Greater => order.is_gt(),
            Self::GreaterOrEqual => order.is_ge(),
        }
    }
}

/// Numbers when both sides are all digits, bytes otherwise.
fn compare(left: &str, right: &str) -> Ordering {
    let number = |text: &str| -> Option<u128> {
        (!text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()))
            .then(|| text.parse().unwrap_or(u128::MAX))
    };
    match (number(left), number(right)) {
        (Some(left), Some(right)) => left.cmp(&right),
        (None, _) | (_, None) => left.as_bytes().cmp(right.as_bytes()),
    }
}

/// A compatibility level, `major[.minor[.patch]]`, as something that compares (`postconf(5) compatibility_level`).
///
/// # Errors
/// `malformed compatibility level syntax: "3.x"`.
pub fn level(text: &str) -> Result<(u32, u32, u32), ExpandError> {
    let bad = || ExpandError(format!("malformed compatibility level syntax: \"{text}\""));
    let mut parts = [0u32; 3];
    let mut given = text.trim().split('.');
    for (index, part) in parts.iter_mut().enumerate() {
        let Some(digits) = given.next() else { break };
        if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
            return Err(bad());
        }
        *part = digits.parse().map_err(|_| bad())?;
        if index > 0 && *part > 1023 {
            return Err(bad());
        }
    }
    if given.next().is_some() {
        return Err(bad());
    }
    let [major, minor, patch] = parts;
    Ok((major, minor, patch))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scope(name: &str) -> Option<String> {
        Some(match name {
            "bar" => "5".into(),
            "empty" => String::new(),
            "loop" => "$loop".into(),
            "twice" => "<$bar$bar>".into(),
            "odd" => "a b;c".into(),
            _ => return None,
        })
    }

    #[test]
    fn texts_expand_as_the_reference_does() {
        for (text, expected) in [
            ("a$bar b", "a5 b"),
            ("$twice", "<55>"),
            ("${ bar }$(bar)", "55"),
            ("$$bar", "$bar"),
            ("$none", ""),
            ("${bar?a:b}", "a:b"),
            ("${bar:a}", ""),
            ("${none:a b }x", "a b x"),
            ("${none?{a}:b }x", "b x"),
            ("${none?{a}: {b} }x", "bx"),
            ("${bar ? {c} : {d}}", "c"),
            ("${bar?}x", "x"),
            ("${bar?{}}x", "x"),
            ("${none:{x}}", "x"),
            ("${{ a } == {a}?x:y}", ""),
            ("${{a} == {a}}", "true"),
            ("${{a} == {b}}", ""),
            ("${{2} < {10}?{yes}:{no}}", "yes"),
            ("${{2a} < {10}?{yes}:{no}}", "no"),
            ("${{3.6} >=level {3.10}?{yes}:{no}}", "no"),
            ("${{3} <level {3.10}?{yes}:{no}}", "yes"),
            ("${{a}=={b}? b}z", "z"),
            ("${{$bar}=={5}? b }z", " b z"),
            ("${{a}=={b}:b}", "b"),
        ] {
            let options = Options { recursive: true, allowed: None };
            assert_eq!(expand(text, options, &scope), Ok(expected.to_owned()), "{text}");
        }
    }

    #[test]
    fn errors_are_the_reference_s() {
        for (text, expected) in [
            ("ab ${abc-def} cd", r#"attribute name syntax error at: "...abc>>>-def""#),
            ("${bar x}", r#"attribute name syntax error at: "...bar>>> x""#),
            (
                "${longname+longertext that goes on and on}",
                r#"attribute name syntax error at: "...longname>>>+longertext that goe""#,
            ),
            ("${bar?{c}{d}}", r#"":" expected at: "...c}>>>{d}""#),
            ("${bar ? {c} : {d}y}", r#"unexpected input at: "...d}>>>y""#),
            ("${bar:{x}y}", r#"unexpected input at: "...x}>>>y""#),
            (
                "${{abc} x {c}}",
                r#""==" or "!="" or "<"" or "<="" or ">="" or ">" expected at: "...abc}>>>x {c}""#,
            ),
            ("${{abc} == c}", r#""{expression}" expected at: "...{abc} ==>>> c""#),
            ("${{abc} ==foo {c}}", r#"bad operator suffix at: "...==>>>foo""#),
            ("${{abc}=={c}x}", r#""?" or ":" expected at: "...}>>>x""#),
            ("$-x", r#"empty macro name: "$-x""#),
            ("a $", r#"empty macro name: "a $""#),
            ("${}", r#"empty macro name: "${}""#),
            ("${foo", r#"truncated macro reference: "${foo""#),
            ("$(foo}", r#"truncated macro reference: "$(foo}""#),
            ("$loop", r#"unreasonable macro call nesting: "loop""#),
            ("${{3.x} >=level {3.10}}", r#"malformed compatibility level syntax: "3.x""#),
            ("${f{x}}", r#"unknown function "f" at"...>>>f{x}""#),
        ] {
            let options = Options { recursive: true, allowed: None };
            assert_eq!(expand(text, options, &scope), Err(ExpandError(expected.to_owned())), "{text}");
        }
    }

    #[test]
    fn an_undefined_name_can_be_told_from_an_empty_one() {
        let defined = |text| expand_defined(text, Options::default(), &scope).unwrap();
        assert_eq!(defined("a$empty"), Some("a".into()));
        assert_eq!(defined("a$none"), None);
        assert_eq!(defined("a${none?b}"), Some("a".into()));
    }

    #[test]
    fn inserted_values_are_filtered() {
        let options = Options { recursive: false, allowed: Some("abc") };
        assert_eq!(expand("$odd; ${bar?$odd}", options, &scope), Ok("a_b_c; a_b_c".to_owned()));
    }
}
