//! Long lines of reports: broken at blanks, continued with an indent.

/// `text` in lines of at most `width` bytes where it has blanks to break at; continuation lines begin with `indent`.
/// Blanks at a break and at the end are dropped, all others are kept.
#[must_use]
pub fn wrap(text: &str, width: usize, indent: &str) -> Vec<String> {
    let mut lines = Vec::new();
    let mut line = String::new();
    let mut has_word = false;
    let mut rest = text.trim_end_matches(' ');
    while !rest.is_empty() {
        let word_at = rest.find(|c| c != ' ').unwrap_or(rest.len());
        let (blanks, from_word) = rest.split_at_checked(word_at).unwrap_or((rest, ""));
        let end = from_word.find(' ').unwrap_or(from_word.len());
        let (word, after) = from_word.split_at_checked(end).unwrap_or((from_word, ""));
        if has_word && line.len() + blanks.len() + word.len() > width {
            lines.push(std::mem::replace(&mut line, indent.to_owned()));
        } else {
            line.push_str(blanks);
        }
        line.push_str(word);
        has_word = true;
        rest = after;
    }
    lines.push(line);
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_break_at_blanks() {
        let text = "<bad@x.example>: host 127.0.0.1[127.0.0.1] said: 550-5.7.1 this is the first line of a long \
                    explanation 550 5.7.1 and this is the second one (in reply to RCPT TO command)";
        assert_eq!(
            wrap(text, 79, "    "),
            [
                "<bad@x.example>: host 127.0.0.1[127.0.0.1] said: 550-5.7.1 this is the first",
                "    line of a long explanation 550 5.7.1 and this is the second one (in reply",
                "    to RCPT TO command)"
            ]
        );
        let long = format!("<{}@example.com>:", "x".repeat(80));
        assert_eq!(wrap(&format!("{long} why"), 79, "    "), [long, "    why".to_owned()]);
    }

    #[test]
    fn blanks_are_kept_but_for_those_at_a_break() {
        for (text, lines) in [
            ("", vec![""]),
            ("   ", vec![""]),
            ("In:  ab", vec!["In:  ab"]),
            ("In:  abcdef", vec!["In:", " abcdef"]),
            ("   abc  d", vec!["   abc", " d"]),
            ("ab    c  d", vec!["ab    c", " d"]),
        ] {
            assert_eq!(wrap(text, 8, " "), lines, "{text:?}");
        }
    }
}
