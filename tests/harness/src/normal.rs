//! Replacing what differs from run to run by placeholders, so that texts can be compared.

use regex_lite::Regex;
use std::sync::LazyLock;

type Rules = Vec<(Regex, &'static str)>;

fn rules(list: &[(&str, &'static str)]) -> Rules {
    list.iter().map(|(pattern, with)| (Regex::new(pattern).expect(pattern), *with)).collect()
}

fn apply(rules: &Rules, text: &str) -> String {
    rules.iter().fold(text.to_owned(), |text, (pattern, with)| pattern.replace_all(&text, *with).into_owned())
}

static COMMON: LazyLock<Rules> = LazyLock::new(|| {
    rules(&[
        (r"(?:/[\w.-]+)+/postino-[0-9]+-[0-9]+\b", "DIR"),
        (r"\b[A-Z][a-z]{2}, [ 0-9]?[0-9] [A-Z][a-z]{2} \d{4} \d\d:\d\d:\d\d [+-]\d{4} \([A-Z]+\)", "DATE"),
        (r"<\d{14}\.[0-9A-F]{6,20}@", "<STAMP.QID@"),
        (r"\b[0-9A-F]{6,20}\.\d{10}/", "QID.EPOCH/"),
        (r"\b[0-9A-F]{9,20}\b", "QID"),
        (r"\b[0-9BCDFGHJ-NP-TV-Zb-df-hj-np-tv-z]{10,11}z[0-9BCDFGHJ-NP-TV-Zb-df-hj-np-tv-y]+\b", "LONGQID"),
        (r" SIZE=[1-9]\d*", " SIZE=N"),
        (r"\]:\d{4,5}\b", "]:PORT"),
        (r"127\.0\.0\.1:\d{4,5}\b", "127.0.0.1:PORT"),
    ])
});

static LOG: LazyLock<Rules> = LazyLock::new(|| {
    rules(&[
        (r"(?m)^[A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d \S+ ([^\[\s]+)\[\d+\]: ", "$1: "),
        (r"\bdelay=[0-9.]+, delays=[0-9./]+", "delay=N, delays=N"),
        (r"\bsize=\d+", "size=N"),
        // new in 3.11: the TLS outcome of a delivery, in lines that are otherwise the same
        (r", tls=[^,]+, dsn=", ", dsn="),
        (r"\bpid \d+", "pid N"),
        (r"\bport \d{4,5}\b", "port N"),
    ])
});

static DSN: LazyLock<Rules> =
    LazyLock::new(|| rules(&[(r"[A-Z][a-z]{2} [A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d \d{4}", "CTIME")]));

/// `text` with queue IDs, dates, ports and temporary directories replaced.
pub fn normal(text: &str) -> String {
    apply(&COMMON, text)
}

/// A log line (or several) without time, host and pid, and with what [`normal`] replaces replaced.
pub fn normal_log(text: &str) -> String {
    normal(&apply(&LOG, text))
}

/// A bounce message, or a mailbox entry, with what [`normal`] replaces and C-style times replaced.
pub fn normal_dsn(text: &str) -> String {
    normal(&apply(&DSN, text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_changes_from_run_to_run_is_replaced() {
        for (given, want) in [
            ("250 2.0.0 Ok: queued as 1B2C3D4E5F6", "250 2.0.0 Ok: queued as QID"),
            ("\tid 7B0E33000C9; Wed, 25 Nov 2026 03:17:43 +0000 (UTC)", "\tid QID; DATE"),
            ("<20261125031743.7B0E33000C9@mail.example.com>", "<STAMP.QID@mail.example.com>"),
            (
                "boundary=\"7B0E33000C9.1795576663/mail.example.com\"",
                "boundary=\"QID.EPOCH/mail.example.com\"",
            ),
            ("4jXFrF540kz1TckY", "LONGQID"),
            ("postmaster@example.com", "postmaster@example.com"),
        ] {
            assert_eq!(normal(given), want);
        }
    }

    #[test]
    fn a_log_line_keeps_its_tag_and_text() {
        assert_eq!(
            normal_log(
                "Nov 25 03:17:43 vm postfix/smtp[123]: 7B0E33000C9: to=<a@b>, relay=h[127.0.0.1]:2525, delay=0.1, delays=0/0/0.1/0, dsn=2.0.0"
            ),
            "postfix/smtp: QID: to=<a@b>, relay=h[127.0.0.1]:PORT, delay=N, delays=N, dsn=2.0.0"
        );
    }
}
