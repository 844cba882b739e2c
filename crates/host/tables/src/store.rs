//! Tables that can be changed: `hash` and `btree` files, for postmap, postalias and the caches of daemons.
//!
//! A file is read as a whole under an exclusive lock, changed in memory, and replaced as a whole: its owner and mode stay,
//! readers keep the old file or get the new one, and a crash leaves one of the two.

use std::fs::File;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use crate::bdb::{self, Broken, Database, Method, Records};
use crate::indexed::text;
use crate::open::{OpenError, reason};
use crate::replace::Place;

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
    place: Place,
    /// Others wait until this one is dropped.
    locked: bool,
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
        let create = may_create.then_some(mode);
        let (place, file) = Place::open(Path::new(&path), create).map_err(|e| failed(&e))?;
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
        let changed = fresh || length == 0;
        Ok(Self { path, method, ending, file, place, locked: true, records, changed })
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

    /// Lets others read and change the file while this stays open, which is for a daemon that is the only writer: what
    /// others change from now on is lost at the next [`Store::save`].
    ///
    /// # Errors
    /// Those of flock(2).
    pub fn unlock(&mut self) -> io::Result<()> {
        self.locked = false;
        os_sys::lock::unlock(&self.file)
    }

    /// The number of records.
    #[must_use]
    pub fn len(&self) -> usize {
        self.records.len()
    }

    /// No records.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// Whether there is something to save.
    #[must_use]
    pub fn is_changed(&self) -> bool {
        self.changed
    }

    /// Writes what has changed, as a new file in the place of the old one.
    ///
    /// # Errors
    /// Those of open(2), write(2), fsync(2) and rename(2); the old content is still there then, unless the file had to be
    /// overwritten because the directory is not writable.
    pub fn save(&mut self) -> io::Result<()> {
        if !self.changed {
            return Ok(());
        }
        let now = os_sys::time::now();
        let stamp = now.as_secs() << 30 | u64::from(now.subsec_nanos());
        self.file = self.place.replace(&self.file, self.locked, &|metadata| {
            let identity = bdb::Identity { inode: metadata.ino(), device: metadata.dev(), stamp };
            match self.method {
                Method::Hash => bdb::hash(&self.records, identity),
                Method::Btree => bdb::btree(&self.records, identity),
            }
        })?;
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    fn directory(name: &str) -> std::path::PathBuf {
        let dir = std::env::temp_dir().join(format!("store-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        dir
    }

    fn open(source: &Path) -> Store {
        Store::open("btree", source.to_str().unwrap(), false, true, 0o600, Ending::Nul).unwrap()
    }

    #[test]
    fn a_reader_keeps_the_old_file_and_the_next_one_gets_the_new() {
        let dir = directory("replace");
        let source = dir.join("t");
        let mut store = open(&source);
        store.put("a", "1", Duplicate::Replace);
        store.save().unwrap();
        let file = dir.join("t.db");
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o640)).unwrap();
        let before = File::open(&file).unwrap();
        store.put("b", "2", Duplicate::Replace);
        store.save().unwrap();
        let after = std::fs::metadata(&file).unwrap();
        assert_ne!(before.metadata().unwrap().ino(), after.ino());
        assert_eq!(after.mode() & 0o7777, 0o640);
        let old = load(&before, Method::Btree).unwrap();
        assert_eq!(old.len(), 1);
        store.unlock().unwrap();
        let found: Vec<_> = open(&source).records().collect();
        assert_eq!(found, [("a".into(), "1".into()), ("b".into(), "2".into())]);
        assert_eq!(std::fs::read_dir(&dir).unwrap().count(), 1, "nothing is left beside the file");
        std::fs::remove_dir_all(dir).unwrap();
    }

    #[test]
    fn what_a_crash_has_left_is_in_nobody_s_way() {
        let dir = directory("left");
        let other = dir.join("other");
        std::fs::write(&other, "keep").unwrap();
        std::fs::hard_link(&other, dir.join("t.db.new")).unwrap();
        let mut store = open(&dir.join("t"));
        store.put("a", "1", Duplicate::Replace);
        store.save().unwrap();
        assert_eq!(std::fs::read_to_string(&other).unwrap(), "keep");
        assert_eq!(store.find("a"), Some("1".into()));
        assert!(!dir.join("t.db.new").exists());
        std::fs::remove_dir_all(dir).unwrap();
    }

    #[test]
    fn who_waited_for_the_lock_works_on_the_new_file() {
        let dir = directory("wait");
        let source = dir.join("t");
        let mut first = open(&source);
        let second = {
            let source = source.clone();
            std::thread::spawn(move || {
                let mut store = open(&source);
                store.put("second", "2", Duplicate::Replace);
                store.save().unwrap();
            })
        };
        first.put("first", "1", Duplicate::Replace);
        first.save().unwrap();
        drop(first);
        second.join().unwrap();
        assert_eq!(open(&source).records().count(), 2);
        std::fs::remove_dir_all(dir).unwrap();
    }
}
