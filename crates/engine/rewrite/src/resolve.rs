//! Resolving an address to transport, next hop and recipient: the `resolve` half of trivial-rewrite(8).

use std::net::IpAddr;

use mail_address::hostname::{is_hostname, literal, literal_problem};
use mail_address::{split, split_extension, to_external};
use mail_lookup::{AddressSearch, LookupError, MapsLookup, find_address};

use crate::canonical::Canonical;
use crate::{AddressClass, ResolveError, Resolved, RewriteSettings};

/// A list of domains (`mydestination`, `virtual_alias_domains`, …).
pub trait DomainList: Send + Sync {
    /// Whether the list has this domain.
    ///
    /// # Errors
    /// A table of the list could not tell.
    fn contains(&self, domain: &str) -> Result<bool, LookupError>;
}

/// Transports, relays and the tables that override them: one set for mail, one for address verification probes.
pub struct Routing {
    /// `local_transport`
    pub local_transport: String,
    /// `virtual_transport`
    pub virtual_transport: String,
    /// `relay_transport`
    pub relay_transport: String,
    /// `default_transport`
    pub default_transport: String,
    /// `relayhost`
    pub relayhost: String,
    /// `sender_dependent_relayhost_maps`
    pub sender_relayhost: Box<dyn MapsLookup>,
    /// `sender_dependent_default_transport_maps`
    pub sender_transport: Box<dyn MapsLookup>,
    /// `transport_maps`
    pub transport_maps: Box<dyn MapsLookup>,
}

/// Domains and their classes.
pub struct Classes {
    /// `mydestination`
    pub local: Box<dyn DomainList>,
    /// `inet_interfaces`, `proxy_interfaces`
    pub own_addresses: Vec<IpAddr>,
    /// `virtual_alias_domains`
    pub virtual_alias: Box<dyn DomainList>,
    /// `virtual_mailbox_domains`
    pub virtual_mailbox: Box<dyn DomainList>,
    /// `relay_domains`
    pub relay: Box<dyn DomainList>,
}

/// Flags and names.
#[derive(Clone, Debug)]
#[allow(clippy::struct_excessive_bools)] // one flag a yes/no parameter
pub struct ResolveSettings {
    /// `myorigin`
    pub myorigin: String,
    /// `myhostname`
    pub myhostname: String,
    /// `empty_address_recipient`
    pub empty_address_recipient: String,
    /// `recipient_delimiter`
    pub recipient_delimiter: String,
    /// `owner_request_special`
    pub owner_request_special: bool,
    /// How addresses below a local domain are rewritten.
    pub rewrite: RewriteSettings,
    /// The file that a complaint about a parameter names: `config_directory`/main.cf.
    pub main_cf: String,
    /// `resolve_null_domain`
    pub null_domain: bool,
    /// `resolve_numeric_domain`
    pub numeric_domain: bool,
    /// `resolve_dequoted_address`
    pub dequoted: bool,
    /// `allow_min_user`
    pub allow_min_user: bool,
    /// `show_user_unknown_table_name`
    pub show_table_name: bool,
    /// `transport_maps` is in `parent_domain_matches_subdomains`
    pub transport_parent_style: bool,
    /// `empty_address_relayhost_maps_lookup_key`
    pub empty_relayhost_key: String,
    /// `empty_address_default_transport_maps_lookup_key`
    pub empty_transport_key: String,
    /// `relocated_prefix_enable`
    pub relocated_prefix: bool,
}

/// The resolver.
pub struct Resolver {
    /// Settings.
    pub settings: ResolveSettings,
    /// Address classes.
    pub classes: Classes,
    /// For mail.
    pub routing: Routing,
    /// For address verification probes.
    pub verify_routing: Routing,
    /// `relocated_maps`
    pub relocated: Box<dyn MapsLookup>,
    /// Where administrators are told about oddities.
    pub warn: fn(&str),
}

/// Transport and next hop while they are being found; `None`: not known yet.
#[derive(Default)]
struct Route {
    class: Option<AddressClass>,
    transport: Option<String>,
    nexthop: Option<String>,
}

/// Why an address stays without a usable route.
enum Failure {
    /// The domain is no domain.
    Bad,
    /// A table could not tell; what is known so far is told.
    Fail,
}

impl Resolver {
    /// Resolves a recipient in internal form.
    #[must_use]
    pub fn resolve(&self, sender: &str, internal: &str, verify: bool) -> Resolved {
        let mut route = Route::default();
        let Ok(Canonical { local, domain, is_local, numeric }) = self.canonical(internal) else {
            return resolved(route, "NEXTRCPT NOT UPDATED".into(), Some(ResolveError::Fail), false);
        };
        let recipient = format!("{local}@{domain}");
        let routed = local.contains(['@', '!', '%']);
        let found = if is_local || numeric || self.valid_domain(&domain) {
            self.find_route(sender, &recipient, &domain, is_local, verify, &mut route)
        } else {
            Err(Failure::Bad)
        };
        match found {
            Ok(()) => {
                let bad = local.starts_with('-') && !self.settings.allow_min_user;
                resolved(route, recipient, bad.then_some(ResolveError::Bad), routed)
            }
            Err(Failure::Bad) => {
                route.class = Some(AddressClass::Default);
                resolved(route, recipient, Some(ResolveError::Bad), false)
            }
            Err(Failure::Fail) => resolved(route, recipient, Some(ResolveError::Fail), routed),
        }
    }

    fn find_route(
        &self,
        sender: &str,
        recipient: &str,
        domain: &str,
        is_local: bool,
        verify: bool,
        route: &mut Route,
    ) -> Result<(), Failure> {
        let routing = if verify { &self.verify_routing } else { &self.routing };
        let class = if is_local { self.local_class(domain) } else { self.class(domain)? };
        self.class_route(routing, class, sender, domain, route)?;
        if class != AddressClass::VirtualAlias {
            let applied = self.apply_transport_maps(routing, recipient, domain, route);
            self.told("transport_maps", applied)?;
        }
        let applied = self.apply_relocated(recipient, class, route);
        self.told("relocated_maps", applied)
    }

    /// A table of parameter `name` that could not tell is complained of.
    fn told<T>(&self, name: &str, found: Result<T, LookupError>) -> Result<T, Failure> {
        found.map_err(|_| {
            (self.warn)(&format!("{name} lookup failure"));
            Failure::Fail
        })
    }

    /// A host name or an address literal.
    fn valid_domain(&self, domain: &str) -> bool {
        let Some(inside) = domain.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) else {
            return !domain.is_ascii() || is_hostname(domain);
        };
        let problem = literal_problem(inside);
        if let Some(text) = &problem {
            (self.warn)(text);
        }
        problem.is_none()
    }

    /// `mydestination`, or one of our own addresses as literal.
    ///
    /// # Errors
    /// A table of `mydestination` could not tell.
    pub fn is_local_domain(&self, domain: &str) -> Result<bool, LookupError> {
        Ok(self.classes.local.contains(domain)?
            || literal(domain).is_some_and(|address| self.classes.own_addresses.contains(&address)))
    }

    /// The class of a domain of `mydestination`, which should be in no other list.
    fn local_class(&self, domain: &str) -> AddressClass {
        if self.classes.virtual_alias.contains(domain) == Ok(true) {
            self.both(domain, "mydestination", "virtual_alias_domains");
        }
        if self.classes.virtual_mailbox.contains(domain) == Ok(true) {
            self.both(domain, "mydestination", "virtual_mailbox_domains");
        }
        AddressClass::Local
    }

    /// The class of any other domain.
    fn class(&self, domain: &str) -> Result<AddressClass, Failure> {
        if self.told("virtual_alias_domains", self.classes.virtual_alias.contains(domain))? {
            if self.classes.virtual_mailbox.contains(domain) == Ok(true) {
                self.both(domain, "virtual_alias_domains", "virtual_mailbox_domains");
            }
            return Ok(AddressClass::VirtualAlias);
        }
        if self.told("virtual_mailbox_domains", self.classes.virtual_mailbox.contains(domain))? {
            return Ok(AddressClass::VirtualMailbox);
        }
        let relay = self.told("relay_domains", self.classes.relay.contains(domain))?;
        Ok(if relay { AddressClass::Relay } else { AddressClass::Default })
    }

    fn both(&self, domain: &str, first: &str, second: &str) {
        (self.warn)(&format!("do not list domain {domain} in BOTH {first} and {second}"));
    }

    fn class_route(
        &self,
        routing: &Routing,
        class: AddressClass,
        sender: &str,
        domain: &str,
        route: &mut Route,
    ) -> Result<(), Failure> {
        let (name, value) = match class {
            AddressClass::VirtualAlias => {
                route.class = Some(class);
                route.transport = Some("error".into());
                let suffix = if self.settings.show_table_name { " in virtual alias table" } else { "" };
                route.nexthop = Some(format!("5.1.1 User unknown{suffix}"));
                return Ok(());
            }
            AddressClass::Local => ("local_transport", routing.local_transport.clone()),
            AddressClass::VirtualMailbox => ("virtual_transport", routing.virtual_transport.clone()),
            AddressClass::Relay => ("relay_transport", routing.relay_transport.clone()),
            AddressClass::Default => self.default_transport(routing, sender)?,
        };
        route.class = Some(class);
        let (transport, nexthop) = value.split_once(':').unwrap_or((&value, ""));
        route.transport = Some(transport.to_owned());
        route.nexthop = match (nexthop, class) {
            ("", AddressClass::Relay | AddressClass::Default) => Some(self.relay(routing, sender, domain)?),
            ("", AddressClass::Local | AddressClass::VirtualMailbox | AddressClass::VirtualAlias) => {
                Some(domain.to_owned())
            }
            (nexthop, _) => Some(nexthop.to_owned()),
        };
        if transport.is_empty() {
            let file = &self.settings.main_cf;
            (self.warn)(&format!("file {file}: parameter {name}: null transport is not allowed"));
            return Err(Failure::Fail);
        }
        Ok(())
    }

    /// The parameter that says how mail leaves, and its value for this sender.
    fn default_transport(&self, routing: &Routing, sender: &str) -> Result<(&'static str, String), Failure> {
        const NAME: &str = "sender_dependent_default_transport_maps";
        let key = &self.settings.empty_transport_key;
        let listed = self.told(NAME, self.sender_lookup(routing.sender_transport.as_ref(), sender, key))?;
        Ok(match listed {
            Some(value) => (NAME, value),
            None => ("default_transport", routing.default_transport.clone()),
        })
    }

    /// Sender-dependent relay, else the relayhost, else the domain.
    fn relay(&self, routing: &Routing, sender: &str, domain: &str) -> Result<String, Failure> {
        let key = &self.settings.empty_relayhost_key;
        let listed = self.sender_lookup(routing.sender_relayhost.as_ref(), sender, key);
        let listed = self.told("sender_dependent_relayhost_maps", listed)?;
        Ok(listed.unwrap_or_else(|| {
            if routing.relayhost.is_empty() { domain.to_owned() } else { routing.relayhost.clone() }
        }))
    }

    fn sender_lookup(
        &self,
        maps: &dyn MapsLookup,
        sender: &str,
        empty_key: &str,
    ) -> Result<Option<String>, LookupError> {
        if maps.is_empty() {
            return Ok(None);
        }
        let found = if sender.is_empty() {
            if empty_key.is_empty() { None } else { maps.find(empty_key, false)? }
        } else {
            find_address(maps, sender, &self.search(sender)?)?.map(|(value, _)| value)
        };
        Ok(found.filter(|value| !value.eq_ignore_ascii_case("DUNNO") && !value.is_empty()))
    }

    fn search(&self, address: &str) -> Result<AddressSearch<'_>, LookupError> {
        let domain = split(address).1;
        let local = match domain {
            None => true,
            Some(domain) => {
                domain.eq_ignore_ascii_case(&self.settings.myorigin) || self.is_local_domain(domain)?
            }
        };
        Ok(AddressSearch {
            delimiters: &self.settings.recipient_delimiter,
            owner_request_special: self.settings.owner_request_special,
            domain_is_local: local,
        })
    }

    fn apply_transport_maps(
        &self,
        routing: &Routing,
        recipient: &str,
        domain: &str,
        route: &mut Route,
    ) -> Result<(), LookupError> {
        if routing.transport_maps.is_empty() {
            return Ok(());
        }
        let Some(value) = self.transport_entry(routing.transport_maps.as_ref(), recipient, domain)? else {
            return Ok(());
        };
        let (transport, nexthop) = value.split_once(':').unwrap_or((&value, ""));
        match (transport.is_empty(), nexthop.is_empty()) {
            (true, true) => {}
            (true, false) => route.nexthop = Some(nexthop.to_owned()),
            (false, empty) => {
                route.transport = Some(transport.to_owned());
                route.nexthop = Some(match (empty, transport) {
                    (false, _) => nexthop.to_owned(),
                    (true, "error" | "retry") => "Address is undeliverable".into(),
                    (true, _) => domain.to_owned(),
                });
            }
        }
        Ok(())
    }

    /// `transport(5)`: address, address without extension, domain, parent domains, `*`.
    fn transport_entry(
        &self,
        maps: &dyn MapsLookup,
        recipient: &str,
        domain: &str,
    ) -> Result<Option<String>, LookupError> {
        let external = to_external(recipient);
        if let Some(value) = maps.find(&external, false)? {
            return Ok(Some(value));
        }
        let local = split(recipient).0;
        let delimiters = &self.settings.recipient_delimiter;
        if let Some((user, _)) = split_extension(local, delimiters, self.settings.owner_request_special)
            && let Some(value) = maps.find(&to_external(&format!("{user}@{domain}")), true)?
        {
            return Ok(Some(value));
        }
        if let Some(value) = maps.find(domain, true)? {
            return Ok(Some(value));
        }
        let mut rest = domain;
        while let Some((_, parent)) = rest.split_once('.').filter(|_| !domain.starts_with('[')) {
            let key =
                if self.settings.transport_parent_style { parent.to_owned() } else { format!(".{parent}") };
            if let Some(value) = maps.find(&key, true)? {
                return Ok(Some(value));
            }
            rest = parent;
        }
        maps.find("*", false)
    }

    fn apply_relocated(
        &self,
        recipient: &str,
        class: AddressClass,
        route: &mut Route,
    ) -> Result<(), LookupError> {
        if self.relocated.is_empty() {
            return Ok(());
        }
        let search =
            AddressSearch { domain_is_local: class == AddressClass::Local, ..self.search(recipient)? };
        let Some((value, _)) = find_address(self.relocated.as_ref(), recipient, &search)? else {
            return Ok(());
        };
        route.transport = Some("error".into());
        route.nexthop = Some(if self.settings.relocated_prefix {
            format!("5.1.6 User has moved to {value}")
        } else if value.split(' ').next().is_some_and(|code| code.split('.').count() == 3) {
            value
        } else {
            (self.warn)(&format!(
                "relocated_maps: expected enhanced status code and text instead of \"{value}\""
            ));
            "5.2.0 Mailbox is unavailable".into()
        });
        Ok(())
    }
}

/// The strings of the wire, also for what is not known.
fn resolved(route: Route, recipient: String, error: Option<ResolveError>, routed: bool) -> Resolved {
    Resolved {
        transport: route.transport.unwrap_or_else(|| "CHANNEL NOT UPDATED".into()),
        nexthop: route.nexthop.unwrap_or_else(|| "NEXTHOP NOT UPDATED".into()),
        recipient,
        class: route.class,
        error,
        routed,
    }
}
