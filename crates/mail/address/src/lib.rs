//! Mail addresses. Two forms exist: *internal* (unquoted local part, as in queue files' S and R records and in table
//! lookups of last resort) and *external* (RFC 5321/5322 quoting, as on the wire, in headers and in the log).
#![deny(clippy::indexing_slicing)]

pub mod hostname;
pub mod probe;
pub mod token;

/// The local part and the domain of an internal-form address, split at the last `@`.
#[must_use]
pub fn split(address: &str) -> (&str, Option<&str>) {
    match address.rsplit_once('@') {
        Some((local, domain)) => (local, Some(domain)),
        None => (address, None),
    }
}

/// The external form: the local part is quoted unless it is a dot-string (RFC 5321 §4.1.2). Bytes above 127 are left
/// alone. An empty address stays empty.
#[must_use]
pub fn to_external(internal: &str) -> String {
    if internal.is_empty() {
        return String::new();
    }
    let (local, domain) = split(internal);
    let mut out = String::with_capacity(internal.len() + 2);
    push_local(&mut out, local);
    if let Some(domain) = domain {
        out.push('@');
        out.push_str(domain);
    }
    out
}

/// The internal form of an external address (quotes and backslashes of the local part removed).
#[must_use]
pub fn to_internal(external: &str) -> String {
    let (local, domain) = split(external);
    let mut out = String::with_capacity(external.len());
    let mut chars = local.chars();
    while let Some(c) = chars.next() {
        match c {
            '"' => {}
            '\\' => out.extend(chars.next()),
            _ => out.push(c),
        }
    }
    if let Some(domain) = domain {
        out.push('@');
        out.push_str(domain);
    }
    out
}

/// Appends a local part, quoted unless it is a dot-string.
pub fn push_local(out: &mut String, local: &str) {
    if is_dot_string(local) {
        out.push_str(local);
        return;
    }
    out.push('"');
    for c in local.chars() {
        if matches!(c, '"' | '\\') {
            out.push('\\');
        }
        out.push(c);
    }
    out.push('"');
}

/// Atoms joined by single dots (RFC 5321 §4.1.2 `Dot-string`, with bytes above 127 allowed).
#[must_use]
pub fn is_dot_string(local: &str) -> bool {
    const SPECIALS: &str = "()<>@,;:\\\"[]";
    !local.is_empty()
        && local.split('.').all(|atom| {
            !atom.is_empty()
                && !atom.chars().any(|c| c == ' ' || c.is_ascii_control() || SPECIALS.contains(c))
        })
}

/// Splits `user+extension` at the first of `delimiters` (`postconf(5) recipient_delimiter`), not at the first character;
/// `owner-x` and `x-request` are not split on `-` (`owner_request_special`), neither are the reserved names
/// `postmaster`, `mailer-daemon`, `double-bounce`. The extension comes without its delimiter. `None`: no extension.
#[must_use]
pub fn split_extension<'a>(
    local: &'a str,
    delimiters: &str,
    owner_request_special: bool,
) -> Option<(&'a str, &'a str)> {
    const RESERVED: [&str; 3] = ["postmaster", "mailer-daemon", "double-bounce"];
    if delimiters.is_empty() || RESERVED.iter().any(|name| local.eq_ignore_ascii_case(name)) {
        return None;
    }
    if owner_request_special && delimiters.contains('-') && is_list_role(local) {
        return None;
    }
    let at = local.find(|c| delimiters.contains(c))?;
    if at == 0 {
        return None;
    }
    let (user, rest) = local.split_at_checked(at)?;
    let mut rest = rest.chars();
    rest.next()?;
    Some((user, rest.as_str()))
}

/// `owner-list` or `list-request`.
fn is_list_role(local: &str) -> bool {
    const SUFFIX: usize = "-request".len();
    local.get(..6).is_some_and(|start| start.eq_ignore_ascii_case("owner-"))
        || local.len() > SUFFIX
            && local.get(local.len() - SUFFIX..).is_some_and(|end| end.eq_ignore_ascii_case("-request"))
}

/// Lower case for comparison and lookup (UTF-8 case folding when the text is UTF-8).
#[must_use]
pub fn fold(text: &str) -> String {
    if text.is_ascii() { text.to_ascii_lowercase() } else { text.to_lowercase() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn local_parts_that_are_no_dot_strings_are_quoted() {
        for (internal, external) in [
            ("a.b@c", "a.b@c"),
            ("a b@c", "\"a b\"@c"),
            ("a@b@c", "\"a@b\"@c"),
            ("@c", "\"\"@c"),
            ("a..b@c", "\"a..b\"@c"),
            ("q\"u\\@c", "\"q\\\"u\\\\\"@c"),
            ("é@c", "é@c"),
            ("", ""),
            ("plain", "plain"),
        ] {
            assert_eq!(to_external(internal), external);
            assert_eq!(to_internal(external), internal);
        }
    }

    #[test]
    fn extensions_are_split_once_and_not_for_roles() {
        for (local, delimiters, split) in [
            ("user+ext", "+", Some(("user", "ext"))),
            ("user+a+b", "+", Some(("user", "a+b"))),
            ("user-a+b", "+-", Some(("user", "a+b"))),
            ("+ext", "+", None),
            ("user+", "+", Some(("user", ""))),
            ("user", "+", None),
            ("Postmaster", "t", None),
            ("owner-list", "-", None),
            ("list-request", "-", None),
            ("list-x", "-", Some(("list", "x"))),
            ("user+x", "", None),
        ] {
            assert_eq!(split_extension(local, delimiters, true), split, "{local}");
        }
        assert_eq!(split_extension("owner-list", "-", false), Some(("owner", "list")));
    }
}
