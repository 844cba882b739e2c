//! Which tables may be asked for: those that `proxy_read_maps` (`proxy_write_maps`) has with `proxy:` before them.

use std::collections::BTreeSet;

use host_config::param::{self, Str};
use host_config::{Config, ConfigError};
use mail_text::list;

/// How deep lists may nest.
const DEPTH_LIMIT: usize = 20;

/// The approved tables, without `proxy:`.
#[derive(Debug, Default)]
pub(crate) struct Approved {
    tables: BTreeSet<String>,
    parameter: &'static str,
}

impl Approved {
    /// Reads the parameter.
    ///
    /// # Errors
    /// A value that cannot be expanded.
    pub(crate) fn new(config: &Config, parameter: Str) -> Result<Self, ConfigError> {
        let mut approved = Self { tables: BTreeSet::new(), parameter: parameter.name() };
        approved.add_list(&config.str(parameter)?, 0);
        let classes = config.str(param::SMTPD_RESTRICTION_CLASSES)?;
        for class in list::words(&classes) {
            if let Some(value) = config.user_value(class)? {
                approved.add_list(&value, 0);
            }
        }
        Ok(approved)
    }

    pub(crate) fn contains(&self, table: &str) -> bool {
        self.tables.contains(table)
    }

    fn add_list(&mut self, value: &str, depth: usize) {
        if depth > DEPTH_LIMIT {
            return;
        }
        for word in list::words_with_groups(value) {
            if word.starts_with('{') {
                self.add_group(word, depth);
            } else if word.starts_with('/') {
                self.add_file(word, depth);
            } else {
                self.add_table(word, depth);
            }
        }
    }

    fn add_group(&mut self, group: &str, depth: usize) {
        match list::braced(group) {
            Ok(inside) => self.add_list(inside, depth + 1),
            Err(error) => os_log::warning!("bad syntax in {} content: {}", self.parameter, error.0),
        }
    }

    fn add_file(&mut self, path: &str, depth: usize) {
        match std::fs::read_to_string(path) {
            Ok(text) => {
                for line in text.lines().filter(|line| !line.starts_with('#')) {
                    self.add_list(line, depth + 1);
                }
            }
            Err(error) => os_log::warning!("open {path}: {}", os_sys::error_text(&error)),
        }
    }

    fn add_table(&mut self, word: &str, depth: usize) {
        let mut table = word.trim_start_matches('!');
        let is_approved = table.starts_with("proxy:");
        while let Some(inner) = table.strip_prefix("proxy:") {
            table = inner;
        }
        if is_approved {
            self.tables.insert(table.to_owned());
        }
        for wrapper in ["pipemap:", "unionmap:"] {
            if let Some(members) = table.strip_prefix(wrapper) {
                self.add_group(members, depth);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_with_proxy_are_approved_wherever_they_stand() {
        let mut approved = Approved::default();
        approved.add_list(
            "hash:/a, !proxy:hash:/b check_x proxy:unix:passwd.byname {check_y, proxy:proxy:cidr:/c} \
             unionmap:{proxy:hash:/d, hash:/e}",
            0,
        );
        let found: Vec<_> = approved.tables.iter().map(String::as_str).collect();
        assert_eq!(found, ["cidr:/c", "hash:/b", "hash:/d", "unix:passwd.byname"]);
        assert!(!approved.contains("hash:/a"));
    }
}
