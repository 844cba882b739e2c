//! Tokens to text.

use super::{Item, Token};

/// Widest line of a folded address list, in characters.
const LINE: usize = 70;

/// External form of one address. A bare `<>` gives the empty string.
pub(super) fn address(tokens: &[Token]) -> String {
    let mut out = String::new();
    for token in tokens {
        push(&mut out, token);
    }
    out
}

/// Tokens on one line; `quoted`: with the quotes of quoted strings.
#[must_use]
pub fn plain(tokens: &[Token], quoted: bool) -> String {
    let mut out = String::new();
    let mut after_word = false;
    for token in tokens {
        let word = !matches!(token, Token::Operator(_));
        if after_word && word {
            out.push(' ');
        }
        after_word = word;
        match token {
            Token::Quoted(text) if !quoted => out.push_str(text),
            Token::Atom(_)
            | Token::Quoted(_)
            | Token::Comment(_)
            | Token::Literal(_)
            | Token::Operator(_) => {
                push(&mut out, token);
            }
        }
    }
    out
}

/// A list with one address a line.
pub(super) fn list(items: &[Item]) -> String {
    let mut out = String::new();
    let mut after_word = false;
    for item in items {
        let word = !matches!(item, Item::GroupStart | Item::Token(Token::Operator(_)));
        if after_word && word {
            out.push(' ');
        }
        after_word = word;
        match item {
            Item::Token(Token::Operator(',')) => out.push_str(",\n"),
            Item::Token(token) => push(&mut out, token),
            Item::Address(tokens) => out.push_str(&address(tokens)),
            Item::Rewritten(text) => out.push_str(text),
            Item::GroupStart => out.push_str(": "),
        }
    }
    out
}

fn push(out: &mut String, token: &Token) {
    match token {
        Token::Atom(text) => out.push_str(text),
        Token::Comment(text) => out.push_str(text),
        Token::Quoted(text) => {
            out.push('"');
            for c in text.chars() {
                if matches!(c, '"' | '\\') {
                    out.push('\\');
                }
                out.push(c);
            }
            out.push('"');
        }
        Token::Literal(text) => {
            out.push('[');
            out.push_str(text);
            out.push(']');
        }
        Token::Operator(',') => out.push_str(", "),
        Token::Operator('<') => {
            if !out.is_empty() && !out.ends_with([' ', '\n']) {
                out.push(' ');
            }
            out.push('<');
        }
        Token::Operator(c) => out.push(*c),
    }
}

/// Joins the lines of `text` up to [`LINE`] characters; `prefix`: how much of the first line is taken by the header's name.
pub(super) fn folded(text: &str, prefix: usize) -> String {
    let mut out = String::with_capacity(text.len() + 8);
    let mut length = prefix;
    for (number, line) in text.split('\n').enumerate() {
        if number > 0 {
            if length + 1 + line.len() < LINE {
                out.push(' ');
                length += 1;
            } else {
                out.push_str("\n\t");
                length = 0;
            }
        }
        out.push_str(line);
        length += line.len();
    }
    out
}
