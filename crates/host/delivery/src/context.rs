//! Settings and services that every delivery agent needs.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use host_config::{Config, ConfigError, param};
use host_daemon::Startup;
use host_spool::Spool;
use host_tables::{Flags, Kind, Maps, MatchList, TableContext};
use proto_ipc::{Dialect, Format};

/// Settings and services of a delivery agent, read once at start-up.
pub struct Context {
    /// The spool, relative to the queue directory, which is the working directory of every daemon.
    pub spool: Spool,
    /// Name in master.cf, as logged by local, virtual and pipe.
    pub service_name: String,
    /// `myhostname`.
    pub myhostname: String,
    /// `mail_name`.
    pub mail_name: String,
    /// `recipient_delimiter`.
    pub recipient_delimiter: String,
    /// Format of internal dialogues (`postino_ipc_dialect`).
    pub format: Format,
    /// Limit for internal dialogues (`ipc_timeout`).
    pub ipc_timeout: Duration,
    /// `soft_bounce`.
    pub soft_bounce: bool,
    /// `delay_logging_resolution_limit`.
    pub delay_resolution: u32,
    /// `X_delivery_status_filter`, with its parameter name.
    pub status_filter: Maps,
    /// Parameter name of the filter, for warnings.
    pub status_filter_name: &'static str,
    /// `address_verify_negative_cache`.
    pub negative_cache: bool,
    pub(crate) fast_flush_domains: MatchList,
    pub(crate) flush_all: bool,
    pub(crate) bounce_service: PathBuf,
    pub(crate) defer_service: PathBuf,
    pub(crate) trace_service: PathBuf,
    pub(crate) verify_service: PathBuf,
    pub(crate) flush_service: PathBuf,
    /// Socket of cleanup, for re-injection.
    pub cleanup_service: PathBuf,
}

impl fmt::Debug for Context {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Context").field("service_name", &self.service_name).finish_non_exhaustive()
    }
}

impl Context {
    /// Reads the configuration; tables are opened here, so before chroot and privilege drop.
    ///
    /// # Errors
    /// [`ConfigError`] for a bad value.
    pub fn new(startup: &Startup, tables: &TableContext, filter: param::Str) -> Result<Self, ConfigError> {
        let config = &startup.config;
        let private = |name: param::Str| -> Result<PathBuf, ConfigError> {
            Ok(PathBuf::from("private").join(config.str(name)?))
        };
        let public = |name: param::Str| -> Result<PathBuf, ConfigError> {
            Ok(PathBuf::from("public").join(config.str(name)?))
        };
        let fast_flush = config.str(param::FAST_FLUSH_DOMAINS)?;
        Ok(Self {
            spool: Spool::open(config)?,
            service_name: startup.service_name.clone(),
            myhostname: config.str(param::MYHOSTNAME)?,
            mail_name: config.str(param::MAIL_NAME)?,
            recipient_delimiter: config.str(param::RECIPIENT_DELIMITER)?,
            format: Format::null(dialect(config)?),
            ipc_timeout: config.time(param::IPC_TIMEOUT)?,
            soft_bounce: config.bool(param::SOFT_BOUNCE)?,
            delay_resolution: u32::try_from(config.int(param::DELAY_LOGGING_RESOLUTION_LIMIT)?).unwrap_or(2),
            status_filter: Maps::open(filter.name(), &config.str(filter)?, Flags::default(), tables),
            status_filter_name: filter.name(),
            negative_cache: config.bool(param::ADDRESS_VERIFY_NEGATIVE_CACHE)?,
            flush_all: fast_flush.trim() == "static:all",
            fast_flush_domains: MatchList::parse(
                param::FAST_FLUSH_DOMAINS.name(),
                &fast_flush,
                Kind::Hosts,
                parent_style(config, param::FAST_FLUSH_DOMAINS.name())?,
                tables,
            ),
            bounce_service: private(param::BOUNCE_SERVICE_NAME)?,
            defer_service: private(param::DEFER_SERVICE_NAME)?,
            trace_service: private(param::TRACE_SERVICE_NAME)?,
            verify_service: private(param::ADDRESS_VERIFY_SERVICE_NAME)?,
            flush_service: public(param::FLUSH_SERVICE_NAME)?,
            cleanup_service: public(param::CLEANUP_SERVICE_NAME)?,
        })
    }
}

/// The dialect of our clients.
fn dialect(config: &Config) -> Result<Dialect, ConfigError> {
    Ok(Dialect::from_name(&config.str(param::POSTINO_IPC_DIALECT)?).unwrap_or_default())
}

/// Whether `parent_domain_matches_subdomains` names this parameter.
fn parent_style(config: &Config, name: &str) -> Result<bool, ConfigError> {
    let list = config.str(param::PARENT_DOMAIN_MATCHES_SUBDOMAINS)?;
    Ok(mail_text::list::words(&list).any(|word| word == name))
}
