//! Address rewriting and resolving: pure; tables and settings are passed in.

mod canonical;
mod resolve;
mod rewrite;
#[cfg(test)]
mod tests;

pub use resolve::{Classes, DomainList, ResolveSettings, Resolver, Routing};
pub use rewrite::{RewriteSettings, rewrite};

/// Which rewriting an address gets (`rewrite` service, attribute `rule`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rule {
    /// Local origin: `append_at_myorigin`, `append_dot_mydomain`.
    Local,
    /// Remote origin: `remote_header_rewrite_domain`, if set, completes; the address is brought to standard form in any case.
    Remote,
}

/// The address class of a domain (`ADDRESS_CLASS_README`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AddressClass {
    /// `mydestination`, own addresses.
    Local,
    /// `virtual_alias_domains`.
    VirtualAlias,
    /// `virtual_mailbox_domains`.
    VirtualMailbox,
    /// `relay_domains`.
    Relay,
    /// Any other domain.
    Default,
}

/// Why there is no usable transport.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResolveError {
    /// The address is malformed (flag ERROR). Transport and next hop are known when only its local part is.
    Bad,
    /// A table could not tell (flag FAIL). What is known so far is told.
    Fail,
}

/// The result of resolving one recipient. The strings are those of the wire, also in case of an error.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resolved {
    /// Delivery service.
    pub transport: String,
    /// Next hop, or the text of the `error` and `discard` services.
    pub nexthop: String,
    /// The recipient, internal form.
    pub recipient: String,
    /// Class of the recipient's domain; `None`: a table of domains could not tell.
    pub class: Option<AddressClass>,
    /// Why the transport must not be used.
    pub error: Option<ResolveError>,
    /// Routing characters are left in the local part (flag ROUTED).
    pub routed: bool,
}
