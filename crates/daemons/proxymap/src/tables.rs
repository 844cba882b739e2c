//! The open tables, and changes of table files.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use host_tables::store::{self, Duplicate, Ending, Store};
use host_tables::{Flags, OpenError, Table, TableContext};
use mail_lookup::{KeyClass, Lookup, LookupError};
use proto_ipc::proxymap::{CONFIG, NOKEY, OK, RETRY};

/// Flag bits of the protocol: fixed keys, patterns, no substitution of `$1`.
const FIXED_KEYS: u32 = 16;
const PATTERNS: u32 = 32;
const NO_REGSUB: u32 = 2048;
/// Mode of a table file that is made.
const MODE: u32 = 0o600;

/// Tables by name and by whether `$1` may be substituted.
pub(crate) struct Tables {
    context: TableContext,
    open: Mutex<HashMap<(String, bool), Arc<dyn Lookup>>>,
}

impl Tables {
    pub(crate) fn new(context: TableContext) -> Self {
        Self { context, open: Mutex::default() }
    }

    fn table(&self, name: &str, flags: u32) -> Result<Arc<dyn Lookup>, OpenError> {
        let key = (name.to_owned(), flags & NO_REGSUB != 0);
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(table) = open.get(&key) {
            return Ok(Arc::clone(table));
        }
        let flags = Flags { no_regsub: key.1, no_proxy: true, ..Flags::default() };
        let table = Table::open(name, flags, &self.context)?;
        open.insert(key, Arc::clone(&table));
        Ok(table)
    }

    /// The flags of the opened table.
    pub(crate) fn open(&self, name: &str, flags: u32) -> Result<u32, ()> {
        match self.table(name, flags) {
            Ok(table) => Ok(class_flag(&*table)),
            Err(OpenError(reason)) => {
                os_log::warning!("{reason}");
                Err(())
            }
        }
    }

    /// Status, table flags, value.
    pub(crate) fn lookup(&self, name: &str, flags: u32, key: &str) -> (i32, u32, String) {
        let table = match self.table(name, flags) {
            Ok(table) => table,
            Err(OpenError(reason)) => {
                os_log::warning!("{reason}");
                return (CONFIG, 0, String::new());
            }
        };
        let class = class_flag(&*table);
        match table.lookup(key) {
            Ok(Some(value)) => (OK, class, value),
            Ok(None) => (NOKEY, class, String::new()),
            Err(LookupError::Temporary(_)) => (RETRY, class, String::new()),
            Err(LookupError::Configuration(_)) => (CONFIG, class, String::new()),
        }
    }

    pub(crate) fn changed(&self) -> Option<String> {
        let open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.values().find(|table| table.changed()).map(|table| table.name().to_owned())
    }
}

fn class_flag(table: &dyn Lookup) -> u32 {
    match table.class() {
        KeyClass::Fixed => FIXED_KEYS,
        KeyClass::Pattern => PATTERNS,
    }
}

/// Opens a table file for a change; the change; saves it.
fn change(table: &str, work: impl FnOnce(&mut Store) -> i32) -> i32 {
    let opened = host_tables::split_spec(table)
        .and_then(|(kind, name)| Store::open(kind, name, false, true, MODE, Ending::Nul));
    let mut store = match opened {
        Ok(store) => store,
        Err(OpenError(reason)) => {
            os_log::warning!("{reason}");
            return CONFIG;
        }
    };
    let status = work(&mut store);
    match store.save() {
        Ok(()) => status,
        Err(error) => {
            os_log::warning!("close database {}: {}", store.path(), os_sys::error_text(&error));
            RETRY
        }
    }
}

pub(crate) fn update(table: &str, key: &str, value: &str) -> i32 {
    change(table, |store| {
        store.put(key, value, Duplicate::Replace);
        OK
    })
}

pub(crate) fn delete(table: &str, key: &str) -> i32 {
    change(table, |store| if store.delete(key) { OK } else { NOKEY })
}

/// Where a client's walk through a table is.
pub(crate) struct Cursor {
    table: String,
    rest: std::vec::IntoIter<(String, String)>,
}

/// Status, key, value of the next record.
pub(crate) fn sequence(cursor: &mut Option<Cursor>, table: &str, first: bool) -> (i32, String, String) {
    let empty = |status| (status, String::new(), String::new());
    if first || cursor.as_ref().is_none_or(|cursor| cursor.table != table) {
        let mut records = Vec::new();
        let walked = host_tables::split_spec(table).and_then(|(kind, name)| {
            store::sequence(kind, name, &mut |key, value| {
                records.push((key.to_owned(), value.to_owned()));
                true
            })
        });
        if let Err(OpenError(reason)) = walked {
            os_log::warning!("{reason}");
            return empty(CONFIG);
        }
        *cursor = Some(Cursor { table: table.to_owned(), rest: records.into_iter() });
    }
    match cursor.as_mut().and_then(|cursor| cursor.rest.next()) {
        Some((key, value)) => (OK, key, value),
        None => empty(NOKEY),
    }
}
