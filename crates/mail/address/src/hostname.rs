//! Host names and address literals: syntax only.

/// A valid host name: labels of letters, digits, `-`, `_`, at most 63 octets each and 255 in all, not all numeric.
#[must_use]
pub fn is_hostname(_name: &str) -> bool {
    todo!("tables")
}

/// The IP address inside `[1.2.3.4]` or `[IPv6:…]` (RFC 5321 §4.1.3).
#[must_use]
pub fn literal(_text: &str) -> Option<std::net::IpAddr> {
    todo!("tables")
}
