//! Berkeley DB 5 hash and btree files, read and written without the C library.
//!
//! A file is a row of pages of equal size; page 0 holds the metadata. Both byte orders are read; the machine's order is
//! written. Everything that is read is bounds-checked: a broken file gives [`Broken`], never a panic or an endless loop.

mod build;
mod build_btree;
mod page;
mod read;

pub(crate) use build::{Identity, Records, hash};
pub(crate) use build_btree::btree;
pub(crate) use read::Database;

/// The two access methods that mail tables use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Method {
    /// Extended linear hashing.
    Hash,
    /// Sorted.
    Btree,
}

/// The file is no Berkeley DB file that this module can read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Broken {
    /// Bad contents.
    #[error("{0}")]
    Format(&'static str),
    /// The file cannot be read.
    #[error("{0}")]
    Io(#[from] std::io::Error),
}

#[cfg(test)]
mod tests;
