//! Text to tokens.

use std::iter::Peekable;
use std::str::Chars;

/// Deepest nesting of comments that is followed.
const MAX_COMMENT_DEPTH: usize = 1000;

/// A lexical token (RFC 5322 §3.2), loosely.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Token {
    /// A word, backslashes removed.
    Atom(String),
    /// A quoted string, without its quotes and backslashes.
    Quoted(String),
    /// A comment as written, with its parentheses and backslashes.
    Comment(String),
    /// A domain literal, without its brackets.
    Literal(String),
    /// `,` `:` `;` `<` `>` `@` `.` `!` `%` `)` `]`
    Operator(char),
}

impl Token {
    /// Words may not follow each other inside one address.
    pub(super) const fn is_word(&self) -> bool {
        matches!(self, Self::Atom(_) | Self::Quoted(_) | Self::Literal(_))
    }

    pub(super) const fn is(&self, operator: char) -> bool {
        matches!(self, Self::Operator(c) if *c == operator)
    }
}

const OPERATORS: &str = ",:;<>@.!%";

/// The tokens of `text`, at most `limit`.
#[must_use]
pub fn scan(text: &str, limit: usize) -> Vec<Token> {
    let mut tokens = Vec::new();
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        if tokens.len() >= limit {
            break;
        }
        match c {
            _ if c.is_ascii_whitespace() => {}
            '"' => tokens.push(Token::Quoted(delimited(&mut chars, '"'))),
            '[' => tokens.push(Token::Literal(delimited(&mut chars, ']'))),
            '(' => tokens.push(Token::Comment(comment(&mut chars))),
            _ if OPERATORS.contains(c) => tokens.push(Token::Operator(c)),
            _ => tokens.push(atom(c, &mut chars)),
        }
    }
    tokens
}

/// Up to the unescaped `end`, backslashes removed, white space as blanks.
fn delimited(chars: &mut Peekable<Chars<'_>>, end: char) -> String {
    let mut out = String::new();
    while let Some(c) = chars.next() {
        if c == end {
            break;
        }
        let c = if c == '\\' { chars.next() } else { Some(if c.is_ascii_whitespace() { ' ' } else { c }) };
        out.extend(c);
    }
    out
}

/// A comment with what it encloses; the opening parenthesis has been read.
fn comment(chars: &mut Peekable<Chars<'_>>) -> String {
    let mut out = String::from("(");
    let mut depth = 1usize;
    while let Some(c) = chars.next() {
        out.push(if c == '\n' { ' ' } else { c });
        match c {
            '(' if depth < MAX_COMMENT_DEPTH => depth += 1,
            ')' => depth -= 1,
            '\\' => out.extend(chars.next()),
            _ => {}
        }
        if depth == 0 {
            return out;
        }
    }
    // An unclosed comment is closed, so that the text stays one.
    for _ in 0..depth {
        out.push(')');
    }
    out
}

/// An atom; with a control character, or with an escaped one that only a quoted string can hold, it counts as quoted.
fn atom(first: char, chars: &mut Peekable<Chars<'_>>) -> Token {
    let mut out = String::new();
    let mut quoted = false;
    let mut next = Some(first);
    while let Some(c) = next {
        let escaped = c == '\\';
        let c = if escaped { chars.next() } else { Some(c) };
        if let Some(c) = c {
            quoted |= c.is_ascii_control() || escaped && (OPERATORS.contains(c) || " \"\\[]()".contains(c));
            out.push(if c.is_ascii_whitespace() { ' ' } else { c });
        }
        let ends =
            |c: &char| c.is_ascii_whitespace() || OPERATORS.contains(*c) || matches!(c, '"' | '[' | '(');
        next = chars.next_if(|c| !ends(c));
    }
    if quoted { Token::Quoted(out) } else { Token::Atom(out) }
}
