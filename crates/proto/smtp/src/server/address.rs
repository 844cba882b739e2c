//! The address of a MAIL, RCPT or VRFY command.

/// The text is no address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadAddress;

/// The internal (unquoted) form of the address in `text`, `""` for `<>`.
///
/// A source route is dropped (RFC 5321 §4.1.1.3). Unless `strict` (`postconf(5) strict_rfc821_envelopes`) the brackets may
/// be missing, and comments and a display name are tolerated.
///
/// # Errors
/// [`BadAddress`] for unbalanced brackets or quotes and for anything but one address.
pub fn extract(text: &str, strict: bool) -> Result<String, BadAddress> {
    let text = text.trim();
    let text = if strict { text } else { text.trim_end_matches(',') };
    let inner = match text.strip_prefix('<') {
        Some(rest) => {
            let end = closing(rest).ok_or(BadAddress)?;
            let (inner, after) = rest.split_at_checked(end).ok_or(BadAddress)?;
            if strict && after != ">" || !after.bytes().all(|b| b == b'>') {
                return Err(BadAddress);
            }
            inner
        }
        None if strict => return Err(BadAddress),
        None => text.trim_end_matches('>'),
    };
    let inner = inner.trim();
    if !strict && let Some(start) = unquoted(inner, '<') {
        return extract(inner.get(start..).unwrap_or(""), strict);
    }
    mailbox(without_route(inner), strict)
}

/// Where the bracket that is already open closes.
fn closing(text: &str) -> Option<usize> {
    let mut depth = 1usize;
    let mut found = None;
    scan(text, |at, c| {
        match c {
            '<' => depth += 1,
            '>' => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            found = Some(at);
        }
        depth == 0
    })?;
    found
}

/// The first `wanted` outside quotes.
fn unquoted(text: &str, wanted: char) -> Option<usize> {
    let mut found = None;
    scan(text, |at, c| {
        if c == wanted {
            found = Some(at);
        }
        c == wanted
    })?;
    found
}

/// Shows each character outside quotes and escapes to `stop` until that says so. `None`: a quote was left open.
fn scan(text: &str, mut stop: impl FnMut(usize, char) -> bool) -> Option<()> {
    let (mut quoted, mut escaped) = (false, false);
    for (at, c) in text.char_indices() {
        if escaped {
            escaped = false;
        } else if c == '\\' {
            escaped = true;
        } else if c == '"' {
            quoted = !quoted;
        } else if !quoted && stop(at, c) {
            return Some(());
        }
    }
    (!quoted).then_some(())
}

fn without_route(text: &str) -> &str {
    if !text.starts_with('@') {
        return text;
    }
    text.split_once(':').map_or(text, |(_, rest)| rest.trim())
}

/// Reads one `local@domain` or `local` and takes its quotes off.
fn mailbox(text: &str, strict: bool) -> Result<String, BadAddress> {
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars();
    let mut quoted = false;
    let mut comment = 0usize;
    while let Some(c) = chars.next() {
        if comment > 0 {
            match c {
                '(' => comment += 1,
                ')' => comment -= 1,
                _ => {}
            }
            continue;
        }
        match c {
            '\\' => out.push(chars.next().ok_or(BadAddress)?),
            '"' => quoted = !quoted,
            _ if quoted => out.push(c),
            '(' if !strict => comment = 1,
            ' ' | '\t'
                if !strict && (out.ends_with('@') || chars.as_str().trim_start().starts_with(['@', '('])) => {
            }
            ' ' | '\t' | '<' | '>' | '(' | ')' | ',' | ';' => return Err(BadAddress),
            // `name:` begins a group (RFC 5322 §3.4): what follows is its first address.
            ':' if !out.contains("@[") && strict => return Err(BadAddress),
            ':' if !out.contains('@') => out.clear(),
            ':' if !out.contains("@[") => return Err(BadAddress),
            c if c.is_control() => return Err(BadAddress),
            c => out.push(c),
        }
    }
    if quoted || comment > 0 { Err(BadAddress) } else { Ok(out) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_taken_as_the_reference_takes_them() {
        for (text, loose, strict) in [
            ("<a@b>", Some("a@b"), Some("a@b")),
            ("a@b", Some("a@b"), None),
            ("a@b>", Some("a@b"), None),
            ("<a@b", None, None),
            ("<a b@c>", None, None),
            ("<>", Some(""), Some("")),
            ("<@x,@y:a@b>", Some("a@b"), Some("a@b")),
            ("<\"a \\\" b\"@c>", Some("a \" b@c"), Some("a \" b@c")),
            ("<\"x@y\"@z>", Some("x@y@z"), Some("x@y@z")),
            ("<\"x@y>", None, None),
            ("<A phrase <a@b>>", Some("a@b"), None),
            ("<a@b,c@d>", None, None),
            ("<a@[IPv6:::1]>", Some("a@[IPv6:::1]"), Some("a@[IPv6:::1]")),
            ("<a(comment)@b>", Some("a@b"), None),
        ] {
            assert_eq!(extract(text, false).ok().as_deref(), loose, "{text}");
            assert_eq!(extract(text, true).ok().as_deref(), strict, "strict {text}");
        }
    }
}
