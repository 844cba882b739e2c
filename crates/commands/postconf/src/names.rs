//! Which names exist: built in, brought by services of master.cf, or made valid because values refer to them
//! (`parameter-services.md` §1-§5).

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use host_config::master_cf::{FIELDS, Line};
use host_config::param::{self, Kind};
use host_config::{Config, Suffix};
use mail_text::list;

use crate::clients::{self, Client};
use crate::master::{self, Shown};
use crate::options::Classes;
use crate::{Outcome, expand};

/// All known names, by class.
pub(crate) struct Names {
    /// Generated names with the parameter that gives their default.
    services: BTreeMap<String, &'static str>,
    /// Built-in names that a service has taken over.
    reclassed: BTreeSet<&'static str>,
    /// Names of main.cf that something refers to.
    user: BTreeSet<String>,
    /// Names that main.cf values refer to, and that nobody sets.
    pub(crate) undefined: Vec<String>,
    /// The same of master.cf.
    pub(crate) undefined_in_services: BTreeSet<String>,
    /// The services, in file order.
    pub(crate) entries: Vec<Entry>,
    /// Databases that something names.
    pub(crate) clients: BTreeSet<Client>,
}

/// Names in the `-o` settings of a service.
pub(crate) struct Entry {
    /// The settings, but for those of read-only names.
    pub(crate) settings: BTreeMap<String, String>,
    /// Settings of read-only names.
    pub(crate) read_only: BTreeMap<String, String>,
    /// Those that something refers to.
    known: BTreeSet<String>,
}

impl Entry {
    fn of(words: &[String]) -> Self {
        let (read_only, settings) =
            master::overrides(words).into_iter().partition(|(name, _)| is_read_only(name));
        Self { settings, read_only, known: BTreeSet::new() }
    }
}

/// A name that keeps its own value.
pub(crate) fn is_read_only(name: &str) -> bool {
    matches!(name, "process_id" | "process_name")
}

pub(crate) fn is_raw(name: &str) -> bool {
    param::find(name).is_some_and(|row| row.kind == Kind::Raw)
}

impl Names {
    /// `dir` is for messages about entries of its master.cf that are no entries.
    pub(crate) fn collect(config: &Config, lines: &[Line], dir: &Path) -> Outcome<Self> {
        let path = dir.join("master.cf");
        for line in lines {
            Shown::of(line, &path)?;
        }
        let mut names = Self {
            services: BTreeMap::new(),
            reclassed: BTreeSet::new(),
            user: BTreeSet::new(),
            undefined: Vec::new(),
            undefined_in_services: BTreeSet::new(),
            entries: lines.iter().map(|line| Entry::of(&line.words)).collect(),
            clients: BTreeSet::new(),
        };
        names.add_services(lines);
        names.add_main(config)?;
        for index in 0..names.entries.len() {
            names.add_entry(config, index)?;
        }
        let old = param::LEGACY.iter().filter(|name| config.is_explicit(name));
        names.user.extend(old.map(|name| (*name).to_owned()));
        Ok(names)
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

    /// What values of main.cf, and built-in ones, refer to.
    fn add_main(&mut self, config: &Config) -> Outcome {
        let explicit = config.settings().iter().map(|(name, value)| (name.as_str(), value.as_str(), true));
        let built_in = param::TABLE.iter().map(|row| (row.name, row.default, false));
        let built_in = built_in.filter(|(name, ..)| !config.is_explicit(name));
        for (name, value, is_explicit) in explicit.chain(built_in).filter(|(name, ..)| !is_raw(name)) {
            for wanted in references(value) {
                self.refer(config, wanted, is_explicit);
            }
            if self.is_fixed(name) && (is_explicit || may_be_wrong(value)) {
                let mut found = BTreeSet::new();
                clients::find(&expand(config, value)?, &mut found);
                for wanted in found.iter().flat_map(Client::names) {
                    self.refer(config, &wanted, false);
                }
                self.clients.extend(found);
            }
        }
        let classes = config.str(param::SMTPD_RESTRICTION_CLASSES).map_err(|e| e.to_string())?;
        for class in list::words(&classes) {
            self.refer(config, class, true);
        }
        Ok(())
    }

    /// A reference from main.cf: to a setting there, else to settings of services.
    fn refer(&mut self, config: &Config, wanted: &str, must_exist: bool) {
        if self.is_fixed(wanted) {
            return;
        }
        if config.is_explicit(wanted) {
            self.user.insert(wanted.to_owned());
            return;
        }
        let mut found = false;
        for entry in &mut self.entries {
            if entry.settings.contains_key(wanted) {
                entry.known.insert(wanted.to_owned());
                found = true;
            }
        }
        if !found && must_exist && !is_always_there(wanted) {
            // Once for each time that it is referred to.
            self.undefined.push(wanted.to_owned());
        }
    }

    /// What the settings of a service refer to: settings beside them, else those of main.cf.
    fn add_entry(&mut self, config: &Config, index: usize) -> Outcome {
        let Some(settings) = self.entries.get(index).map(|entry| entry.settings.clone()) else {
            return Ok(());
        };
        let mut scope = config.clone();
        settings.iter().for_each(|(name, value)| scope.set(name, value));
        let mut wanted: Vec<(String, bool)> = Vec::new();
        for (name, value) in settings.iter().filter(|(name, _)| !is_raw(name)) {
            wanted.extend(references(value).map(|name| (name.to_owned(), true)));
            if self.is_fixed(name) {
                let mut found = BTreeSet::new();
                clients::find(&expand(&scope, value)?, &mut found);
                wanted.extend(found.iter().flat_map(Client::names).map(|name| (name, false)));
                self.clients.extend(found);
            }
        }
        if settings.contains_key(param::SMTPD_RESTRICTION_CLASSES.name()) {
            let classes = scope.str(param::SMTPD_RESTRICTION_CLASSES).map_err(|e| e.to_string())?;
            wanted.extend(list::words(&classes).map(|class| (class.to_owned(), true)));
        }
        for (name, must_exist) in wanted {
            if settings.contains_key(&name) {
                self.entries
                    .get_mut(index)
                    .into_iter()
                    .for_each(|entry| _ = entry.known.insert(name.clone()));
            } else if config.is_explicit(&name) && !self.is_fixed(&name) {
                self.user.insert(name);
            } else if must_exist && !self.is_fixed(&name) && !is_always_there(&name) {
                self.undefined_in_services.insert(name);
            }
        }
        Ok(())
    }

    /// Built-in or generated from master.cf.
    pub(crate) fn is_fixed(&self, name: &str) -> bool {
        param::find(name).is_some() || self.services.contains_key(name)
    }

    /// Whether something reads a setting of this name in main.cf.
    pub(crate) fn is_used(&self, name: &str) -> bool {
        self.is_fixed(name) || self.user.contains(name)
    }

    /// Whether something reads a setting of this name of a service.
    pub(crate) fn is_used_in(&self, entry: &Entry, name: &str) -> bool {
        self.is_used(name) || entry.known.contains(name)
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

/// Whether a default can name a table, or fail, because of what main.cf says. Others are not worth their expansion.
fn may_be_wrong(default: &str) -> bool {
    references(default).any(|name| name == param::COMPATIBILITY_LEVEL.name() || param::LEGACY.contains(&name))
}

/// Names that may be referred to without being set.
fn is_always_there(name: &str) -> bool {
    name == "stress" || param::LEGACY.contains(&name)
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
