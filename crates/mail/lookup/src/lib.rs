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

    /// All records, sorted by key; `None`: this table cannot list them.
    fn records(&self) -> Option<Vec<(String, String)>> {
        None
    }

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
    maps: &dyn MapsLookup,
    internal: &str,
    search: &AddressSearch<'_>,
) -> Result<Option<(String, Option<String>)>, LookupError> {
    if maps.is_empty() || internal.is_empty() {
        return Ok(None);
    }
    let (local, domain) = mail_address::split(internal);
    let split = mail_address::split_extension(local, search.delimiters, search.owner_request_special);
    let extension = split.and_then(|(user, _)| local.get(user.len()..)).map(str::to_owned);
    if let Some(value) = find_both_forms(maps, internal, false)? {
        return Ok(Some((value, None)));
    }
    if let (Some((user, _)), Some(domain)) = (split, domain)
        && let Some(value) = find_both_forms(maps, &format!("{user}@{domain}"), true)?
    {
        return Ok(Some((value, extension)));
    }
    let Some(domain) = domain else {
        let Some((user, _)) = split else { return Ok(None) };
        return Ok(find_both_forms(maps, user, true)?.map(|value| (value, extension)));
    };
    if search.domain_is_local {
        if let Some(value) = find_both_forms(maps, local, true)? {
            return Ok(Some((value, None)));
        }
        if let Some((user, _)) = split
            && let Some(value) = find_both_forms(maps, user, true)?
        {
            return Ok(Some((value, extension)));
        }
    }
    // A catch-all entry takes no extension along.
    Ok(maps.find(&format!("@{domain}"), true)?.map(|value| (value, None)))
}

/// Looks an address up in external form, then, if that is different, in internal form.
fn find_both_forms(maps: &dyn MapsLookup, internal: &str, partial: bool) -> Found {
    let external = mail_address::to_external(internal);
    if let Some(value) = maps.find(&external, partial)? {
        return Ok(Some(value));
    }
    if external == internal { Ok(None) } else { maps.find(internal, partial) }
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

#[cfg(test)]
mod tests {
    use super::*;

    struct Table(&'static [(&'static str, &'static str)]);

    impl MapsLookup for Table {
        fn find(&self, key: &str, _partial: bool) -> Found {
            Ok(self.0.iter().find(|(k, _)| *k == key).map(|(_, v)| (*v).to_owned()))
        }
        fn is_empty(&self) -> bool {
            self.0.is_empty()
        }
    }

    #[test]
    fn the_search_goes_from_the_full_address_to_the_domain() {
        let search =
            |local| AddressSearch { delimiters: "+", owner_request_special: true, domain_is_local: local };
        for (table, local, want) in [
            (Table(&[("u+e@d", "1"), ("u@d", "2")]), true, Some(("1", None))),
            (Table(&[("u@d", "2"), ("u+e", "3")]), true, Some(("2", Some("+e")))),
            (Table(&[("u+e", "3"), ("u", "4")]), true, Some(("3", None))),
            (Table(&[("u", "4"), ("@d", "5")]), true, Some(("4", Some("+e")))),
            (Table(&[("u", "4"), ("@d", "5")]), false, Some(("5", None))),
            (Table(&[("x", "4")]), true, None),
        ] {
            let want = want.map(|(v, e)| (v.to_owned(), e.map(str::to_owned)));
            assert_eq!(find_address(&table, "u+e@d", &search(local)), Ok(want));
        }
    }

    #[test]
    fn quoted_form_is_tried_before_the_internal_one() {
        let search = AddressSearch { delimiters: "", owner_request_special: true, domain_is_local: false };
        let found = |table: Table| find_address(&table, "a b@d", &search).unwrap().unwrap().0;
        assert_eq!(found(Table(&[("a b@d", "internal"), ("\"a b\"@d", "external")])), "external");
        assert_eq!(found(Table(&[("a b@d", "internal")])), "internal");
    }
}
