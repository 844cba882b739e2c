//! The structure of the queue: hash directories (`-s`), names that must match inode numbers (`-s`, `-S`), left-overs (`-p`).
//!
//! Queue IDs hold the inode number, so that no two messages have the same. A queue that was copied from elsewhere can
//! break that; such files are renamed, with their logs, in two passes (`NEW#FIX`, then `NEW`), because a new name may still
//! be in use by a file that is yet to be renamed.

use std::fs::Metadata;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::{Duration, SystemTime};

use host_spool::{DeliveryLog, Disk, Queue, Spool, WalkEntry, is_ready};
use mail_record::{IdStyle, QueueId};

use crate::options::Options;

/// Age of an unfinished file that nobody will finish.
const STALE: Duration = Duration::from_secs(7 * 24 * 3600);
/// Suffix of the first pass.
const SUFFIX: &str = "#FIX";
/// Characters of a short ID before its inode number.
const SHORT_TIME: usize = 5;

/// Works on these directories; the number of messages that got another name.
pub fn run(spool: &Spool, directories: &[String], options: &Options) -> Result<u64, String> {
    if options.fix && spool.layout().depth(Queue::Maildrop.name()) > 0 {
        return Err("maildrop queue must not be hashed".to_owned());
    }
    let mut renamed = 0;
    for pass in 1..=2 {
        let mut again = false;
        for name in directories {
            if options.verbose {
                os_log::info!("queue: {name}");
            }
            let directory =
                Directory { spool, name, queue: Queue::from_str(name).ok(), options, first: pass == 1 };
            let entries: Vec<WalkEntry> = spool.walk(name).filter_map(Result::ok).collect();
            for entry in entries {
                if directory.visit(&entry)? {
                    again = true;
                    renamed += u64::from(pass == 1 && directory.queue.is_some());
                }
            }
        }
        if !again {
            break;
        }
    }
    Ok(renamed)
}

struct Directory<'a> {
    spool: &'a Spool,
    name: &'a str,
    queue: Option<Queue>,
    options: &'a Options,
    first: bool,
}

impl Directory<'_> {
    /// Puts one entry right; `true`: the second pass has to finish it.
    fn visit(&self, entry: &WalkEntry) -> Result<bool, String> {
        let Some(metadata) = regular_file(self.spool, self.name, entry)? else { return Ok(false) };
        if self.options.purge && self.queue.is_some() && !is_ready(&metadata) && is_stale(&metadata) {
            return remove(self.spool, &entry.path).map(|()| false);
        }
        let name = entry.name.to_string_lossy();
        if self.options.fix
            && let Some(id) = name.strip_suffix(SUFFIX)
        {
            return self.finish(&entry.path, id).map(|()| false);
        }
        let Some(id) = file_id(entry) else { return Ok(false) };
        match self.queue {
            _ if !self.options.fix => Ok(false),
            Some(_) => self.message(&entry.path, &id, metadata.ino()),
            None => self.put_in_place(&entry.path, &id).map(|()| false),
        }
    }

    fn message(&self, path: &Path, id: &QueueId, inode: u64) -> Result<bool, String> {
        let Some(wanted) = wanted_id(id, inode, self.spool.layout().id_style, self.options.redundant) else {
            os_log::warning!("bogus file name: {}", path.display());
            return Ok(false);
        };
        if wanted == *id || !self.first {
            self.put_in_place(path, id)?;
            return Ok(false);
        }
        for log in DeliveryLog::ALL {
            let from = self.spool.log_path(log, id);
            if std::fs::symlink_metadata(&from).is_ok() {
                self.rename(&from, &self.suffixed(log.name(), &wanted))?;
            }
        }
        self.rename(path, &self.suffixed(self.name, &wanted))?;
        Ok(true)
    }

    /// The second half of a new name, for a message with its logs, or for a log.
    fn finish(&self, path: &Path, id: &str) -> Result<(), String> {
        let Ok(id) = QueueId::parse(id) else {
            os_log::warning!("bogus file name: {}", path.display());
            return Ok(());
        };
        if self.queue.is_some() {
            for log in DeliveryLog::ALL {
                let from = self.suffixed(log.name(), &id);
                if std::fs::symlink_metadata(&from).is_ok() {
                    self.rename(&from, &self.spool.log_path(log, &id))?;
                }
            }
        }
        self.rename(path, &self.spool.layout().path(self.name, &id))
    }

    /// Moves a file to its hash directory.
    fn put_in_place(&self, path: &Path, id: &QueueId) -> Result<(), String> {
        let place = self.spool.layout().path(self.name, id);
        if path == place { Ok(()) } else { self.rename(path, &place) }
    }

    fn suffixed(&self, directory: &str, id: &QueueId) -> PathBuf {
        let layout = self.spool.layout();
        layout.base.join(layout.relative_name(directory, &format!("{id}{SUFFIX}"), &id.hash_key()))
    }

    fn rename(&self, from: &Path, to: &Path) -> Result<(), String> {
        match self.spool.move_path(from, to) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(format!(
                "rename file {} as {}: {}",
                from.display(),
                to.display(),
                os_sys::error_text(&error)
            )),
            Ok(()) | Err(_) => Ok(()),
        }
    }
}

/// The status of a regular file. Other things do not belong into the queue: they are removed, and so are hash directories
/// that are too deep; what is not empty stays.
pub fn regular_file(spool: &Spool, directory: &str, entry: &WalkEntry) -> Result<Option<Metadata>, String> {
    if entry.hash_directory {
        if entry.depth >= spool.layout().depth(directory) {
            let _ = spool.disk().remove_directory(&entry.path);
        }
        return Ok(None);
    }
    let Ok(metadata) = std::fs::symlink_metadata(&entry.path) else { return Ok(None) };
    if metadata.is_dir() {
        let _ = spool.disk().remove_directory(&entry.path);
        return Ok(None);
    }
    if !metadata.is_file() {
        return remove(spool, &entry.path).map(|()| None);
    }
    Ok(Some(metadata))
}

/// The ID that a file's name is; what is none is complained about.
pub fn file_id(entry: &WalkEntry) -> Option<QueueId> {
    let id = entry.name.to_str().and_then(|name| QueueId::parse(name).ok());
    if id.is_none() {
        os_log::warning!("bogus file name: {}", entry.path.display());
    }
    id
}

fn remove(spool: &Spool, path: &Path) -> Result<(), String> {
    match spool.disk().unlink(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(format!("remove file {}: {}", path.display(), os_sys::error_text(&error)))
        }
        Ok(()) | Err(_) => Ok(()),
    }
}

fn is_stale(metadata: &Metadata) -> bool {
    let age = metadata.modified().ok().and_then(|time| SystemTime::now().duration_since(time).ok());
    age.is_some_and(|age| age > STALE)
}

/// The ID that a message with this inode number should have; `None`: this is no ID at all.
fn wanted_id(id: &QueueId, inode: u64, style: IdStyle, redundant: bool) -> Option<QueueId> {
    let text = id.as_str();
    if id.is_long() {
        return match style {
            IdStyle::Short => QueueId::parse(&format!("{}{inode:X}", id.hash_key())).ok(),
            IdStyle::Long if redundant && id.inode() != Some(inode) => {
                let time = text.rfind('z').and_then(|at| text.get(..=at))?;
                let digits = QueueId::new(IdStyle::Long, 0, 0, inode);
                let digits = digits.as_str().rsplit_once('z')?.1.to_owned();
                QueueId::parse(&format!("{time}{digits}")).ok()
            }
            IdStyle::Long => Some(id.clone()),
        };
    }
    let (time, tail) = text.split_at_checked(SHORT_TIME)?;
    if !tail.bytes().all(|b| b.is_ascii_hexdigit()) {
        return None;
    }
    if u64::from_str_radix(tail, 16) == Ok(inode) {
        return Some(id.clone());
    }
    QueueId::parse(&format!("{time}{inode:X}")).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_match_inodes() {
        for (id, style, redundant, wanted) in [
            ("BF73E9B4395", IdStyle::Short, false, Some("BF73E9B4395")),
            ("BF73E9B4396", IdStyle::Short, false, Some("BF73E9B4395")),
            ("BF73E9B4396", IdStyle::Long, false, Some("BF73E9B4395")),
            ("4jXFrF5C8hz1", IdStyle::Short, false, Some("B30349B4395")),
            ("4jXFrF5C8hz1", IdStyle::Long, false, Some("4jXFrF5C8hz1")),
            ("4jXFrF5C8hz1", IdStyle::Long, true, Some("4jXFrF5C8hz1TckQ")),
            ("BF73Exyz", IdStyle::Short, false, None),
            ("BF7", IdStyle::Short, false, None),
            ("AAAA5", IdStyle::Short, false, Some("AAAA59B4395")),
        ] {
            let id = QueueId::parse(id).unwrap();
            let found = wanted_id(&id, 0x009B_4395, style, redundant);
            let found = found.as_ref().map(QueueId::as_str);
            if redundant {
                let found = found.and_then(|id| QueueId::parse(id).ok()).unwrap();
                assert_eq!(found.inode(), Some(0x009B_4395));
            } else {
                assert_eq!(found, wanted, "{id}");
            }
        }
    }
}
