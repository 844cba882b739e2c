//! Host names and address literals: syntax only.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Longest host name, in octets.
const MAX_NAME: usize = 255;
/// Longest label, in octets.
const MAX_LABEL: usize = 63;

/// A valid host name: labels of letters, digits, `-`, `_`, at most 63 octets each and 255 in all, not all numeric.
#[must_use]
pub fn is_hostname(name: &str) -> bool {
    name.len() <= MAX_NAME
        && name.split('.').all(is_label)
        && !name.bytes().all(|b| b.is_ascii_digit() || b == b'.')
}

fn is_label(label: &str) -> bool {
    !label.is_empty()
        && label.len() <= MAX_LABEL
        && !label.starts_with('-')
        && !label.ends_with('-')
        && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
}

/// The IP address inside `[1.2.3.4]` or `[IPv6:…]` (RFC 5321 §4.1.3).
#[must_use]
pub fn literal(text: &str) -> Option<IpAddr> {
    let inside = text.strip_prefix('[')?.strip_suffix(']')?;
    match inside.get(..5) {
        Some(tag) if tag.eq_ignore_ascii_case("IPv6:") => {
            inside.get(5..)?.parse::<Ipv6Addr>().ok().map(IpAddr::V6)
        }
        Some(_) | None => inside.parse::<Ipv4Addr>().ok().map(IpAddr::V4),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn host_names_have_sane_labels_and_are_not_numeric() {
        for (name, good) in [
            ("mx.example.com", true),
            ("a_b.example", true),
            ("-a.example", false),
            ("a-.example", false),
            ("a..b", false),
            ("", false),
            (".a", false),
            ("1.2.3.4", false),
            ("1.2.3.com", true),
            ("a b", false),
        ] {
            assert_eq!(is_hostname(name), good, "{name}");
        }
        assert!(!is_hostname(&"a".repeat(64)));
    }

    #[test]
    fn literals_are_bracketed_addresses() {
        assert_eq!(literal("[127.0.0.1]"), Some(IpAddr::from([127, 0, 0, 1])));
        assert_eq!(literal("[IPv6:::1]"), "::1".parse().ok());
        assert_eq!(literal("[::1]"), None);
        assert_eq!(literal("127.0.0.1"), None);
    }
}
