//! `hash` and `btree`: Berkeley DB files.

use std::fs::{File, Metadata};
use std::os::unix::fs::MetadataExt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use mail_lookup::{Found, KeyClass, Lookup, LookupError, Owner};

use crate::Flags;
use crate::bdb::{Broken, Database, Method};
use crate::open::{OpenError, reason};

/// A source may be this much newer before it is reported, so that an edit in progress is not.
const STALE_GRACE: Duration = Duration::from_secs(100);

struct Indexed {
    name: String,
    path: String,
    database: Database,
    fold: bool,
    owner: Owner,
    opened: Stamp,
}

/// What identifies a state of a file.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stamp {
    device: u64,
    inode: u64,
    seconds: i64,
}

impl Stamp {
    pub fn of(metadata: &Metadata) -> Self {
        Self { device: metadata.dev(), inode: metadata.ino(), seconds: metadata.mtime() }
    }

    /// Whether the file at `path` is another one now, or was modified.
    pub fn differs(self, path: &str) -> bool {
        std::fs::metadata(path).map_or(true, |now| Self::of(&now) != self)
    }
}

/// Owner for trust purposes: root's files are trusted.
pub(crate) fn owner_of(metadata: &Metadata) -> Owner {
    match metadata.uid() {
        0 => Owner::Trusted,
        uid => Owner::Uid(uid),
    }
}

pub(crate) fn open(kind: &str, source: &str, flags: Flags) -> Result<Arc<dyn Lookup>, OpenError> {
    let path = format!("{source}.db");
    let failed = |e: &std::io::Error| OpenError(format!("open database {path}: {}", reason(e)));
    let file = File::open(&path).map_err(|e| failed(&e))?;
    let metadata = file.metadata().map_err(|e| failed(&e))?;
    let database = Database::open(file).map_err(|broken| match broken {
        Broken::Io(e) if e.raw_os_error().is_some() => failed(&e),
        // The library's answer to a file that it cannot read.
        Broken::Io(_) | Broken::Format(_) => OpenError(format!("open database {path}: Invalid argument")),
    })?;
    let method = if kind == "hash" { Method::Hash } else { Method::Btree };
    if database.method() != method {
        return Err(OpenError(format!("open database {path}: Invalid argument")));
    }
    warn_if_stale(&path, source, &metadata);
    Ok(Arc::new(Indexed {
        name: format!("{kind}:{source}"),
        database,
        fold: flags.fold,
        owner: owner_of(&metadata),
        opened: Stamp::of(&metadata),
        path,
    }))
}

fn warn_if_stale(path: &str, source: &str, index: &Metadata) {
    let Ok(newer) = std::fs::metadata(source) else { return };
    let old_enough = newer
        .modified()
        .ok()
        .and_then(|time| SystemTime::now().duration_since(time).ok())
        .is_some_and(|age| age > STALE_GRACE);
    if newer.mtime() > index.mtime() && old_enough {
        os_log::warning!("database {path} is older than source file {source}");
    }
}

impl Indexed {
    fn find(&self, key: &[u8]) -> Result<Option<Vec<u8>>, LookupError> {
        self.database.find(key).map_err(|broken| match broken {
            Broken::Io(e) => LookupError::Temporary(format!("error reading {}: {}", self.path, reason(&e))),
            Broken::Format(text) => LookupError::Temporary(format!("error reading {}: {text}", self.path)),
        })
    }
}

impl Lookup for Indexed {
    fn lookup(&self, key: &str) -> Found {
        let key = if self.fold { mail_address::fold(key) } else { key.to_owned() };
        let mut bytes = key.into_bytes();
        bytes.push(0);
        let mut found = self.find(&bytes)?;
        if found.is_none() {
            bytes.pop();
            found = self.find(&bytes)?;
        }
        Ok(found.map(|value| text(&value)))
    }
    fn class(&self) -> KeyClass {
        KeyClass::Fixed
    }
    fn name(&self) -> &str {
        &self.name
    }
    fn owner(&self) -> Owner {
        self.owner
    }
    fn changed(&self) -> bool {
        self.opened.differs(&self.path)
    }
}

/// Stored bytes as text: up to the terminating NUL, if there is one.
pub(crate) fn text(stored: &[u8]) -> String {
    let end = stored.iter().position(|&b| b == 0).unwrap_or(stored.len());
    String::from_utf8_lossy(stored.get(..end).unwrap_or(stored)).into_owned()
}
