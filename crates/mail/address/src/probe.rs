//! The sender of address verification probes (`postconf(5) address_verify_sender`), with a stamp that changes
//! with time (`address_verify_sender_ttl`).

use crate::split;

/// Digits and upper-case consonants, so that no word comes out.
const DIGITS: &[u8; 31] = b"0123456789BCDFGHJKLMNPQRSTVWXYZ";

/// The number of the period of `ttl` seconds that holds `now` (seconds since the epoch); `None`: there are no stamps.
#[must_use]
pub const fn period(now: u64, ttl: u64) -> Option<u64> {
    now.checked_div(ttl)
}

/// The sender with the stamp of a period after its local part. The null sender has none.
#[must_use]
pub fn stamped(sender: &str, period: Option<u64>) -> String {
    let (local, domain) = split(sender);
    match (period, domain) {
        (Some(_), _) if sender.is_empty() => String::new(),
        (Some(period), Some(domain)) => format!("{local}{}@{domain}", number(period)),
        (Some(period), None) => format!("{local}{}", number(period)),
        (None, _) => sender.to_owned(),
    }
}

/// Whether an address is the sender without a stamp, or with that of this period or of the ones beside it. Upper and lower
/// case count in the stamp only.
#[must_use]
pub fn is_sender(address: &str, sender: &str, period: Option<u64>) -> bool {
    if sender.is_empty() {
        return false;
    }
    if address.eq_ignore_ascii_case(sender) {
        return true;
    }
    let (Some(now), (local, Some(domain)), (base, own)) = (period, split(address), split(sender)) else {
        return false;
    };
    let Some((start, stamp)) = local.split_at_checked(base.len()) else { return false };
    start.eq_ignore_ascii_case(base)
        && own.is_some_and(|own| own.eq_ignore_ascii_case(domain))
        && [now, now.saturating_sub(1), now.saturating_add(1)].iter().any(|period| number(*period) == stamp)
}

/// A number in base 31, the most significant digit first.
fn number(mut number: u64) -> String {
    let mut digits = Vec::new();
    loop {
        let digit = usize::try_from(number % 31).unwrap_or(0);
        digits.push(DIGITS.get(digit).copied().map_or('0', char::from));
        number /= 31;
        if number == 0 {
            return digits.into_iter().rev().collect();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_stamp_is_the_reference_s() {
        for (now, ttl, sender, want) in [
            (1_795_619_173, 1, "double-bounce@mail.example", "double-bounce20Q9W94@mail.example"),
            (1_795_619_178, 7, "double-bounce@mail.example", "double-bounce8YRK5R@mail.example"),
            (1_795_619_186, 3600, "double-bounce@mail.example", "double-bounceJR0S@mail.example"),
            (1_795_619_186, 0, "double-bounce@mail.example", "double-bounce@mail.example"),
            (1_795_619_186, 60, "", ""),
        ] {
            assert_eq!(stamped(sender, period(now, ttl)), want);
        }
    }

    #[test]
    fn a_stamp_is_good_for_its_period_and_those_beside_it() {
        let sender = "double-bounce@mail.example";
        let now = period(1_795_619_186, 3600);
        for (address, good) in [
            ("double-bounce@mail.example", true),
            ("Double-Bounce@MAIL.example", true),
            ("double-bounceJR0S@mail.example", true),
            ("DOUBLE-BOUNCEJR0R@mail.example", true),
            ("double-bounceJR0T@mail.example", true),
            ("double-bounceJR0Q@mail.example", false),
            ("double-bouncejr0s@mail.example", false),
            ("double-bounceJR0S@other.example", false),
            ("double-bounceJR0S", false),
            ("x@mail.example", false),
        ] {
            assert_eq!(is_sender(address, sender, now), good, "{address}");
        }
        assert!(!is_sender("double-bounceJR0S@mail.example", sender, None));
        assert!(!is_sender("", "", None));
    }
}
