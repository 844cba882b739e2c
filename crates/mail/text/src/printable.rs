//! Text made safe for logs and replies.

/// Replaces control characters and (invalid or, unless `utf8`, any) non-ASCII bytes by `?`.
#[must_use]
pub fn printable(text: &[u8], utf8: bool) -> String {
    let text = if utf8 {
        String::from_utf8_lossy(text).into_owned()
    } else {
        text.iter().map(|&b| char::from(b)).collect()
    };
    text.chars()
        .map(|c| {
            let bad = c == char::REPLACEMENT_CHARACTER || c.is_control() || (!utf8 && !c.is_ascii());
            if bad { '?' } else { c }
        })
        .collect()
}

/// At most `limit` bytes of `text`, cut at a character boundary.
#[must_use]
pub fn truncated(text: &str, limit: usize) -> &str {
    let mut end = limit.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.get(..end).unwrap_or(text)
}
