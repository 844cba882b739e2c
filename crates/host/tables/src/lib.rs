//! Lookup tables: every table type behind [`mail_lookup::Lookup`], lists of tables ([`Maps`]) and match lists
//! ([`MatchList`]).
//!
//! Tables never panic on what is in a file or comes over a socket: a broken table is a [`mail_lookup::LookupError`].

mod authorized;
mod bdb;
mod combined;
mod context;
mod indexed;
mod local;
mod maps;
mod match_list;
mod network;
mod network_pattern;
mod open;
mod patterns;
mod proxy;
mod replace;
mod simple;
pub mod source;
pub mod store;
mod texthash;

pub use authorized::authorize;
pub use context::TableContext;
pub use local::asks_no_server;
pub use maps::Maps;
pub use match_list::{Kind, MatchList};
pub use open::{OpenError, TYPES, Table, split_spec};

/// How a table is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Flags {
    /// Keys of fixed tables are lower-cased (the default; `postmap -f` turns it off).
    pub fold: bool,
    /// Pattern tables may not substitute `$1`.
    pub no_regsub: bool,
    /// `proxy:` is dropped and the table is opened in this process.
    pub no_proxy: bool,
    /// Security sensitive: `no_regsub`, `no_proxy`, and no table without authentication.
    pub paranoid: bool,
}

impl Default for Flags {
    fn default() -> Self {
        Self { fold: true, no_regsub: false, no_proxy: false, paranoid: false }
    }
}

impl Flags {
    /// Security sensitive data: alias_maps, virtual_mailbox_maps, …
    pub const PARANOID: Self = Self { fold: true, no_regsub: true, no_proxy: true, paranoid: true };
    /// No `$1` substitution: transport_maps, sender-dependent maps, …
    pub const NO_REGSUB: Self = Self { fold: true, no_regsub: true, no_proxy: false, paranoid: false };
}
