//! `fast_flush_domains`.

use host_config::{Config, param};
use host_daemon::Error;
use host_tables::{Kind, MatchList, TableContext};
use mail_lookup::LookupError;

/// The destinations that have a log.
pub struct Domains {
    list: MatchList,
}

impl Domains {
    pub fn new(config: &Config) -> Result<Self, Error> {
        let name = "fast_flush_domains";
        let parents = config.str(param::PARENT_DOMAIN_MATCHES_SUBDOMAINS)?;
        let parent_style = mail_text::list::words(&parents).any(|word| word.eq_ignore_ascii_case(name));
        let value = config.str(param::FAST_FLUSH_DOMAINS)?;
        let list = MatchList::parse(name, &value, Kind::Hosts, parent_style, &TableContext::new(config)?);
        Ok(Self { list })
    }

    /// The ASCII form of a listed domain; `None`: not listed. A leading `@` (queue requests by domain) is dropped.
    pub fn ascii_if_listed(&self, site: &str) -> Result<Option<String>, LookupError> {
        let site = site.strip_prefix('@').unwrap_or(site);
        if site.is_empty() {
            return Ok(None);
        }
        let ascii = if site.is_ascii() {
            site.to_owned()
        } else {
            idna::domain_to_ascii(site).unwrap_or_else(|_| site.to_owned())
        };
        let ascii = ascii.to_ascii_lowercase();
        Ok(self.list.matches_string(&ascii)?.then_some(ascii))
    }

    /// A table of the list that has changed.
    pub fn changed(&self) -> Option<String> {
        self.list.changed()
    }
}
