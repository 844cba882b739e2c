//! What tables need from the configuration.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use host_config::{Config, ConfigError, param};

/// What tables need from the configuration. Cheap to clone.
#[derive(Clone, Debug)]
pub struct TableContext {
    pub(crate) inner: Arc<Settings>,
}

#[derive(Clone, Debug)]
pub(crate) struct Settings {
    /// `smtputf8_enable`.
    pub utf8: bool,
    /// A table that cannot be opened ends the program (commands; `daemon_table_open_error_is_fatal`).
    pub open_error_is_fatal: bool,
    /// `proxy:` tables are opened in this process (the proxymap daemon itself).
    pub no_proxy: bool,
    /// The `private` directory of the queue.
    pub private_directory: PathBuf,
    /// `proxymap_service_name`.
    pub proxymap_service: String,
    /// `ipc_timeout`.
    pub ipc_timeout: Duration,
    /// What our clients speak (`postino_ipc_dialect`).
    pub dialect: proto_ipc::Dialect,
    /// `socketmap_max_reply_size` in bytes.
    pub socketmap_max_reply_size: usize,
}

impl TableContext {
    /// The context of a daemon.
    ///
    /// # Errors
    /// A parameter has a bad value.
    pub fn new(config: &Config) -> Result<Self, ConfigError> {
        let dialect = config.user_value("postino_ipc_dialect")?.unwrap_or_default();
        Ok(Self {
            inner: Arc::new(Settings {
                utf8: config.bool(param::SMTPUTF8_ENABLE)?,
                open_error_is_fatal: config.bool(param::DAEMON_TABLE_OPEN_ERROR_IS_FATAL)?,
                no_proxy: false,
                private_directory: config.queue_directory()?.join("private"),
                proxymap_service: config.str(param::PROXYMAP_SERVICE_NAME)?,
                ipc_timeout: config.time(param::IPC_TIMEOUT)?,
                dialect: proto_ipc::Dialect::from_name(&dialect).unwrap_or_default(),
                socketmap_max_reply_size: usize::try_from(config.int(param::SOCKETMAP_MAX_REPLY_SIZE)?)
                    .unwrap_or(100_000),
            }),
        })
    }

    /// A context without a configuration: UTF-8 on, tables degrade, sockets below `private`.
    #[must_use]
    pub fn bare() -> Self {
        Self {
            inner: Arc::new(Settings {
                utf8: true,
                open_error_is_fatal: false,
                no_proxy: false,
                private_directory: PathBuf::from("private"),
                proxymap_service: "proxymap".into(),
                ipc_timeout: Duration::from_secs(3600),
                dialect: proto_ipc::Dialect::default(),
                socketmap_max_reply_size: 100_000,
            }),
        }
    }

    /// The same for a command: a table that cannot be opened is fatal.
    #[must_use]
    pub fn for_command(mut self) -> Self {
        Arc::make_mut(&mut self.inner).open_error_is_fatal = true;
        self
    }

    /// The same with `proxy:` tables opened in-process (inside proxymap).
    #[must_use]
    pub fn without_proxy(mut self) -> Self {
        Arc::make_mut(&mut self.inner).no_proxy = true;
        self
    }

    /// The same with UTF-8 handling on or off (`postmap -u`, `-U`).
    #[must_use]
    pub fn with_utf8(mut self, utf8: bool) -> Self {
        Arc::make_mut(&mut self.inner).utf8 = utf8;
        self
    }
}
