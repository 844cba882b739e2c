//! What is known about a session, and who answers what is not.

use std::net::IpAddr;
use std::time::Duration;

use mail_lookup::LookupError;

/// How far a name can be trusted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NameStatus {
    /// Verified.
    Ok,
    /// A lookup failed for now.
    Temporary,
    /// No name.
    Permanent,
    /// The name does not lead back to the address.
    Forged,
}

/// The client.
#[derive(Clone, Debug)]
pub struct Client {
    /// Verified name or `unknown`.
    pub name: String,
    /// Unverified name or `unknown`.
    pub reverse_name: String,
    /// Address as text.
    pub address: String,
    /// `name[address]` as in the log.
    pub namaddr: String,
    /// Trust in `name`.
    pub name_status: NameStatus,
    /// Trust in `reverse_name`.
    pub reverse_status: NameStatus,
}

/// The facts that restrictions look at. `None`: not known yet, restrictions on it are skipped.
#[derive(Clone, Copy, Debug)]
pub struct Facts<'a> {
    /// The client.
    pub client: &'a Client,
    /// Name of HELO or EHLO.
    pub helo: Option<&'a str>,
    /// Sender, internal form.
    pub sender: Option<&'a str>,
    /// Recipient, internal form.
    pub recipient: Option<&'a str>,
    /// Domain of ETRN.
    pub etrn: Option<&'a str>,
    /// Recipients, the one at hand included.
    pub recipients: u32,
    /// The client did not wait where it must.
    pub pipelined: bool,
    /// HOLD, FILTER and the like can be carried out here (not in ETRN, not before MAIL).
    pub has_message: bool,
    /// At the end of data headers can no longer be prepended.
    pub at_end_of_data: bool,
}

/// The address class of a recipient (`postfix(1)` address classes).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// mydestination, own addresses.
    Local,
    /// virtual_alias_domains.
    VirtualAlias,
    /// virtual_mailbox_domains.
    VirtualMailbox,
    /// relay_domains.
    Relay,
    /// Everything else.
    Default,
}

/// What the resolver says about an address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resolved {
    /// Delivery transport.
    pub transport: String,
    /// Next hop, or the text of the error transport.
    pub nexthop: String,
    /// The address after rewriting, internal form.
    pub recipient: String,
    /// Address class.
    pub class: Class,
    /// The local part names a route of its own.
    pub routed: bool,
    /// The address is malformed.
    pub bad: bool,
    /// A table could not tell.
    pub failed: bool,
}

/// Result of a DNS question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Dns<T> {
    /// Records.
    Found(Vec<T>),
    /// No such name or no such record; the resolver's text.
    NotFound(String),
    /// Try again later; the resolver's text.
    Temporary(String),
    /// A single MX record with the root as its name (RFC 7505).
    NullMx,
}

/// Kinds of DNS questions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Record {
    /// Mail exchangers.
    Mx,
    /// Name servers.
    Ns,
}

/// Tables with a fixed meaning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Map {
    /// `recipient_canonical_maps`
    RecipientCanonical,
    /// `sender_canonical_maps`
    SenderCanonical,
    /// `canonical_maps`
    Canonical,
    /// `virtual_alias_maps`
    VirtualAlias,
    /// `local_recipient_maps`
    LocalRecipient,
    /// `virtual_mailbox_maps`
    VirtualMailbox,
    /// `relay_recipient_maps`
    RelayRecipient,
}

/// What address verification says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Probe {
    /// Deliverable.
    Deliverable,
    /// Not known, or a temporary failure, with its text.
    Deferred(String),
    /// Undeliverable, with its text.
    Undeliverable(String),
    /// The service does not answer.
    Down,
}

/// Answers what restrictions ask. May block.
pub trait World {
    /// Looks a key up in an access table.
    ///
    /// # Errors
    /// The table could not tell, or is not there.
    fn lookup(&mut self, table: &str, key: &str) -> Result<Option<String>, LookupError>;

    /// The table is searched with the whole key only (regexp, pcre, cidr …).
    fn is_pattern(&mut self, table: &str) -> bool;

    /// Whether this is the sender of address verification probes, with a stamp of about now (`address_verify_sender_ttl`).
    fn is_probe_sender(&mut self, address: &str) -> bool;

    /// The value of a restriction class of `smtpd_restriction_classes`.
    fn class(&mut self, name: &str) -> Option<String>;

    /// Resolves a recipient (internal form).
    fn resolve(&mut self, address: &str) -> Resolved;

    /// The client is in `mynetworks`.
    ///
    /// # Errors
    /// A table of the list could not tell.
    fn in_mynetworks(&mut self) -> Result<bool, LookupError>;

    /// The client's address is one of our own.
    fn is_own_address(&mut self) -> bool;

    /// An address in a table with a fixed meaning; `None` when it is not there.
    ///
    /// # Errors
    /// The table could not tell.
    fn find(&mut self, map: Map, address: &str) -> Result<Option<String>, LookupError>;

    /// The table list is empty.
    fn is_empty(&mut self, map: Map) -> bool;

    /// Host names of a DNS question.
    fn hosts(&mut self, name: &str, kind: Record) -> Dns<String>;

    /// Addresses of a host name in the DNS.
    fn addresses(&mut self, name: &str) -> Dns<IpAddr>;

    /// Addresses of a host name as programs of this host see them (getaddrinfo(3)).
    ///
    /// # Errors
    /// The system's text.
    fn host_addresses(&mut self, name: &str) -> Result<Vec<IpAddr>, String>;

    /// Asks the verification service, as long as the configuration says.
    fn verify(&mut self, address: &str) -> Probe;

    /// Logs a decision: `reject`, `warn`, `hold` … and its text.
    fn decision(&mut self, kind: &str, text: &str);

    /// Logs a warning.
    fn warn(&mut self, text: String);

    /// Logs without a severity word.
    fn info(&mut self, text: String);

    /// An access table could not tell about `key`: logged as the reference does.
    fn table_warning(&mut self, table: &str, key: &str, error: &LookupError);

    /// Waits.
    fn sleep(&mut self, time: Duration);
}
