//! Opening one table by its `type:name`.

use std::sync::Arc;

use mail_lookup::{Found, KeyClass, Lookup, LookupError, Owner};

use crate::{Flags, TableContext, combined, indexed, network, patterns, proxy, simple, texthash};

/// Why a table cannot be opened; Display is the reference's text.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct OpenError(pub String);

/// One table.
pub struct Table;

/// The table types, in the order of `postconf -m`.
pub const TYPES: &[&str] = &[
    "btree",
    "cidr",
    "environ",
    "fail",
    "hash",
    "inline",
    "pcre",
    "pipemap",
    "proxy",
    "randmap",
    "regexp",
    "socketmap",
    "static",
    "tcp",
    "texthash",
    "unionmap",
    "unix",
];

/// How deep wrappers (`unionmap:{pipemap:{…}}`) may nest.
const MAX_NESTING: usize = 20;

impl Table {
    /// Opens `type:name` for reading.
    ///
    /// # Errors
    /// The reference's text, as `unsupported dictionary type: x`.
    pub fn open(spec: &str, flags: Flags, cx: &TableContext) -> Result<Arc<dyn Lookup>, OpenError> {
        open_nested(spec, flags, cx, 0)
    }

    /// Opens `type:name`; a failure gives a placeholder with temporary errors (daemons), or ends the program (commands).
    #[must_use]
    pub fn open_or_placeholder(spec: &str, flags: Flags, cx: &TableContext) -> Arc<dyn Lookup> {
        Self::open(spec, flags, cx).unwrap_or_else(|OpenError(reason)| {
            if cx.inner.open_error_is_fatal || !spec.contains(':') {
                os_log::fatal!("{reason}");
            }
            os_log::error!("{reason}");
            Arc::new(Unavailable { name: spec.to_owned(), reason })
        })
    }
}

pub(crate) fn open_nested(
    spec: &str,
    flags: Flags,
    cx: &TableContext,
    depth: usize,
) -> Result<Arc<dyn Lookup>, OpenError> {
    let (kind, name) = split_spec(spec)?;
    if depth > MAX_NESTING {
        return Err(OpenError(format!("open {spec}: tables are nested too deeply")));
    }
    match kind {
        "hash" | "btree" => indexed::open(kind, name, flags),
        "texthash" => texthash::open(name, flags, cx),
        "inline" => simple::inline(name, flags),
        "static" => simple::fixed(name),
        "environ" => Ok(simple::environ(name, flags)),
        "fail" => Ok(simple::fail(name)),
        "unix" => simple::unix(name, flags),
        "regexp" => patterns::regexp(name, flags),
        "pcre" => patterns::pcre(name, flags),
        "cidr" => patterns::cidr(name),
        "pipemap" | "unionmap" => combined::open(kind, name, flags, cx, depth),
        "randmap" => combined::randmap(name),
        "tcp" => network::tcp(name, flags),
        "socketmap" => network::socketmap(name, flags, cx),
        "proxy" if flags.no_proxy || cx.inner.no_proxy => open_nested(name, flags, cx, depth + 1),
        "proxy" => proxy::open(name, flags, cx),
        _ => Err(OpenError(format!("unsupported dictionary type: {kind}"))),
    }
}

/// `type` and `name` of `type:name`.
///
/// # Errors
/// There is no colon, or nothing on one side of it.
pub fn split_spec(spec: &str) -> Result<(&str, &str), OpenError> {
    match spec.split_once(':') {
        Some((kind, name)) if !kind.is_empty() && (!name.is_empty() || kind == "environ") => Ok((kind, name)),
        Some(_) | None => {
            Err(OpenError(format!("open dictionary: expecting \"type:name\" form instead of \"{spec}\"")))
        }
    }
}

/// An operating system error without Rust's ` (os error N)`.
pub(crate) fn reason(error: &std::io::Error) -> String {
    match error.raw_os_error() {
        Some(code) => nix::errno::Errno::from_raw(code).desc().to_owned(),
        None => error.to_string(),
    }
}

/// A table that could not be opened: each access is a temporary error.
struct Unavailable {
    name: String,
    reason: String,
}

impl Lookup for Unavailable {
    fn lookup(&self, _key: &str) -> Found {
        os_log::warning!("{} is unavailable. {}", self.name, self.reason);
        Err(LookupError::Temporary(self.reason.clone()))
    }
    fn class(&self) -> KeyClass {
        KeyClass::Pattern
    }
    fn name(&self) -> &str {
        &self.name
    }
    fn owner(&self) -> Owner {
        Owner::Unknown
    }
}
