//! A disk that remembers what was done to it, and all that a crash may leave of that.
//!
//! The [`Recorder`] does each operation on the real disk and writes it down. [`images`] then gives, for a crash after any
//! number of operations, every state that the disk may show when the machine is back:
//!
//! * data written since the file's last fsync is there, is not, is there in part, or reads as zeros;
//! * name and mode changes since the last fsync are kept up to any point: in one order for the whole file system
//!   ([`Model::Journal`]: ext4, xfs), or in an order for each file by itself ([`Model::PerFile`]: no file's fsync
//!   helps another, as on btrfs).
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a failure here is a failed test

mod image;
mod record;

pub use image::{FileState, Image, Model, images};
pub use record::{Operation, Recorder};

use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};

/// A directory that is removed when dropped, with all queue directories in it.
#[derive(Debug)]
pub struct Directory(PathBuf);

impl Directory {
    /// Makes it.
    ///
    /// # Panics
    /// When the disk refuses.
    #[must_use]
    pub fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("postino-crash-{}-{number}", std::process::id()));
        for queue in [
            "maildrop", "incoming", "active", "deferred", "hold", "corrupt", "defer", "bounce", "trace",
            "flush",
        ] {
            std::fs::create_dir_all(path.join(queue)).expect("queue directory");
        }
        Self(path)
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &std::path::Path {
        &self.0
    }
}

impl Default for Directory {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
