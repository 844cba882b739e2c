//! Mail addresses. Two forms exist: *internal* (unquoted local part, as in queue files' S and R records and in table
//! lookups of last resort) and *external* (RFC 5321/5322 quoting, as on the wire, in headers and in the log).
#![deny(clippy::indexing_slicing)]

pub mod hostname;
pub mod token;

/// The local part and the domain of an internal-form address, split at the last `@`.
#[must_use]
pub fn split(address: &str) -> (&str, Option<&str>) {
    match address.rsplit_once('@') {
        Some((local, domain)) => (local, Some(domain)),
        None => (address, None),
    }
}

/// The external form: the local part is quoted unless it is a dot-string (RFC 5321 §4.1.2).
#[must_use]
pub fn to_external(_internal: &str) -> String {
    todo!("tables")
}

/// The internal form of an external address (quotes and backslashes of the local part removed).
#[must_use]
pub fn to_internal(_external: &str) -> String {
    todo!("tables")
}

/// Splits `user+extension` at the first of `delimiters` (`postconf(5) recipient_delimiter`), not at the first character;
/// `owner-x` and `x-request` are not split on `-` (`owner_request_special`), neither are the reserved names
/// `postmaster`, `mailer-daemon`, `double-bounce`. `None`: no extension.
#[must_use]
pub fn split_extension<'a>(_local: &'a str, _delimiters: &str, _owner_request_special: bool) -> Option<(&'a str, &'a str)> {
    todo!("tables")
}

/// Lower case for comparison and lookup (UTF-8 case folding when the text is UTF-8).
#[must_use]
pub fn fold(text: &str) -> String {
    text.to_lowercase()
}
