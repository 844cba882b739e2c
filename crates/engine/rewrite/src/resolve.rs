//! Resolving an address to transport, next hop and recipient: the `resolve` half of trivial-rewrite(8).

use std::net::IpAddr;

use mail_address::hostname::{is_hostname, literal};
use mail_address::{is_dot_string, split, split_extension, to_external};
use mail_lookup::{AddressSearch, LookupError, MapsLookup, find_address};

use crate::rewrite::unroute;
use crate::{AddressClass, ResolveError, Resolved};

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
    /// `swap_bangpath`
    pub swap_bangpath: bool,
    /// `allow_percent_hack`
    pub percent_hack: bool,
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

/// Rounds of local-domain stripping.
const ROUTE_LIMIT: usize = 100;

/// Transport and next hop while they are being found.
struct Route {
    transport: String,
    nexthop: String,
}

impl Resolver {
    /// Resolves a recipient in internal form.
    #[must_use]
    pub fn resolve(&self, sender: &str, internal: &str, verify: bool) -> Resolved {
        match self.try_resolve(sender, internal, verify) {
            Ok(resolved) => resolved,
            Err(error) => {
                let text = match &error {
                    LookupError::Temporary(text) | LookupError::Configuration(text) => text,
                };
                (self.warn)(&format!("{text}: lookup failure for {internal}"));
                not_updated(internal, ResolveError::Fail)
            }
        }
    }

    fn try_resolve(&self, sender: &str, internal: &str, verify: bool) -> Result<Resolved, LookupError> {
        let (local, domain) = self.canonical(internal)?;
        let local = if local.is_empty() { self.settings.empty_address_recipient.clone() } else { local };
        let bad_user = local.starts_with('-') && !self.settings.allow_min_user;
        // An address without domain is local, whatever myorigin is.
        let bare = domain.is_none();
        let domain = domain.unwrap_or_else(|| self.settings.myorigin.clone());
        let Some(domain) = self.valid_domain(&domain).filter(|_| !bad_user) else {
            return Ok(not_updated(internal, ResolveError::Bad));
        };
        let recipient = format!("{local}@{domain}");
        let class = if bare { AddressClass::Local } else { self.class(&domain)? };
        let routing = if verify { &self.verify_routing } else { &self.routing };
        let mut route = self.class_route(routing, class, sender, &domain)?;
        if class != AddressClass::VirtualAlias {
            self.apply_transport_maps(routing, &recipient, &domain, &mut route)?;
        }
        self.apply_relocated(&recipient, class, &mut route)?;
        let routed = class != AddressClass::Local && self.has_routing(&local);
        Ok(Resolved {
            transport: route.transport,
            nexthop: route.nexthop,
            recipient,
            class,
            error: None,
            routed,
        })
    }

    /// Strips local domains as long as the local part still routes.
    fn canonical(&self, internal: &str) -> Result<(String, Option<String>), LookupError> {
        let mut address = internal.to_owned();
        for _ in 0..ROUTE_LIMIT {
            let (local, domain) = split(&address);
            let domain = domain.map(|d| d.strip_suffix('.').unwrap_or(d));
            let Some(domain) = domain else { return Ok((address, None)) };
            if domain.is_empty() && self.settings.null_domain {
                address = local.to_owned();
                continue;
            }
            if !self.is_local_domain(domain)? {
                return Ok((local.to_owned(), Some(domain.to_owned())));
            }
            match self.rerouted(local) {
                Some(next) => address = next,
                None => return Ok((local.to_owned(), Some(domain.to_owned()))),
            }
        }
        let (local, domain) = split(&address);
        Ok((local.to_owned(), domain.map(str::to_owned)))
    }

    /// What is left of an address when its local domain is taken away, if that is an address again.
    fn rerouted(&self, local: &str) -> Option<String> {
        if !self.settings.dequoted && !is_dot_string(local) {
            return None;
        }
        if local.contains('@') {
            return Some(local.to_owned());
        }
        let (local, domain) = unroute(local, self.settings.swap_bangpath, self.settings.percent_hack)?;
        Some(format!("{local}@{domain}"))
    }

    fn has_routing(&self, local: &str) -> bool {
        (self.settings.dequoted || is_dot_string(local))
            && (local.contains('@')
                || self.settings.swap_bangpath && local.contains('!')
                || self.settings.percent_hack && local.contains('%'))
    }

    /// A host name, an address literal, or (`resolve_numeric_domain`) a bare address made one.
    fn valid_domain(&self, domain: &str) -> Option<String> {
        if domain.parse::<IpAddr>().is_ok() {
            return self.settings.numeric_domain.then(|| format!("[{domain}]"));
        }
        let valid = literal(domain).is_some() || !domain.is_ascii() || is_hostname(domain);
        valid.then(|| domain.to_owned())
    }

    /// `mydestination`, or one of our own addresses as literal.
    ///
    /// # Errors
    /// A table of `mydestination` could not tell.
    pub fn is_local_domain(&self, domain: &str) -> Result<bool, LookupError> {
        match literal(domain) {
            Some(address) => Ok(self.classes.own_addresses.contains(&address)),
            None => self.classes.local.contains(domain),
        }
    }

    fn class(&self, domain: &str) -> Result<AddressClass, LookupError> {
        if self.is_local_domain(domain)? {
            self.warn_double(domain, "mydestination")?;
            return Ok(AddressClass::Local);
        }
        if self.classes.virtual_alias.contains(domain)? {
            if self.classes.virtual_mailbox.contains(domain)? {
                self.both(domain, "virtual_alias_domains", "virtual_mailbox_domains");
            }
            return Ok(AddressClass::VirtualAlias);
        }
        if self.classes.virtual_mailbox.contains(domain)? {
            return Ok(AddressClass::VirtualMailbox);
        }
        if self.classes.relay.contains(domain)? { Ok(AddressClass::Relay) } else { Ok(AddressClass::Default) }
    }

    fn warn_double(&self, domain: &str, first: &str) -> Result<(), LookupError> {
        if self.classes.virtual_alias.contains(domain)? {
            self.both(domain, first, "virtual_alias_domains");
        }
        if self.classes.virtual_mailbox.contains(domain)? {
            self.both(domain, first, "virtual_mailbox_domains");
        }
        Ok(())
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
    ) -> Result<Route, LookupError> {
        let settings = &self.settings;
        Ok(match class {
            AddressClass::Local => explicit(&routing.local_transport, domain),
            AddressClass::VirtualAlias => {
                let suffix = if settings.show_table_name { " in virtual alias table" } else { "" };
                Route { transport: "error".into(), nexthop: format!("5.1.1 User unknown{suffix}") }
            }
            AddressClass::VirtualMailbox => explicit(&routing.virtual_transport, domain),
            AddressClass::Relay => {
                let relay = self.relay(routing, sender, domain)?;
                explicit(&routing.relay_transport, &relay)
            }
            AddressClass::Default => {
                let listed = self.sender_lookup(
                    routing.sender_transport.as_ref(),
                    sender,
                    &settings.empty_transport_key,
                )?;
                let transport = listed.unwrap_or_else(|| routing.default_transport.clone());
                let relay = self.relay(routing, sender, domain)?;
                explicit(&transport, &relay)
            }
        })
    }

    /// Sender-dependent relay, else the relayhost, else the domain.
    fn relay(&self, routing: &Routing, sender: &str, domain: &str) -> Result<String, LookupError> {
        let key = &self.settings.empty_relayhost_key;
        let listed = self.sender_lookup(routing.sender_relayhost.as_ref(), sender, key)?;
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
            (true, false) => nexthop.clone_into(&mut route.nexthop),
            (false, empty) => {
                transport.clone_into(&mut route.transport);
                route.nexthop = match (empty, transport) {
                    (false, _) => nexthop.to_owned(),
                    (true, "error" | "retry") => "Address is undeliverable".into(),
                    (true, _) => domain.to_owned(),
                };
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
        route.transport = "error".into();
        route.nexthop = if self.settings.relocated_prefix {
            format!("5.1.6 User has moved to {value}")
        } else if value.split(' ').next().is_some_and(|code| code.split('.').count() == 3) {
            value
        } else {
            (self.warn)(&format!(
                "relocated_maps: expected enhanced status code and text instead of \"{value}\""
            ));
            "5.2.0 Mailbox is unavailable".into()
        };
        Ok(())
    }
}

/// `transport:nexthop`, or a transport with the default next hop.
fn explicit(value: &str, default_nexthop: &str) -> Route {
    let (transport, nexthop) = value.split_once(':').unwrap_or((value, ""));
    let nexthop = match (nexthop, transport) {
        ("", _) => default_nexthop,
        (nexthop, _) => nexthop,
    };
    Route { transport: transport.to_owned(), nexthop: nexthop.to_owned() }
}

/// The strings of the wire when there is no answer.
fn not_updated(internal: &str, error: ResolveError) -> Resolved {
    Resolved {
        transport: "CHANNEL NOT UPDATED".into(),
        nexthop: "NEXTHOP NOT UPDATED".into(),
        recipient: if internal.is_empty() { "MAILER-DAEMON".into() } else { internal.to_owned() },
        class: AddressClass::Default,
        error: Some(error),
        routed: false,
    }
}
