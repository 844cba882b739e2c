//! Which names are parameters: the built-in table, what services bring, what other values refer to
//! (`parameter-services.md` §1-§5).

use std::collections::{BTreeMap, BTreeSet};

use host_config::master_cf::{FIELDS, Line};
use host_config::param::{self, Kind};
use host_config::{Config, Suffix};
use mail_text::list;

use crate::options::Classes;

/// All known names, by class.
pub(crate) struct Names {
    /// Generated names with the parameter that gives their default.
    services: BTreeMap<String, &'static str>,
    /// Built-in names that a service has taken over.
    reclassed: BTreeSet<&'static str>,
    /// Names of main.cf that something refers to.
    user: BTreeSet<String>,
    /// Names that something refers to, set or not.
    referenced: BTreeSet<String>,
}

pub(crate) fn is_raw(name: &str) -> bool {
    param::find(name).is_some_and(|row| row.kind == Kind::Raw)
}

impl Names {
    pub(crate) fn collect(config: &Config, lines: &[Line]) -> Self {
        let mut names = Self {
            services: BTreeMap::new(),
            reclassed: BTreeSet::new(),
            user: BTreeSet::new(),
            referenced: BTreeSet::new(),
        };
        names.add_services(lines);
        names.add_references(config);
        names.add_clients(config);
        for name in param::LEGACY {
            names.referenced.insert((*name).to_owned());
        }
        let explicit = config.settings().keys();
        names.user = explicit
            .filter(|name| names.referenced.contains(*name) && !names.is_fixed(name))
            .cloned()
            .collect();
        names
    }

    fn add_services(&mut self, lines: &[Line]) {
        for words in lines.iter().map(|line| &line.words) {
            let (Some(service), Some(command)) = (words.first(), words.get(FIELDS - 1)) else { continue };
            let suffixes = match command.as_str() {
                "local" | "error" | "virtual" | "smtp" | "lmtp" => Suffix::ALL.get(1..),
                "pipe" => Some(Suffix::ALL),
                "spawn" => Suffix::ALL.get(..1),
                _ => None,
            };
            for suffix in suffixes.unwrap_or_default() {
                let name = format!("{service}{}", suffix.text());
                match param::find(&name) {
                    Some(row) => _ = self.reclassed.insert(row.name),
                    None => _ = self.services.insert(name, suffix.base().name),
                }
            }
        }
    }

    fn add_references(&mut self, config: &Config) {
        for (name, value) in config.settings() {
            if !is_raw(name) {
                self.referenced.extend(references(value).map(str::to_owned));
            }
        }
        for row in param::TABLE.iter().filter(|row| row.kind != Kind::Raw) {
            self.referenced.extend(references(row.default).map(str::to_owned));
        }
        if let Ok(classes) = config.str(param::SMTPD_RESTRICTION_CLASSES) {
            self.referenced.extend(list::words(&classes).map(str::to_owned));
        }
    }

    /// Parameters of database clients named in main.cf (`mysql:prefix` and `prefix_user` …).
    fn add_clients(&mut self, config: &Config) {
        for (name, value) in config.settings() {
            if self.is_fixed(name)
                && !is_raw(name)
                && let Ok(value) = config.expand(value)
            {
                clients(&value, 0, &mut self.referenced);
            }
        }
    }

    /// Built-in or generated from master.cf.
    pub(crate) fn is_fixed(&self, name: &str) -> bool {
        param::find(name).is_some() || self.services.contains_key(name)
    }

    pub(crate) fn is_referenced(&self, name: &str) -> bool {
        self.referenced.contains(name)
    }

    /// Whether the name belongs to one of these classes.
    pub(crate) fn is_known(&self, name: &str, classes: Classes) -> bool {
        let taken = self.reclassed.contains(name);
        (classes.builtin && param::find(name).is_some() && !taken)
            || (classes.service && (taken || self.services.contains_key(name)))
            || (classes.user && self.user.contains(name))
    }

    /// The parameter that a generated name takes its default from.
    pub(crate) fn service_default(&self, name: &str) -> Option<&'static str> {
        self.services.get(name).copied()
    }

    /// All names of these classes, sorted. Postino's own are known but not listed.
    pub(crate) fn listed(&self, classes: Classes) -> impl Iterator<Item = &str> {
        let builtin = param::TABLE.iter().filter(|row| !row.is_postino()).map(|row| row.name);
        let all: BTreeSet<&str> = builtin
            .chain(self.services.keys().map(String::as_str))
            .chain(self.user.iter().map(String::as_str))
            .collect();
        all.into_iter().filter(move |name| self.is_known(name, classes))
    }
}

/// The names that `$name`, `${name…}` and `$(name…)` in a text refer to.
pub(crate) fn references(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = text;
    std::iter::from_fn(move || {
        loop {
            let (_, after) = rest.split_once('$')?;
            if let Some(escaped) = after.strip_prefix('$') {
                rest = escaped;
                continue;
            }
            let start = after.strip_prefix(['{', '(']).map_or(after, str::trim_start);
            let end = start.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).unwrap_or(start.len());
            let (name, remainder) = start.split_at(end);
            rest = remainder;
            if !name.is_empty() {
                return Some(name);
            }
        }
    })
}

/// Depth of `{ … }` in which table names are looked for.
const GROUP_DEPTH: usize = 10;

fn clients(value: &str, depth: usize, found: &mut BTreeSet<String>) {
    if depth > GROUP_DEPTH {
        return;
    }
    for word in list::words_with_groups(value) {
        let word = word.trim_start_matches("proxy:").trim_start_matches("debug:");
        if let Some(at) = word.find('{') {
            let inside = word.get(at + 1..).unwrap_or_default();
            clients(inside.strip_suffix('}').unwrap_or(inside), depth + 1, found);
            continue;
        }
        let Some((kind, prefix)) = word.split_once(':') else { continue };
        if prefix.starts_with(['/', '.']) {
            continue;
        }
        for suffix in client_suffixes(kind).split(' ').filter(|suffix| !suffix.is_empty()) {
            found.insert(format!("{prefix}_{suffix}"));
        }
    }
}

/// The parameters of a database client.
fn client_suffixes(kind: &str) -> &'static str {
    match kind {
        "ldap" => {
            "bind bind_dn bind_pw cache cache_expiry cache_size chase_referrals debuglevel dereference domain expansion_limit leaf_result_attribute query_filter recursion_limit result_attribute result_filter result_format sasl_authz_id sasl_mechs sasl_minssf sasl_realm scope search_base server_host server_port size_limit special_result_attribute start_tls terminal_result_attribute timeout tls_ca_cert_dir tls_ca_cert_file tls_cert tls_cipher_suite tls_key tls_random_file tls_require_cert version"
        }
        "memcache" => {
            "backup data_size_limit domain flags key_digest key_format line_size_limit max_try memcache retry_pause timeout ttl"
        }
        "mongodb" => {
            "collection dbname domain expansion_limit projection query_filter result_attribute result_format uri"
        }
        "mysql" => {
            "additional_conditions charset dbname domain expansion_limit hosts idle_interval option_file option_group password query require_result_set result_format retry_interval select_field table tls_CAfile tls_CApath tls_cert_file tls_ciphers tls_key_file tls_verify_cert user where_field"
        }
        "pgsql" => {
            "additional_conditions dbname domain encoding expansion_limit hosts idle_interval password query result_format retry_interval select_field select_function table user where_field"
        }
        "sqlite" => {
            "additional_conditions dbpath domain expansion_limit query result_format select_field table where_field"
        }
        _ => "",
    }
}
