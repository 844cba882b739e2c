//! Address rewriting and resolving from the configuration: in this process, or over the rewrite socket.

mod build;
mod map;
mod socket;

use engine_rewrite::{Resolver, RewriteSettings, rewrite};
use host_config::{Config, ConfigError, param};
use host_tables::{Maps, TableContext};
use mail_lookup::LookupError;

pub use build::own_addresses;
pub use engine_rewrite::{
    AddressClass, ResolveError, Resolved as Resolution, Resolved, Rule as RewriteRule, Rule,
};

pub use map::MapFailure;

/// Rewrites and resolves addresses. Cheap to share between threads.
pub struct AddressService {
    local_rules: RewriteSettings,
    remote_rules: RewriteSettings,
    resolver: Resolver,
    tables: build::Tables,
    /// `postino_rewrite_service = socket`
    socket: Option<socket::RewriteClient>,
}

impl AddressService {
    /// Opens the tables of the configuration; with `postino_rewrite_service = socket` asks the rewrite service instead.
    ///
    /// # Errors
    /// A malformed parameter.
    pub fn from_config(config: &Config, tables: &TableContext) -> Result<Self, ConfigError> {
        let mut service = Self::in_process(config, tables)?;
        if config.str(param::POSTINO_REWRITE_SERVICE)? == "socket" {
            service.socket = Some(socket::RewriteClient::new(config)?);
        }
        Ok(service)
    }

    /// Always in this process: what the rewrite service itself is made of.
    ///
    /// # Errors
    /// A malformed parameter.
    pub fn in_process(config: &Config, tables: &TableContext) -> Result<Self, ConfigError> {
        let (resolver, opened) = build::resolver(config, tables)?;
        Ok(Self {
            local_rules: build::local_rules(config)?,
            remote_rules: build::remote_rules(config)?,
            resolver,
            tables: opened,
            socket: None,
        })
    }

    /// Rewrites an address in external form.
    ///
    /// # Errors
    /// The rewrite service does not answer.
    pub fn rewrite(&self, rule: Rule, external: &str) -> Result<String, LookupError> {
        if let Some(socket) = &self.socket {
            return socket.rewrite(rule, external);
        }
        Ok(match rule {
            Rule::Local => rewrite(&self.local_rules, external),
            Rule::Remote => rewrite(&self.remote_rules, external),
        })
    }

    /// Resolves a recipient in internal form. `sender` (internal form) selects sender-dependent tables;
    /// `verify`: use the `address_verify_*` parameters.
    #[must_use]
    pub fn resolve(&self, sender: &str, internal: &str, verify: bool) -> Resolved {
        match &self.socket {
            Some(socket) => socket.resolve(sender, internal, verify),
            None => self.resolver.resolve(sender, internal, verify),
        }
    }

    /// Whether mail for this domain is delivered locally (mydestination, own address literals).
    ///
    /// # Errors
    /// A table of mydestination could not tell.
    pub fn is_local_domain(&self, domain: &str) -> Result<bool, LookupError> {
        self.resolver.is_local_domain(domain)
    }

    /// The first table whose source has changed since it was opened.
    #[must_use]
    pub fn changed(&self) -> Option<String> {
        self.tables.changed()
    }
}

/// Parameters whose tables say where an address belongs and how it is reached.
const TABLES: [param::Str; 7] = [
    param::TRANSPORT_MAPS,
    param::SENDER_DEPENDENT_RELAYHOST_MAPS,
    param::SENDER_DEPENDENT_DEFAULT_TRANSPORT_MAPS,
    param::MYDESTINATION,
    param::RELAY_DOMAINS,
    param::VIRTUAL_ALIAS_DOMAINS,
    param::VIRTUAL_MAILBOX_DOMAINS,
];

/// Whether an [`AddressService`] of this configuration answers without waiting for another process.
///
/// # Errors
/// A malformed parameter.
pub fn asks_nobody(config: &Config) -> Result<bool, ConfigError> {
    let mut local = config.str(param::POSTINO_REWRITE_SERVICE)? != "socket";
    for parameter in TABLES {
        local &= host_tables::asks_no_server(&config.str(parameter)?);
    }
    Ok(local)
}

/// A list of tables shared between the resolver and the check for changes.
struct SharedMaps(std::sync::Arc<Maps>);

impl mail_lookup::MapsLookup for SharedMaps {
    fn find(&self, key: &str, partial: bool) -> mail_lookup::Found {
        self.0.find(key, partial)
    }
    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}
