//! Results with `$1`, `${1}`, `$(1)`, `$$`.

/// A piece of a result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Part {
    Text(String),
    /// A group of the match, from 1.
    Group(usize),
}

/// Parses a result; the error is the reference's text about the index, if it has one.
/// `zero` is the text about index 0, in which the types differ.
pub(super) fn parse(text: &str, groups: usize, zero: &str) -> Result<Vec<Part>, Vec<String>> {
    let bad_syntax = || "bad replacement syntax: skipping this rule".to_owned();
    let mut parts = Vec::new();
    let mut literal = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('$') {
        literal.push_str(before);
        if let Some(tail) = after.strip_prefix('$') {
            literal.push('$');
            rest = tail;
            continue;
        }
        let Some((name, tail)) = macro_name(after) else {
            let what =
                if after.starts_with(['{', '(']) { "truncated macro reference" } else { "empty macro name" };
            os_log::warning!("{what}: \"${after}\"");
            return Err(vec![bad_syntax()]);
        };
        let Ok(index) = name.parse::<usize>() else {
            return Err(vec![format!("non-numeric replacement index \"{name}\""), bad_syntax()]);
        };
        if index == 0 {
            return Err(vec![format!("{zero} replacement index \"{name}\""), bad_syntax()]);
        }
        if index > groups {
            return Err(vec![format!("out of range replacement index \"{name}\": skipping this rule")]);
        }
        if !literal.is_empty() {
            parts.push(Part::Text(std::mem::take(&mut literal)));
        }
        parts.push(Part::Group(index));
        rest = tail;
    }
    literal.push_str(rest);
    if !literal.is_empty() {
        parts.push(Part::Text(literal));
    }
    Ok(parts)
}

/// The name after `$` and what follows it; `None`: no name, or no closing bracket.
fn macro_name(text: &str) -> Option<(&str, &str)> {
    for (open, close) in [('{', '}'), ('(', ')')] {
        if let Some(inside) = text.strip_prefix(open) {
            return inside.split_once(close).filter(|(name, _)| !name.is_empty());
        }
    }
    let end = text.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(text.len());
    text.split_at_checked(end).filter(|(name, _)| !name.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_and_dollars() {
        assert_eq!(
            parse("a$1-b${2}c$$(x", 2, "out of range"),
            Ok(vec![
                Part::Text("a".into()),
                Part::Group(1),
                Part::Text("-b".into()),
                Part::Group(2),
                Part::Text("c$(x".into())
            ])
        );
        assert_eq!(
            parse("$2", 1, "out of range"),
            Err(vec!["out of range replacement index \"2\": skipping this rule".to_owned()])
        );
        assert!(parse("$1st", 1, "out of range").is_err());
        assert!(parse("$", 1, "out of range").is_err());
    }
}
