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

/// What is wrong with the text between the brackets of an address literal, in the words of the reference; `None`: nothing.
/// An octet may have leading zeros, and `0.0.0.0` is the only address that begins with zero.
#[must_use]
pub fn literal_problem(inside: &str) -> Option<String> {
    match inside.get(..5) {
        Some(tag) if tag.eq_ignore_ascii_case("IPv6:") => ipv6_problem(inside.get(5..).unwrap_or_default())
            .map(|(what, text)| format!("valid_ipv6_hostaddr: {what}: {text}")),
        Some(_) | None => ipv4_problem(inside).map(|what| format!("valid_ipv4_hostaddr: {what}: {inside}")),
    }
}

fn ipv4_problem(text: &str) -> Option<String> {
    let mut octets = Vec::new();
    let mut before = '.';
    for (index, c) in text.char_indices() {
        match c {
            '0'..='9' => {
                if before == '.' {
                    octets.push(0u32);
                }
                let octet = octets.last_mut()?;
                *octet = octet.saturating_mul(10).saturating_add(c.to_digit(10)?);
                if *octet > 255 {
                    return Some("invalid octet value".into());
                }
            }
            '.' if before == '.' || index + 1 == text.len() => return Some("misplaced dot".into()),
            '.' if octets == [0] && text != "0.0.0.0" => return Some("bad initial octet value".into()),
            '.' => {}
            _ => return Some(format!("invalid character {}(decimal)", first_byte(c))),
        }
        before = c;
    }
    (octets.len() != 4).then(|| "invalid octet count".into())
}

fn ipv6_problem(text: &str) -> Option<(String, &str)> {
    let (mut colons, mut double, mut before) = (0, false, ' ');
    for (index, c) in text.char_indices() {
        match c {
            ':' => {
                if before == ':' && std::mem::replace(&mut double, true) {
                    return Some(("too many `::' in IPv6 address".into(), text));
                }
                colons += 1;
                if colons > 7 {
                    return Some(("too many `:' in IPv6 address".into(), text));
                }
            }
            '.' => {
                let start = text.get(..index)?.rfind(':');
                let part = start.and_then(|colon| text.get(colon + 1..));
                return match part {
                    Some(part) if text.parse::<Ipv6Addr>().is_ok() || ipv4_problem(part).is_some() => {
                        ipv4_problem(part).map(|what| (what, part))
                    }
                    Some(_) | None => Some(("malformed IPv4-in-IPv6 address".into(), text)),
                };
            }
            _ if c.is_ascii_hexdigit() => {}
            _ => {
                return Some((format!("invalid character {}(decimal) in IPv6 address", first_byte(c)), text));
            }
        }
        before = c;
    }
    if colons < 2 {
        return Some(("too few `:' in IPv6 address".into(), text));
    }
    text.parse::<Ipv6Addr>().is_err().then(|| ("malformed IPv6 address".into(), text))
}

fn first_byte(c: char) -> u8 {
    c.encode_utf8(&mut [0; 4]).bytes().next().unwrap_or_default()
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
