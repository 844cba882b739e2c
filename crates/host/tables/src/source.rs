//! The source grammars of `postmap`, `texthash` and `postalias`.

use mail_address::token;
use mail_text::logical::{self, Item, LogicalLine};

/// One record of a source file. Keys are not folded yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// `FILE, line N`, for messages.
    pub place: String,
    /// The key as it is stored.
    pub key: String,
    /// The value.
    pub value: String,
}

/// Gives the records of a `key whitespace value` source to `each`. Bad lines are logged and skipped; `ending` is added to
/// the message about a line without key or value (texthash: ` -- ignoring this line`).
pub fn map_records(file: &str, text: &str, utf8: bool, ending: &str, each: &mut dyn FnMut(Record)) {
    for (line, place) in lines(file, text, utf8) {
        match key_and_value(&line.text) {
            None => os_log::warning!("{place}: unbalanced '\"' in '{}' -- ignoring this line", line.text),
            Some((key, value)) if key.is_empty() || value.is_empty() => {
                os_log::warning!("{place}: expected format: key whitespace value{ending}");
            }
            Some((key, value)) => {
                if key.ends_with(':') {
                    os_log::warning!("{place}: record is in \"key: value\" format; is this an alias file?");
                }
                each(Record { place, key: key.to_owned(), value: value.to_owned() });
            }
        }
    }
}

/// The key ends at the first blank outside of quotes; `None`: a quote is not closed.
fn key_and_value(line: &str) -> Option<(&str, &str)> {
    let mut quoted = false;
    let mut escaped = false;
    for (at, c) in line.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => quoted = !quoted,
            _ if c.is_ascii_whitespace() && !quoted => {
                let (key, value) = line.split_at(at);
                return Some((key, value.trim()));
            }
            _ => {}
        }
    }
    if quoted { None } else { Some((line, "")) }
}

/// Gives the records of a `name: value, value` source (aliases(5)) to `each`: keys unquoted, values re-printed with `, `.
pub fn alias_records(file: &str, text: &str, utf8: bool, each: &mut dyn FnMut(Record)) {
    for (line, place) in lines(file, text, utf8) {
        let tokens = token::scan(&line.text, usize::MAX);
        let Some((name, value)) = token::split_alias(&tokens) else {
            os_log::warning!("{place}: need name:value pair");
            continue;
        };
        if name.contains('@') {
            os_log::warning!("{place}: name must be local");
            continue;
        }
        each(Record { place, key: name, value });
    }
}

fn lines<'a>(file: &'a str, text: &'a str, utf8: bool) -> impl Iterator<Item = (LogicalLine, String)> + 'a {
    logical::logical_lines(text).filter_map(move |item| match item {
        Item::Line(line) => {
            let place = format!("{file}, {}", line.range());
            if utf8 && line.text.contains(char::REPLACEMENT_CHARACTER) {
                os_log::warning!("{place}: non-UTF-8 input \"{}\" -- ignoring this line", line.text);
                return None;
            }
            Some((line, place))
        }
        Item::Stray(text) => {
            let start: String = text.chars().take(30).collect();
            os_log::warning!("{file}: logical line must not start with whitespace: \"{start}...\"");
            None
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_end_at_an_unquoted_blank() {
        for (line, want) in [
            ("a b c ", Some(("a", "b c"))),
            ("\"a b\"@c d", Some(("\"a b\"@c", "d"))),
            ("x\\ y z", Some(("x\\ y", "z"))),
            ("\"a b", None),
            ("a", Some(("a", ""))),
        ] {
            assert_eq!(key_and_value(line), want, "{line}");
        }
    }
}
