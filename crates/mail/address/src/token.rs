//! RFC 5322 address tokens: the loose parser for header address lists, alias right-hand sides and command lines.
//! It keeps comments and display names, so that a header can be rewritten in place.
//!
//! Lists are grouped from right to left, because only what follows a phrase tells that it is one: `Foo Bar <a>` holds
//! one address, `Foo Bar` holds two.

mod group;
mod print;
mod scan;

pub use print::plain;
pub use scan::{Token, scan};

/// Most tokens taken from one list; what follows is kept as text without looking for addresses.
const MAX_TOKENS: usize = 100_000;

/// One element of a grouped list.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Item {
    /// A token outside of any address.
    Token(Token),
    /// The tokens of one address.
    Address(Vec<Token>),
    /// The rewritten address, in external form.
    Rewritten(String),
    /// The `:` after a group's name.
    GroupStart,
}

/// All addresses of a list, in external form, groups and comments and display names skipped.
#[must_use]
pub fn addresses(list: &str) -> Vec<String> {
    group::grouped(scan(list, MAX_TOKENS))
        .into_iter()
        .filter_map(|item| match item {
            Item::Address(tokens) => Some(print::address(&tokens)),
            Item::Token(_) | Item::Rewritten(_) | Item::GroupStart => None,
        })
        .collect()
}

/// Rewrites each address of a header value with `rewrite` (external form in and out) and gives the value back with comments,
/// display names, groups and separators as the reference prints them; `None` when nothing changed.
/// Lines are folded as in a header with an empty name; see [`rewrite_header`].
pub fn rewrite_list(list: &str, rewrite: &mut dyn FnMut(&str) -> Option<String>) -> Option<String> {
    rewrite_header("", list, rewrite)
}

/// [`rewrite_list`] for the value of header `name`: the first line leaves room for `name: `. Several addresses share a line
/// of up to 70 characters; the others start on lines of their own.
pub fn rewrite_header(
    name: &str,
    list: &str,
    rewrite: &mut dyn FnMut(&str) -> Option<String>,
) -> Option<String> {
    let mut items = group::grouped(scan(list, MAX_TOKENS));
    let mut changed = false;
    for item in &mut items {
        let Item::Address(tokens) = item else { continue };
        let before = print::address(tokens);
        if before.is_empty() {
            continue;
        }
        if let Some(after) = rewrite(&before)
            && after != before
        {
            changed = true;
            *item = Item::Rewritten(after);
        }
    }
    if !changed {
        return None;
    }
    let prefix = if name.is_empty() { 0 } else { name.len() + 2 };
    Some(print::folded(&print::list(&items), prefix))
}

/// Splits an alias definition at its first `:` into the name (internal form) and the value (external form, `, ` between
/// addresses), aliases(5). `None`: no colon, or nothing on one side of it.
#[must_use]
pub fn split_alias(tokens: &[Token]) -> Option<(String, String)> {
    let colon = tokens.iter().position(|token| token.is(':'))?;
    let (name, value) = (tokens.get(..colon)?, tokens.get(colon + 1..)?);
    if name.is_empty() || value.is_empty() {
        return None;
    }
    Some((print::plain(name, false), print::plain(value, true)))
}
