//! Logical lines: the physical-line grammar that main.cf, master.cf, table sources and alias files share
//! (`postconf(5)`, "general format").
//!
//! A line that starts with white space continues the one before. Blank lines and lines whose first visible character is
//! `#` are skipped anywhere, also in the middle of a continued line.

/// A logical line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogicalLine {
    /// The text, newlines removed, white space of continuations kept.
    pub text: String,
    /// Number of the first physical line with content, from 1.
    pub first: usize,
    /// Number of the last one.
    pub last: usize,
}

impl LogicalLine {
    /// `line 3` or `line 3-5`.
    #[must_use]
    pub fn range(&self) -> String {
        if self.first == self.last {
            format!("line {}", self.first)
        } else {
            format!("line {}-{}", self.first, self.last)
        }
    }
}

/// What a source holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Item {
    /// A logical line.
    Line(LogicalLine),
    /// A continuation with nothing to continue, to be reported and dropped.
    Stray(String),
}

/// The logical lines of `source`.
pub fn logical_lines(source: &str) -> impl Iterator<Item = Item> + '_ {
    let mut lines = source.split('\n').zip(1usize..).filter(|(line, _)| !is_skipped(line)).peekable();
    std::iter::from_fn(move || {
        let (text, first) = lines.next()?;
        if text.starts_with([' ', '\t', '\r', '\x0b', '\x0c']) {
            return Some(Item::Stray(text.trim_start().to_owned()));
        }
        let mut line = LogicalLine { text: text.to_owned(), first, last: first };
        while let Some((more, number)) =
            lines.next_if(|(next, _)| next.starts_with([' ', '\t', '\r', '\x0b', '\x0c']))
        {
            line.text.push_str(more);
            line.last = number;
        }
        Some(Item::Line(line))
    })
}

/// Blank lines and comments.
#[must_use]
pub fn is_skipped(line: &str) -> bool {
    let visible = line.trim_start();
    visible.is_empty() || visible.starts_with('#')
}

/// Splits `name = value`; the value is trimmed at both ends.
///
/// # Errors
/// `missing attribute name: "= x"`, `missing '=' after attribute name: "foo"`.
pub fn split_name_value(text: &str) -> Result<(&str, &str), String> {
    let text = text.trim();
    let end = text.find(|c: char| c.is_ascii_whitespace() || c == '=').unwrap_or(text.len());
    let (name, rest) = text.split_at(end);
    if name.is_empty() {
        return Err(format!("missing attribute name: \"{text}\""));
    }
    match rest.trim_start().strip_prefix('=') {
        Some(value) => Ok((name, value.trim())),
        None => Err(format!("missing '=' after attribute name: \"{text}\"")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_do_not_end_a_logical_line() {
        let text = "# top\na = 1\n  2\n# in between\n\n\t3\nb = 4";
        let found: Vec<_> = logical_lines(text).collect();
        assert_eq!(
            found,
            [
                Item::Line(LogicalLine { text: "a = 1  2\t3".into(), first: 2, last: 6 }),
                Item::Line(LogicalLine { text: "b = 4".into(), first: 7, last: 7 })
            ]
        );
    }

    #[test]
    fn a_source_may_not_start_with_a_continuation() {
        let found: Vec<_> = logical_lines("  x = 1\na = 1\n").collect();
        assert_eq!(found.first(), Some(&Item::Stray("x = 1".into())));
    }

    #[test]
    fn names_and_values() {
        for (text, expected) in [
            ("a=b", Ok(("a", "b"))),
            (" a  =  b c  ", Ok(("a", "b c"))),
            ("a =", Ok(("a", ""))),
            ("a==b", Ok(("a", "=b"))),
            ("= x", Err("missing attribute name: \"= x\"".to_owned())),
            ("foo", Err("missing '=' after attribute name: \"foo\"".to_owned())),
            ("foo bar = x", Err("missing '=' after attribute name: \"foo bar = x\"".to_owned())),
        ] {
            assert_eq!(split_name_value(text), expected, "{text}");
        }
    }
}
