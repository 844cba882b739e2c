//! Time stamps as the queue tools print them.

use mail_text::date::LocalTime;

/// The local time of seconds since the epoch.
#[must_use]
pub fn local_time(seconds: i64) -> LocalTime {
    let t = os_sys::time::local(seconds);
    LocalTime {
        year: t.year,
        month: t.month,
        day: t.day,
        weekday: t.weekday,
        hour: t.hour,
        minute: t.minute,
        second: t.second,
        offset_seconds: t.offset_seconds,
        zone: t.zone,
    }
}

/// The number at the start of a payload, as atol(3) reads it: 0 for none.
#[must_use]
pub fn leading_number(payload: &[u8]) -> i64 {
    let text = payload.trim_ascii_start();
    let (negative, digits) = match text.split_first() {
        Some((b'-', rest)) => (true, rest),
        Some((b'+', rest)) => (false, rest),
        Some(_) | None => (false, text),
    };
    let value = digits
        .iter()
        .take_while(|b| b.is_ascii_digit())
        .fold(0i64, |sum, digit| sum.saturating_mul(10).saturating_add(i64::from(digit - b'0')));
    if negative { -value } else { value }
}

#[cfg(test)]
mod tests {
    use super::leading_number;

    #[test]
    fn numbers_are_read_as_far_as_they_go() {
        for (text, value) in
            [("1795580677 5", 1_795_580_677), (" 12", 12), ("5x", 5), ("-5", -5), ("xyz", 0), ("", 0)]
        {
            assert_eq!(leading_number(text.as_bytes()), value, "{text}");
        }
    }
}
