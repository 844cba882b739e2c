//! Rewriting to standard form: the `rewrite` half of trivial-rewrite(8).

use mail_address::to_external;
use mail_address::token::{Token, plain, scan};

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

/// Most tokens of one address; the rest is dropped.
const MAX_TOKENS: usize = 10_000;

/// Rewrites an address in external form. The null address stays null.
#[must_use]
pub fn rewrite(settings: &RewriteSettings, external: &str) -> String {
    let tokens = scan(external, MAX_TOKENS);
    let tokens = without_route(&tokens);
    match tokens {
        [] => return String::new(),
        [Token::Operator('@')] => return "\"\"".into(),
        [Token::Quoted(text)] if text.is_empty() => return "\"\"".into(),
        _ => {}
    }
    let (local, domain) = match rsplit(tokens, '@') {
        Some((local, domain)) => (local, Some(complete(settings, domain))),
        None => match unroute(settings, tokens) {
            Some((local, domain)) => (local, Some(complete(settings, domain))),
            None => (tokens, settings.origin.as_ref().map(|o| complete(settings, &scan(o, MAX_TOKENS)))),
        },
    };
    to_external(&match domain {
        Some(domain) => format!("{}@{domain}", plain(local, false)),
        None => plain(without_dot(local), false).trim_end().to_owned(),
    })
}

/// `@a,@b:` in front of an address (RFC 5321 §4.1.1.3 source route) is ignored.
fn without_route(tokens: &[Token]) -> &[Token] {
    let [Token::Operator('@'), rest @ ..] = tokens else { return tokens };
    let colon = rest.iter().position(|token| *token == Token::Operator(':'));
    match colon.and_then(|colon| rest.get(colon + 1..)) {
        Some([]) | None => tokens,
        Some(address) => address,
    }
}

/// The two sides of the last `operator`.
fn rsplit(tokens: &[Token], operator: char) -> Option<(&[Token], &[Token])> {
    let at = tokens.iter().rposition(|token| *token == Token::Operator(operator))?;
    Some((tokens.get(..at)?, tokens.get(at + 1..)?))
}

/// `site!user` and `user%domain` as local part and domain. Either may be empty.
fn unroute<'a>(settings: &RewriteSettings, tokens: &'a [Token]) -> Option<(&'a [Token], &'a [Token])> {
    if settings.swap_bangpath
        && let Some(at) = tokens.iter().position(|token| *token == Token::Operator('!'))
    {
        return Some((tokens.get(at + 1..)?, tokens.get(..at)?));
    }
    if settings.percent_hack { rsplit(tokens, '%') } else { None }
}

const DOT: Token = Token::Operator('.');

/// Without one trailing dot. Two are an error, and stay.
fn without_dot(tokens: &[Token]) -> &[Token] {
    match tokens {
        [front @ .., DOT] if !matches!(front, [] | [.., DOT]) => front,
        _ => tokens,
    }
}

/// A domain as text: without its one trailing dot; one without any dot gets `dot_domain`.
fn complete(settings: &RewriteSettings, domain: &[Token]) -> String {
    let text = plain(without_dot(domain), false);
    match (&settings.dot_domain, domain.first()) {
        (Some(mydomain), Some(first)) if !domain.contains(&DOT) && !matches!(first, Token::Literal(_)) => {
            format!("{text}.{mydomain}")
        }
        (Some(_) | None, _) => text,
    }
}

/// A domain taken from an address in internal form, as the reference prints it.
pub(crate) fn domain_text(text: &str) -> String {
    let text = plain(&scan(text, MAX_TOKENS), false);
    if text.starts_with('<') { format!(" {text}") } else { text }
}

/// [`complete`] for text.
pub(crate) fn complete_text(settings: &RewriteSettings, domain: &str) -> String {
    complete(settings, &scan(domain, MAX_TOKENS))
}

/// [`unroute`] for a local part in internal form: nothing in it is quoted.
pub(crate) fn unroute_internal<'a>(settings: &RewriteSettings, local: &'a str) -> Option<(&'a str, &'a str)> {
    if settings.swap_bangpath
        && let Some((site, user)) = local.split_once('!')
    {
        return Some((user, site));
    }
    if settings.percent_hack { local.rsplit_once('%') } else { None }
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
            (" ", ""),
            ("@", "\"\""),
            ("user", "user@example.com"),
            ("user@host", "user@host.example.com"),
            ("user@host.", "user@host"),
            ("user@a.b", "user@a.b"),
            ("user@[1.2.3.4]", "user@[1.2.3.4]"),
            ("@a.b,@c:user@d", "user@d.example.com"),
            ("site!user", "user@site.example.com"),
            ("a.b!c!user", "c!user@a.b"),
            ("user%a.b", "user@a.b"),
            ("a!", "\"\"@a.example.com"),
            ("\"a b\"", "\"a b\"@example.com"),
            ("\"a@b\"", "\"a@b\"@example.com"),
            ("\"a@b\"@c.d", "\"a@b\"@c.d"),
            ("\"a!b\"", "a!b@example.com"),
            ("a,b@c.d", "\"a, b\"@c.d"),
        ] {
            assert_eq!(rewrite(&settings, address), expected, "{address}");
        }
        let untouched = RewriteSettings::default();
        assert_eq!(rewrite(&untouched, "user@host"), "user@host");
        assert_eq!(rewrite(&untouched, "user"), "user");
    }
}
