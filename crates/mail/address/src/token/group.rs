//! Tokens to addresses, from right to left.

use super::{Item, Token};

/// Where the scan stands.
#[derive(Default)]
struct State {
    /// A `;` was seen, the `:` of its group not yet.
    in_group: bool,
    /// An address or a word stands directly to the right, so that another one needs a comma.
    needs_comma: bool,
}

/// Groups tokens into addresses; commas are added between adjacent addresses.
pub(super) fn grouped(mut tokens: Vec<Token>) -> Vec<Item> {
    let mut out: Vec<Item> = Vec::with_capacity(tokens.len());
    let mut state = State::default();
    while let Some(token) = tokens.pop() {
        match token {
            Token::Operator(',') => {
                state.needs_comma = false;
                out.push(Item::Token(token));
            }
            Token::Operator(';') => {
                comma(&mut out, &mut state);
                state.in_group = true;
                out.push(Item::Token(token));
            }
            Token::Operator(':') if state.in_group => {
                out.push(Item::GroupStart);
                phrase(&mut tokens, &mut out, &[',']);
                state = State::default();
            }
            Token::Operator(':') => {
                state.needs_comma = false;
                out.push(Item::Token(token));
            }
            Token::Operator('>') => bracketed(&mut tokens, &mut out, &mut state),
            Token::Comment(_) => out.push(Item::Token(token)),
            Token::Atom(_) | Token::Quoted(_) | Token::Literal(_) | Token::Operator(_) => {
                comma(&mut out, &mut state);
                tokens.push(token);
                plain(&mut tokens, &mut out, state.in_group);
                state.needs_comma = true;
            }
        }
    }
    out.reverse();
    out
}

fn comma(out: &mut Vec<Item>, state: &mut State) {
    if state.needs_comma {
        out.push(Item::Token(Token::Operator(',')));
        state.needs_comma = false;
    }
}

/// `phrase <address>`; the `>` has been taken. Without a `<` it stays a lone character.
fn bracketed(tokens: &mut Vec<Token>, out: &mut Vec<Item>, state: &mut State) {
    comma(out, state);
    out.push(Item::Token(Token::Operator('>')));
    let Some(open) = tokens.iter().rposition(|token| token.is('<')) else { return };
    let inside = tokens.split_off(open + 1);
    tokens.pop();
    let (comments, inside): (Vec<_>, Vec<_>) =
        inside.into_iter().partition(|t| matches!(t, Token::Comment(_)));
    out.extend(comments.into_iter().rev().map(Item::Token));
    let inside = without_route(inside);
    if !inside.is_empty() {
        out.push(Item::Address(inside));
    }
    out.push(Item::Token(Token::Operator('<')));
    phrase(tokens, out, &[',', ';', ':', '>']);
}

/// Moves the words to the left, up to one of `ends`.
fn phrase(tokens: &mut Vec<Token>, out: &mut Vec<Item>, ends: &[char]) {
    while let Some(token) = tokens.pop_if(|token| !ends.iter().any(|&end| token.is(end))) {
        out.push(Item::Token(token));
    }
}

/// An address without brackets: words joined by operators, comments moved behind it.
fn plain(tokens: &mut Vec<Token>, out: &mut Vec<Item>, in_group: bool) {
    let mut address = Vec::new();
    let mut comments = Vec::new();
    let mut after_word = false;
    while let Some(token) = tokens.pop_if(|token| match token {
        Token::Comment(_) => true,
        Token::Operator(c) => !(matches!(c, ',' | ';' | '>') || in_group && *c == ':'),
        Token::Atom(_) | Token::Quoted(_) | Token::Literal(_) => !after_word,
    }) {
        match token {
            Token::Comment(_) => comments.push(token),
            Token::Atom(_) | Token::Quoted(_) | Token::Literal(_) | Token::Operator(_) => {
                after_word = token.is_word();
                address.push(token);
            }
        }
    }
    address.reverse();
    out.extend(comments.into_iter().map(Item::Token));
    out.push(Item::Address(without_route(address)));
}

/// Drops a source route: `@a,@b:c` is `c` (RFC 5321 §4.1.1.3 allows to ignore it).
fn without_route(tokens: Vec<Token>) -> Vec<Token> {
    if !tokens.first().is_some_and(|token| token.is('@')) {
        return tokens;
    }
    match tokens.iter().position(|token| token.is(':')) {
        Some(colon) => tokens.into_iter().skip(colon + 1).collect(),
        None => tokens,
    }
}
