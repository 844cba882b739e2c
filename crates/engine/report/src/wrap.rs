//! Long lines of reports: broken at blanks, continued with an indent.

/// Columns of a line.
const WIDTH: usize = 79;
/// Indent of continuation lines.
const INDENT: &str = "    ";

/// `text` in lines of at most 79 columns where it has blanks to break at; continuation lines are indented by four.
#[must_use]
pub fn wrap(text: &str) -> Vec<String> {
    let mut lines = Vec::new();
    let mut line = String::new();
    let mut empty = true;
    for word in text.split(' ') {
        if !empty && line.len() + 1 + word.len() > WIDTH {
            lines.push(std::mem::replace(&mut line, INDENT.to_owned()));
        } else if !empty {
            line.push(' ');
        }
        line.push_str(word);
        empty = false;
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
            wrap(text),
            [
                "<bad@x.example>: host 127.0.0.1[127.0.0.1] said: 550-5.7.1 this is the first",
                "    line of a long explanation 550 5.7.1 and this is the second one (in reply",
                "    to RCPT TO command)"
            ]
        );
        let long = format!("<{}@example.com>:", "x".repeat(80));
        assert_eq!(wrap(&format!("{long} why")), [long, "    why".to_owned()]);
    }
}
