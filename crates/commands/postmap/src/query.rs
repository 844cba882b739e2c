//! `-q` and `-s`.

use std::io::{self, BufRead, Write};
use std::sync::Arc;

use host_tables::store;
use host_tables::{Flags, Table};
use mail_lookup::{Lookup, LookupError};

use crate::{Fatal, Session, Tool};

/// `-q KEY`: prints the value; `-q -`: keys from standard input. `true`: something was found.
pub fn query(session: &Session, key: &str) -> Result<bool, Fatal> {
    let flags = Flags { fold: !session.options.keep_case, ..Flags::default() };
    let open = |operand: &String| -> Result<Arc<dyn Lookup>, Fatal> {
        let (kind, name) = session.spec(operand);
        Ok(Table::open(&format!("{kind}:{name}"), flags, &session.context)?)
    };
    if key != "-" {
        // Tables are opened one after the other, so that a hit in the first does not need the second.
        for operand in &session.options.operands {
            if let Some(value) = ask(open(operand)?.as_ref(), key)? {
                print(session, key, &value, false)?;
                return Ok(true);
            }
        }
        return Ok(false);
    }
    let tables = session.options.operands.iter().map(open).collect::<Result<Vec<_>, _>>()?;
    let mut found = false;
    for line in io::stdin().lock().split(b'\n') {
        let line = line.map_err(|error| Fatal(format!("read stdin: {error}")))?;
        let key = String::from_utf8_lossy(&line).into_owned();
        for table in &tables {
            if let Some(value) = ask(table.as_ref(), &key)? {
                print(session, &key, &value, true)?;
                found = true;
                break;
            }
        }
    }
    Ok(found)
}

fn ask(table: &dyn Lookup, key: &str) -> Result<Option<String>, Fatal> {
    let name = table.name();
    if key.is_empty() {
        os_log::warning!("table {name}: empty lookup key value is not allowed");
        return Ok(None);
    }
    let found = table.lookup(key).map_err(|error| {
        let (LookupError::Temporary(text) | LookupError::Configuration(text)) = error;
        Fatal(format!("table {name}: query error: {text}"))
    })?;
    warn_empty(name, key, found.as_deref());
    Ok(found)
}

fn warn_empty(name: &str, key: &str, value: Option<&str>) {
    if value == Some("") {
        os_log::warning!("table {name}: key {key}: empty string result is not allowed");
        os_log::warning!("table {name} should return NO RESULT in case of NOT FOUND");
    }
}

/// `-s`: all records.
pub fn sequence(session: &Session) -> Result<(), Fatal> {
    for operand in &session.options.operands {
        let (kind, name) = session.spec(operand);
        let mut failed = None;
        store::sequence(kind, name, &mut |key, value| {
            warn_empty(&format!("{kind}:{name}"), key, Some(value));
            failed = print(session, key, value, true).err();
            failed.is_none()
        })?;
        failed.map_or(Ok(()), Err)?;
    }
    Ok(())
}

fn print(session: &Session, key: &str, value: &str, with_key: bool) -> Result<(), Fatal> {
    let line = match (session.options.json, with_key, session.tool) {
        (true, _, _) => format!("{{\"{}\": \"{}\"}}", json(key), json(value)),
        (false, false, _) => value.to_owned(),
        (false, true, Tool::Postmap) => format!("{key}\t{value}"),
        (false, true, Tool::Postalias) => format!("{key}:\t{value}"),
    };
    writeln!(io::stdout(), "{line}").map_err(|error| Fatal(format!("write output: {error}")))
}

/// A string inside JSON quotes.
fn json(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if c.is_control() => out.push_str(&format!("\\u{:04X}", u32::from(c))),
            c => out.push(c),
        }
    }
    out
}
