//! Tables that can be changed: `hash` and `btree` files, for postmap, postalias and the caches of daemons.
//!
//! A file is read as a whole under an exclusive lock, changed in memory and written back in place, as the reference does:
//! its inode, owner and mode stay, and readers wait for the lock.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};

use os_sys::lock::{self, Mode};

use crate::bdb::{self, Broken, Database, Method, Records};
use crate::indexed::text;
use crate::open::{OpenError, reason};

/// What to do with a key that is there already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Duplicate {
    /// Keep the old value and tell.
    Warn,
    /// Keep the old value.
    Ignore,
    /// Take the new value.
    Replace,
}

/// Whether keys and values are stored with a terminating NUL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// Only with (`-N`; the default when a table is made).
    Nul,
    /// Only without (`-n`).
    Bare,
    /// As found: with, else without.
    Either,
}

/// A table file open for changes. Nothing is written before [`Store::save`].
pub struct Store {
    path: String,
    method: Method,
    ending: Ending,
    file: File,
    records: Records,
    changed: bool,
}

impl Store {
    /// Whether tables of this type can be made and changed here.
    #[must_use]
    pub fn supports(kind: &str) -> bool {
        matches!(kind, "hash" | "btree")
    }

    /// Opens `source.db` for changes. `fresh`: what it holds is dropped; it is made with `mode` if it does not exist.
    /// `fresh` is false for `-i` (made if absent) and `-d` (`may_create` false).
    ///
    /// # Errors
    /// `open database X.db: …`
    pub fn open(
        kind: &str,
        source: &str,
        fresh: bool,
        may_create: bool,
        mode: u32,
        ending: Ending,
    ) -> Result<Self, OpenError> {
        let method = match kind {
            "hash" => Method::Hash,
            "btree" => Method::Btree,
            _ => return Err(OpenError(format!("unsupported map type: {kind}"))),
        };
        let path = format!("{source}.db");
        let failed = |e: &io::Error| OpenError(format!("open database {path}: {}", reason(e)));
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(may_create)
            .mode(mode)
            .open(&path)
            .map_err(|e| failed(&e))?;
        lock::flock(&file, Mode::Exclusive).map_err(|e| failed(&e))?;
        let mut records = Records::new();
        let length = file.metadata().map_err(|e| failed(&e))?.len();
        if !fresh && length > 0 {
            records = load(&file, method).map_err(|broken| match broken {
                Broken::Io(e) if e.raw_os_error().is_some() => failed(&e),
                Broken::Io(_) | Broken::Format(_) => {
                    OpenError(format!("open database {path}: Invalid argument"))
                }
            })?;
        }
        Ok(Self { path, method, ending, file, records, changed: fresh || length == 0 })
    }

    /// The file's name.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Adds a record. `false`: the key was there and `duplicate` keeps the old value.
    pub fn put(&mut self, key: &str, value: &str, duplicate: Duplicate) -> bool {
        let ending = match self.ending {
            Ending::Either if self.records.contains_key(key.as_bytes()) => Ending::Bare,
            Ending::Either => Ending::Nul,
            Ending::Nul | Ending::Bare => self.ending,
        };
        let stored = |text: &str| {
            let mut bytes = text.as_bytes().to_vec();
            if ending == Ending::Nul {
                bytes.push(0);
            }
            bytes
        };
        let key = stored(key);
        if duplicate != Duplicate::Replace && self.records.contains_key(&key) {
            return false;
        }
        self.changed = true;
        self.records.insert(key, stored(value));
        true
    }

    /// Removes a record; `false`: it was not there.
    pub fn delete(&mut self, key: &str) -> bool {
        let mut bytes = key.as_bytes().to_vec();
        let bare = self.ending != Ending::Nul && self.records.remove(&bytes).is_some();
        bytes.push(0);
        let ended = self.ending != Ending::Bare && self.records.remove(&bytes).is_some();
        self.changed |= bare || ended;
        bare || ended
    }

    /// The value of a key.
    #[must_use]
    pub fn find(&self, key: &str) -> Option<String> {
        let mut bytes = key.as_bytes().to_vec();
        let bare = self.records.get(&bytes);
        bytes.push(0);
        self.records.get(&bytes).or(bare).map(|value| text(value))
    }

    /// All records in key order.
    pub fn records(&self) -> impl Iterator<Item = (String, String)> + '_ {
        self.records.iter().map(|(key, value)| (text(key), text(value)))
    }

    /// Writes what has changed.
    ///
    /// # Errors
    /// Those of write(2) and fsync(2); the file may be damaged then, as after a full disk.
    pub fn save(&mut self) -> io::Result<()> {
        if !self.changed {
            return Ok(());
        }
        let metadata = self.file.metadata()?;
        let now = os_sys::time::now();
        let identity = bdb::Identity {
            inode: metadata.ino(),
            device: metadata.dev(),
            stamp: now.as_secs() << 30 | u64::from(now.subsec_nanos()),
        };
        let bytes = match self.method {
            Method::Hash => bdb::hash(&self.records, identity),
            Method::Btree => bdb::btree(&self.records, identity),
        };
        self.file.write_all_at(&bytes, 0)?;
        self.file.set_len(bytes.len() as u64)?;
        self.file.sync_data()?;
        self.changed = false;
        Ok(())
    }
}

fn load(file: &File, method: Method) -> Result<Records, Broken> {
    // The lock belongs to the open file, which the second descriptor shares.
    let database = Database::under_lock(file.try_clone()?)?;
    if database.method() != method {
        return Err(Broken::Format("other access method"));
    }
    let mut records = Records::new();
    database.for_each(&mut |key, value| {
        records.insert(key, value);
        true
    })?;
    Ok(records)
}

/// All records of `kind:source` in file order, for `postmap -s`.
///
/// # Errors
/// The table cannot be opened, or is broken, or its type has no sequence.
pub fn sequence(kind: &str, source: &str, each: &mut dyn FnMut(&str, &str) -> bool) -> Result<(), OpenError> {
    if !Store::supports(kind) {
        return Err(OpenError(format!("table {kind}:{source}: sequence operation is not supported")));
    }
    let path = format!("{source}.db");
    let failed = |what: String| OpenError(format!("open database {path}: {what}"));
    let file = File::open(&path).map_err(|e| failed(reason(&e)))?;
    let broken = |broken: Broken| match broken {
        Broken::Io(e) => failed(reason(&e)),
        Broken::Format(_) => failed("Invalid argument".to_owned()),
    };
    let database = Database::open(file).map_err(broken)?;
    database.for_each(&mut |key, value| each(&text(&key), &text(&value))).map_err(broken)
}
