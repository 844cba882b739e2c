//! Address mappings: rewriting, canonical maps, masquerading, virtual aliases, BCC maps.

use std::collections::HashSet;

use host_config::{Config, param};
use host_resolve::{AddressService, MapFailure, RewriteRule};
use host_tables::{Flags, Maps, TableContext};
use mail_lookup::MapsLookup as _;

use crate::masquerade::Masquerade;

/// A canonical mapping is repeated at most this often.
const CANONICAL_LIMIT: usize = 10;

/// What an address is, for the `*_classes` parameters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Class {
    EnvelopeSender,
    EnvelopeRecipient,
    HeaderSender,
    HeaderRecipient,
}

impl Class {
    const fn name(self) -> &'static str {
        match self {
            Self::EnvelopeSender => "envelope_sender",
            Self::EnvelopeRecipient => "envelope_recipient",
            Self::HeaderSender => "header_sender",
            Self::HeaderRecipient => "header_recipient",
        }
    }

    const fn is_sender(self) -> bool {
        matches!(self, Self::EnvelopeSender | Self::HeaderSender)
    }
}

/// Why an address could not be mapped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum MapError {
    /// A table could not tell: the parameter and the address.
    Table(&'static str, String),
    /// Rewriting could not tell.
    Rewrite(String),
    /// Virtual aliases: more levels than the limit.
    Nesting(String),
    /// Virtual aliases: more recipients, or a longer address, than the limit.
    Size(String),
}

impl MapError {
    fn of(failure: MapFailure, title: &'static str, internal: &str) -> Self {
        match failure {
            MapFailure::Table(_) => Self::Table(title, internal.to_owned()),
            MapFailure::Rewrite(address) => Self::Rewrite(address),
        }
    }
}

/// The classes that a mapping applies to.
#[derive(Debug)]
struct Classes(Vec<String>);

impl Classes {
    fn parse(value: &str) -> Self {
        Self(mail_text::list::words(value).map(str::to_ascii_lowercase).collect())
    }

    fn has(&self, name: &str) -> bool {
        self.0.iter().any(|n| n == name)
    }
}

struct Mapping {
    name: &'static str,
    maps: Maps,
    classes: Classes,
}

/// All mappings of this configuration.
pub(crate) struct Mapper {
    addresses: AddressService,
    sender_canonical: Mapping,
    recipient_canonical: Mapping,
    canonical: Mapping,
    virtual_alias: Maps,
    sender_bcc: Maps,
    recipient_bcc: Maps,
    masquerade: Masquerade,
    masquerade_classes: Classes,
    propagate: Classes,
    recursion_limit: usize,
    expansion_limit: usize,
    address_length_limit: usize,
}

impl Mapper {
    pub(crate) fn load(config: &Config) -> Result<Self, host_daemon::Error> {
        let cx = TableContext::new(config)?;
        let maps = |parameter: param::Str| {
            let list = config.str(parameter)?;
            Ok::<_, host_config::ConfigError>(Maps::open(parameter.row().name, &list, Flags::default(), &cx))
        };
        let mapping = |parameter: param::Str, classes: String| {
            Ok::<_, host_config::ConfigError>(Mapping {
                name: parameter.row().name,
                maps: maps(parameter)?,
                classes: Classes::parse(&classes),
            })
        };
        let limit = |number: i64| usize::try_from(number).unwrap_or(0);
        Ok(Self {
            addresses: AddressService::from_config(config, &cx)?,
            sender_canonical: mapping(
                param::SENDER_CANONICAL_MAPS,
                config.str(param::SENDER_CANONICAL_CLASSES)?,
            )?,
            recipient_canonical: mapping(
                param::RECIPIENT_CANONICAL_MAPS,
                config.str(param::RECIPIENT_CANONICAL_CLASSES)?,
            )?,
            canonical: mapping(param::CANONICAL_MAPS, config.str(param::CANONICAL_CLASSES)?)?,
            virtual_alias: maps(param::VIRTUAL_ALIAS_MAPS)?,
            sender_bcc: maps(param::SENDER_BCC_MAPS)?,
            recipient_bcc: maps(param::RECIPIENT_BCC_MAPS)?,
            masquerade: Masquerade::new(
                &config.str(param::MASQUERADE_DOMAINS)?,
                &config.str(param::MASQUERADE_EXCEPTIONS)?,
            ),
            masquerade_classes: Classes::parse(&config.str(param::MASQUERADE_CLASSES)?),
            propagate: Classes::parse(&config.str(param::PROPAGATE_UNMATCHED_EXTENSIONS)?),
            recursion_limit: limit(config.int(param::VIRTUAL_ALIAS_RECURSION_LIMIT)?),
            expansion_limit: limit(config.int(param::VIRTUAL_ALIAS_EXPANSION_LIMIT)?),
            address_length_limit: limit(config.int(param::VIRTUAL_ALIAS_ADDRESS_LENGTH_LIMIT)?),
        })
    }

    /// The first table that has changed since it was opened.
    pub(crate) fn changed(&self) -> Option<String> {
        let lists = [
            &self.sender_canonical.maps,
            &self.recipient_canonical.maps,
            &self.canonical.maps,
            &self.virtual_alias,
            &self.sender_bcc,
            &self.recipient_bcc,
        ];
        lists.into_iter().find_map(Maps::changed).or_else(|| self.addresses.changed())
    }

    /// Rewrites an external address.
    pub(crate) fn rewrite(&self, rule: RewriteRule, external: &str) -> Result<String, MapError> {
        self.addresses.rewrite(rule, external).map_err(|_| MapError::Rewrite(external.to_owned()))
    }

    /// Rewrites an internal address, as all envelope addresses are.
    pub(crate) fn rewrite_internal(&self, internal: &str) -> Result<String, MapError> {
        self.addresses.rewrite_internal(internal).map_err(|failure| MapError::of(failure, "", internal))
    }

    /// Canonical maps and masquerading of an internal address.
    pub(crate) fn map(&self, id: &str, class: Class, internal: &str) -> Result<String, MapError> {
        let specific = if class.is_sender() { &self.sender_canonical } else { &self.recipient_canonical };
        let mut address = self.canonical(id, specific, class, internal.to_owned())?;
        address = self.canonical(id, &self.canonical, class, address)?;
        if self.masquerade_classes.has(class.name())
            && let Some(masqueraded) = self.masquerade.apply(&address)
        {
            address = masqueraded;
        }
        Ok(address)
    }

    fn canonical(
        &self,
        id: &str,
        mapping: &Mapping,
        class: Class,
        start: String,
    ) -> Result<String, MapError> {
        let mut address = start;
        if mapping.maps.is_empty() || !mapping.classes.has(class.name()) {
            return Ok(address);
        }
        for _ in 0..CANONICAL_LIMIT {
            let found = self.find(mapping.name, &mapping.maps, &address, self.propagate.has("canonical"))?;
            let Some(next) = found.into_iter().next() else { return Ok(address) };
            let same = next.eq_ignore_ascii_case(&address);
            address = next;
            if same {
                return Ok(address);
            }
        }
        os_log::warning!(
            "{id}: unreasonable {} map nesting for {address} -- message not accepted, try again later",
            mapping.name
        );
        Ok(address)
    }

    /// The addresses that `internal` maps to, rewritten, in internal form, with its unmatched extension; empty: no entry.
    fn find(
        &self,
        title: &'static str,
        maps: &Maps,
        internal: &str,
        propagate: bool,
    ) -> Result<Vec<String>, MapError> {
        self.addresses
            .map(maps, internal, propagate)
            .map_err(|failure| MapError::of(failure, title, internal))
    }

    /// Virtual alias expansion of an internal address: itself, when it is no alias.
    pub(crate) fn expand(&self, internal: &str) -> Result<Vec<String>, MapError> {
        let mut list = vec![internal.to_owned()];
        if self.virtual_alias.is_empty() {
            return Ok(list);
        }
        let mut self_contained: HashSet<String> = HashSet::new();
        let mut at = 0;
        while let Some(mut current) = list.get(at).cloned() {
            if list.len() > self.expansion_limit {
                return Err(MapError::Size(internal.to_owned()));
            }
            let mut level = 0;
            while !self_contained.contains(&current.to_lowercase()) {
                if level >= self.recursion_limit {
                    return Err(MapError::Nesting(internal.to_owned()));
                }
                level += 1;
                let found = self.find(
                    "virtual_alias_maps",
                    &self.virtual_alias,
                    &current,
                    self.propagate.has("virtual"),
                )?;
                let mut found = found.into_iter();
                let Some(first) = found.next() else { break };
                let rest: Vec<String> = found.collect();
                if std::iter::once(&first).chain(&rest).any(|a| a.len() > self.address_length_limit) {
                    return Err(MapError::Size(internal.to_owned()));
                }
                if std::iter::once(&first).chain(&rest).any(|a| a.eq_ignore_ascii_case(&current)) {
                    self_contained.insert(current.to_lowercase());
                }
                current.clone_from(&first);
                if let Some(place) = list.get_mut(at) {
                    *place = first;
                }
                list.extend(rest);
                if list.len() > self.expansion_limit {
                    return Err(MapError::Size(internal.to_owned()));
                }
            }
            at += 1;
        }
        Ok(list)
    }

    /// The BCC addresses of a sender.
    pub(crate) fn sender_bcc(&self, internal: &str) -> Result<Vec<String>, MapError> {
        self.bcc("sender_bcc_maps", &self.sender_bcc, internal)
    }

    /// The BCC addresses of a recipient.
    pub(crate) fn recipient_bcc(&self, internal: &str) -> Result<Vec<String>, MapError> {
        self.bcc("recipient_bcc_maps", &self.recipient_bcc, internal)
    }

    fn bcc(&self, title: &'static str, maps: &Maps, internal: &str) -> Result<Vec<String>, MapError> {
        if maps.is_empty() || internal.is_empty() {
            return Ok(Vec::new());
        }
        self.find(title, maps, internal, self.propagate.has("bcc"))
    }
}
