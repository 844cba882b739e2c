//! POSIX regular expressions: regcomp(3), regexec(3).

/// A compiled expression.
pub struct Regex(());

impl Regex {
    /// Compiles. `extended`, `icase`, `newline` = REG_EXTENDED, REG_ICASE, REG_NEWLINE.
    ///
    /// # Errors
    /// The library's text.
    pub fn new(_pattern: &str, _extended: bool, _icase: bool, _newline: bool) -> Result<Self, String> {
        todo!("os")
    }

    /// Byte ranges of the match and of its groups; `None`: no match.
    ///
    /// # Errors
    /// The library's text.
    pub fn captures(&self, _text: &str) -> Result<Option<Vec<Option<(usize, usize)>>>, String> {
        todo!("os")
    }
}
