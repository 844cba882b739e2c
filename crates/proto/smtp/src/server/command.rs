//! Verbs and tokens.

/// The commands of the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Verb {
    /// HELO
    Helo,
    /// EHLO
    Ehlo,
    /// XCLIENT
    Xclient,
    /// XFORWARD
    Xforward,
    /// STARTTLS
    Starttls,
    /// AUTH
    Auth,
    /// MAIL
    Mail,
    /// RCPT
    Rcpt,
    /// DATA
    Data,
    /// BDAT
    Bdat,
    /// RSET
    Rset,
    /// NOOP
    Noop,
    /// VRFY
    Vrfy,
    /// ETRN
    Etrn,
    /// QUIT
    Quit,
    /// HELP
    Help,
    /// Anything else.
    Unknown,
}

impl Verb {
    /// All verbs in the order of the statistics line.
    pub(crate) const ALL: [Self; 17] = [
        Self::Helo,
        Self::Ehlo,
        Self::Xclient,
        Self::Xforward,
        Self::Starttls,
        Self::Auth,
        Self::Mail,
        Self::Rcpt,
        Self::Data,
        Self::Bdat,
        Self::Rset,
        Self::Noop,
        Self::Vrfy,
        Self::Etrn,
        Self::Quit,
        Self::Help,
        Self::Unknown,
    ];

    /// The verb as written in logs.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Helo => "HELO",
            Self::Ehlo => "EHLO",
            Self::Xclient => "XCLIENT",
            Self::Xforward => "XFORWARD",
            Self::Starttls => "STARTTLS",
            Self::Auth => "AUTH",
            Self::Mail => "MAIL",
            Self::Rcpt => "RCPT",
            Self::Data => "DATA",
            Self::Bdat => "BDAT",
            Self::Rset => "RSET",
            Self::Noop => "NOOP",
            Self::Vrfy => "VRFY",
            Self::Etrn => "ETRN",
            Self::Quit => "QUIT",
            Self::Help => "HELP",
            Self::Unknown => "UNKNOWN",
        }
    }

    /// The verb that `word` names.
    pub(crate) fn parse(word: &str) -> Self {
        Self::ALL
            .into_iter()
            .find(|v| *v != Self::Unknown && v.as_str().eq_ignore_ascii_case(word))
            .unwrap_or(Self::Unknown)
    }

    /// Does nothing for a mail: too many of them are errors (`postconf(5) smtpd_junk_command_limit`).
    pub(crate) const fn is_junk(self) -> bool {
        matches!(self, Self::Helo | Self::Ehlo | Self::Rset | Self::Noop | Self::Vrfy | Self::Etrn)
    }

    /// The client must wait for the reply (RFC 2920 §3.1).
    pub(crate) const fn ends_a_pipeline(self) -> bool {
        matches!(self, Self::Helo | Self::Ehlo | Self::Data | Self::Noop | Self::Vrfy)
    }
}

/// What follows `keyword:` (as `FROM:`, `TO:`), leading blanks removed.
pub(crate) fn after_keyword<'a>(arguments: &'a str, keyword: &str) -> Option<&'a str> {
    let (head, rest) = arguments.split_at_checked(keyword.len())?;
    let rest = rest.strip_prefix(':')?.trim_start();
    (head.eq_ignore_ascii_case(keyword) && !rest.is_empty()).then_some(rest)
}

/// The first token of `text` and the rest: blanks inside `"…"` and `<…>` do not end a token.
pub(crate) fn token(text: &str) -> (&str, &str) {
    let text = text.trim_start();
    let mut quoted = false;
    let mut escaped = false;
    let mut depth = 0usize;
    for (at, c) in text.char_indices() {
        if escaped {
            escaped = false;
            continue;
        }
        match c {
            '\\' => escaped = true,
            '"' => quoted = !quoted,
            '<' if !quoted => depth += 1,
            '>' if !quoted => depth = depth.saturating_sub(1),
            c if c.is_ascii_whitespace() && !quoted && depth == 0 => {
                return text.split_at_checked(at).unwrap_or((text, ""));
            }
            _ => {}
        }
    }
    (text, "")
}

/// All tokens of `text`.
pub(crate) fn tokens(text: &str) -> Vec<&str> {
    let mut found = Vec::new();
    let mut rest = text.trim();
    while !rest.is_empty() {
        let (first, after) = token(rest);
        found.push(first);
        rest = after.trim_start();
    }
    found
}

/// `word:` at the start of a line that should be a command: a message header.
pub(crate) fn looks_like_a_header(word: &str) -> bool {
    word.split_once(':')
        .is_some_and(|(name, _)| !name.is_empty() && name.bytes().all(|b| b.is_ascii_graphic()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_keep_quotes_and_brackets_together() {
        assert_eq!(tokens("<a b@c> SIZE=1  X=\"y z\""), ["<a b@c>", "SIZE=1", "X=\"y z\""]);
        assert_eq!(tokens("  "), [""; 0]);
        assert_eq!(after_keyword("from:  <a>", "FROM"), Some("<a>"));
        assert_eq!(after_keyword("FROM: ", "FROM"), None);
        assert_eq!(after_keyword("FROM", "FROM"), None);
        assert!(looks_like_a_header("X-Header:") && !looks_like_a_header("EHLO"));
    }
}
