//! Match lists: mydestination, relay_domains, mynetworks, debug_peer_list, …

use std::net::IpAddr;

use mail_lookup::LookupError;

use crate::TableContext;

/// What a match list holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Strings, compared without case.
    Strings,
    /// Domain names, with sub-domains.
    Hosts,
    /// Host names, addresses and networks.
    Addresses,
}

/// A match list (`postconf(5) mydestination`): the first element that matches decides.
pub struct MatchList {}

impl MatchList {
    /// Parses `value` (expanded). `parent_style`: a bare `domain` also matches its sub-domains
    /// (`parent_domain_matches_subdomains` lists this parameter).
    #[must_use]
    pub fn parse(_title: &str, _value: &str, _kind: Kind, _parent_style: bool, _cx: &TableContext) -> Self {
        todo!("tables")
    }

    /// Whether a string (or a domain name) is listed.
    ///
    /// # Errors
    /// A table of the list could not tell; a warning has been logged.
    pub fn matches_string(&self, _text: &str) -> Result<bool, LookupError> {
        todo!("tables")
    }

    /// Whether a host is listed by its name or its address.
    ///
    /// # Errors
    /// As [`Self::matches_string`].
    pub fn matches_host(&self, _name: &str, _address: Option<IpAddr>) -> Result<bool, LookupError> {
        todo!("tables")
    }

    /// The list has no element.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        todo!("tables")
    }

    /// The first table of the list whose source has changed since it was opened.
    #[must_use]
    pub fn changed(&self) -> Option<String> {
        todo!("tables")
    }
}
