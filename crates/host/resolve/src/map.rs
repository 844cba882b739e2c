//! Address tables: from the value of an entry to addresses.

use mail_address::{to_external, to_internal};
use mail_lookup::{AddressSearch, LookupError, MapsLookup, find_address};

use crate::{AddressService, Rule};

/// A table value that stands for the null address.
const NOBODY: &str = "<>";

/// Why an address could not be mapped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MapFailure {
    /// A table could not tell.
    Table(LookupError),
    /// The rewrite service does not answer for this address.
    Rewrite(String),
}

impl AddressService {
    /// What `internal` is mapped to by tables such as `canonical_maps` or `smtp_generic_maps`: addresses in internal form, as
    /// the rewrite service completes them; empty: no entry. `propagate`: the extension that no key matched goes along.
    ///
    /// # Errors
    /// [`MapFailure`].
    pub fn map(
        &self,
        maps: &dyn MapsLookup,
        internal: &str,
        propagate: bool,
    ) -> Result<Vec<String>, MapFailure> {
        let domain_is_local = match internal.rsplit_once('@') {
            Some((_, domain)) => self.is_local_domain(domain).map_err(MapFailure::Table)?,
            None => true,
        };
        let settings = &self.resolver.settings;
        let search = AddressSearch {
            delimiters: &settings.recipient_delimiter,
            owner_request_special: settings.owner_request_special,
            domain_is_local,
        };
        let Some((value, extension)) = find_address(maps, internal, &search).map_err(MapFailure::Table)?
        else {
            return Ok(Vec::new());
        };
        if value.trim() == NOBODY {
            return Ok(vec![String::new()]);
        }
        let extension = extension.filter(|_| propagate).unwrap_or_default();
        mail_address::token::addresses(&value)
            .iter()
            .map(|external| {
                let address = to_internal(external);
                let mapped = self.mapped(&address, internal)?;
                let keeps_local = address.starts_with('@');
                Ok(if keeps_local { mapped } else { insert_extension(&mapped, &extension) })
            })
            .collect()
    }

    /// Rewrites an internal address, as all envelope addresses are.
    ///
    /// # Errors
    /// [`MapFailure::Rewrite`].
    pub fn rewrite_internal(&self, internal: &str) -> Result<String, MapFailure> {
        if internal.is_empty() {
            return Ok(String::new());
        }
        let external = to_external(internal);
        match self.rewrite(Rule::Local, &external) {
            Ok(rewritten) => Ok(to_internal(&rewritten)),
            Err(_) => Err(MapFailure::Rewrite(external)),
        }
    }

    /// One address of a table value: `@domain` keeps the local part; rewritten.
    fn mapped(&self, address: &str, internal: &str) -> Result<String, MapFailure> {
        if address.starts_with('@')
            && let Some((local, _)) = internal.rsplit_once('@')
        {
            return self.rewrite_internal(&format!("{local}{address}"));
        }
        self.rewrite_internal(address)
    }
}

/// `user@domain` with `+ext` behind the user.
fn insert_extension(address: &str, extension: &str) -> String {
    match address.rsplit_once('@') {
        _ if extension.is_empty() => address.to_owned(),
        Some((local, domain)) => format!("{local}{extension}@{domain}"),
        None => format!("{address}{extension}"),
    }
}
