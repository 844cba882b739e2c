//! Address patterns: `address`, `network/length`, `[v6]/length`.

use std::net::IpAddr;

/// An address or a network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Pattern {
    network: IpAddr,
    length: u32,
}

impl Pattern {
    /// Parses a pattern; the error is the reference's text.
    pub fn parse(text: &str) -> Result<Self, String> {
        let (address, length, bracketed) = split(text)?;
        let (address_text, length_text) = (address, length);
        let network: IpAddr = address_text.parse().map_err(|_| {
            if length_text.is_some() {
                format!("bad network value in \"{text}\"")
            } else {
                format!("bad address pattern: \"{text}\"")
            }
        })?;
        let width = if network.is_ipv4() { 32 } else { 128 };
        let Some(length_text) = length_text else { return Ok(Self { network, length: width }) };
        if length_text.is_empty() || !length_text.bytes().all(|b| b.is_ascii_digit()) {
            return Err(format!("bad mask value in \"{text}\""));
        }
        let length = length_text.parse::<u32>().ok().filter(|length| *length <= width);
        let Some(length) = length else { return Err(format!("bad mask length in \"{text}\"")) };
        let masked = masked(network, length);
        if masked != network {
            let suggestion =
                if bracketed { format!("[{masked}]/{length}") } else { format!("{masked}/{length}") };
            return Err(format!(
                "non-null host address bits in \"{text}\", perhaps you should use \"{suggestion}\" instead"
            ));
        }
        Ok(Self { network, length })
    }

    /// Same address family as the pattern.
    pub const fn same_family(&self, address: IpAddr) -> bool {
        self.network.is_ipv4() == address.is_ipv4()
    }

    pub fn matches(&self, address: IpAddr) -> bool {
        self.same_family(address) && masked(address, self.length) == self.network
    }
}

/// The address, the text after `/`, and whether there were brackets.
fn split(text: &str) -> Result<(&str, Option<&str>, bool), String> {
    let Some(rest) = text.strip_prefix('[') else {
        return Ok(match text.split_once('/') {
            Some((address, length)) => (address, Some(length), false),
            None => (text, None, false),
        });
    };
    let Some((address, rest)) = rest.split_once(']') else {
        return Err(format!("missing ']' character after \"{text}\""));
    };
    match rest.strip_prefix('/') {
        Some(length) => Ok((address, Some(length), true)),
        None if rest.is_empty() => Ok((address, None, true)),
        None => Err(format!("garbage after \"[{address}]\"")),
    }
}

fn masked(address: IpAddr, length: u32) -> IpAddr {
    match address {
        IpAddr::V4(v4) => {
            let mask = u32::MAX.checked_shl(32 - length.min(32)).unwrap_or(0);
            IpAddr::from((u32::from(v4) & mask).to_be_bytes())
        }
        IpAddr::V6(v6) => {
            let mask = u128::MAX.checked_shl(128 - length.min(128)).unwrap_or(0);
            IpAddr::from((u128::from(v6) & mask).to_be_bytes())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_their_networks() {
        for (pattern, address, want) in [
            ("127.0.0.0/8", "127.9.9.9", true),
            ("127.0.0.0/8", "128.0.0.1", false),
            ("0.0.0.0/0", "1.2.3.4", true),
            ("0.0.0.0/0", "::1", false),
            ("[::1]", "::1", true),
            ("[fe80::]/10", "fe81::1", true),
            ("1.2.3.4", "1.2.3.4", true),
        ] {
            assert_eq!(
                Pattern::parse(pattern).unwrap().matches(address.parse().unwrap()),
                want,
                "{pattern} {address}"
            );
        }
    }

    #[test]
    fn bad_patterns_say_what_is_wrong() {
        for (pattern, want) in [
            (
                "1.2.3.4/24",
                "non-null host address bits in \"1.2.3.4/24\", perhaps you should use \"1.2.3.0/24\" instead",
            ),
            ("1.2.3.0/33", "bad mask length in \"1.2.3.0/33\""),
            ("1.2.3.0/x", "bad mask value in \"1.2.3.0/x\""),
            ("1.2.3/24", "bad network value in \"1.2.3/24\""),
            ("foo", "bad address pattern: \"foo\""),
            ("[::1", "missing ']' character after \"[::1\""),
            ("[::1]x", "garbage after \"[::1]\""),
        ] {
            assert_eq!(Pattern::parse(pattern), Err(want.to_owned()));
        }
    }
}
