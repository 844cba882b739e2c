//! Address rewriting and resolving from the configuration: in this process, or over the rewrite socket.

use engine_rewrite::{Resolved, Rule};
use mail_lookup::LookupError;

pub use engine_rewrite::{AddressClass, Resolved as Resolution, ResolveError, Rule as RewriteRule};

/// Rewrites and resolves addresses. Cheap to share between threads.
pub struct AddressService {}

impl AddressService {
    /// Opens the tables of the configuration; with `postino_rewrite_service = socket` asks the rewrite service instead.
    ///
    /// # Errors
    /// A malformed parameter.
    pub fn from_config(
        _config: &host_config::Config,
        _tables: &host_tables::TableContext,
    ) -> Result<Self, host_config::ConfigError> {
        todo!("tables")
    }

    /// Rewrites an address in external form.
    ///
    /// # Errors
    /// A table could not tell.
    pub fn rewrite(&self, _rule: Rule, _external: &str) -> Result<String, LookupError> {
        todo!("tables")
    }

    /// Resolves a recipient in internal form. `sender` (internal form) selects sender-dependent tables;
    /// `verify`: use the `address_verify_*` parameters.
    #[must_use]
    pub fn resolve(&self, _sender: &str, _internal: &str, _verify: bool) -> Resolved {
        todo!("tables")
    }

    /// Whether mail for this domain is delivered locally (mydestination, own address literals).
    ///
    /// # Errors
    /// A table of mydestination could not tell.
    pub fn is_local_domain(&self, _domain: &str) -> Result<bool, LookupError> {
        todo!("tables")
    }

    /// The first table whose source has changed since it was opened.
    #[must_use]
    pub fn changed(&self) -> Option<String> {
        todo!("tables")
    }
}
