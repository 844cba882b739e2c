//! Incremental listing of a queue: nothing is sorted or kept, so that a queue of a million files costs no memory.

use std::ffi::OsString;
use std::fs::ReadDir;
use std::io;
use std::path::PathBuf;

use mail_record::QueueId;

/// Deepest nesting of hash directories that is followed (`hash_queue_depth` is at most 16).
const MAX_DEPTH: usize = 17;

/// A file whose name is a queue ID.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// Its name.
    pub id: QueueId,
    /// Where it is (not necessarily where it should be: hashing may have been changed since).
    pub path: PathBuf,
}

/// The files of a queue. Items: the next file, or a directory that cannot be read.
#[derive(Debug)]
pub struct Scan(Walk);

impl Scan {
    pub(crate) fn new(walk: Walk) -> Self {
        Self(walk)
    }
}

impl Iterator for Scan {
    type Item = io::Result<Found>;

    fn next(&mut self) -> Option<Self::Item> {
        for entry in self.0.by_ref() {
            let entry = match entry {
                Ok(entry) => entry,
                Err(error) => return Some(Err(error)),
            };
            if let Some(id) = entry.name.to_str().and_then(|name| QueueId::parse(name).ok()) {
                return Some(Ok(Found { id, path: entry.path }));
            }
        }
        None
    }
}

/// Anything in a directory of the spool.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WalkEntry {
    /// Its name.
    pub name: OsString,
    /// Its path.
    pub path: PathBuf,
    /// Number of hash directories that it stands in.
    pub depth: usize,
    /// Whether this is a hash directory, given *after* its content.
    pub hash_directory: bool,
}

/// Everything in a directory, hash directories (one-character names) descended into when they are met.
/// A missing hash directory is an empty one; other failures are items.
#[derive(Debug)]
pub struct Walk {
    start: Option<PathBuf>,
    stack: Vec<(ReadDir, PathBuf)>,
}

impl Walk {
    pub(crate) fn new(directory: PathBuf) -> Self {
        Self { start: Some(directory), stack: Vec::new() }
    }

    fn enter(&mut self, path: PathBuf) -> io::Result<()> {
        self.stack.push((std::fs::read_dir(&path)?, path));
        Ok(())
    }

    fn leave(&mut self) -> Option<WalkEntry> {
        let (_, path) = self.stack.pop()?;
        let depth = self.stack.len().checked_sub(1)?;
        let name = path.file_name()?.to_owned();
        Some(WalkEntry { name, path, depth, hash_directory: true })
    }
}

impl Iterator for Walk {
    type Item = io::Result<WalkEntry>;

    fn next(&mut self) -> Option<Self::Item> {
        if let Some(start) = self.start.take()
            && let Err(error) = self.enter(start)
        {
            return Some(Err(error));
        }
        loop {
            let depth = self.stack.len();
            let (reader, _) = self.stack.last_mut()?;
            let entry = match reader.next() {
                None => match self.leave() {
                    Some(left) => return Some(Ok(left)),
                    None => continue,
                },
                Some(Err(error)) => return Some(Err(error)),
                Some(Ok(entry)) => entry,
            };
            let name = entry.file_name();
            let path = entry.path();
            if name.len() == 1 && depth <= MAX_DEPTH && entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                match self.enter(path) {
                    Err(error) if error.kind() != io::ErrorKind::NotFound => return Some(Err(error)),
                    Ok(()) | Err(_) => continue,
                }
            }
            return Some(Ok(WalkEntry { name, path, depth: depth - 1, hash_directory: false }));
        }
    }
}
