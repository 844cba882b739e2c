//! A list of tables, searched left to right.

use std::sync::Arc;

use mail_lookup::{Found, KeyClass, Lookup, LookupError, MapsLookup, Owner};

use crate::{Flags, Table, TableContext};

/// A list of tables, searched left to right; the first hit wins, an error stops the search (`tables.md` §1).
pub struct Maps {
    title: String,
    tables: Vec<Arc<dyn Lookup>>,
    utf8: bool,
}

impl Maps {
    /// Opens each table of `list` (comma or blank separated, already expanded). A table that cannot be opened becomes a
    /// placeholder that gives temporary errors (daemons) or ends the program (commands). `title`: the parameter name.
    #[must_use]
    pub fn open(title: &str, list: &str, flags: Flags, cx: &TableContext) -> Self {
        let tables = mail_text::list::words_with_groups(list)
            .into_iter()
            .map(|spec| Table::open_or_placeholder(spec, flags, cx))
            .collect();
        Self { title: title.to_owned(), tables, utf8: cx.inner.utf8 }
    }

    /// The tables, in order.
    pub fn tables(&self) -> impl Iterator<Item = &Arc<dyn Lookup>> {
        self.tables.iter()
    }

    /// The first table whose source has changed since it was opened.
    #[must_use]
    pub fn changed(&self) -> Option<String> {
        self.tables.iter().find(|table| table.changed()).map(|table| table.name().to_owned())
    }

    /// Like [`MapsLookup::find`], and tells which table answered: its name and owner.
    ///
    /// # Errors
    /// As [`Lookup::lookup`].
    pub fn find_with_owner(
        &self,
        key: &str,
        partial: bool,
    ) -> Result<Option<(String, String, Owner)>, LookupError> {
        if key.is_empty() {
            return Ok(None);
        }
        for table in &self.tables {
            if partial && table.class() == KeyClass::Pattern {
                continue;
            }
            match table.lookup(key) {
                Ok(None) => {}
                Ok(Some(value)) => {
                    let value = self.checked(table.as_ref(), key, value)?;
                    return Ok(Some((value, table.name().to_owned(), table.owner())));
                }
                Err(error) => {
                    os_log::warning!("{} lookup error for \"{key}\"", table.name());
                    return Err(error);
                }
            }
        }
        Ok(None)
    }

    fn checked(&self, table: &dyn Lookup, key: &str, value: String) -> Result<String, LookupError> {
        if value.is_empty() {
            os_log::warning!("{} lookup of {key} returns an empty string result", self.title);
            os_log::warning!("{} should return NO RESULT in case of NOT FOUND", self.title);
            return Err(LookupError::Configuration(format!("{}: empty lookup result", table.name())));
        }
        if self.utf8 && value.contains(char::REPLACEMENT_CHARACTER) {
            os_log::warning!(
                "{}: key \"{key}\": non-UTF-8 value \"{value}\": malformed UTF-8 or invalid codepoint",
                table.name()
            );
            return Err(LookupError::Configuration(format!("{}: non-UTF-8 value", table.name())));
        }
        Ok(value)
    }
}

impl MapsLookup for Maps {
    fn find(&self, key: &str, partial: bool) -> Found {
        Ok(self.find_with_owner(key, partial)?.map(|(value, _, _)| value))
    }

    fn is_empty(&self) -> bool {
        self.tables.is_empty()
    }
}
