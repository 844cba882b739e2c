//! The loaded configuration.

use std::borrow::Cow;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use mail_text::expand::{self, Options, Scope};
use mail_text::logical::split_name_value;

use crate::main_cf::{self, Settings};
use crate::{ConfigError, Result, computed, fail, param};

/// Where the configuration is unless `MAIL_CONFIG` or `-c` say otherwise.
pub const DEFAULT_DIRECTORY: &str = "/etc/postfix";

/// main.cf with overrides on top and defaults below.
#[derive(Clone, Debug)]
pub struct Config {
    dir: PathBuf,
    settings: Settings,
    ignored: Settings,
    process_name: String,
    pub(crate) host: OnceLock<computed::Host>,
    networks: OnceLock<String>,
}

/// Names that keep their own value whatever main.cf says.
const READ_ONLY: &[&str] = &["process_id", "process_name", "postino_version"];

impl Config {
    /// Reads `dir/main.cf`.
    ///
    /// # Errors
    /// Unreadable file or bad line; see [`main_cf::read`].
    pub fn load(dir: &Path) -> Result<Self> {
        let directory = ("config_directory".to_owned(), dir.display().to_string());
        Ok(Self::with_settings(dir, main_cf::read_over([directory].into(), &dir.join("main.cf"))?))
    }

    /// A configuration of these settings, with no file behind it.
    #[must_use]
    pub fn with_settings(dir: &Path, mut settings: Settings) -> Self {
        let mut ignored = Settings::new();
        for name in READ_ONLY {
            ignored.extend(settings.remove_entry(*name));
        }
        Self {
            dir: dir.to_owned(),
            settings,
            ignored,
            process_name: own_name(),
            host: OnceLock::new(),
            networks: OnceLock::new(),
        }
    }

    /// The directory that `MAIL_CONFIG` names, else `/etc/postfix`.
    #[must_use]
    pub fn directory_from_environment() -> PathBuf {
        std::env::var_os("MAIL_CONFIG")
            .filter(|dir| !dir.is_empty())
            .map_or_else(|| PathBuf::from(DEFAULT_DIRECTORY), PathBuf::from)
    }

    /// [`Config::load`] of [`Config::directory_from_environment`]. A program that runs with more privilege than its caller
    /// has (set-gid) obeys only directories that the default main.cf lists.
    ///
    /// # Errors
    /// As [`Config::load`]; an unauthorized directory.
    pub fn from_environment() -> Result<Self> {
        Self::from_directory(&Self::directory_from_environment())
    }

    /// [`Config::load`] with the same rule about privileges, for `-c`.
    ///
    /// # Errors
    /// As [`Config::from_environment`].
    pub fn from_directory(dir: &Path) -> Result<Self> {
        if dir != Path::new(DEFAULT_DIRECTORY) && is_privileged_for_its_caller() {
            authorize(dir)?;
        }
        Self::load(dir)
    }

    /// The configuration directory.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// `-o name=value`.
    ///
    /// # Errors
    /// The reference's fatal text of daemons for a missing name or `=`.
    pub fn set_override(&mut self, text: &str) -> Result<()> {
        match split_name_value(text) {
            Ok((name, value)) => {
                self.set(name, value);
                Ok(())
            }
            Err(reason) => {
                let reason = reason.split(": \"").next().unwrap_or_default();
                fail(format!("invalid \"-o {text}\" option value: {reason}"))
            }
        }
    }

    /// Sets a value as an override does.
    pub fn set(&mut self, name: &str, value: &str) {
        if READ_ONLY.contains(&name) {
            return;
        }
        self.settings.insert(name.to_owned(), value.to_owned());
        self.host = OnceLock::new();
        self.networks = OnceLock::new();
    }

    /// `$process_name`, which is the program file's name until set.
    pub fn set_process_name(&mut self, name: &str) {
        name.clone_into(&mut self.process_name);
    }

    /// Whether main.cf or an override gives `name` a value, be it empty.
    #[must_use]
    pub fn is_explicit(&self, name: &str) -> bool {
        self.settings.contains_key(name)
    }

    /// The explicit settings, unexpanded, by name.
    #[must_use]
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Settings of names that keep their own value.
    #[must_use]
    pub fn ignored(&self) -> &Settings {
        &self.ignored
    }

    /// The built-in default of a name, unexpanded; computed ones (`myhostname` …) with their value here and now.
    ///
    /// # Errors
    /// When a default must be computed from other parameters and these are wrong.
    pub fn default_text(&self, name: &str) -> Result<Option<Cow<'_, str>>> {
        Ok(match name {
            "myhostname" => Some(Cow::Borrowed(self.host()?.name.as_str())),
            "mydomain" => Some(Cow::Borrowed(self.host()?.domain.as_str())),
            "mynetworks" => Some(Cow::Borrowed(self.networks()?)),
            "process_id" => Some(Cow::Owned(std::process::id().to_string())),
            "process_name" => Some(Cow::Borrowed(self.process_name.as_str())),
            _ => param::find(name).map(|row| Cow::Borrowed(row.default)),
        })
    }

    /// The value of a name before expansion: explicit or default.
    ///
    /// # Errors
    /// As [`Config::default_text`].
    pub fn text(&self, name: &str) -> Result<Option<Cow<'_, str>>> {
        match self.settings.get(name) {
            Some(value) => Ok(Some(Cow::Borrowed(value))),
            None => self.default_text(name),
        }
    }

    /// Expands `$name` in a text.
    ///
    /// # Errors
    /// Syntax errors and endless nesting: the reason is logged as a warning, the error is the reference's fatal text.
    pub fn expand(&self, text: &str) -> Result<String> {
        if !text.contains('$') {
            return Ok(text.to_owned());
        }
        let options = Options { recursive: true, allowed: None };
        expand::expand(text, options, self).map_err(|reason| {
            os_log::warning!("{reason}");
            ConfigError("dictionary mail_dict: macro processing error".to_owned())
        })
    }

    /// A user-defined name (restriction class, database client parameter): its explicit value, expanded.
    ///
    /// # Errors
    /// As [`Config::expand`].
    pub fn user_value(&self, name: &str) -> Result<Option<String>> {
        self.settings.get(name).map(|value| self.expand(value)).transpose()
    }

    /// The same settings while the default of `name` is being made: as in the reference, it is empty until then, and what
    /// refers to it comes to an end.
    pub(crate) fn without_default(&self, name: &str) -> Self {
        let mut settings = self.settings().clone();
        settings.entry(name.to_owned()).or_default();
        let mut other = Self::with_settings(self.dir(), settings);
        other.process_name.clone_from(&self.process_name);
        other
    }

    fn networks(&self) -> Result<&str> {
        if let Some(known) = self.networks.get() {
            return Ok(known);
        }
        let found = computed::networks(&self.without_default("mynetworks"))?;
        Ok(self.networks.get_or_init(|| found))
    }
}

impl Scope for Config {
    fn value(&self, name: &str) -> Option<Cow<'_, str>> {
        match self.text(name) {
            Ok(value) => value,
            Err(reason) => os_log::fatal!("{reason}"),
        }
    }

    fn function(&self, name: &str, argument: &str) -> Option<std::result::Result<String, String>> {
        let converted = match name {
            "domain_to_ascii" if argument.is_ascii() && !argument.is_empty() => Ok(argument.to_owned()),
            "domain_to_utf8" if !argument.is_ascii() => Ok(argument.to_owned()),
            "domain_to_ascii" => idna::domain_to_ascii(argument).map_err(|_| "ASCII"),
            "domain_to_utf8" => {
                let (text, result) = idna::domain_to_unicode(argument);
                result.map(|()| text).map_err(|_| "UTF-8")
            }
            _ => return None,
        };
        let converted = converted.and_then(|text| if text.is_empty() { Err("ASCII") } else { Ok(text) });
        Some(converted.map_err(|form| {
            os_log::warning!("Problem translating domain \"{argument}\" to {form} form");
            format!("bad domain argument in: '{name}{{{argument}}}'")
        }))
    }
}

fn own_name() -> String {
    let path = std::env::args_os().next().unwrap_or_default();
    Path::new(&path).file_name().unwrap_or_default().to_string_lossy().into_owned()
}

fn is_privileged_for_its_caller() -> bool {
    use nix::unistd::{getegid, geteuid, getgid, getuid};
    // The superuser is trusted, set-gid program or not.
    let is_root = getuid().is_root() && geteuid().is_root();
    !is_root && (getuid() != geteuid() || getgid() != getegid())
}

fn authorize(dir: &Path) -> Result<()> {
    let default = Config::load(Path::new(DEFAULT_DIRECTORY))?;
    let wanted = dir.display().to_string();
    for name in ["alternate_config_directories", "multi_instance_directories"] {
        let listed = default.settings.get(name).map_or("", String::as_str);
        if mail_text::list::words(listed).any(|word| word == wanted) {
            return Ok(());
        }
    }
    os_log::error!("unauthorized configuration directory name: {wanted}");
    fail(format!(
        "specify \"alternate_config_directories = {wanted}\" or \"multi_instance_directories = {wanted}\" in {DEFAULT_DIRECTORY}/main.cf"
    ))
}
