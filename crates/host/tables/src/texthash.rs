//! `texthash`: a source file held in memory; it is read once.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use mail_lookup::{Found, KeyClass, Lookup, Owner};

use crate::open::{OpenError, reason};
use crate::{Flags, TableContext, indexed, source};

/// A file younger than this may still be written.
const HOT: Duration = Duration::from_secs(1);
/// How often a file that keeps changing is read again.
const MAX_READS: usize = 10;

struct TextHash {
    name: String,
    fold: bool,
    owner: Owner,
    records: HashMap<String, String>,
}

pub(crate) fn open(path: &str, flags: Flags, cx: &TableContext) -> Result<Arc<dyn Lookup>, OpenError> {
    let failed = |e: std::io::Error| OpenError(format!("open {path}: {}", reason(&e)));
    let bytes = read_cool(path).map_err(failed)?;
    let metadata = std::fs::metadata(path).map_err(failed)?;
    let mut records = HashMap::new();
    let text = String::from_utf8_lossy(&bytes);
    source::map_records(path, &text, cx.inner.utf8, " -- ignoring this line", &mut |record| {
        let key = if flags.fold { mail_address::fold(&record.key) } else { record.key };
        match records.entry(key) {
            std::collections::hash_map::Entry::Occupied(old) => {
                os_log::warning!("{}: duplicate entry: \"{}\"", record.place, old.key());
            }
            std::collections::hash_map::Entry::Vacant(new) => {
                new.insert(record.value);
            }
        }
    });
    Ok(Arc::new(TextHash {
        name: format!("texthash:{path}"),
        fold: flags.fold,
        owner: indexed::owner_of(&metadata),
        records,
    }))
}

/// Records in key order.
pub(crate) fn sorted(records: &HashMap<String, String>) -> Vec<(String, String)> {
    let mut all: Vec<_> = records.iter().map(|(key, value)| (key.clone(), value.clone())).collect();
    all.sort_unstable();
    all
}

/// Reads a file; one that was modified a moment ago is read again until it stays as it is.
fn read_cool(path: &str) -> std::io::Result<Vec<u8>> {
    for _ in 0..MAX_READS {
        let before = std::fs::metadata(path)?;
        let bytes = std::fs::read(path)?;
        let after = std::fs::metadata(path)?;
        let age = after.modified().ok().and_then(|time| SystemTime::now().duration_since(time).ok());
        let same = indexed::Stamp::of(&before) == indexed::Stamp::of(&after) && before.len() == after.len();
        if same && age.is_none_or(|age| age >= HOT) {
            return Ok(bytes);
        }
        std::thread::sleep(HOT);
    }
    std::fs::read(path)
}

impl Lookup for TextHash {
    fn lookup(&self, key: &str) -> Found {
        let folded = if self.fold { mail_address::fold(key) } else { key.to_owned() };
        Ok(self.records.get(&folded).cloned())
    }
    fn class(&self) -> KeyClass {
        KeyClass::Fixed
    }
    fn name(&self) -> &str {
        &self.name
    }
    fn records(&self) -> Option<Vec<(String, String)>> {
        Some(sorted(&self.records))
    }
    fn owner(&self) -> Owner {
        self.owner
    }
}
