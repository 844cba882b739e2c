//! Match lists: mydestination, relay_domains, mynetworks, debug_peer_list, …

use std::net::IpAddr;
use std::sync::Arc;

use mail_lookup::{KeyClass, Lookup, LookupError};
use mail_text::{list, logical};

use crate::network_pattern::Pattern;
use crate::open::reason;
use crate::{Flags, Table, TableContext};

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

enum Test {
    /// Folded text.
    Text(String),
    Network(Pattern),
    Table(Arc<dyn Lookup>),
    /// A file that cannot be read: the name for messages, and why. Each use is an error.
    Missing(String, String),
    /// An address pattern that is none: each use for an address (an IPv6 one, if true) is an error with this text.
    Broken(bool, String),
}

struct Element {
    negated: bool,
    test: Test,
}

/// A match list (`postconf(5) mydestination`): the first element that matches decides.
pub struct MatchList {
    title: String,
    kind: Kind,
    parent_style: bool,
    elements: Vec<Element>,
}

/// How deep `/file` elements may include others.
const MAX_FILES: usize = 20;

impl MatchList {
    /// Parses `value` (expanded). `parent_style`: a bare `domain` also matches its sub-domains
    /// (`parent_domain_matches_subdomains` lists this parameter).
    #[must_use]
    pub fn parse(title: &str, value: &str, kind: Kind, parent_style: bool, cx: &TableContext) -> Self {
        let mut list = Self { title: title.to_owned(), kind, parent_style, elements: Vec::new() };
        list.add_all(value, false, cx, 0);
        list
    }

    fn add_all(&mut self, value: &str, negated: bool, cx: &TableContext, depth: usize) {
        for (index, word) in list::words_with_groups(value).into_iter().enumerate() {
            if index > 0 && word.starts_with('#') {
                let rest = value.get(word.as_ptr() as usize - value.as_ptr() as usize..).unwrap_or(word);
                let shown: String = rest.chars().take(word.chars().count() + 20).collect();
                os_log::warning!("{}: #comment after other text is not allowed: {shown}...", self.title);
                break;
            }
            self.add(word, negated, cx, depth);
        }
    }

    fn add(&mut self, word: &str, mut negated: bool, cx: &TableContext, depth: usize) {
        let mut text = word;
        while let Some(rest) = text.strip_prefix('!') {
            negated = !negated;
            text = rest;
        }
        if text.is_empty() {
            os_log::fatal!("{}: no pattern after '!'", self.title);
        }
        let test = if text.starts_with('/') {
            match read_file(text, depth) {
                Ok(lines) => {
                    for line in lines {
                        self.add_all(&line, negated, cx, depth + 1);
                    }
                    return;
                }
                Err(error) if cx.inner.open_error_is_fatal => os_log::fatal!("{error}"),
                Err(error) => {
                    os_log::error!("{error}");
                    Test::Missing(format!("non-existent:{text}"), error.to_string())
                }
            }
        } else if text.contains(':') && !text.starts_with('[') {
            Test::Table(Table::open_or_placeholder(text, Flags::default(), cx))
        } else if self.kind == Kind::Addresses && looks_like_network(text) {
            match Pattern::parse(text) {
                Ok(pattern) => Test::Network(pattern),
                // A pattern in brackets is looked at for IPv6 clients only.
                Err(error) => Test::Broken(text.starts_with('['), format!("{}: {error}", self.title)),
            }
        } else {
            Test::Text(mail_address::fold(text))
        };
        self.elements.push(Element { negated, test });
    }

    /// Whether a string (or a domain name) is listed.
    ///
    /// # Errors
    /// A table of the list could not tell; a warning has been logged.
    pub fn matches_string(&self, text: &str) -> Result<bool, LookupError> {
        let text = mail_address::fold(text);
        self.first_match(|test| match self.kind {
            Kind::Strings => self.test_exact(test, &text),
            Kind::Hosts => self.test_name(test, &text),
            Kind::Addresses => match text.parse() {
                Ok(address) => self.test_address(test, address),
                Err(_) => self.test_name(test, &text),
            },
        })
    }

    /// Whether a host is listed by its name or its address.
    ///
    /// # Errors
    /// As [`Self::matches_string`].
    pub fn matches_host(&self, name: &str, address: Option<IpAddr>) -> Result<bool, LookupError> {
        let name = mail_address::fold(name);
        self.first_match(|test| {
            if !name.is_empty() && self.test_name(test, &name)? {
                return Ok(true);
            }
            address.map_or(Ok(false), |address| self.test_address(test, address))
        })
    }

    fn first_match(&self, matches: impl Fn(&Test) -> Result<bool, LookupError>) -> Result<bool, LookupError> {
        for element in &self.elements {
            if matches(&element.test)? {
                return Ok(!element.negated);
            }
        }
        Ok(false)
    }

    fn test_exact(&self, test: &Test, text: &str) -> Result<bool, LookupError> {
        match test {
            Test::Text(own) => Ok(own == text),
            Test::Network(_) => Ok(false),
            Test::Table(table) => self.has(table, text),
            Test::Missing(name, why) => Err(self.missing(name, why)),
            Test::Broken(..) => Ok(false),
        }
    }

    /// The name itself, then its parents, as `parent` or `.parent`.
    fn test_name(&self, test: &Test, name: &str) -> Result<bool, LookupError> {
        if self.test_exact(test, name)? {
            return Ok(true);
        }
        if let Test::Table(table) = test
            && table.class() == KeyClass::Pattern
        {
            return Ok(false);
        }
        let mut rest = name;
        while let Some(dot) = rest.find('.').filter(|dot| dot + 1 < rest.len()) {
            let parent = if self.parent_style { rest.get(dot + 1..) } else { rest.get(dot..) };
            if self.test_exact(test, parent.unwrap_or_default())? {
                return Ok(true);
            }
            rest = rest.get(dot + 1..).unwrap_or_default();
        }
        Ok(false)
    }

    fn test_address(&self, test: &Test, address: IpAddr) -> Result<bool, LookupError> {
        match test {
            Test::Text(_) => Ok(false),
            Test::Network(pattern) => Ok(pattern.matches(address)),
            Test::Table(table) => self.has(table, &address.to_string()),
            Test::Missing(name, why) => Err(self.missing(name, why)),
            Test::Broken(true, _) if address.is_ipv4() => Ok(false),
            Test::Broken(_, error) => Err(broken(error)),
        }
    }

    fn missing(&self, name: &str, why: &str) -> LookupError {
        let error = broken(&format!("{name} is unavailable. {why}"));
        os_log::warning!("{}: {name}: table lookup problem", self.title);
        error
    }

    fn has(&self, table: &Arc<dyn Lookup>, key: &str) -> Result<bool, LookupError> {
        match table.lookup(key) {
            Ok(found) => Ok(found.is_some()),
            Err(error) => {
                os_log::warning!("{}: {}: table lookup problem", self.title, table.name());
                Err(error)
            }
        }
    }

    /// The list has no element.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.elements.is_empty()
    }

    /// The first table of the list whose source has changed since it was opened.
    #[must_use]
    pub fn changed(&self) -> Option<String> {
        self.elements.iter().find_map(|element| match &element.test {
            Test::Table(table) if table.changed() => Some(table.name().to_owned()),
            Test::Table(_) | Test::Text(_) | Test::Network(_) | Test::Missing(..) | Test::Broken(..) => None,
        })
    }
}

fn broken(text: &str) -> LookupError {
    os_log::warning!("{text}");
    LookupError::Temporary(text.to_owned())
}

/// An address, a network, or anything that can only be meant as one.
fn looks_like_network(text: &str) -> bool {
    let is_v4 = text.bytes().all(|b| b.is_ascii_digit() || b == b'.' || b == b'/');
    text.starts_with('[') || (is_v4 && text.contains('/')) || text.parse::<IpAddr>().is_ok()
}

fn read_file(path: &str, depth: usize) -> Result<Vec<String>, String> {
    if depth >= MAX_FILES {
        return Err(format!("open file {path}: files are nested too deeply"));
    }
    let bytes = std::fs::read(path).map_err(|e| format!("open file {path}: {}", reason(&e)))?;
    let text = String::from_utf8_lossy(&bytes);
    Ok(logical::logical_lines(&text)
        .map(|item| match item {
            logical::Item::Line(line) => line.text,
            logical::Item::Stray(text) => text,
        })
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(value: &str, kind: Kind, parent: bool) -> MatchList {
        MatchList::parse("title", value, kind, parent, &TableContext::bare())
    }

    #[test]
    fn names_match_themselves_and_sub_domains_by_style() {
        for (value, parent, name, want) in [
            ("a.b", true, "a.b", true),
            ("a.b", true, "x.a.B", true),
            ("a.b", false, "x.a.b", false),
            (".a.b", false, "x.a.b", true),
            (".a.b", false, "a.b", false),
            ("!x.a.b, a.b", true, "x.a.b", false),
            ("!x.a.b, a.b", true, "y.a.b", true),
            ("inline:{a.b=x}", true, "c.a.b", true),
            ("", true, "a.b", false),
        ] {
            assert_eq!(list(value, Kind::Hosts, parent).matches_string(name), Ok(want), "{value} {name}");
        }
    }

    #[test]
    fn addresses_match_networks_and_an_error_is_no_answer() {
        let address = |text: &str| text.parse().ok();
        let networks = list("127.0.0.0/8 [::1]/128 !10.0.0.1 10.0.0.0/8 host.example", Kind::Addresses, true);
        for (name, ip, want) in [
            ("unknown", "127.0.0.1", true),
            ("unknown", "::1", true),
            ("unknown", "10.0.0.1", false),
            ("unknown", "10.0.0.2", true),
            ("a.host.example", "192.0.2.1", true),
            ("unknown", "192.0.2.1", false),
        ] {
            assert_eq!(networks.matches_host(name, address(ip)), Ok(want), "{name} {ip}");
        }
        assert!(list("fail:x", Kind::Addresses, true).matches_host("h", address("1.2.3.4")).is_err());
        assert!(list("1.2.3.4/8", Kind::Addresses, true).matches_host("h", address("1.2.3.4")).is_err());
    }
}
