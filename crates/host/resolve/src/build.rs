//! From parameters to rewriting rules and a resolver.

use std::net::IpAddr;
use std::sync::Arc;

use engine_rewrite::{Classes, DomainList, ResolveSettings, Resolver, RewriteSettings, Routing};
use host_config::{Config, ConfigError, param};
use host_tables::{Flags, Kind, Maps, MatchList, TableContext};
use mail_lookup::{LookupError, MapsLookup};

use crate::SharedMaps;

/// Everything that was opened, to be asked whether it has changed.
pub struct Tables {
    maps: Vec<Arc<Maps>>,
    lists: Vec<Arc<MatchList>>,
}

impl Tables {
    pub fn changed(&self) -> Option<String> {
        self.maps
            .iter()
            .find_map(|maps| maps.changed())
            .or_else(|| self.lists.iter().find_map(|list| list.changed()))
    }
}

/// Rules for local addresses: `append_at_myorigin`, `append_dot_mydomain`.
pub fn local_rules(config: &Config) -> Result<RewriteSettings, ConfigError> {
    let origin = config.bool(param::APPEND_AT_MYORIGIN)?;
    let dot = config.bool(param::APPEND_DOT_MYDOMAIN)?;
    Ok(RewriteSettings {
        origin: if origin { Some(config.str(param::MYORIGIN)?) } else { None },
        dot_domain: if dot { Some(config.str(param::MYDOMAIN)?) } else { None },
        swap_bangpath: config.bool(param::SWAP_BANGPATH)?,
        percent_hack: config.bool(param::ALLOW_PERCENT_HACK)?,
    })
}

/// Rules for headers of remote clients: `remote_header_rewrite_domain`, if any, in place of `myorigin` and `mydomain`.
pub fn remote_rules(config: &Config) -> Result<RewriteSettings, ConfigError> {
    let domain = Some(config.str(param::REMOTE_HEADER_REWRITE_DOMAIN)?).filter(|domain| !domain.is_empty());
    let local = local_rules(config)?;
    Ok(RewriteSettings {
        origin: local.origin.and(domain.clone()),
        dot_domain: local.dot_domain.and(domain),
        ..local
    })
}

/// The resolver and the tables that it uses.
pub fn resolver(config: &Config, cx: &TableContext) -> Result<(Resolver, Tables), ConfigError> {
    let mut open = Opener { config, cx, tables: Tables { maps: Vec::new(), lists: Vec::new() } };
    let classes = Classes {
        local: open.list(param::MYDESTINATION, Kind::Strings)?,
        own_addresses: own_addresses(config)?,
        virtual_alias: open.list(param::VIRTUAL_ALIAS_DOMAINS, Kind::Strings)?,
        virtual_mailbox: open.list(param::VIRTUAL_MAILBOX_DOMAINS, Kind::Strings)?,
        relay: open.list(param::RELAY_DOMAINS, Kind::Hosts)?,
    };
    let routing = Routing {
        local_transport: config.str(param::LOCAL_TRANSPORT)?,
        virtual_transport: config.str(param::VIRTUAL_TRANSPORT)?,
        relay_transport: config.str(param::RELAY_TRANSPORT)?,
        default_transport: config.str(param::DEFAULT_TRANSPORT)?,
        relayhost: config.str(param::RELAYHOST)?,
        sender_relayhost: open.maps(param::SENDER_DEPENDENT_RELAYHOST_MAPS, Flags::NO_REGSUB)?,
        sender_transport: open.maps(param::SENDER_DEPENDENT_DEFAULT_TRANSPORT_MAPS, Flags::NO_REGSUB)?,
        transport_maps: open.maps(param::TRANSPORT_MAPS, Flags::NO_REGSUB)?,
    };
    let verify_routing = Routing {
        local_transport: config.str(param::ADDRESS_VERIFY_LOCAL_TRANSPORT)?,
        virtual_transport: config.str(param::ADDRESS_VERIFY_VIRTUAL_TRANSPORT)?,
        relay_transport: config.str(param::ADDRESS_VERIFY_RELAY_TRANSPORT)?,
        default_transport: config.str(param::ADDRESS_VERIFY_DEFAULT_TRANSPORT)?,
        relayhost: config.str(param::ADDRESS_VERIFY_RELAYHOST)?,
        sender_relayhost: open
            .maps(param::ADDRESS_VERIFY_SENDER_DEPENDENT_RELAYHOST_MAPS, Flags::NO_REGSUB)?,
        sender_transport: open
            .maps(param::ADDRESS_VERIFY_SENDER_DEPENDENT_DEFAULT_TRANSPORT_MAPS, Flags::NO_REGSUB)?,
        transport_maps: open.maps(param::ADDRESS_VERIFY_TRANSPORT_MAPS, Flags::NO_REGSUB)?,
    };
    let relocated = open.maps(param::RELOCATED_MAPS, Flags::default())?;
    let resolver = Resolver {
        settings: settings(config)?,
        classes,
        routing,
        verify_routing,
        relocated,
        warn: |text| os_log::warning!("{text}"),
    };
    Ok((resolver, open.tables))
}

fn settings(config: &Config) -> Result<ResolveSettings, ConfigError> {
    Ok(ResolveSettings {
        myorigin: config.str(param::MYORIGIN)?,
        myhostname: config.str(param::MYHOSTNAME)?,
        empty_address_recipient: config.str(param::EMPTY_ADDRESS_RECIPIENT)?,
        recipient_delimiter: config.str(param::RECIPIENT_DELIMITER)?,
        owner_request_special: config.bool(param::OWNER_REQUEST_SPECIAL)?,
        rewrite: local_rules(config)?,
        main_cf: config.dir().join("main.cf").display().to_string(),
        null_domain: config.bool(param::RESOLVE_NULL_DOMAIN)?,
        numeric_domain: config.bool(param::RESOLVE_NUMERIC_DOMAIN)?,
        dequoted: config.bool(param::RESOLVE_DEQUOTED_ADDRESS)?,
        allow_min_user: config.bool(param::ALLOW_MIN_USER)?,
        show_table_name: config.bool(param::SHOW_USER_UNKNOWN_TABLE_NAME)?,
        transport_parent_style: parent_style(config, param::TRANSPORT_MAPS)?,
        empty_relayhost_key: config.str(param::EMPTY_ADDRESS_RELAYHOST_MAPS_LOOKUP_KEY)?,
        empty_transport_key: config.str(param::EMPTY_ADDRESS_DEFAULT_TRANSPORT_MAPS_LOOKUP_KEY)?,
        relocated_prefix: config.bool(param::RELOCATED_PREFIX_ENABLE)?,
    })
}

/// Whether `parent_domain_matches_subdomains` names this parameter.
fn parent_style(config: &Config, name: param::Str) -> Result<bool, ConfigError> {
    let list = config.str(param::PARENT_DOMAIN_MATCHES_SUBDOMAINS)?;
    Ok(mail_text::list::words(&list).any(|word| word == name.name()))
}

struct Opener<'a> {
    config: &'a Config,
    cx: &'a TableContext,
    tables: Tables,
}

impl Opener<'_> {
    fn maps(&mut self, name: param::Str, flags: Flags) -> Result<Box<dyn MapsLookup>, ConfigError> {
        let maps = Arc::new(Maps::open(name.name(), &self.config.str(name)?, flags, self.cx));
        self.tables.maps.push(Arc::clone(&maps));
        Ok(Box::new(SharedMaps(maps)))
    }

    fn list(&mut self, name: param::Str, kind: Kind) -> Result<Box<dyn DomainList>, ConfigError> {
        let parents = parent_style(self.config, name)?;
        let list = Arc::new(MatchList::parse(name.name(), &self.config.str(name)?, kind, parents, self.cx));
        self.tables.lists.push(Arc::clone(&list));
        Ok(Box::new(List { list, kind }))
    }
}

struct List {
    list: Arc<MatchList>,
    kind: Kind,
}

impl DomainList for List {
    fn contains(&self, domain: &str) -> Result<bool, LookupError> {
        match self.kind {
            Kind::Strings => self.list.matches_string(domain),
            Kind::Hosts | Kind::Addresses => self.list.matches_host(domain, None),
        }
    }
}

/// Addresses at which this host gets mail: `inet_interfaces` and `proxy_interfaces`.
///
/// # Errors
/// A malformed parameter.
pub fn own_addresses(config: &Config) -> Result<Vec<IpAddr>, ConfigError> {
    let interfaces = config.str(param::INET_INTERFACES)?;
    let proxies = config.str(param::PROXY_INTERFACES)?;
    let mut found: Vec<IpAddr> = Vec::new();
    for word in mail_text::list::words(&interfaces).chain(mail_text::list::words(&proxies)) {
        let word = word.trim_matches(['[', ']']);
        match (word, word.parse::<IpAddr>()) {
            (_, Ok(address)) => found.push(address),
            ("all", _) => {
                found.extend(os_sys::net::interfaces().unwrap_or_default().into_iter().map(|(a, _)| a))
            }
            ("loopback-only", _) => {
                found.extend(["127.0.0.1", "::1"].iter().filter_map(|a| a.parse::<IpAddr>().ok()))
            }
            (name, Err(_)) => {
                if let os_sys::net::NameLookup::Found(addresses) = os_sys::net::addresses_of(name) {
                    found.extend(addresses);
                }
            }
        }
    }
    Ok(found)
}
