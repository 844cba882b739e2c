//! RFC 5322 address tokens: the loose parser for header address lists, alias right-hand sides and command lines.
//! It keeps comments and display names, so that a header can be rewritten in place.

/// One mailbox in an address list with the text around it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mailbox {
    /// External form of the address (`""` for `<>`).
    pub address: String,
}

/// All addresses of a list, in external form, groups and comments and display names skipped.
#[must_use]
pub fn addresses(_list: &str) -> Vec<String> {
    todo!("tables")
}

/// Rewrites each address of a header value with `rewrite` (external form in and out) and gives the value back with comments,
/// display names, groups and separators as the reference prints them; `None` when nothing changed.
pub fn rewrite_list(_list: &str, _rewrite: &mut dyn FnMut(&str) -> Option<String>) -> Option<String> {
    todo!("tables")
}
