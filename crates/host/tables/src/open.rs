//! Opening one table by its `type:name`.

use std::sync::Arc;

use mail_lookup::Lookup;

use crate::{Flags, TableContext};

/// Why a table cannot be opened; Display is the reference's text.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct OpenError(pub String);

/// One table.
pub struct Table;

impl Table {
    /// Opens `type:name` for reading.
    ///
    /// # Errors
    /// The reference's text, as `unsupported dictionary type: x`.
    pub fn open(_spec: &str, _flags: Flags, _cx: &TableContext) -> Result<Arc<dyn Lookup>, OpenError> {
        todo!("tables")
    }

    /// Opens `type:name`; a failure gives a placeholder with temporary errors (daemons), or ends the program (commands).
    #[must_use]
    pub fn open_or_placeholder(_spec: &str, _flags: Flags, _cx: &TableContext) -> Arc<dyn Lookup> {
        todo!("tables")
    }
}
