//! Read-only memory maps of table files.

use std::fs::File;
use std::io;

/// A read-only map of a whole file.
#[derive(Debug)]
pub struct Map(memmap2::Mmap);

impl Map {
    /// Maps `file`.
    ///
    /// # Errors
    /// Those of mmap(2).
    pub fn new(file: &File) -> io::Result<Self> {
        // SAFETY: table files are written under another name, or under a lock, and replaced as a whole; the map is
        // private to this process and read as bytes only, so a change underneath gives wrong data at worst, which all
        // readers bound-check.
        Ok(Self(unsafe { memmap2::Mmap::map(file)? }))
    }

    /// The bytes.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }
}
