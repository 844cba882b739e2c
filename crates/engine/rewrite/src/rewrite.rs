//! Rewriting to standard form: the `rewrite` half of trivial-rewrite(8).

/// Parameters of one rewriting context.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RewriteSettings {
    /// Domain for addresses without one (`append_at_myorigin`: `myorigin`); `None`: left alone.
    pub origin: Option<String>,
    /// Domain appended to a domain without dot (`append_dot_mydomain`: `mydomain`); `None`: left alone.
    pub dot_domain: Option<String>,
    /// `swap_bangpath`
    pub swap_bangpath: bool,
    /// `allow_percent_hack`
    pub percent_hack: bool,
}

/// The local part and the domain of an address in external form: split at the last `@` outside quotes.
#[must_use]
pub fn split_external(address: &str) -> (&str, Option<&str>) {
    let (mut quoted, mut escaped, mut at) = (false, false, None);
    for (index, c) in address.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => quoted = !quoted,
            '@' if !quoted => at = Some(index),
            _ => {}
        }
    }
    match at {
        Some(at) => (address.get(..at).unwrap_or_default(), address.get(at + 1..)),
        None => (address, None),
    }
}

/// Rewrites an address in external form. The null address stays null.
#[must_use]
pub fn rewrite(settings: &RewriteSettings, external: &str) -> String {
    if external.is_empty() {
        return String::new();
    }
    let (local, domain) = split_external(external);
    let (local, domain) = match domain {
        Some(domain) => (local.to_owned(), Some(domain.to_owned())),
        None => unroute(local, settings.swap_bangpath, settings.percent_hack).map_or_else(
            || (local.to_owned(), settings.origin.clone()),
            |(local, domain)| (local, Some(domain)),
        ),
    };
    match domain {
        None => local,
        Some(domain) => format!("{local}@{}", complete(settings, &domain)),
    }
}

/// A domain without dot gets one; one trailing dot goes.
fn complete(settings: &RewriteSettings, domain: &str) -> String {
    if let Some(plain) = domain.strip_suffix('.') {
        return plain.to_owned();
    }
    match &settings.dot_domain {
        Some(mydomain) if !domain.is_empty() && !domain.contains('.') && !domain.starts_with('[') => {
            format!("{domain}.{mydomain}")
        }
        Some(_) | None => domain.to_owned(),
    }
}

/// `site!user` and `user%domain` as local part and domain.
pub(crate) fn unroute(local: &str, swap_bangpath: bool, percent_hack: bool) -> Option<(String, String)> {
    if local.starts_with('"') {
        return None;
    }
    if swap_bangpath
        && let Some((site, user)) = local.split_once('!')
        && !site.is_empty()
    {
        return Some((user.to_owned(), site.to_owned()));
    }
    if percent_hack
        && let Some((user, domain)) = local.rsplit_once('%')
        && !domain.is_empty()
    {
        return Some((user.to_owned(), domain.to_owned()));
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_completed() {
        let settings = RewriteSettings {
            origin: Some("example.com".into()),
            dot_domain: Some("example.com".into()),
            swap_bangpath: true,
            percent_hack: true,
        };
        for (address, expected) in [
            ("", ""),
            ("user", "user@example.com"),
            ("user@host", "user@host.example.com"),
            ("user@host.", "user@host"),
            ("user@a.b", "user@a.b"),
            ("user@[1.2.3.4]", "user@[1.2.3.4]"),
            ("site!user", "user@site.example.com"),
            ("a.b!c!user", "c!user@a.b"),
            ("user%a.b", "user@a.b"),
            ("\"a b\"", "\"a b\"@example.com"),
            ("\"a@b\"", "\"a@b\"@example.com"),
            ("\"a@b\"@c.d", "\"a@b\"@c.d"),
        ] {
            assert_eq!(rewrite(&settings, address), expected, "{address}");
        }
        let untouched = RewriteSettings::default();
        assert_eq!(rewrite(&untouched, "user@host"), "user@host");
        assert_eq!(rewrite(&untouched, "user"), "user");
    }
}
