//! Read-only memory maps of table files.

use std::fs::File;
use std::io;

/// A read-only map of a whole file.
pub struct Map(#[allow(dead_code)] memmap2::Mmap);

impl Map {
    /// Maps `file`.
    ///
    /// # Errors
    /// Those of mmap(2).
    pub fn new(_file: &File) -> io::Result<Self> {
        todo!("os")
    }

    /// The bytes.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }
}
