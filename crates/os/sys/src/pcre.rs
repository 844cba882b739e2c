//! Perl-compatible regular expressions: the PCRE2 library, on bytes.

use std::ffi::CStr;
use std::ptr;

use pcre2_sys as library;

use crate::regex::Group;

/// The options of an expression, as `pcre_table(5)` names them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(clippy::struct_excessive_bools)] // one flag an option of the library
pub struct Options {
    /// `i`: upper and lower case are the same.
    pub caseless: bool,
    /// `m`: `^` and `$` match at line feeds too.
    pub multiline: bool,
    /// `s`: `.` matches a line feed.
    pub dotall: bool,
    /// `x`: white space and comments in the pattern.
    pub extended: bool,
    /// `A`: matches only at the start.
    pub anchored: bool,
    /// `E`: `$` does not match before a final line feed.
    pub dollar_endonly: bool,
    /// `U`: quantifiers are not greedy, unless followed by `?`.
    pub ungreedy: bool,
}

impl Options {
    fn bits(self) -> u32 {
        [
            (self.caseless, library::PCRE2_CASELESS),
            (self.multiline, library::PCRE2_MULTILINE),
            (self.dotall, library::PCRE2_DOTALL),
            (self.extended, library::PCRE2_EXTENDED),
            (self.anchored, library::PCRE2_ANCHORED),
            (self.dollar_endonly, library::PCRE2_DOLLAR_ENDONLY),
            (self.ungreedy, library::PCRE2_UNGREEDY),
        ]
        .into_iter()
        .filter(|(wanted, _)| *wanted)
        .fold(0, |bits, (_, bit)| bits | bit)
    }
}

/// A compiled expression.
pub struct Pcre {
    /// Made by `pcre2_compile`, not null, freed once.
    code: *mut library::pcre2_code_8,
}

// SAFETY: PCRE2 documents compiled code as read-only and free to be used by any number of threads at a time.
unsafe impl Send for Pcre {}
// SAFETY: as above; what a match writes is in match data of its own.
unsafe impl Sync for Pcre {}

impl std::fmt::Debug for Pcre {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Pcre")
    }
}

impl Pcre {
    /// Compiles.
    ///
    /// # Errors
    /// The offset in the pattern, and the library's text.
    pub fn new(pattern: &str, options: Options) -> Result<Self, (usize, String)> {
        let (mut error, mut offset) = (0, 0);
        // SAFETY: the pattern has the stated length; the two out-parameters live through the call.
        let code = unsafe {
            library::pcre2_compile_8(
                pattern.as_ptr(),
                pattern.len(),
                options.bits(),
                &raw mut error,
                &raw mut offset,
                ptr::null_mut(),
            )
        };
        if code.is_null() { Err((offset, error_text(error))) } else { Ok(Self { code }) }
    }

    /// Number of parenthesised groups.
    #[must_use]
    pub fn groups(&self) -> usize {
        let mut count = 0u32;
        // SAFETY: the code is compiled; PCRE2_INFO_CAPTURECOUNT writes a uint32_t.
        let status = unsafe {
            library::pcre2_pattern_info_8(
                self.code,
                library::PCRE2_INFO_CAPTURECOUNT,
                (&raw mut count).cast(),
            )
        };
        if status == 0 { usize::try_from(count).unwrap_or(0) } else { 0 }
    }

    /// Byte ranges of the match and of its groups; `None`: no match.
    ///
    /// # Errors
    /// The library's text, such as for a match that takes too long.
    pub fn captures(&self, text: &str) -> Result<Option<Vec<Group>>, String> {
        // SAFETY: the code is compiled.
        let data = unsafe { library::pcre2_match_data_create_from_pattern_8(self.code, ptr::null_mut()) };
        if data.is_null() {
            return Err("out of memory".to_owned());
        }
        // SAFETY: code and data belong together; the subject has the stated length; no context means the defaults.
        let status = unsafe {
            library::pcre2_match_8(self.code, text.as_ptr(), text.len(), 0, 0, data, ptr::null_mut())
        };
        let result = match status {
            library::PCRE2_ERROR_NOMATCH => Ok(None),
            failed if failed < 0 => Err(error_text(failed)),
            // SAFETY: the match succeeded, so that the vector is filled.
            _ => Ok(Some(unsafe { ranges(data) })),
        };
        // SAFETY: created above, not used any more.
        unsafe { library::pcre2_match_data_free_8(data) };
        result
    }
}

impl Drop for Pcre {
    fn drop(&mut self) {
        // SAFETY: compiled by pcre2_compile, freed once.
        unsafe { library::pcre2_code_free_8(self.code) }
    }
}

/// # Safety
/// `data` must come from a match that succeeded.
unsafe fn ranges(data: *mut library::pcre2_match_data_8) -> Vec<Group> {
    // SAFETY: the vector has two entries for each of the counted pairs, and lives as long as the data.
    let pairs = unsafe {
        let count = library::pcre2_get_ovector_count_8(data);
        let vector = library::pcre2_get_ovector_pointer_8(data);
        std::slice::from_raw_parts(vector, usize::try_from(count).unwrap_or(0) * 2)
    };
    // A group that took no part has the greatest number (PCRE2_UNSET) at both ends.
    pairs.chunks_exact(2).map(|pair| (pair[0] != usize::MAX).then_some((pair[0], pair[1]))).collect()
}

fn error_text(code: libc::c_int) -> String {
    let mut text = [0u8; 256];
    // SAFETY: the buffer has the stated length, and the library NUL-terminates what it writes.
    unsafe { library::pcre2_get_error_message_8(code, text.as_mut_ptr(), text.len()) };
    CStr::from_bytes_until_nul(&text).map(|text| text.to_string_lossy().into_owned()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: Options = Options {
        caseless: true,
        multiline: false,
        dotall: true,
        extended: false,
        anchored: false,
        dollar_endonly: false,
        ungreedy: false,
    };

    #[test]
    fn groups_are_byte_ranges() {
        let regex = Pcre::new("^(a+)(x)?@(?<domain>.*)$", PLAIN).unwrap();
        assert_eq!(regex.groups(), 3);
        let found = regex.captures("AA@b.c").unwrap().unwrap();
        assert_eq!(found, [Some((0, 6)), Some((0, 2)), None, Some((3, 6))]);
        assert_eq!(regex.captures("zz").unwrap(), None);
        assert_eq!(regex.captures("").unwrap(), None);
    }

    #[test]
    fn options_change_the_match() {
        let matches =
            |pattern, options, text| Pcre::new(pattern, options).unwrap().captures(text).unwrap().is_some();
        assert!(!matches("b", Options { anchored: true, ..PLAIN }, "ab"));
        assert!(!matches("A", Options { caseless: false, ..PLAIN }, "a"));
        assert!(!matches("a.b", Options { dotall: false, ..PLAIN }, "a\nb"));
        assert!(matches("^b$", Options { multiline: true, ..PLAIN }, "a\nb"));
        assert!(matches("a b", Options { extended: true, ..PLAIN }, "ab"));
        assert!(!matches("a$", Options { dollar_endonly: true, ..PLAIN }, "a\n"));
        let lazy = Pcre::new("a+", Options { ungreedy: true, ..PLAIN }).unwrap();
        assert_eq!(lazy.captures("aaa").unwrap().unwrap(), [Some((0, 1))]);
    }

    #[test]
    fn errors_have_the_library_s_text() {
        assert_eq!(Pcre::new("a(", PLAIN).unwrap_err(), (2, "missing closing parenthesis".to_owned()));
        let slow = Pcre::new("(a+)+$", PLAIN).unwrap();
        let subject = format!("{}b", "a".repeat(60));
        assert_eq!(slow.captures(&subject).unwrap_err(), "match limit exceeded");
    }
}
