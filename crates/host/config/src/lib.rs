//! main.cf and master.cf: the parameter table, grammar, expansion, typed values.
//!
//! [`Config`] holds what main.cf and `-o` say; values are expanded and checked when asked for, so loading costs one
//! read of the file. Each parameter is named by a constant of [`param`], whose type decides what getter takes it.

mod check;
mod computed;
mod config;
mod environment;
pub mod main_cf;
pub mod master_cf;
pub mod param;
mod service;
mod values;

pub use config::Config;
pub use service::Suffix;

/// Why the configuration cannot be used: the text after `fatal: `.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ConfigError(pub String);

/// The result of reading configuration.
pub type Result<T> = std::result::Result<T, ConfigError>;

/// `Err` with this text.
pub(crate) fn fail<T>(text: impl Into<String>) -> Result<T> {
    Err(ConfigError(text.into()))
}
