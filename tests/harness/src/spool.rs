//! What is in the spool, seen from outside.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

/// The queues that hold messages.
pub const QUEUES: [&str; 6] = ["maildrop", "incoming", "active", "deferred", "hold", "corrupt"];

/// The files of one queue, at any hash depth, sorted.
pub(crate) fn files(queue: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut todo = vec![queue.to_owned()];
    while let Some(dir) = todo.pop() {
        let Ok(entries) = std::fs::read_dir(&dir) else { continue };
        for entry in entries.flatten() {
            match entry.file_type() {
                Ok(kind) if kind.is_dir() => todo.push(entry.path()),
                Ok(_) => found.push(entry.path()),
                Err(_) => {} // moved on while we looked
            }
        }
    }
    found.sort();
    found
}

/// Whether a queue file is complete (owner bits rwx).
pub(crate) fn ready(path: &Path) -> bool {
    std::fs::metadata(path).is_ok_and(|meta| meta.permissions().mode() & 0o700 == 0o700)
}
