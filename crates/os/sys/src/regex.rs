//! POSIX regular expressions: regcomp(3), regexec(3).

use std::ffi::{CStr, CString};
use std::mem::MaybeUninit;

/// Byte range of a group; `None`: it took no part in the match.
pub type Group = Option<(usize, usize)>;

/// A compiled expression.
pub struct Regex {
    compiled: Box<libc::regex_t>,
    groups: usize,
}

// SAFETY: regexec(3) takes a const regex_t and is MT-safe (it locks inside); regfree runs once, in drop.
unsafe impl Send for Regex {}
// SAFETY: as above.
unsafe impl Sync for Regex {}

impl std::fmt::Debug for Regex {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Regex")
    }
}

impl Regex {
    /// Compiles. `extended`, `icase`, `newline` = REG_EXTENDED, REG_ICASE, REG_NEWLINE.
    ///
    /// # Errors
    /// The library's text.
    pub fn new(pattern: &str, extended: bool, icase: bool, newline: bool) -> Result<Self, String> {
        let groups = count_groups(pattern.as_bytes(), extended);
        let pattern = CString::new(pattern).map_err(|_| "NUL character in pattern".to_owned())?;
        let mut flags = 0;
        for (wanted, flag) in
            [(extended, libc::REG_EXTENDED), (icase, libc::REG_ICASE), (newline, libc::REG_NEWLINE)]
        {
            if wanted {
                flags |= flag;
            }
        }
        let mut compiled = Box::new(MaybeUninit::<libc::regex_t>::uninit());
        // SAFETY: regcomp writes the structure it is given; the pattern is NUL-terminated.
        let status = unsafe { libc::regcomp(compiled.as_mut_ptr(), pattern.as_ptr(), flags) };
        if status == 0 {
            // SAFETY: a zero status means that the structure is initialised.
            return Ok(Self { compiled: unsafe { compiled.assume_init() }, groups });
        }
        // SAFETY: regerror accepts the structure of a failed regcomp (POSIX).
        Err(unsafe { error_text(status, compiled.as_ptr()) })
    }

    /// Number of parenthesised groups.
    #[must_use]
    pub fn groups(&self) -> usize {
        self.groups
    }

    /// Byte ranges of the match and of its groups; `None`: no match.
    ///
    /// # Errors
    /// The library's text.
    pub fn captures(&self, text: &str) -> Result<Option<Vec<Group>>, String> {
        let until_nul = text.split('\0').next().unwrap_or_default();
        let subject = CString::new(until_nul).map_err(|error| error.to_string())?;
        let mut matches = vec![libc::regmatch_t { rm_so: -1, rm_eo: -1 }; self.groups + 1];
        // SAFETY: the expression is compiled, the subject NUL-terminated, and `matches` has the stated length.
        let status = unsafe {
            libc::regexec(&raw const *self.compiled, subject.as_ptr(), matches.len(), matches.as_mut_ptr(), 0)
        };
        match status {
            0 => Ok(Some(matches.iter().map(range).collect())),
            libc::REG_NOMATCH => Ok(None),
            // SAFETY: the expression is compiled.
            status => Err(unsafe { error_text(status, &raw const *self.compiled) }),
        }
    }
}

impl Drop for Regex {
    fn drop(&mut self) {
        // SAFETY: compiled by regcomp, freed once.
        unsafe { libc::regfree(&raw mut *self.compiled) }
    }
}

/// Groups of an expression: libc hides `re_nsub`, whose place differs between C libraries.
fn count_groups(pattern: &[u8], extended: bool) -> usize {
    let mut rest = pattern;
    let mut groups = 0;
    while let [first, tail @ ..] = rest {
        rest = match (first, tail) {
            (b'\\', [next, after @ ..]) => {
                groups += usize::from(!extended && *next == b'(');
                after
            }
            (b'[', tail) => after_bracket(tail),
            (first, tail) => {
                groups += usize::from(extended && *first == b'(');
                tail
            }
        };
    }
    groups
}

/// What follows a bracket expression; `]` is an ordinary character at its start and inside `[: :]`, `[. .]`, `[= =]`.
fn after_bracket(inside: &[u8]) -> &[u8] {
    let mut rest = inside.strip_prefix(b"^").unwrap_or(inside);
    rest = rest.strip_prefix(b"]").unwrap_or(rest);
    loop {
        rest = match rest {
            [] => return rest,
            [b']', tail @ ..] => return tail,
            [b'[', kind @ (b':' | b'.' | b'='), tail @ ..] => {
                let end = tail.windows(2).position(|pair| pair == [*kind, b']']);
                end.and_then(|at| tail.get(at + 2..)).unwrap_or_default()
            }
            [_, tail @ ..] => tail,
        };
    }
}

fn range(found: &libc::regmatch_t) -> Option<(usize, usize)> {
    Some((usize::try_from(found.rm_so).ok()?, usize::try_from(found.rm_eo).ok()?))
}

/// # Safety
/// `regex` must have gone through regcomp.
unsafe fn error_text(status: libc::c_int, regex: *const libc::regex_t) -> String {
    let mut text = [0u8; 256];
    // SAFETY: the buffer has the stated length, and regerror NUL-terminates what it writes.
    unsafe { libc::regerror(status, regex, text.as_mut_ptr().cast(), text.len()) };
    CStr::from_bytes_until_nul(&text).map(|text| text.to_string_lossy().into_owned()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_are_byte_ranges() {
        let regex = Regex::new("^(a+)(x)?@(.*)$", true, true, false).unwrap();
        let found = regex.captures("AA@b.c").unwrap().unwrap();
        assert_eq!(found, [Some((0, 6)), Some((0, 2)), None, Some((3, 6))]);
        assert_eq!(regex.captures("zz").unwrap(), None);
    }

    #[test]
    fn groups_are_counted_outside_brackets_and_escapes() {
        let counts = [("(a)(b)", 2), (r"\((a)", 1), ("[(]x", 0), ("[]()[:alpha:](]*(y)", 1), ("((a)|b)", 2)];
        for (pattern, groups) in counts {
            assert_eq!(Regex::new(pattern, true, false, false).unwrap().groups(), groups, "{pattern}");
        }
        assert_eq!(Regex::new(r"\(a\)(", false, false, false).unwrap().groups(), 1);
    }

    #[test]
    fn a_bad_expression_has_the_library_s_text() {
        assert_eq!(Regex::new("(", true, false, false).unwrap_err(), "Unmatched ( or \\(");
    }
}
