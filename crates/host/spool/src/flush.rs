//! The logs of the fast flush service: one file a destination domain, one queue ID a line (`postconf(5) fast_flush_domains`).

use std::fs::Metadata;
use std::io::{self, BufRead, BufReader, Read};
use std::path::PathBuf;

use mail_record::QueueId;
use os_sys::lock::{Mode, flock};

use crate::{Disk, Queue, Spool};

const DIRECTORY: &str = "flush";
/// Distinct IDs of a log that are remembered; later ones are lost with the log (their messages stay queued).
const ID_LIMIT: usize = 10_000;
/// A longer line is cut (bytes).
const LINE_LIMIT: u64 = 1000;

/// The name of the log of a domain (in ASCII form): lower case, everything but letters and digits `_`.
#[must_use]
pub fn flush_log_name(domain: &str) -> String {
    let safe = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '_' };
    domain.chars().map(safe).collect()
}

impl<D: Disk> Spool<D> {
    /// Notes that a message waits for this destination.
    ///
    /// # Errors
    /// Those of open(2), flock(2), write(2).
    pub fn append_flush_log(&self, name: &str, id: &QueueId) -> io::Result<()> {
        let path = self.flush_path(name);
        let file = match self.disk().open_or_create(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound && self.make_parents(&path)? => {
                self.disk().open_or_create(&path)?
            }
            result => result?,
        };
        flock(&file, Mode::Exclusive)?;
        let end = file.metadata()?.len();
        self.disk().write(&file, end, format!("{id}\n").as_bytes())
    }

    /// Takes the distinct IDs out of a log, in order; none when there is no log.
    ///
    /// # Errors
    /// Those of open(2), flock(2), read(2), ftruncate(2).
    pub fn take_flush_log(&self, name: &str) -> io::Result<Vec<QueueId>> {
        let path = self.flush_path(name);
        let file = match std::fs::OpenOptions::new().read(true).write(true).open(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            result => result?,
        };
        flock(&file, Mode::Exclusive)?;
        let mut seen = std::collections::HashSet::new();
        let mut found = Vec::new();
        let mut lines = BufReader::new(&file);
        while found.len() < ID_LIMIT {
            let mut line = Vec::new();
            if lines.by_ref().take(LINE_LIMIT).read_until(b'\n', &mut line)? == 0 {
                break;
            }
            let text = String::from_utf8_lossy(line.trim_ascii()).into_owned();
            match QueueId::parse(&text) {
                Ok(id) if seen.insert(id.clone()) => found.push(id),
                Ok(_) => {}
                Err(_) => {
                    os_log::warning!("bad queue id \"{text:.30}...\" in fast flush log {}", path.display())
                }
            }
        }
        self.disk().truncate(&file, 0)?;
        Ok(found)
    }

    /// All logs with their status.
    pub fn flush_logs(&self) -> impl Iterator<Item = (String, Metadata)> {
        self.walk(DIRECTORY).filter_map(|entry| {
            let entry = entry.ok().filter(|entry| !entry.hash_directory)?;
            let metadata = std::fs::symlink_metadata(&entry.path).ok().filter(Metadata::is_file)?;
            Some((entry.name.to_str()?.to_owned(), metadata))
        })
    }

    /// Removes a log that is still empty.
    ///
    /// # Errors
    /// Those of open(2), flock(2), unlink(2).
    pub fn purge_flush_log(&self, name: &str) -> io::Result<()> {
        let path = self.flush_path(name);
        let file = std::fs::OpenOptions::new().read(true).write(true).open(&path)?;
        flock(&file, Mode::Exclusive)?;
        if file.metadata()?.len() == 0 { self.disk().unlink(&path) } else { Ok(()) }
    }

    /// Makes a deferred message due now: `incoming`, mtime now; with `unthrottle` the queue manager also forgets that its
    /// destinations are dead (mode +0040). `false`: there is no such message.
    ///
    /// # Errors
    /// Those of chmod(2), utimensat(2), rename(2).
    pub fn flush_message(&self, id: &QueueId, unthrottle: bool) -> io::Result<bool> {
        use std::os::unix::fs::PermissionsExt;
        let now = std::time::SystemTime::now();
        for queue in [Queue::Deferred, Queue::Incoming] {
            let result = (|| {
                let mode = self.metadata(queue, id)?.permissions().mode() & 0o777;
                if mode & 0o700 != 0o700 {
                    return Ok(());
                }
                if unthrottle {
                    self.chmod(queue, id, mode | 0o040)?;
                }
                self.set_times(queue, id, now)?;
                if queue == Queue::Deferred { self.rename(id, queue, Queue::Incoming) } else { Ok(()) }
            })();
            match result {
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                other => return other.map(|()| true),
            }
        }
        Ok(false)
    }

    fn flush_path(&self, name: &str) -> PathBuf {
        self.layout().base.join(self.layout().relative_name(DIRECTORY, name, name))
    }
}
