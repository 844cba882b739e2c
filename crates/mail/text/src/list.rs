//! Lists in parameter values: comma or white space separated, with `{ }` groups.

/// White space and comma separate list elements (`postconf(5)`).
pub const SEPARATORS: &[char] = &[',', ' ', '\t', '\r', '\n'];

/// The elements of a plain list.
pub fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(SEPARATORS).filter(|w| !w.is_empty())
}

/// The elements of a list in which `{ … }` keeps separators literal. A group keeps its braces here;
/// see [`braced`] to take them off.
#[must_use]
pub fn words_with_groups(text: &str) -> Vec<&str> {
    let mut found = Vec::new();
    let mut depth = 0usize;
    let mut start = None;
    for (at, c) in text.char_indices() {
        let separates = depth == 0 && SEPARATORS.contains(&c);
        match c {
            '{' => depth += 1,
            '}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        match (separates, start) {
            (true, Some(from)) => {
                found.extend(text.get(from..at));
                start = None;
            }
            (false, None) => start = Some(at),
            (true, None) | (false, Some(_)) => {}
        }
    }
    if let Some(from) = start {
        found.extend(text.get(from..));
    }
    found
}

/// A `{` without its `}`, or text after it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BraceError(pub String);

/// The inside of `{ … }` with outer blanks removed.
///
/// # Errors
/// The texts of the reference: `missing '}' in "…"`, `syntax error after '}' in "…"`, `no '{' at start of text in "…"`.
pub fn braced(text: &str) -> Result<&str, BraceError> {
    let Some(rest) = text.strip_prefix('{') else {
        return Err(BraceError(format!("no '{{' at start of text in \"{text}\"")));
    };
    let mut depth = 1usize;
    for (at, c) in rest.char_indices() {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            let (inside, after) = rest.split_at(at);
            if after != "}" {
                return Err(BraceError(format!("syntax error after '}}' in \"{text}\"")));
            }
            return Ok(inside.trim());
        }
    }
    Err(BraceError(format!("missing '}}' in \"{text}\"")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_stay_together() {
        assert_eq!(
            words_with_groups("a, {b c, {d}} inline:{x=y, z=1},e"),
            ["a", "{b c, {d}}", "inline:{x=y, z=1}", "e"]
        );
        assert_eq!(words(" a,b  c ").collect::<Vec<_>>(), ["a", "b", "c"]);
        assert_eq!(braced("{ a {b} }"), Ok("a {b}"));
        assert!(braced("{a} b").is_err());
        assert!(braced("{a").is_err());
    }
}
