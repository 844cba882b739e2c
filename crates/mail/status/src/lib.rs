//! Delivery status: enhanced status codes (RFC 3463), NOTIFY and RET flags (RFC 3461), delivery outcomes.
#![deny(clippy::indexing_slicing)]

use std::fmt;
use std::str::FromStr;

/// An enhanced status code `D.S.N` (RFC 3463), class 2, 4 or 5.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Dsn {
    /// 2, 4 or 5.
    pub class: u8,
    /// 0 to 999.
    pub subject: u16,
    /// 0 to 999.
    pub detail: u16,
}

impl Dsn {
    /// `class.subject.detail`, for literals.
    #[must_use]
    pub const fn new(class: u8, subject: u16, detail: u16) -> Self {
        Self { class, subject, detail }
    }

    /// The code at the start of `text`, and what follows it (leading blanks removed).
    /// `None` unless `text` starts with a valid code that ends there or is followed by a blank.
    #[must_use]
    pub fn split(text: &str) -> Option<(Self, &str)> {
        let end = text.find(|c: char| c.is_ascii_whitespace()).unwrap_or(text.len());
        let (code, rest) = text.split_at_checked(end)?;
        Some((code.parse().ok()?, rest.trim_start()))
    }

    /// The same code in another class.
    #[must_use]
    pub const fn with_class(self, class: u8) -> Self {
        Self { class, ..self }
    }

    /// Class 2.
    #[must_use]
    pub const fn is_success(self) -> bool {
        self.class == 2
    }
}

impl fmt::Display for Dsn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.class, self.subject, self.detail)
    }
}

/// The text is no enhanced status code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadDsn;

impl FromStr for Dsn {
    type Err = BadDsn;

    fn from_str(text: &str) -> Result<Self, BadDsn> {
        let mut parts = text.split('.');
        let (Some(class), Some(subject), Some(detail), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(BadDsn);
        };
        let class = match class {
            "2" => 2,
            "4" => 4,
            "5" => 5,
            _ => return Err(BadDsn),
        };
        Ok(Self { class, subject: number(subject)?, detail: number(detail)? })
    }
}

fn number(text: &str) -> Result<u16, BadDsn> {
    if text.is_empty() || text.len() > 3 || !text.bytes().all(|b| b.is_ascii_digit()) {
        return Err(BadDsn);
    }
    text.parse().map_err(|_| BadDsn)
}

/// NOTIFY flags of a recipient (RFC 3461 §4.1); 0 = not given.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Notify(pub u32);

impl Notify {
    /// No notice at all.
    pub const NEVER: u32 = 1;
    /// On success.
    pub const SUCCESS: u32 = 2;
    /// On failure.
    pub const FAILURE: u32 = 4;
    /// On delay.
    pub const DELAY: u32 = 8;

    /// Whether `flag` is set.
    #[must_use]
    pub const fn has(self, flag: u32) -> bool {
        self.0 & flag != 0
    }
    /// Wants a failure notice: not given, or FAILURE.
    #[must_use]
    pub const fn wants_failure(self) -> bool {
        self.0 == 0 || self.has(Self::FAILURE)
    }
    /// Wants a delay warning: not given, or DELAY.
    #[must_use]
    pub const fn wants_delay(self) -> bool {
        self.0 == 0 || self.has(Self::DELAY)
    }
}

/// What happened to a recipient, as in the `Action:` field of a delivery report (RFC 3464 §2.3.3),
/// and the two of the address verification reports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Permanent failure.
    Failed,
    /// Will be tried again.
    Delayed,
    /// Final delivery.
    Delivered,
    /// Handed to a system without DSN support.
    Relayed,
    /// Alias expansion.
    Expanded,
    /// Address verification: would be delivered.
    Deliverable,
    /// Address verification: would not be delivered.
    Undeliverable,
}

impl Action {
    /// The word as written in logs and reports.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Failed => "failed",
            Self::Delayed => "delayed",
            Self::Delivered => "delivered",
            Self::Relayed => "relayed",
            Self::Expanded => "expanded",
            Self::Deliverable => "deliverable",
            Self::Undeliverable => "undeliverable",
        }
    }
}

impl FromStr for Action {
    type Err = BadDsn;
    fn from_str(text: &str) -> Result<Self, BadDsn> {
        [
            Self::Failed,
            Self::Delayed,
            Self::Delivered,
            Self::Relayed,
            Self::Expanded,
            Self::Deliverable,
            Self::Undeliverable,
        ]
        .into_iter()
        .find(|a| a.as_str() == text)
        .ok_or(BadDsn)
    }
}

/// The full story of one delivery attempt for one recipient: what goes to the log, to the bounce and
/// defer logs and into delivery reports.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Detail {
    /// Enhanced status code.
    pub dsn: Dsn,
    /// Human readable reason, one line.
    pub reason: String,
    /// `Diagnostic-Code` type and text: (`smtp`, reply), (`x-unix`, command output), …
    pub diagnostic: Option<(String, String)>,
    /// `Remote-MTA` type and name: (`dns`, host).
    pub remote_mta: Option<(String, String)>,
}

impl Detail {
    /// A status with its reason and no remote party.
    #[must_use]
    pub fn new(dsn: Dsn, reason: impl Into<String>) -> Self {
        Self { dsn, reason: reason.into(), diagnostic: None, remote_mta: None }
    }
}

/// The result of one delivery attempt for one recipient. Mail results are data, not errors.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Delivered, or handed on.
    Sent(Detail),
    /// Temporary failure: to be tried again.
    Deferred(Detail),
    /// Permanent failure: to be returned.
    Bounced(Detail),
}

impl Outcome {
    /// Deferred for a class 4 code, bounced for class 5, sent for class 2.
    #[must_use]
    pub fn from_detail(detail: Detail) -> Self {
        match detail.dsn.class {
            2 => Self::Sent(detail),
            5 => Self::Bounced(detail),
            _ => Self::Deferred(detail),
        }
    }

    /// The story behind it.
    #[must_use]
    pub const fn detail(&self) -> &Detail {
        match self {
            Self::Sent(d) | Self::Deferred(d) | Self::Bounced(d) => d,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_three_numbers_of_class_2_4_5() {
        for (text, ok) in [
            ("2.0.0", true),
            ("5.7.25", true),
            ("3.0.0", false),
            ("4.1", false),
            ("4.1.1234", false),
            ("4..1", false),
            ("4.1.1 x", false),
        ] {
            assert_eq!(text.parse::<Dsn>().is_ok(), ok, "{text}");
        }
        assert_eq!(Dsn::split("5.1.1 no such user"), Some((Dsn::new(5, 1, 1), "no such user")));
        assert_eq!(Dsn::split("no"), None);
    }
}
