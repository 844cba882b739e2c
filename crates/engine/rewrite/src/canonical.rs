//! Which local part and domain an address is about, once local domains with a route below them are taken away.

use std::net::IpAddr;

use mail_address::{is_dot_string, split};
use mail_lookup::LookupError;

use crate::Resolver;
use crate::rewrite::{complete_text, domain_text, unroute_internal};

/// Rounds of local-domain stripping.
const ROUTE_LIMIT: usize = 100;

/// An address taken apart, internal form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Canonical {
    pub local: String,
    /// Empty when the address ends with `@`.
    pub domain: String,
    /// The domain is ours.
    pub is_local: bool,
    /// The domain is a literal that `resolve_numeric_domain` made.
    pub numeric: bool,
}

/// A local part and a domain, if there is one.
type Parts = (String, Option<String>);

impl Resolver {
    /// Strips local domains as long as the local part still routes.
    pub(crate) fn canonical(&self, internal: &str) -> Result<Canonical, LookupError> {
        let (local, domain) = split(internal);
        let (mut local, mut domain) = (local.to_owned(), domain.map(domain_text));
        // The last domain that was taken away; an address that never had one belongs to this host.
        let mut stripped: Option<String> = None;
        let (mut numeric, mut foreign) = (false, false);
        for _ in 0..ROUTE_LIMIT {
            let Some(written) = domain else {
                let Some((rest, next)) = self.unrouted(&local) else { break };
                (local, domain) = (rest, next);
                continue;
            };
            let text;
            (text, numeric) = self.normal_domain(&written);
            domain = Some(text.clone());
            if text.is_empty() {
                if !self.routes(&local) && !self.settings.null_domain {
                    break;
                }
            } else {
                foreign = !self.is_ours(&text)?;
                if foreign {
                    break;
                }
                stripped = Some(text);
            }
            (local, domain) = self.below(&local);
            if domain.is_none() {
                break;
            }
        }
        if local.is_empty() && domain.as_ref().is_none_or(String::is_empty) {
            local.clone_from(&self.settings.empty_address_recipient);
        }
        let domain = domain.or(stripped).unwrap_or_else(|| self.settings.myhostname.clone());
        let is_local = !foreign && self.is_ours(&domain)?;
        Ok(Canonical { local, domain, is_local, numeric })
    }

    /// Without one trailing dot; whether a bare address was made a literal (`resolve_numeric_domain`).
    fn normal_domain(&self, text: &str) -> (String, bool) {
        let text = text.strip_suffix('.').filter(|rest| !rest.ends_with('.')).unwrap_or(text);
        if self.settings.numeric_domain && text.parse::<IpAddr>().is_ok() {
            return (format!("[{text}]"), true);
        }
        (text.to_owned(), false)
    }

    /// [`Resolver::is_local_domain`] for what may be no domain at all.
    fn is_ours(&self, domain: &str) -> Result<bool, LookupError> {
        Ok(!domain.is_empty() && !domain.ends_with('.') && self.is_local_domain(domain)?)
    }

    /// What is left of an address when its local domain is taken away.
    fn below(&self, local: &str) -> Parts {
        let rules = &self.settings.rewrite;
        let mut local = local;
        // A source route that ends here: the rest counts as written without domain.
        while let Some((_, rest)) = local.strip_prefix('@').and_then(|route| route.split_once(':')) {
            if let Some(origin) = &rules.origin {
                return (rest.to_owned(), Some(complete_text(rules, origin)));
            }
            local = rest;
        }
        if self.routes(local) {
            let (local, domain) = split(local);
            return (local.to_owned(), domain.map(|domain| complete_text(rules, domain)));
        }
        self.unrouted(local).unwrap_or_else(|| (local.to_owned(), None))
    }

    /// Whether a local part holds an address of its own.
    fn routes(&self, local: &str) -> bool {
        local.contains('@') && self.dequoted(local)
    }

    fn unrouted(&self, local: &str) -> Option<Parts> {
        let rules = &self.settings.rewrite;
        let (local, domain) = unroute_internal(rules, local).filter(|_| self.dequoted(local))?;
        Some((local.to_owned(), Some(complete_text(rules, domain))))
    }

    /// `resolve_dequoted_address`: also look into what has to be quoted.
    fn dequoted(&self, local: &str) -> bool {
        self.settings.dequoted || is_dot_string(local)
    }
}
