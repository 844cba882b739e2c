//! Keywords of EHLO (RFC 5321 §4.1.1.1) that are left out.

/// EHLO keywords that a server does not announce, or a client does not use (`postconf(5) smtpd_discard_ehlo_keywords`,
/// `smtp_discard_ehlo_keywords`), as a bit set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Keywords(u32);

const WORDS: [(&str, u32); 16] = [
    ("8BITMIME", Keywords::EIGHT_BIT_MIME),
    ("AUTH", Keywords::AUTH),
    ("ETRN", Keywords::ETRN),
    ("PIPELINING", Keywords::PIPELINING),
    ("SIZE", Keywords::SIZE),
    ("VERP", Keywords::VERP),
    ("VRFY", Keywords::VRFY),
    ("XCLIENT", Keywords::XCLIENT),
    ("XFORWARD", Keywords::XFORWARD),
    ("STARTTLS", Keywords::STARTTLS),
    ("ENHANCEDSTATUSCODES", Keywords::ENHANCED_STATUS_CODES),
    ("DSN", Keywords::DSN),
    ("SMTPUTF8", Keywords::SMTPUTF8),
    ("CHUNKING", Keywords::CHUNKING),
    ("REQUIRETLS", Keywords::REQUIRETLS),
    ("silent-discard", Keywords::SILENT),
];

#[allow(missing_docs)]
impl Keywords {
    pub const EIGHT_BIT_MIME: u32 = 1;
    pub const AUTH: u32 = 1 << 1;
    pub const ETRN: u32 = 1 << 2;
    pub const PIPELINING: u32 = 1 << 3;
    pub const SIZE: u32 = 1 << 4;
    pub const VERP: u32 = 1 << 5;
    pub const VRFY: u32 = 1 << 6;
    pub const XCLIENT: u32 = 1 << 7;
    pub const XFORWARD: u32 = 1 << 8;
    pub const STARTTLS: u32 = 1 << 9;
    pub const ENHANCED_STATUS_CODES: u32 = 1 << 10;
    pub const DSN: u32 = 1 << 11;
    pub const SMTPUTF8: u32 = 1 << 12;
    pub const CHUNKING: u32 = 1 << 13;
    pub const REQUIRETLS: u32 = 1 << 14;
    pub const SILENT: u32 = 1 << 15;

    /// The words of a list; unknown words count for nothing.
    #[must_use]
    pub fn parse(list: &str) -> Self {
        let bits = mail_text::list::words(list)
            .filter_map(|word| WORDS.iter().find(|(name, _)| name.eq_ignore_ascii_case(word)))
            .fold(0, |bits, (_, bit)| bits | bit);
        Self(bits)
    }

    /// Whether the keyword of this name, in any case, is in the set.
    #[must_use]
    pub fn has_word(self, word: &str) -> bool {
        self.has(Self::parse(word).0)
    }

    /// Whether `keyword` is in the set.
    #[must_use]
    pub const fn has(self, keyword: u32) -> bool {
        self.0 & keyword != 0
    }

    /// The set with `keyword` in it.
    #[must_use]
    pub const fn with(self, keyword: u32) -> Self {
        Self(self.0 | keyword)
    }

    /// What the log says of the words of this set, unless it is to be silent.
    #[must_use]
    pub fn announcement(self) -> Option<String> {
        let words = self.words();
        (!self.has(Self::SILENT) && !words.is_empty())
            .then(|| format!("discarding EHLO keywords: {}", words.join(" ")))
    }

    /// The words that are announced as discarded in the log.
    fn words(self) -> Vec<&'static str> {
        WORDS
            .iter()
            .filter(|(_, bit)| *bit != Self::SILENT && self.has(*bit))
            .map(|(word, _)| *word)
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_make_a_set_and_unknown_ones_are_ignored() {
        let set = Keywords::parse("pipelining, dsn, NONSENSE, silent-discard");
        assert!(set.has(Keywords::PIPELINING) && set.has(Keywords::SILENT) && !set.has(Keywords::SIZE));
        assert_eq!(set.words(), ["PIPELINING", "DSN"]);
    }
}
