//! Making and changing index files.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;

use host_tables::source::{Record, alias_records, map_records};
use host_tables::store::{Duplicate, Store};
use os_sys::identity::{Identity, Root};

use crate::options::Action;
use crate::{Fatal, Session, Tool};

/// Bytes of one source file.
const SOURCE_LIMIT: u64 = 1 << 32;

/// Makes each index from its source, or (`-i`) adds what standard input says.
pub fn create(session: &Session) -> Result<(), Fatal> {
    session.options.operands.iter().try_for_each(|operand| {
        let (kind, name) = session.spec(operand);
        check_kind(kind)?;
        as_owner(session, name, || create_one(session, kind, name))?
    })
}

fn check_kind(kind: &str) -> Result<(), Fatal> {
    if Store::supports(kind) {
        return Ok(());
    }
    Err(Fatal(match kind {
        "proxy" => "can't create maps via the proxy service".into(),
        known if host_tables::TYPES.contains(&known) => {
            format!("no 'map create' support for this type: {known}")
        }
        unknown => format!("unsupported map type: {unknown}"),
    }))
}

fn create_one(session: &Session, kind: &str, name: &str) -> Result<(), Fatal> {
    let incremental = session.options.action == Action::Incremental;
    let (text, mode) = if incremental {
        (read(&mut io::stdin().lock(), "stdin")?, 0o644)
    } else {
        let mut file =
            File::open(name).map_err(|error| Fatal(format!("open {name}: {}", text_of(&error))))?;
        let mode = file.metadata().map_or(0o644, |metadata| metadata.mode());
        (read(&mut file, name)?, mode)
    };
    // A new index is as readable as its source (postmap(1) -p).
    let mode = if session.options.own_permissions { 0o644 } else { 0o644 & (mode | 0o600) };
    let mut store = Store::open(kind, name, !incremental, true, mode, session.options.ending)?;
    let shown = if incremental { "stdin" } else { name };
    let mut add = |mut record: Record| {
        if session.options.files {
            match contents(&record.value) {
                Ok(value) => record.value = value,
                Err(reason) => {
                    os_log::warning!("{}: {reason}: skipping this entry", record.place);
                    return;
                }
            }
        }
        add(session, &mut store, &record);
    };
    match session.tool {
        Tool::Postmap => map_records(shown, &text, session.utf8, "", &mut add),
        Tool::Postalias => alias_records(shown, &text, session.utf8, &mut add),
    }
    if session.tool == Tool::Postalias && !incremental {
        // Tells other programs that the file is complete.
        store.put("@", "@", Duplicate::Ignore);
    }
    store.save().map_err(|error| Fatal(format!("table {kind}:{name}: write error: {}", text_of(&error))))
}

/// The contents of the files that `value` names, one after the other with a line feed between them, as base64 (`-F`).
fn contents(value: &str) -> Result<String, String> {
    let mut all = Vec::new();
    for (number, name) in mail_text::list::words(value).enumerate() {
        if number > 0 {
            all.push(b'\n');
        }
        let mut file = File::open(name).map_err(|error| format!("open {name}: {}", text_of(&error)))?;
        file.by_ref()
            .take(SOURCE_LIMIT)
            .read_to_end(&mut all)
            .map_err(|error| format!("read {name}: {}", text_of(&error)))?;
    }
    Ok(proto_ipc::base64::encode(&all))
}

fn add(session: &Session, store: &mut Store, record: &Record) {
    let key = session.fold(&record.key);
    if !store.put(&key, &record.value, session.options.duplicate)
        && session.options.duplicate == Duplicate::Warn
    {
        os_log::warning!("{}: duplicate entry: \"{key}\"", store.path());
    }
}

/// `-d KEY`: `true` when something was deleted; `-d -`: keys from standard input.
pub fn delete(session: &Session, key: &str) -> Result<bool, Fatal> {
    let keys: Vec<String> = if key == "-" {
        read(&mut io::stdin().lock(), "stdin")?.lines().map(str::to_owned).collect()
    } else {
        vec![key.to_owned()]
    };
    let mut found = false;
    for operand in &session.options.operands {
        let (kind, name) = session.spec(operand);
        check_kind(kind)?;
        found |= as_owner(session, name, || -> Result<bool, Fatal> {
            let mut store = Store::open(kind, name, false, false, 0o644, session.options.ending)?;
            let deleted = keys.iter().filter(|key| store.delete(&session.fold(key))).count();
            store
                .save()
                .map_err(|error| Fatal(format!("table {kind}:{name}: delete error: {}", text_of(&error))))?;
            Ok(deleted > 0)
        })??;
    }
    Ok(found)
}

/// Root acts as the owner of the source file, so that a hostile directory cannot make it write elsewhere (postmap(1) -o).
fn as_owner<T>(session: &Session, source: &str, work: impl FnOnce() -> T) -> Result<T, Fatal> {
    let owner = std::fs::metadata(source).ok().map(|metadata| (metadata.uid(), metadata.gid()));
    match (Root::claim(), owner) {
        (Some(root), Some((uid, gid))) if uid != 0 && !session.options.keep_privileges => {
            let identity = Identity { name: None, uid, gid };
            root.acting_as(&identity, work)
                .map_err(|error| Fatal(format!("set effective ids of {source}: {error}")))
        }
        _ => Ok(work()),
    }
}

fn read(from: &mut dyn Read, name: &str) -> Result<String, Fatal> {
    let mut bytes = Vec::new();
    from.take(SOURCE_LIMIT)
        .read_to_end(&mut bytes)
        .map_err(|error| Fatal(format!("read {name}: {}", text_of(&error))))?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

fn text_of(error: &io::Error) -> String {
    error
        .raw_os_error()
        .map_or_else(|| error.to_string(), |code| nix::errno::Errno::from_raw(code).desc().to_owned())
}
