//! Environments of child processes: `import_environment`, `export_environment` (`master.md` §5).

use std::ffi::{OsStr, OsString};

use mail_text::list;

use crate::param::Str;
use crate::{Config, ConfigError, Result, fail};

impl Config {
    /// The part of this process's environment that the list parameter lets through, and what it sets.
    ///
    /// # Errors
    /// `import_environment: missing '}' in "…"`; `clean_env: missing attribute name in: =x`.
    pub fn environment(&self, parameter: Str) -> Result<Vec<(OsString, OsString)>> {
        self.environment_from(parameter, |name| std::env::var_os(name))
    }

    fn environment_from(
        &self,
        parameter: Str,
        outside: impl Fn(&str) -> Option<OsString>,
    ) -> Result<Vec<(OsString, OsString)>> {
        let value = self.str(parameter)?;
        let mut found: Vec<(OsString, OsString)> = Vec::new();
        for word in list::words_with_groups(&value) {
            let setting = if word.starts_with('{') {
                let inside = list::braced(word);
                inside.map_err(|error| ConfigError(format!("{}: {}", parameter.name(), error.0)))?
            } else {
                word
            };
            let (name, value) = match setting.split_once('=') {
                Some((name, value)) => (name.trim(), Some(OsString::from(value.trim()))),
                None => (setting, outside(setting)),
            };
            if name.is_empty() {
                return fail(format!("clean_env: missing attribute name in: {setting}"));
            }
            found.retain(|(other, _)| other != OsStr::new(name));
            found.extend(value.map(|value| (OsString::from(name), value)));
        }
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::param;

    #[test]
    fn names_are_let_through_and_settings_set() {
        let mut config =
            Config::with_settings(std::path::Path::new("/c"), crate::main_cf::Settings::default());
        config.set("import_environment", "TZ, HOME {A = b c} LANG=C");
        let outside = |name: &str| (name == "TZ").then(|| OsString::from("UTC"));
        let found = config.environment_from(param::IMPORT_ENVIRONMENT, outside).unwrap();
        let pairs: Vec<_> = found.iter().map(|(n, v)| (n.to_str().unwrap(), v.to_str().unwrap())).collect();
        assert_eq!(pairs, [("TZ", "UTC"), ("A", "b c"), ("LANG", "C")]);
        config.set("import_environment", "{A=b");
        assert!(config.environment_from(param::IMPORT_ENVIRONMENT, outside).is_err());
    }
}
