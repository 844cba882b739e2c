//! Variable envelope return paths (`VERP_README`): the recipient inside the sender address.

use mail_address::split;

/// `pfx@origin` for `user@domain` with delimiters `+=`: `pfx+user=domain@origin`.
#[must_use]
pub fn verp_sender(sender: &str, delimiters: &str, recipient: &str) -> String {
    let mut chars = delimiters.chars();
    let (Some(first), Some(second)) = (chars.next(), chars.next()) else { return sender.to_owned() };
    let (prefix, origin) = split(sender);
    let (user, domain) = split(recipient);
    let mut out = format!("{prefix}{first}{user}");
    if let Some(domain) = domain {
        out.push(second);
        out.push_str(domain);
    }
    if let Some(origin) = origin {
        out.push('@');
        out.push_str(origin);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_recipient_stands_inside_the_sender() {
        for (sender, delimiters, recipient, expected) in [
            ("list@c.test", "-=", "nosuch1@mx.test.example", "list-nosuch1=mx.test.example@c.test"),
            ("list@c.test", "+=", "a+b@d", "list+a+b=d@c.test"),
            ("list@c.test", "+=", "local", "list+local@c.test"),
            ("list", "+=", "a@d", "list+a=d"),
        ] {
            assert_eq!(verp_sender(sender, delimiters, recipient), expected);
        }
    }
}
