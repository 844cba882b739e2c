//! The lookup table interface and the search orders over it. No IO here: tables live in `host/tables`.
#![deny(clippy::indexing_slicing)]

/// A table could not answer. Never to be taken for "not found".
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LookupError {
    /// Try again later.
    #[error("{0}")]
    Temporary(String),
    /// The table is misconfigured; callers defer as well.
    #[error("{0}")]
    Configuration(String),
}

/// The result of one lookup.
pub type Found = Result<Option<String>, LookupError>;

/// How keys are handled (`tables.md` §1, key folding).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyClass {
    /// Lower-cased keys, partial keys are tried.
    Fixed,
    /// The full key only, unfolded.
    Pattern,
}

/// Who may be trusted for what a table says (alias files, `:include:`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owner {
    /// Owned by root, or part of the configuration.
    Trusted,
    /// Owned by this user.
    Uid(u32),
    /// Not known (network tables).
    Unknown,
}

/// A lookup table.
pub trait Lookup: Send + Sync {
    /// The value of `key`, which the table folds itself if its class wants that.
    ///
    /// # Errors
    /// [`LookupError`] when the table cannot tell.
    fn lookup(&self, key: &str) -> Found;

    /// Key handling of this table.
    fn class(&self) -> KeyClass;

    /// `type:name` as configured.
    fn name(&self) -> &str;

    /// Who owns the data.
    fn owner(&self) -> Owner {
        Owner::Unknown
    }

    /// Whether the source behind an open table has changed, so that a long-running daemon should restart.
    fn changed(&self) -> bool {
        false
    }
}

/// What partial address keys are tried (`tables.md` §6).
#[derive(Clone, Debug)]
pub struct AddressSearch<'a> {
    /// `recipient_delimiter`; empty: no extension handling.
    pub delimiters: &'a str,
    /// `owner_request_special`.
    pub owner_request_special: bool,
    /// Whether bare `user` keys may be tried: the domain is local ($myorigin, mydestination, own `[ip]`).
    pub domain_is_local: bool,
}

/// Default search: `user+ext@dom`, `user@dom`, `user+ext`, `user` (the last two when the domain is local), `@dom`;
/// external form first, then internal if different; pattern tables get the full key only.
/// Gives the value and the unmatched extension (with its delimiter) when a key without the extension matched.
///
/// # Errors
/// [`LookupError`] of the table that could not tell; the search stops there.
pub fn find_address(
    _maps: &dyn MapsLookup,
    _internal: &str,
    _search: &AddressSearch<'_>,
) -> Result<Option<(String, Option<String>)>, LookupError> {
    todo!("tables")
}

/// A list of tables searched left to right (`maps`); the first hit wins, an error stops.
pub trait MapsLookup: Send + Sync {
    /// Looks `key` up. `partial`: the key is only part of the query, so pattern tables are skipped.
    ///
    /// # Errors
    /// As [`Lookup::lookup`].
    fn find(&self, key: &str, partial: bool) -> Found;

    /// No table in the list.
    fn is_empty(&self) -> bool;
}
