//! What tables need from the configuration.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

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
    /// `proxywrite_service_name`.
    pub proxywrite_service: String,
    /// `ipc_timeout`.
    pub ipc_timeout: Duration,
    /// `socketmap_max_reply_size` in bytes.
    pub socketmap_max_reply_size: usize,
}

impl TableContext {
    /// A context without a configuration: UTF-8 on, tables degrade, sockets below `.`.
    #[must_use]
    pub fn bare() -> Self {
        Self {
            inner: Arc::new(Settings {
                utf8: true,
                open_error_is_fatal: false,
                no_proxy: false,
                private_directory: PathBuf::from("private"),
                proxymap_service: "proxymap".into(),
                proxywrite_service: "proxywrite".into(),
                ipc_timeout: Duration::from_secs(3600),
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
